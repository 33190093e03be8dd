"""Ablation of the rules of grouping: AP on clean and noisy oracle maps and on learned maps, as a Markdown table.

python benchmarks/grouping_table.py ANNOTATIONS [--learned-maps MAPS.npz --learned-annotations JSON]
"""

from __future__ import annotations

import argparse

import simplepose as sp
from simplepose.data.annotations import read_annotations
from simplepose.evaluation import oracle

VARIANTS = {
    "**the defaults**": sp.DecodeConfig(),
    "no reassignment (rule 4)": sp.DecodeConfig(reassign=False),
    "no joining (rule 5)": sp.DecodeConfig(join_distance=0.0, min_keypoints=2),
    "the paper's weighted-sum part score": sp.DecodeConfig(part_score="weighted_sum"),
    "all samples above `part_threshold`": sp.DecodeConfig(min_sample_fraction=1.0),
    "shared keypoints (rule 7)": sp.DecodeConfig(allow_shared_keypoints=True),
    "`DecodeConfig.paper()`": sp.DecodeConfig.paper(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", help="COCO keypoint annotation file")
    parser.add_argument("--learned-maps", help="NPZ file with maps and image_ids")
    parser.add_argument("--learned-annotations", help="the annotations of the learned maps")
    options = parser.parse_args()
    annotations = read_annotations(options.annotations)
    sources = {
        name: (annotations, annotations.with_keypoints(), oracle.annotation_maps(annotations, name == "noisy"))
        for name in ("clean", "noisy")
    }
    if options.learned_maps:
        ids, maps = oracle.stored_maps(options.learned_maps)
        sources["learned"] = (read_annotations(options.learned_annotations), ids, maps)
    print("| variant | " + " | ".join(sources) + " |\n|---|" + "---|" * len(sources))
    for name, config in VARIANTS.items():
        cells = []
        for ground_truth, ids, maps in sources.values():
            report = oracle.run_oracle(ground_truth, maps, ids, config=config)
            cells.append(f"{report.metrics['AP']:.3f}")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    for name, (_, ids, _) in sources.items():
        print(f"{name}: {len(ids)} images")


if __name__ == "__main__":
    main()
