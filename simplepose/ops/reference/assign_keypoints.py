"""Reference implementation of assign_keypoints: groups peaks into people (rules 3 to 8 of docs/decoding.md).

The paper's greedy assignment (section 3.4) is rules 3 and 6, `merge` and `emit`: candidates are taken in descending
order of their part score, a keypoint belongs to one pose, and a pose has one keypoint of a type. Rules 4, 5, 7 and 8
are not in the paper; `DecodeConfig.paper` turns them off. Each rule is one function.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.reference.maths import f32
from simplepose.skeleton.skeleton import Skeleton

MIN_GAIN = f32(1e-6)
"""Rule 4 moves a keypoint only if the total part score rises by more than this."""

Pose = dict[int, int]
"""A pose: the peak index of each of its keypoint types."""


class Link(NamedTuple):
    """A candidate part, stored with one of its two peaks."""

    other: int  # index of the peak at the other end
    score: np.float32  # the part score


@np.errstate(over="ignore", invalid="ignore")  # sums of large map values may overflow
def assign_keypoints(
    peaks: Peaks, parts: CandidateParts, skeleton: Skeleton, config: DecodeConfig
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The people of one image, from its peaks and candidate parts.

    Args:
        peaks: the peaks of the image.
        parts: the candidate parts between them, in the order of `match_parts`.
        skeleton: defines the keypoint types and parts.
        config: the fields of rules 4 to 8 are used.

    Returns:
        Keypoints ``[N, J, 3]`` float32: x, y in grid cells and score, (NaN, NaN, 0) where missing; and scores
        ``[N]`` float32, descending; equal scores are ordered by the smallest peak index.
    """
    links: list[list[Link]] = [[] for _ in peaks.type]
    for a, b, score in zip(parts.from_peak.tolist(), parts.to_peak.tolist(), parts.score, strict=True):
        links[a].append(Link(b, score))
        links[b].append(Link(a, score))

    poses = merge(peaks, parts)
    if config.reassign:
        reassign(poses, peaks, links)
    if config.max_part_ratio > 0:
        poses = split_stretched(poses, peaks, skeleton, config)
    poses = sorted((pose for pose in poses if pose), key=first_peak)
    poses = [p for p in poses if len(p) > 1 or peaks.score[first_peak(p)] >= f32(config.min_single_score)]
    if config.join_distance > 0:
        poses = join_fragments(poses, peaks, links, skeleton, config)
    if config.allow_shared_keypoints:
        poses = share_keypoints(poses, peaks, links, skeleton)
    return emit(poses, peaks, skeleton, config)


def merge(peaks: Peaks, parts: CandidateParts) -> list[Pose]:
    """Rule 3: merge the poses of a candidate's two peaks, unless they have a keypoint type in common.

    Each peak starts as a pose of its own. Candidates are taken by part type, then part score descending. The merged
    pose keeps the lower index; the other one becomes empty.
    """
    poses = [{kind: peak} for peak, kind in enumerate(peaks.type.tolist())]
    pose_of = list(range(len(poses)))
    for a, b in zip(parts.from_peak.tolist(), parts.to_peak.tolist(), strict=True):
        target, source = sorted((pose_of[a], pose_of[b]))
        if target != source and poses[target].keys().isdisjoint(poses[source]):
            for peak in poses[source].values():
                pose_of[peak] = target
            poses[target].update(poses[source])
            poses[source] = {}
    return poses


def reassign(poses: list[Pose], peaks: Peaks, links: list[list[Link]]) -> None:
    """Rule 4: move each keypoint to the pose that raises the total part score most; one pass in order of the peaks.

    S(k, p) is the sum of the part scores of the candidates between keypoint k and the other keypoints of pose p. The
    gain of a move from pose h to pose p is S(k, p) - S(k, h). If p has a keypoint r of the same type, k and r are
    swapped, with the gain (S(k, p) + S(r, h)) - (S(k, h) + S(r, p)). Equal gains: the pose with the smallest peak.
    """
    pose_of = {peak: index for index, pose in enumerate(poses) for peak in pose.values()}

    def total_score(peak: int, pose: int) -> np.float32:
        total = f32(0)
        for link in links[peak]:
            if pose_of[link.other] == pose:
                total = total + link.score
        return total

    for peak, kind in enumerate(peaks.type.tolist()):
        home = pose_of[peak]
        best, best_key = None, (MIN_GAIN, 0)
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
            if gain > MIN_GAIN and key > best_key:
                best, best_key = pose, key
        if best is not None:
            rival = poses[best].get(kind)
            del poses[home][kind]
            if rival is not None:
                poses[home][kind], pose_of[rival] = rival, home
            poses[best][kind], pose_of[peak] = peak, best


def split_stretched(poses: list[Pose], peaks: Peaks, skeleton: Skeleton, config: DecodeConfig) -> list[Pose]:
    """Rule 8: split the poses that are stretched over several people at their long parts.

    The parts of a pose are those of the skeleton with a keypoint at both ends, whether they are candidates or not. If a
    part is longer than ``max_part_ratio`` times the median length (of an even number, the lower one in the middle) and
    than ``min_cut_length``, the keypoints that the other parts connect become a pose each.
    """
    split = []
    for pose in poses:
        parts = [(i, j) for i, j in skeleton.part_index.tolist() if i in pose and j in pose]
        lengths = [length(pose[i], pose[j], peaks) for i, j in parts]
        if not parts:
            split.append(pose)
            continue
        median = sorted(lengths)[(len(lengths) - 1) // 2]
        limit = max(f32(config.max_part_ratio) * median, f32(config.min_cut_length))
        if max(lengths) <= limit:
            split.append(pose)
        else:
            kept = [ends for ends, of_part in zip(parts, lengths, strict=True) if of_part <= limit]
            split += [{kind: pose[kind] for kind in kinds} for kinds in connected(pose, kept)]
    return split


def join_fragments(
    poses: list[Pose], peaks: Peaks, links: list[list[Link]], skeleton: Skeleton, config: DecodeConfig
) -> list[Pose]:
    """Rule 5: join fragments of one person, poses that have no keypoint type in common and lie close together.

    The condition is ``distance * (1 + contradictions) <= join_distance * size`` in grid cells, where size is the larger
    box diagonal of the two, at least ``min_join_size``. The pair with the smallest left side joins first; equal ones
    are ordered by their smallest peak indices.
    """
    fragments: dict[int, Pose] = {first_peak(pose): dict(pose) for pose in poses}
    sizes = {fragment: max(diagonal(pose, peaks), f32(config.min_join_size)) for fragment, pose in fragments.items()}
    linked = {(peak, link.other) for peak, of_peak in enumerate(links) for link in of_peak}
    costs: dict[tuple[int, int], np.float32] = {}

    def update_cost(a: int, b: int) -> None:
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
                update_cost(a, b)
    while costs:
        target, source = min(costs, key=lambda pair: (costs[pair], pair))
        # The joined fragment has the minimum of the distances, the sum of the contradictions and the larger size.
        fragments[target].update(fragments.pop(source))
        sizes[target] = max(sizes[target], sizes.pop(source))
        costs = {pair: cost for pair, cost in costs.items() if source not in pair}
        for other in fragments:
            if other != target:
                update_cost(target, other)
    return list(fragments.values())


def share_keypoints(poses: list[Pose], peaks: Peaks, links: list[list[Link]], skeleton: Skeleton) -> list[Pose]:
    """Rule 7: add peaks of other poses to poses of two or more keypoints, for the keypoint types they lack.

    A peak qualifies with at least one candidate part to the pose and at most one contradiction; of each type the peak
    with the highest total part score is added. All poses are evaluated as rule 5 returns them.
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
    """Rule 6: the poses of at least ``min_keypoints`` keypoints; the score of a pose is the sum of its peak scores."""
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
    """The smallest peak index of a pose, which breaks ties."""
    return min(pose.values())


def diagonal(pose: Pose, peaks: Peaks) -> np.float32:
    """The diagonal of the bounding box of a pose's keypoints, in cells."""
    xy = peaks.xy[list(pose.values())]
    width, height = xy.max(0) - xy.min(0)
    return np.sqrt(width * width + height * height)


def length(a: int, b: int, peaks: Peaks) -> np.float32:
    """The distance of two peaks in cells."""
    dx, dy = peaks.xy[a] - peaks.xy[b]
    return np.sqrt(dx * dx + dy * dy)


def connected(kinds: Iterable[int], parts: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The keypoint types in groups that the parts connect."""
    group_of = {kind: [kind] for kind in kinds}
    for a, b in parts:
        if group_of[a] is not group_of[b]:
            group_of[a] += group_of[b]
            for kind in group_of[b]:
                group_of[kind] = group_of[a]
    return list({id(group): group for group in group_of.values()}.values())


def distance(a: Pose, b: Pose, peaks: Peaks) -> np.float32:
    """The smallest distance between keypoints of two poses, at least 1, in cells."""
    dx, dy = (peaks.xy[list(a.values())][:, None] - peaks.xy[list(b.values())][None]).transpose(2, 0, 1)
    return max(f32(1), np.sqrt((dx * dx + dy * dy).min()))


def contradictions(a: Pose, b: Pose, linked: set[tuple[int, int]], skeleton: Skeleton) -> int:
    """The number of keypoint pairs between two poses that a part of the skeleton joins but no candidate does."""
    return sum(linked.isdisjoint({ends}) for ends in _part_ends(a, b, skeleton))


def _part_ends(a: Pose, b: Pose, skeleton: Skeleton) -> Iterator[tuple[int, int]]:
    """The peak indices of the keypoint pairs between two poses that a part of the skeleton joins."""
    for i, j in skeleton.part_index.tolist():
        if i in a and j in b:
            yield a[i], b[j]
        if j in a and i in b:
            yield a[j], b[i]
