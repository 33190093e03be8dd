"""Ablation of the rules of grouping: AP on up to four sources of maps, as a Markdown table.

python benchmarks/grouping_table.py [ANNOTATIONS] [--learned-maps MAPS.npz --learned-annotations JSON] [--photos DATA]

The sources are clean and noisy oracle maps of ANNOTATIONS, stored maps of a network, and the maps that --checkpoint
predicts for the photos of a data folder. On photos, the AP is measured with the checkpoint's thresholds for evaluation.
The last column counts the poses that are stretched over several people, with its thresholds for display.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from judge_network import SHOWN, Split
from numpy.typing import NDArray
from tqdm import tqdm

import simplepose as sp
from simplepose.data.annotations import read_annotations
from simplepose.evaluation import oracle
from simplepose.evaluation.coco import Result, evaluate_keypoints
from simplepose.inference.frame import STRIDE
from simplepose.inference.predictor import Predictor
from simplepose.network.checkpoint import load_checkpoint
from simplepose.skeleton.skeleton import Skeleton

STRETCHED_RATIO = 6.0
STRETCHED_CELLS = 20.0
"""A pose is stretched if its longest part exceeds 6 times its median part and 20 cells."""


def variants(settings: Mapping[str, Any]) -> dict[str, sp.DecodeConfig]:
    """The rows of the table: changes of one rule, applied to ``settings`` of `DecodeConfig`."""

    def changed(**changes: Any) -> sp.DecodeConfig:
        return sp.DecodeConfig(**{**settings, **changes})

    return {
        "**the defaults**": changed(),
        "no reassignment (rule 4)": changed(reassign=False),
        "no joining (rule 5)": changed(join_distance=0.0, min_keypoints=2),
        "no limit of part lengths (rule 8)": changed(max_part_ratio=0.0),
        "the paper's weighted-sum part score": changed(part_score="weighted_sum"),
        "all samples above `part_threshold`": changed(min_sample_fraction=1.0),
        "shared keypoints (rule 7)": changed(allow_shared_keypoints=True),
        "`DecodeConfig.paper()`": sp.DecodeConfig.paper(**settings),
    }


def is_stretched(keypoints: NDArray[np.float32], skeleton: Skeleton) -> bool:
    """Whether a pose ``[J, 3]``, in pixels of the network's input, is stretched."""
    ends = keypoints[skeleton.part_index]  # [L, 2, 3]
    ends = ends[(ends[..., 2] > 0).all(1), :, :2]
    if not len(ends):
        return False
    lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) / STRIDE
    return bool(lengths.max() > max(STRETCHED_RATIO * np.median(lengths), STRETCHED_CELLS))


def photo_columns(data: Path, checkpoint: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The number of photos, and two columns: the AP and the stretched poses of every variant.

    The network runs once for each photo; all variants decode the same maps.
    """
    split, predictor, use = Split.open(data), Predictor.from_checkpoint(checkpoint), load_checkpoint(checkpoint).use
    skeleton = predictor.skeleton
    channels = skeleton.num_parts + skeleton.num_keypoints
    display = use.get("decode", {})
    evaluated, shown = variants({**display, **use.get("evaluation", {})}), variants(display)
    results: dict[str, list[Result]] = {name: [] for name in evaluated}
    counts, stretched = Counter[str](), Counter[str]()
    for image_id in tqdm(split.annotations.images, "photos", unit="image", disable=None):
        heatmaps = predictor.heatmaps(split.path(image_id))
        maps = heatmaps.maps[:channels].numpy()
        for name, config in evaluated.items():
            poses = sp.decode(maps, skeleton, config, STRIDE)[0]
            poses.keypoints[..., :2] = heatmaps.frame.to_image(poses.keypoints[..., :2])
            results[name] += poses.to_coco(image_id, split.annotations.category)
        for name, config in shown.items():
            people = sp.decode(maps, skeleton, config, STRIDE)[0].at_least(SHOWN).keypoints
            counts[name] += len(people)
            stretched[name] += sum(is_stretched(keypoints, skeleton) for keypoints in people)
    metrics = {name: evaluate_keypoints(split.annotations, found)["AP"] for name, found in results.items()}
    return len(split.annotations.images), {
        f"`{checkpoint}`": {name: f"{ap:.3f}" for name, ap in metrics.items()},
        "stretched": {name: f"{stretched[name]} of {counts[name]}" for name in metrics},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", nargs="?", help="COCO keypoint annotation file of the oracle maps")
    parser.add_argument("--learned-maps", help="NPZ file with maps and image_ids")
    parser.add_argument("--learned-annotations", help="the annotations of the learned maps")
    parser.add_argument("--photos", type=Path, help="data folder of photos with annotations")
    parser.add_argument("--checkpoint", default="photo", help="the network of --photos (default: %(default)s)")
    options = parser.parse_args()
    rows = variants({})
    columns: dict[str, dict[str, str]] = {}
    images: dict[str, int] = {}
    sources = {}
    if options.annotations:
        annotations = read_annotations(options.annotations)
        for name in ("clean", "noisy"):
            maps = oracle.annotation_maps(annotations, name == "noisy")
            sources[name] = (annotations, annotations.with_keypoints(), maps)
    if options.learned_maps:
        ids, maps = oracle.stored_maps(options.learned_maps)
        sources["learned"] = (read_annotations(options.learned_annotations), ids, maps)
    for source, (ground_truth, ids, maps) in sources.items():
        images[source] = len(ids)
        columns[source] = {
            name: f"{oracle.run_oracle(ground_truth, maps, ids, config=config).metrics['AP']:.3f}"
            for name, config in rows.items()
        }
    if options.photos:
        images["photos"], added = photo_columns(options.photos, options.checkpoint)
        columns.update(added)
    if not columns:
        parser.error("expected ANNOTATIONS, --learned-maps or --photos")
    print("| variant | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for name in rows:
        print(f"| {name} | " + " | ".join(column[name] for column in columns.values()) + " |")
    for source, count in images.items():
        print(f"{source}: {count} images")


if __name__ == "__main__":
    main()
