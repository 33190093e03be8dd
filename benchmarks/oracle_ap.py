"""Oracle AP of the decoder on COCO annotations, or AP on stored maps: `python benchmarks/oracle_ap.py ANNOTATIONS`."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

import simplepose as sp
from simplepose.data.annotations import read_annotations
from simplepose.evaluation import coco, oracle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("annotations", help="COCO keypoint annotation file")
    parser.add_argument("--noisy", action="store_true", help="weak and missing responses, and noise")
    parser.add_argument("--maps", help="NPZ file with maps and image_ids, instead of rendering")
    parser.add_argument("--paper", action="store_true", help="the paper's rules: DecodeConfig.paper()")
    parser.add_argument("--backend", default="auto", choices=["auto", "native", "reference"])
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="change fields of DecodeConfig")
    parser.add_argument("--limit", type=int, help="only the first so many images")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()

    changes = {name: json.loads(value) for name, value in (item.split("=", 1) for item in options.set)}
    config = sp.DecodeConfig.paper(**changes) if options.paper else sp.DecodeConfig(**changes)
    annotations = read_annotations(options.annotations)
    if options.maps:
        image_ids, maps = oracle.stored_maps(options.maps)
    else:
        image_ids, maps = annotations.with_keypoints(), oracle.annotation_maps(annotations, options.noisy)
    report = oracle.run_oracle(
        annotations,
        maps,
        image_ids[: options.limit],
        config=config,
        backend=options.backend,
        progress=oracle.progress_bar("decode"),
    )
    if options.json:
        print(json.dumps(asdict(report)))
        return
    print(coco.metrics_table(report.metrics))
    print(f"{report.images} images, {report.people_found} people found, {report.people_annotated} annotated")
    print(", ".join(f"{stage} {ms:.3f} ms" for stage, ms in report.milliseconds.items()) + " an image")


if __name__ == "__main__":
    main()
