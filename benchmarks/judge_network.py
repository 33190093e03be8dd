"""Evaluation of a network: AP with and without flip testing, shown poses per person and left/right swaps.

python benchmarks/judge_network.py tiny --tune DATA/tune --test DATA/test --pictures OUT --out RESULT.json

The input size (one of --sizes) and the thresholds are tuned on --tune. All reported metrics are measured on --test,
with the checkpoint's own settings for display and with the tuned ones. --scales adds a row with flip testing at these
scales. The data folders hold COCO annotations and images, as those of `simplepose synth` do.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from readme_table import network_table
from timing import parse_arguments, report

from simplepose.data.annotations import Annotations, find_data, read_annotations
from simplepose.data.images import read_image, write_image
from simplepose.drawing.heatmaps import side_by_side
from simplepose.drawing.people import draw_poses
from simplepose.evaluation.coco import evaluate_keypoints
from simplepose.inference.heatmaps import Heatmaps
from simplepose.inference.predictor import Predictor
from simplepose.io.atomic import atomic_write, write_json
from simplepose.ops.config import DecodeConfig
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton

SHOWN = 3
"""Minimum number of keypoints of a person that is drawn and counted."""

MATCH = 0.5
"""Minimum OKS of a pose that matches an annotated person, as in AP50."""

GRID = {
    "peak_threshold": (0.01, 0.02, 0.03, 0.05, 0.1, 0.15, 0.2),
    "part_threshold": (0.01, 0.02, 0.03, 0.05, 0.1, 0.15),
    "min_sample_fraction": (0.6, 0.8),
}


class Split(NamedTuple):
    """Images and their ground truth."""

    annotations: Annotations
    folder: Path

    @classmethod
    def open(cls, data: Path) -> Split:
        path, folder = find_data(data, None)
        return cls(read_annotations(path, folder), folder)

    def path(self, image_id: int) -> Path:
        return self.annotations.images[image_id].path


class Swaps(NamedTuple):
    """Left/right pairs of keypoints of the detected people."""

    pairs: int  # pairs of which both keypoints are labeled and detected
    swapped: int  # pairs of which both keypoints are nearer to the ground truth of the opposite side


def object_keypoint_similarity(
    pose: NDArray[np.float64], ground_truth: NDArray[np.float64], area: float, skeleton: Skeleton
) -> float:
    """COCO's OKS of ``[D, 3]`` keypoints in dataset order. The distance of a missing keypoint is infinite."""
    labeled = ground_truth[:, 2] > 0
    distance = np.nan_to_num(((pose[:, :2] - ground_truth[:, :2]) ** 2).sum(1), nan=np.inf)
    width = 2 * area * (2 * np.array(skeleton.sigmas)) ** 2
    return float(np.exp(-distance / width)[labeled].mean())


def count_swaps(poses: Poses, annotations: Annotations, image_id: int) -> Swaps:
    """Left/right swaps of the people matched by OKS.

    Poses are matched in order of score, each person once. A pose and its mirrored copy are both tried, so that a
    swapped pose matches too.
    """
    people = [person for person in annotations.images[image_id].people if not person.ignored]
    if not people or not len(poses):
        return Swaps(0, 0)
    names = poses.skeleton.dataset_keypoints
    ground_truth = np.array([person.keypoints for person in people], np.float64).reshape(len(people), -1, 3)
    detected = poses.keypoints[:, poses.skeleton.dataset_index].astype(np.float64)
    sides = [(names.index(a), names.index(b)) for a, b in poses.skeleton.left_right if a in names and b in names]
    mirror = np.arange(len(names))
    for left, right in sides:
        mirror[[left, right]] = right, left
    unmatched, pairs, swapped = list(range(len(people))), 0, 0
    for pose in detected:
        similarity = [
            max(
                object_keypoint_similarity(p, ground_truth[i], people[i].area, poses.skeleton)
                for p in (pose, pose[mirror])
            )
            for i in unmatched
        ]
        if not unmatched or max(similarity) < MATCH:
            continue
        person = ground_truth[unmatched.pop(int(np.argmax(similarity)))]
        for left, right in sides:
            if (person[[left, right], 2] > 0).all() and (pose[[left, right], 2] > 0).all():
                pairs += 1
                same_side = np.linalg.norm(pose[[left, right], :2] - person[[left, right], :2], axis=1)
                opposite_side = np.linalg.norm(pose[[left, right], :2] - person[[right, left], :2], axis=1)
                swapped += bool((opposite_side < same_side).all())
    return Swaps(pairs, swapped)


def all_heatmaps(predictor: Predictor, split: Split) -> Iterator[tuple[int, Heatmaps]]:
    """The id and the averaged maps of every image."""
    for image_id in split.annotations.images:
        yield image_id, predictor.heatmaps(split.path(image_id))


def evaluate_split(
    predictor: Predictor, split: Split, maps: Iterable[tuple[int, Heatmaps]], config: DecodeConfig
) -> dict[str, Any]:
    """The metrics of one split, decoded with ``config``."""
    predictor.config = predictor.config.with_changes(decode=config)
    results, shown, swaps, images = [], 0, Swaps(0, 0), 0
    for image_id, heatmaps in maps:
        poses = predictor.decode(heatmaps)
        images += 1
        results += poses.to_coco(image_id)
        visible = poses.at_least(SHOWN)
        shown += len(visible)
        swaps = Swaps(*np.add(swaps, count_swaps(visible, split.annotations, image_id)).tolist())
    people = sum(len(split.annotations.keypoints(i)) for i in split.annotations.images)
    return {
        **{name: round(value, 4) for name, value in evaluate_keypoints(split.annotations, results).items()},
        "images": images,
        "people": people,
        "shown_poses_per_person": round(shown / people, 3),
        "left_right_pairs": swaps.pairs,
        "left_right_swaps": round(swaps.swapped / max(swaps.pairs, 1), 4),
    }


def tune(checkpoint: str, split: Split, sizes: Sequence[int]) -> dict[str, float]:
    """The input size and the thresholds with the highest AP.

    The thresholds are tuned one after the other, with the earlier ones fixed, at each size.
    """
    best, best_ap = dict[str, float](), -1.0
    for size in sizes or [None]:
        predictor = Predictor.from_checkpoint(checkpoint, size=size) if size else Predictor.from_checkpoint(checkpoint)
        base = predictor.config.decode
        maps = list(all_heatmaps(predictor, split))
        tuned: dict[str, float] = {"size": size} if size else {}
        thresholds: dict[str, float] = {}
        for name, values in GRID.items():
            ap_of = {
                value: evaluate_split(predictor, split, maps, replace(base, **{**thresholds, name: value}))["AP"]
                for value in values
            }
            thresholds[name] = max(ap_of, key=lambda value: ap_of[value])
            shown = ", ".join(f"{value} {ap:.4f}" for value, ap in ap_of.items())
            print(f"tune {name} at size {predictor.size}: {shown}", flush=True)
        if max(ap_of.values()) > best_ap:
            best, best_ap = {**tuned, **thresholds}, max(ap_of.values())
    return best


PICTURES = tuple(f"overlays-{page}.jpg" for page in range(32))
"""The files of --pictures, with eight images each."""


def draw(predictor: Predictor, split: Split, folder: Path, count: int) -> None:
    """Write overlays of the first images, with the detected people beside the ground truth."""
    rows = []
    for image_id in list(split.annotations.images)[: min(count, 8 * len(PICTURES))]:
        image = read_image(split.path(image_id))
        keypoints = split.annotations.keypoints(image_id)
        keypoints = np.where(keypoints[..., 2:] > 0, keypoints, np.float32([np.nan, np.nan, 0]))
        ground_truth = Poses(keypoints, np.ones(len(keypoints), np.float32))
        panels: list[NDArray[np.uint8]] = [draw_poses(image, predictor(image)), draw_poses(image, ground_truth)]
        rows.append(side_by_side(panels, ["detected", "ground truth"], height=384))
    for start in range(0, len(rows), 8):
        page = rows[start : start + 8]
        width = max(row.shape[1] for row in page)
        page = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in page]
        half = (len(page) + 1) // 2
        columns = [np.concatenate(part) for part in (page[:half], page[half:]) if part]
        height = len(columns[0])
        columns = [np.pad(column, ((0, height - len(column)), (0, 0), (0, 0))) for column in columns]
        write_image(folder / PICTURES[start // 8], np.concatenate(columns, 1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="name of shipped weights or a file")
    parser.add_argument("--test", type=Path, required=True, help="data folder for the reported metrics")
    parser.add_argument("--tune", type=Path, help="data folder for tuning the thresholds")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], help="input sizes to choose from")
    parser.add_argument("--scales", type=float, nargs="+", help="add a row with flip testing at these scales")
    parser.add_argument("--scales-size", type=int, help="the input size at scale 1 of --scales; default: the tuned one")
    parser.add_argument("--pictures", type=Path, help="folder for overlays of the first --count images")
    parser.add_argument("--count", type=int, default=16, help="the number of overlays")
    parser.add_argument("--maps", type=Path, help="write the maps of --test for benchmarks/grouping_table.py")
    parser.add_argument("--out", type=Path, help="write the metrics as JSON")
    options = parse_arguments(parser, ["maps", "out"], ["checkpoint"], {"pictures": PICTURES})
    test = Split.open(options.test)
    plain = Predictor.from_checkpoint(options.checkpoint)
    shown = plain.config.decode
    maps = list(all_heatmaps(plain, test))
    rows = {"defaults": evaluate_split(plain, test, maps, shown)}
    if options.maps:
        channels = slice(0, plain.skeleton.num_parts + plain.skeleton.num_keypoints)
        stored = np.stack([np.round(h.maps[channels].numpy() * 1024).astype(np.int16) for _, h in maps])
        with atomic_write(options.maps) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, maps=stored, image_ids=np.array([i for i, _ in maps]))
    tuned = tune(options.checkpoint, Split.open(options.tune), options.sizes) if options.tune else {}
    size = int(tuned.get("size", plain.size))
    best = replace(shown, **{name: value for name, value in tuned.items() if name != "size"})

    def add_row(name: str, decode: DecodeConfig, **changes: Any) -> None:
        predictor = Predictor.from_checkpoint(options.checkpoint, **changes)
        rows[name] = evaluate_split(predictor, test, all_heatmaps(predictor, test), decode)

    if tuned and size == plain.size:
        rows["tuned"] = evaluate_split(plain, test, maps, best)
    elif tuned:
        add_row("tuned", best, size=size)
    del maps
    add_row("defaults, flip", shown, flip=True)
    if tuned:
        add_row("tuned, flip", best, flip=True, size=size)
    if options.scales:
        size = options.scales_size or size
        add_row(f"tuned, flip, {size} px x {options.scales}", best, flip=True, size=size, scales=options.scales)
    if options.pictures:
        draw(Predictor.from_checkpoint(options.checkpoint), test, options.pictures, options.count)
    measured = report(tuned=tuned, rows=rows)
    print(network_table(measured))
    if options.out:
        write_json(options.out, measured)


if __name__ == "__main__":
    main()
