"""How good a network is: AP with and without flip, shown poses a person, left/right swaps; thresholds tuned elsewhere.

python benchmarks/judge_network.py tiny --tune DATA/tune --test DATA/test --pictures OUT --out RESULT.json

Peak and part thresholds are chosen on --tune; the numbers that count are those of --test at the defaults, and the
chosen ones' beside them. The folders are what `simplepose synth` writes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from readme_table import network_table
from timing import report

from simplepose.data.annotations import Annotations, find_data, read_annotations
from simplepose.data.images import read_image, write_image
from simplepose.drawing.heatmaps import side_by_side
from simplepose.drawing.people import draw_poses
from simplepose.evaluation.coco import evaluate_keypoints
from simplepose.inference.heatmaps import Heatmaps
from simplepose.inference.predictor import Predictor
from simplepose.ops.config import DecodeConfig
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton

SHOWN = 3
"""People with fewer keypoints are not drawn."""

MATCH = 0.5
"""The OKS from which a pose is taken for a person, as AP50 does."""

GRID = {
    "peak_threshold": (0.05, 0.1, 0.15, 0.2),
    "part_threshold": (0.05, 0.1, 0.15),
    "min_sample_fraction": (0.6, 0.8),
}


class Split(NamedTuple):
    """Images and their truth."""

    annotations: Annotations
    folder: Path

    @classmethod
    def open(cls, data: Path) -> Split:
        path, folder = find_data(data, None)
        return cls(read_annotations(path, folder), folder)

    def path(self, image_id: int) -> Path:
        return self.annotations.images[image_id].path


class Swaps(NamedTuple):
    """Left and right keypoints of the people that were found."""

    pairs: int  # whose both ends are labeled and found
    swapped: int  # each nearer to the other's truth than to its own


def object_keypoint_similarity(
    pose: NDArray[np.float64], truth: NDArray[np.float64], area: float, skeleton: Skeleton
) -> float:
    """COCO's OKS of ``[D, 3]`` keypoints in dataset order; missing ones are infinitely far."""
    labeled = truth[:, 2] > 0
    distance = np.nan_to_num(((pose[:, :2] - truth[:, :2]) ** 2).sum(1), nan=np.inf)
    width = 2 * area * (2 * np.array(skeleton.sigmas)) ** 2
    return float(np.exp(-distance / width)[labeled].mean())


def count_swaps(poses: Poses, annotations: Annotations, image_id: int) -> Swaps:
    """Over the people matched by OKS, whichever way round, the best pose first, each person once."""
    people = [person for person in annotations.images[image_id].people if not person.ignored]
    if not people or not len(poses):
        return Swaps(0, 0)
    names = poses.skeleton.dataset_keypoints
    truth = np.array([person.keypoints for person in people], np.float64).reshape(len(people), -1, 3)
    found = poses.keypoints[:, poses.skeleton.dataset_index].astype(np.float64)
    sides = [(names.index(a), names.index(b)) for a, b in poses.skeleton.left_right if a in names and b in names]
    mirror = np.arange(len(names))
    for left, right in sides:
        mirror[[left, right]] = right, left
    free, pairs, swapped = list(range(len(people))), 0, 0
    for pose in found:
        similarity = [
            max(object_keypoint_similarity(p, truth[i], people[i].area, poses.skeleton) for p in (pose, pose[mirror]))
            for i in free
        ]
        if not free or max(similarity) < MATCH:
            continue
        person = truth[free.pop(int(np.argmax(similarity)))]
        for left, right in sides:
            if (person[[left, right], 2] > 0).all() and (pose[[left, right], 2] > 0).all():
                pairs += 1
                own = np.linalg.norm(pose[[left, right], :2] - person[[left, right], :2], axis=1)
                other = np.linalg.norm(pose[[left, right], :2] - person[[right, left], :2], axis=1)
                swapped += bool((other < own).all())
    return Swaps(pairs, swapped)


def all_heatmaps(predictor: Predictor, split: Split) -> Iterator[tuple[int, Heatmaps]]:
    """The maps of every image."""
    for image_id in split.annotations.images:
        yield image_id, predictor.heatmaps(split.path(image_id))


def judge(predictor: Predictor, split: Split, maps: list[tuple[int, Heatmaps]], config: DecodeConfig) -> dict[str, Any]:
    """The numbers of one split."""
    predictor.config = predictor.config.with_changes(decode=config)
    results, shown, swaps = [], 0, Swaps(0, 0)
    for image_id, heatmaps in maps:
        poses = predictor.decode(heatmaps)
        results += poses.to_coco(image_id)
        visible = poses.at_least(SHOWN)
        shown += len(visible)
        swaps = Swaps(*np.add(swaps, count_swaps(visible, split.annotations, image_id)).tolist())
    people = sum(len(split.annotations.keypoints(i)) for i in split.annotations.images)
    return {
        **{name: round(value, 4) for name, value in evaluate_keypoints(split.annotations, results).items()},
        "images": len(maps),
        "people": people,
        "shown_poses_per_person": round(shown / people, 3),
        "left_right_pairs": swaps.pairs,
        "left_right_swaps": round(swaps.swapped / max(swaps.pairs, 1), 4),
    }


def tune(predictor: Predictor, split: Split) -> dict[str, float]:
    """The thresholds with the best AP, one after the other, each around those chosen before."""
    maps = list(all_heatmaps(predictor, split))
    chosen: dict[str, float] = {}
    for name, values in GRID.items():
        found = {
            value: judge(predictor, split, maps, replace(DecodeConfig(), **{**chosen, name: value}))["AP"]
            for value in values
        }
        chosen[name] = max(found, key=lambda value: found[value])
        print(f"tune {name}: " + ", ".join(f"{value} {ap:.4f}" for value, ap in found.items()), flush=True)
    return chosen


def draw(predictor: Predictor, split: Split, folder: Path, count: int) -> None:
    """The first images with what was found beside the truth."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for image_id in list(split.annotations.images)[:count]:
        image = read_image(split.path(image_id))
        keypoints = split.annotations.keypoints(image_id)
        keypoints = np.where(keypoints[..., 2:] > 0, keypoints, np.float32([np.nan, np.nan, 0]))
        truth = Poses(keypoints, np.ones(len(keypoints), np.float32))
        panels: list[NDArray[np.uint8]] = [draw_poses(image, predictor(image)), draw_poses(image, truth)]
        rows.append(side_by_side(panels, ["detected", "ground truth"], height=384))
    for start in range(0, len(rows), 8):
        quarter = rows[start : start + 8]
        half = (len(quarter) + 1) // 2
        left, right = np.concatenate(quarter[:half]), np.concatenate(quarter[half:] or quarter[:half])
        write_image(folder / f"overlays-{start // 8}.jpg", np.concatenate([left, right[: len(left)]], 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a shipped name or a file")
    parser.add_argument("--test", type=Path, required=True, help="data folder that is judged")
    parser.add_argument("--tune", type=Path, help="data folder that thresholds are chosen on")
    parser.add_argument("--pictures", type=Path, help="folder for overlays of the first 16 images")
    parser.add_argument("--maps", type=Path, help="write the maps of --test as benchmarks/grouping_table.py reads them")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    options = parser.parse_args()
    test = Split.open(options.test)
    plain = Predictor.from_checkpoint(options.checkpoint)
    maps = list(all_heatmaps(plain, test))
    rows = {"defaults": judge(plain, test, maps, DecodeConfig())}
    chosen = tune(Predictor.from_checkpoint(options.checkpoint), Split.open(options.tune)) if options.tune else {}
    if chosen:
        rows["tuned thresholds"] = judge(plain, test, maps, replace(DecodeConfig(), **chosen))
    if options.maps:
        channels = slice(0, plain.skeleton.num_parts + plain.skeleton.num_keypoints)
        stored = np.stack([np.round(h.maps[channels].numpy() * 1024).astype(np.int16) for _, h in maps])
        np.savez_compressed(options.maps, maps=stored, image_ids=np.array([i for i, _ in maps]))
    del maps
    mirrored = Predictor.from_checkpoint(options.checkpoint, flip=True)
    rows["flip"] = judge(mirrored, test, list(all_heatmaps(mirrored, test)), DecodeConfig())
    if options.pictures:
        draw(mirrored, test, options.pictures, 16)
    measured = report(tuned=chosen, rows=rows)
    print(network_table(measured))
    if options.out:
        options.out.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
