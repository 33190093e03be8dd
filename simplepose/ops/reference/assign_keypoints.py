"""Reference of assign_keypoints: groups peaks into people (rules 3 to 7). Plain Python, a rule a function."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.reference.maths import f32
from simplepose.skeleton.skeleton import Skeleton

LEAST_GAIN = f32(1e-6)
"""Rule 4 moves a keypoint only for a gain in part score above this."""

Pose = dict[int, int]
"""The peak index of each keypoint type that a pose has."""


class Link(NamedTuple):
    """A candidate part as one of its two peaks sees it."""

    other: int  # the peak at its other end
    score: np.float32  # the part score


@np.errstate(over="ignore", invalid="ignore")  # sums of huge map values
def assign_keypoints(
    peaks: Peaks, parts: CandidateParts, skeleton: Skeleton, config: DecodeConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """People of one image, from its peaks and candidate parts.

    Returns:
        Keypoints ``[N, J, 3]`` float32: x, y in grid cells and score, (NaN, NaN, 0) where missing; and scores
        ``[N]`` float32, descending, ties by the smallest peak index.
    """
    links: list[list[Link]] = [[] for _ in peaks.type]
    for a, b, score in zip(parts.from_peak.tolist(), parts.to_peak.tolist(), parts.score, strict=True):
        links[a].append(Link(b, score))
        links[b].append(Link(a, score))

    poses = merge(peaks, parts)
    if config.reassign:
        reassign(poses, peaks, links)
    poses = sorted((pose for pose in poses if pose), key=first_peak)
    poses = [p for p in poses if len(p) > 1 or peaks.score[first_peak(p)] >= f32(config.min_single_score)]
    if config.join_distance > 0:
        poses = join_fragments(poses, peaks, links, skeleton, config)
    if config.allow_shared_keypoints:
        poses = share_keypoints(poses, peaks, links, skeleton)
    return emit(poses, peaks, skeleton, config)


def merge(peaks: Peaks, parts: CandidateParts) -> list[Pose]:
    """Rule 3: by part type and part score, the poses of a candidate's two peaks become one unless they share a type."""
    poses = [{kind: peak} for peak, kind in enumerate(peaks.type.tolist())]
    pose_of = list(range(len(poses)))
    for a, b in zip(parts.from_peak.tolist(), parts.to_peak.tolist(), strict=True):
        kept, gone = sorted((pose_of[a], pose_of[b]))
        if kept != gone and poses[kept].keys().isdisjoint(poses[gone]):
            for peak in poses[gone].values():
                pose_of[peak] = kept
            poses[kept].update(poses[gone])
            poses[gone] = {}
    return poses


def reassign(poses: list[Pose], peaks: Peaks, links: list[list[Link]]) -> None:
    """Rule 4: in order of the peaks, each moves, or changes places, to raise the total part score most."""
    pose_of = {peak: index for index, pose in enumerate(poses) for peak in pose.values()}

    def total_score(peak: int, pose: int) -> np.float32:
        total = f32(0)
        for link in links[peak]:
            if pose_of[link.other] == pose:
                total = total + link.score
        return total

    for peak, kind in enumerate(peaks.type.tolist()):
        home = pose_of[peak]
        best, best_key = None, (LEAST_GAIN, 0)
        for pose in dict.fromkeys(pose_of[link.other] for link in links[peak]):
            if pose == home:
                continue
            rival = poses[pose].get(kind)
            if rival is None:
                gain = total_score(peak, pose) - total_score(peak, home)
            else:
                gain = (total_score(peak, pose) + total_score(rival, home)) - (
                    total_score(peak, home) + total_score(rival, pose)
                )
            key = (gain, -first_peak(poses[pose]))
            if gain > LEAST_GAIN and key > best_key:
                best, best_key = pose, key
        if best is not None:
            rival = poses[best].get(kind)
            del poses[home][kind]
            if rival is not None:
                poses[home][kind], pose_of[rival] = rival, home
            poses[best][kind], pose_of[peak] = peak, best


def join_fragments(
    poses: list[Pose], peaks: Peaks, links: list[list[Link]], skeleton: Skeleton, config: DecodeConfig
) -> list[Pose]:
    """Rule 5: fragments without a common type join if distance x (1 + contradictions) <= join_distance x size."""
    fragments: dict[int, Pose] = {first_peak(pose): dict(pose) for pose in poses}
    sizes = {fragment: max(diagonal(pose, peaks), f32(config.min_join_size)) for fragment, pose in fragments.items()}
    linked = {(peak, link.other) for peak, of_peak in enumerate(links) for link in of_peak}
    costs: dict[tuple[int, int], np.float32] = {}

    def judge(a: int, b: int) -> None:
        a, b = min(a, b), max(a, b)
        costs.pop((a, b), None)
        if fragments[a].keys().isdisjoint(fragments[b]):
            cost = distance(fragments[a], fragments[b], peaks) * f32(
                1 + contradictions(fragments[a], fragments[b], linked, skeleton)
            )
            if cost <= f32(config.join_distance) * max(sizes[a], sizes[b]):
                costs[a, b] = cost

    for a in fragments:
        for b in fragments:
            if a < b:
                judge(a, b)
    while costs:
        kept, gone = min(costs, key=lambda pair: (costs[pair], pair))
        # Distances of the joined fragment are the least, contradictions the sum, its size the larger of the two.
        fragments[kept].update(fragments.pop(gone))
        sizes[kept] = max(sizes[kept], sizes.pop(gone))
        costs = {pair: cost for pair, cost in costs.items() if gone not in pair}
        for other in fragments:
            if other != kept:
                judge(kept, other)
    return list(fragments.values())


def share_keypoints(poses: list[Pose], peaks: Peaks, links: list[list[Link]], skeleton: Skeleton) -> list[Pose]:
    """Rule 7: a pose of two or more takes, for a type it lacks, a peak of another pose.

    It takes the peak with the highest total part score. The peak needs a candidate to the pose and at most one
    contradiction. The poses are judged as rule 5 left them.
    """
    taken = {peak for pose in poses for peak in pose.values()}
    linked = {(peak, link.other) for peak, of_peak in enumerate(links) for link in of_peak}
    shared = []
    for pose in poses:
        members = set(pose.values())
        totals: dict[int, np.float32] = {}
        for peak in sorted(taken - members) if len(pose) > 1 else []:
            scores = [link.score for link in links[peak] if link.other in members]
            kind = int(peaks.type[peak])
            if scores and kind not in pose and contradictions({kind: peak}, pose, linked, skeleton) <= 1:
                totals[peak] = sum(scores, f32(0))
        extra: Pose = {}
        for peak in sorted(totals, key=lambda peak: (-totals[peak], peak)):
            extra.setdefault(int(peaks.type[peak]), peak)
        shared.append({**pose, **extra})
    return shared


def emit(
    poses: list[Pose], peaks: Peaks, skeleton: Skeleton, config: DecodeConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rule 6: poses with enough keypoints, by the sum of their peak scores."""
    poses = [pose for pose in poses if len(pose) >= config.min_keypoints]
    totals = []
    for pose in poses:
        total = f32(0)
        for kind in sorted(pose):
            total = total + peaks.score[pose[kind]]
        totals.append(total)
    order = sorted(range(len(poses)), key=lambda i: (-totals[i], first_peak(poses[i])))
    keypoints = np.full((len(poses), skeleton.num_keypoints, 3), np.nan, f32)
    keypoints[..., 2] = 0
    for row, index in enumerate(order):
        for kind, peak in poses[index].items():
            keypoints[row, kind] = (*peaks.xy[peak], peaks.score[peak])
    return keypoints, np.array([totals[i] for i in order], f32)


def first_peak(pose: Pose) -> int:
    """The smallest peak index of a pose, which settles ties."""
    return min(pose.values())


def diagonal(pose: Pose, peaks: Peaks) -> np.float32:
    """The diagonal of the box of a pose's keypoints, in cells."""
    xy = peaks.xy[list(pose.values())]
    width, height = xy.max(0) - xy.min(0)
    return np.sqrt(width * width + height * height)


def distance(a: Pose, b: Pose, peaks: Peaks) -> np.float32:
    """The distance between the nearest keypoints of two poses, at least 1 cell."""
    dx, dy = (peaks.xy[list(a.values())][:, None] - peaks.xy[list(b.values())][None]).transpose(2, 0, 1)
    return max(f32(1), np.sqrt((dx * dx + dy * dy).min()))


def contradictions(a: Pose, b: Pose, linked: set[tuple[int, int]], skeleton: Skeleton) -> int:
    """Pairs of keypoints, one of each pose, that the skeleton has a part for but no candidate was found."""
    return sum(linked.isdisjoint({ends}) for ends in _part_ends(a, b, skeleton))


def _part_ends(a: Pose, b: Pose, skeleton: Skeleton) -> Iterator[tuple[int, int]]:
    for i, j in skeleton.part_index.tolist():
        if i in a and j in b:
            yield a[i], b[j]
        if j in a and i in b:
            yield a[j], b[i]
