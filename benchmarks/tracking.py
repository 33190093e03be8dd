"""Judge `Tracker` beside a box-based tracker on synthetic clips, as in docs/tracking.md.

python benchmarks/tracking.py                       # poses of the ground truth with jitter and drops
python benchmarks/tracking.py --network tiny        # also the poses that a network finds in the frames
python benchmarks/tracking.py --out FILE.json       # also write the numbers

Needs the extra `track` and, for HOTA, IDF1 and MOTA and for ByteTrack, the package `trackers`. If norfair is
installed, it is judged too, with the OKS as distance. The similarity of an annotated person and a pose is their OKS;
CLEAR and identity metrics match from an OKS of 0.5 on.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scenes import people

from simplepose.inference.tracker import Tracker
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO
from simplepose.synth.clip import ClipConfig, render_clip

JITTER, DROPPED = 3.0, 0.1
"""Standard deviation of the jitter in pixels, and the fraction of poses that are dropped."""

KINDS = {
    "mixed": ClipConfig(),
    "crossing": ClipConfig(roles=("right", "left"), speed=(0.8, 1.2)),
    "away": ClipConfig(roles=("leaves", "stands"), pan=0.02),
}
"""Kinds of clips: `mixed` has all roles, in `crossing` all people walk, in `away` half of them leave for a second."""

FIRST_SEED = 100
"""Seed of the first clip. The settings of `Tracker` were chosen on the clips of the seeds 0 to 9."""

COLUMNS = ("HOTA", "IDF1", "MOTA", "IDSW")
TrackPoses = Callable[[Sequence[Poses], float], list[NDArray[np.int64]]]


@dataclass
class Clip:
    """The annotated people of the frames of a clip."""

    rate: float
    truth: list[NDArray[np.float64]]  # [P, 17, 3] of each frame, x, y and visibility
    tracks: list[NDArray[np.int64]]  # [P]
    images: list[NDArray[np.uint8]]  # empty unless a network is judged


def make_clip(config: ClipConfig, frames: int, seed: int, images: bool) -> Clip:
    clip = Clip(config.rate, [], [], [])
    for scene in render_clip(frames, seed, config):
        rows = [np.array(a["keypoints"], float).reshape(17, 3) for a in scene.annotations]
        tracks = np.array([a["track_id"] for a in scene.annotations], np.int64)
        keep = np.array([(row[:, 2] == 2).sum() >= 3 for row in rows], bool)
        clip.truth.append(np.reshape(rows, (-1, 17, 3))[keep])
        clip.tracks.append(tracks[keep])
        if images:
            clip.images.append(scene.image)
    return clip


def disturbed(clip: Clip, seed: int) -> tuple[list[Poses], Clip]:
    """The visible keypoints with jitter, without the dropped poses; and the clip without them."""
    rng = np.random.default_rng([seed, 3])
    found, kept = [], Clip(clip.rate, [], [], [])
    for truth, tracks in zip(clip.truth, clip.tracks, strict=True):
        stay = rng.random(len(truth)) >= DROPPED
        noisy = truth[stay].copy()
        noisy[..., :2] += rng.normal(0, JITTER, noisy[..., :2].shape)
        noisy[..., 2] = noisy[..., 2] == 2
        keypoints = COCO.from_dataset(noisy)
        keypoints[keypoints[..., 2] == 0] = (np.nan, np.nan, 0)
        found.append(Poses(keypoints, np.ones(len(keypoints), np.float32)))
        kept.truth.append(truth[stay])
        kept.tracks.append(tracks[stay])
    return found, kept


def by_keypoints(poses: Sequence[Poses], rate: float) -> list[NDArray[np.int64]]:
    """The ids of `Tracker`."""
    tracker = Tracker()
    return [tracker.update(frame, index / rate) for index, frame in enumerate(poses)]


def by_boxes(poses: Sequence[Poses], rate: float) -> list[NDArray[np.int64]]:
    """The ids of ByteTrack with the boxes of the poses; it keeps lost tracks for two seconds, as `Tracker` does."""
    import supervision
    from trackers import ByteTrackTracker

    # The buffer counts frames at 30 frames/s.
    tracker = ByteTrackTracker(lost_track_buffer=60, frame_rate=rate, minimum_consecutive_frames=1)
    ids = []
    for frame in poses:
        row = np.arange(len(frame))
        given = supervision.Detections(frame.boxes, confidence=np.ones(len(frame)), data={"row": row})
        tracked = tracker.update(given)
        own = np.full(len(frame), -1, np.int64)
        if len(tracked):
            own[tracked.data["row"]] = tracked.tracker_id
        ids.append(own)
    return ids


def by_norfair(poses: Sequence[Poses], rate: float) -> list[NDArray[np.int64]]:
    """The ids of norfair with the distance 1 - OKS, up to 0.97, and the same longest gap."""
    import norfair

    variance = 2 * (2 * np.array(COCO.sigmas)) ** 2

    def distance(detection: Any, track: Any) -> float:
        low, high = track.estimate.min(0), track.estimate.max(0)
        area = max((high - low).prod(), 0.3 * (high - low).max() ** 2, 1)
        found = detection.scores > 0
        oks = np.exp(-((detection.points - track.estimate) ** 2).sum(1) / (area * variance))
        return 1 - float((oks * found).sum() / max(found.sum(), 1))

    tracker = norfair.Tracker(
        distance,
        distance_threshold=0.97,
        hit_counter_max=int(2 * rate),
        initialization_delay=0,
        detection_threshold=0.1,
    )
    ids = []
    for frame in poses:
        keypoints = frame.keypoints[:, COCO.dataset_index].astype(float)
        given = [norfair.Detection(np.nan_to_num(k[:, :2]), k[:, 2], data=row) for row, k in enumerate(keypoints)]
        own = np.full(len(frame), -1, np.int64)
        for track in tracker.update(given):
            if any(track.last_detection is detection for detection in given):
                own[track.last_detection.data] = track.id
        ids.append(own)
    return ids


def similarity(truth: NDArray[np.float64], poses: Poses) -> NDArray[np.float64]:
    """``[P, N]`` OKS of annotated people and poses; the area of a person is that of the box of its keypoints."""
    found = poses.keypoints[:, COCO.dataset_index].astype(float)
    labeled = truth[..., 2] > 0
    low = np.where(labeled[..., None], truth[..., :2], np.inf).min(1)
    high = np.where(labeled[..., None], truth[..., :2], -np.inf).max(1)
    area = np.maximum((high - low).prod(1), 1)
    both = labeled[:, None] & (found[None, ..., 2] > 0)
    distance = ((truth[:, None, :, :2] - np.nan_to_num(found[None, ..., :2])) ** 2).sum(-1)
    scale = 2 * area[:, None, None] * (2 * np.array(COCO.sigmas)) ** 2
    return (np.exp(-distance / scale) * both).sum(2) / np.maximum(both.sum(2), 1)


def measure(clips: Sequence[Clip], poses: Sequence[Sequence[Poses]], tracks: TrackPoses) -> dict[str, float]:
    """The metrics of a tracker over all clips."""
    from trackers.eval import (
        aggregate_clear_metrics,
        aggregate_hota_metrics,
        aggregate_identity_metrics,
        compute_clear_metrics,
        compute_hota_metrics,
        compute_identity_metrics,
    )

    hota, clear, identity = [], [], []
    for clip, found in zip(clips, poses, strict=True):
        given = tracks(found, clip.rate)
        kept = [ids >= 0 if len(ids) else np.zeros(0, bool) for ids in given]
        likeness = [similarity(*pair)[:, keep] for *pair, keep in zip(clip.truth, found, kept, strict=True)]
        names = {name: i for i, name in enumerate(sorted({n for ids in given for n in ids.tolist()}))}
        ids = [np.array([names[n] for n in ids[keep].tolist()], int) for ids, keep in zip(given, kept, strict=True)]
        arguments = ([tracks - 1 for tracks in clip.tracks], ids, likeness)
        hota.append(compute_hota_metrics(*arguments))
        clear.append(compute_clear_metrics(*arguments))
        identity.append(compute_identity_metrics(*arguments))
    sums = (aggregate_hota_metrics(hota), aggregate_identity_metrics(identity), aggregate_clear_metrics(clear))
    merged = {**sums[0], **sums[1], **sums[2]}
    return {name: float(merged[name]) for name in COLUMNS}


def milliseconds(count: int, frames: int = 200) -> float:
    """The median time of `Tracker.update` with ``count`` walking people, on one thread."""
    rng = np.random.default_rng(0)
    start = people(count, 1)
    step = rng.normal(0, 2, (count, 1, 2))
    sequence = []
    for index in range(frames):
        keypoints = start.copy()
        keypoints[..., :2] += index * step + rng.normal(0, 1, keypoints[..., :2].shape)
        keypoints[..., 2] = 1
        sequence.append(Poses(keypoints, np.ones(count, np.float32)))
    tracker, times = Tracker(), []
    for index, poses in enumerate(sequence):
        begin = time.perf_counter()
        tracker.update(poses, index / 25)
        times.append(time.perf_counter() - begin)
    return float(np.median(times)) * 1000


def table(rows: dict[str, dict[str, float]]) -> str:
    lines = [f"{'':34}" + "".join(f"{name:>9}" for name in COLUMNS)]
    for name, values in rows.items():
        lines.append(
            f"{name:34}" + "".join(f"{values[c]:9.0f}" if c == "IDSW" else f"{values[c]:9.3f}" for c in COLUMNS)
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5, help="clips of each kind, of 2 to 6 people")
    parser.add_argument("--frames", type=int, default=125)
    parser.add_argument("--network", help="also judge the poses of this checkpoint")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows: dict[str, dict[str, float]] = {}
    trackers: dict[str, TrackPoses] = {"Tracker": by_keypoints, "ByteTrack, boxes": by_boxes}
    if importlib.util.find_spec("norfair"):
        trackers["norfair, OKS"] = by_norfair
    predictor: Any = None
    by_people: list[str] = []
    if options.network:
        from simplepose.inference.predictor import Predictor

        predictor = Predictor.from_checkpoint(options.network)
    for kind, config in KINDS.items():
        seeds = range(FIRST_SEED, FIRST_SEED + options.clips)
        clips = [
            make_clip(replace(config, people=2 + seed % 5), options.frames, seed, predictor is not None)
            for seed in seeds
        ]
        noisy = [disturbed(clip, seed) for clip, seed in zip(clips, seeds, strict=True)]
        for name, tracks in trackers.items():
            poses = [found for found, _ in noisy]
            rows[f"{kind}, {name}"] = measure([kept for _, kept in noisy], poses, tracks)
            rows[f"{kind}, drops missed, {name}"] = measure(clips, poses, tracks)
            for people_count in sorted({2 + seed % 5 for seed in seeds}):
                chosen = [i for i, seed in enumerate(seeds) if 2 + seed % 5 == people_count]
                values = measure([noisy[i][1] for i in chosen], [poses[i] for i in chosen], tracks)
                by_people.append(f"{kind}, {people_count} people, {name}: {values['IDF1']:.3f}")
        if predictor is not None:
            found = [[prediction.poses for prediction in predictor.predict_many(clip.images)] for clip in clips]
            for name, tracks in trackers.items():
                rows[f"{kind}, {options.network}, {name}"] = measure(clips, found, tracks)
    print(table(rows))
    print("IDF1 by number of people:", *by_people, sep="\n")
    times = {count: milliseconds(count) for count in (5, 10, 30)}
    print("Tracker.update: " + ", ".join(f"{ms:.2f} ms at {count} people" for count, ms in times.items()))
    if options.out:
        report = {"command": "python " + " ".join(sys.argv), "metrics": rows, "milliseconds": times}
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
