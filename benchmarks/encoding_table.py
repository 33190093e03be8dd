"""Oracle AP of part affinity fields beside body parts, with redundant parts and with a tree, as a Markdown table.

python benchmarks/encoding_table.py ANNOTATIONS [--limit IMAGES]
"""

from __future__ import annotations

import argparse

import simplepose as sp
from simplepose.data.annotations import read_annotations
from simplepose.evaluation import oracle

RULES = {
    "the defaults": lambda encoding: sp.DecodeConfig(encoding=encoding),
    "`DecodeConfig.paper()`": lambda encoding: sp.DecodeConfig.paper(encoding=encoding),
    "`DecodeConfig.cmu_pose()`": lambda encoding: sp.DecodeConfig.cmu_pose() if encoding == "paf" else None,
}
SKELETONS = {"redundant": sp.COCO, "tree": sp.COCO.spanning_tree()}
NAMES = {"parts": "body parts", "paf": "affinity fields"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", help="COCO keypoint annotation file")
    parser.add_argument("--limit", type=int, help="only the first images with keypoints")
    options = parser.parse_args()
    columns = [(skeleton, noise) for skeleton in SKELETONS for noise in ("clean", "noisy")]
    print("| rules | encoding | " + " | ".join(", ".join(column) for column in columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    annotations = {
        name: read_annotations(options.annotations, skeleton=skeleton) for name, skeleton in SKELETONS.items()
    }
    ids = next(iter(annotations.values())).with_keypoints()[: options.limit]
    for rule, make in RULES.items():
        for encoding, name in NAMES.items():
            config = make(encoding)
            if config is None:
                continue
            targets = sp.TargetConfig(encoding=encoding)
            cells = []
            for skeleton, noise in columns:
                ground_truth = annotations[skeleton]
                maps = oracle.annotation_maps(ground_truth, noise == "noisy", targets)
                report = oracle.run_oracle(ground_truth, maps, ids, config=config)
                cells.append(f"{report.metrics['AP']:.3f}")
            print(f"| {rule} | {name} | " + " | ".join(cells) + " |", flush=True)
    print(f"{len(ids)} images")


if __name__ == "__main__":
    main()
