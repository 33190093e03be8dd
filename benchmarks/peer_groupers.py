"""The groupers of `peers.py`: each takes the peaks and candidate parts of an image and gives people.

A grouper is a function of a `Scene` that returns a function without arguments. The first converts the input, which is
not timed; the second, which is timed, returns the people ``[N, J, 3]``: x, y in pixels and score, NaN, NaN, 0 where a
keypoint is missing. `peers.py --peer FILE.py:function` adds one of your own.

Packages are called as their own predictors call their grouping, with settings by which they refuse none of the given
peaks and parts. Two groupers begin one step earlier, with part affinity fields in place of candidate parts.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import simplepose as sp

People = NDArray[np.float32]


class Scene(NamedTuple):
    """What a grouper may read of an image."""

    maps: NDArray[np.float32]  # [L + J, H, W], parts first
    skeleton: sp.Skeleton
    config: sp.DecodeConfig  # by which peaks and parts were found
    stride: int
    peaks: sp.Peaks
    parts: sp.CandidateParts  # the pairs of peaks that pass rule 2, with their responses

    @classmethod
    def of(cls, maps: NDArray[np.float32], skeleton: sp.Skeleton, config: sp.DecodeConfig, stride: int) -> Scene:
        peaks = sp.find_peaks(maps, skeleton, config)[0]
        return cls(maps, skeleton, config, stride, peaks, sp.match_parts(maps, peaks, skeleton, config)[0])

    @property
    def pixels(self) -> NDArray[np.float32]:
        """``[N, 2]`` the positions of the peaks in pixels."""
        return self.peaks.xy * np.float32(self.stride) + np.float32(self.stride / 2 - 0.5)

    @property
    def first(self) -> NDArray[np.intp]:
        """``[J + 1]`` the first peak of each keypoint type."""
        return np.searchsorted(self.peaks.type, np.arange(self.skeleton.num_keypoints + 1))


Grouper = Callable[[Scene], Callable[[], People]]

LEAST = 1e-6
"""The least response of a connection, below that of every candidate."""


def simplepose(scene: Scene) -> Callable[[], People]:
    """Rules 3 to 8 of this package (docs/decoding.md)."""
    arguments = (scene.peaks, scene.parts, scene.skeleton, scene.config, scene.stride)
    return lambda: sp.assign_keypoints(*arguments)[0].keypoints


def sleap_nn(scene: Scene) -> Callable[[], People]:
    """`match_candidates` and `group_instances` of sleap-nn's PAFScorer.

    A line score is the part response, and 0 for pairs that are no candidates: it needs the scores of all pairs.
    """
    import torch

    grouping = importlib.import_module("sleap_nn.inference.paf_grouping")
    skeleton = scene.skeleton
    scorer = grouping.PAFScorer(list(skeleton.keypoints), list(skeleton.parts), scene.stride, min_line_scores=LEAST)
    types, ends, scores = all_pairs(scene)
    candidates = ([torch.from_numpy(types)], [torch.from_numpy(ends)], [torch.from_numpy(scores)])
    peaks = [[torch.from_numpy(column)] for column in (scene.pixels, scene.peaks.score, scene.peaks.type)]

    def run() -> People:
        instances, scores, _ = scorer.group_instances(*peaks, *scorer.match_candidates(*candidates))
        return people_of(instances[0].numpy(), scores[0].numpy())

    return run


def simplepose_fields(scene: Scene) -> Callable[[], People]:
    """Rules 2 to 8 of this package, from the peaks and the part affinity fields."""
    fields = np.ascontiguousarray(scene.maps[: 2 * scene.skeleton.num_parts])

    def run() -> People:
        parts = sp.match_parts(fields, scene.peaks, scene.skeleton, scene.config)
        return sp.assign_keypoints(scene.peaks, parts, scene.skeleton, scene.config, scene.stride)[0].keypoints

    return run


def sleap_nn_fields(scene: Scene) -> Callable[[], People]:
    """`predict` of sleap-nn's PAFScorer, from the peaks and the part affinity fields; its pixel of cell 0 is 0."""
    import torch

    grouping = importlib.import_module("sleap_nn.inference.paf_grouping")
    skeleton, offset = scene.skeleton, np.float32(scene.stride / 2 - 0.5)
    scorer = grouping.PAFScorer(list(skeleton.keypoints), list(skeleton.parts), scene.stride)
    fields = torch.from_numpy(scene.maps[None, : 2 * skeleton.num_parts]).permute(0, 2, 3, 1)
    peaks = [[torch.from_numpy(c)] for c in (scene.pixels - offset, scene.peaks.score, scene.peaks.type)]

    def run() -> People:
        instances, scores, *_ = scorer.predict(fields, *peaks)
        return people_of(instances[0].numpy() + offset, scores[0].numpy())

    return run


def deeplabcut(scene: Scene) -> Callable[[], People]:
    """`Assembler` of DeepLabCut; an affinity is the part response, and 0 for pairs that are no candidates.

    The number of individuals, which it needs, is the largest number of peaks of a keypoint type. Edges run from the
    lower to the higher keypoint: it does not add others to complete individuals.
    """
    inference = importlib.import_module("deeplabcut.core.inferenceutils")
    skeleton, parts, first = scene.skeleton, scene.parts, scene.first
    pixels, count = scene.pixels, np.diff(first)
    places = [pixels[first[j] : first[j + 1]] for j in range(skeleton.num_keypoints)]
    scores = [scene.peaks.score[first[j] : first[j + 1], None] for j in range(skeleton.num_keypoints)]
    graph, costs = [], {}
    for part, (a, b) in enumerate(skeleton.part_index.tolist()):
        affinity = np.zeros((count[a], count[b]), np.float32)
        of_part = parts.type == part
        affinity[parts.from_peak[of_part] - first[a], parts.to_peak[of_part] - first[b]] = parts.response[of_part]
        distance = np.linalg.norm(places[a][:, None] - places[b], axis=-1)
        graph.append([min(a, b), max(a, b)])
        costs[part] = {"m1": affinity if a < b else affinity.T, "distance": distance if a < b else distance.T}
    assembler = inference.Assembler.empty(
        max(int(count.max()), 1),
        n_multibodyparts=skeleton.num_keypoints,
        n_uniquebodyparts=0,
        graph=graph,
        paf_inds=list(range(len(graph))),
        pcutoff=0.0,
        min_affinity=LEAST,
    )
    data = {"coordinates": (places,), "confidence": scores, "costs": costs}

    def run() -> People:
        assemblies, _ = assembler._assemble(data, 0)
        rows = np.array([assembly.data for assembly in assemblies or ()]).reshape(-1, skeleton.num_keypoints, 4)
        return people_of(rows[..., :2], rows[..., 2])

    return run


def all_pairs(scene: Scene) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float32]]:
    """Part types ``[M]``, peaks ``[M, 2]`` and responses ``[M]`` of all pairs, 0 for those that are no candidates."""
    parts, first, count = scene.parts, scene.first, len(scene.peaks.type)
    responses = np.zeros((scene.skeleton.num_parts, count, count), np.float32)
    responses[parts.type, parts.from_peak, parts.to_peak] = parts.response
    types, rows, columns = [], [], []
    for part, (a, b) in enumerate(scene.skeleton.part_index.tolist()):
        from_peak, to_peak = np.meshgrid(np.arange(*first[a : a + 2]), np.arange(*first[b : b + 2]), indexing="ij")
        rows.append(from_peak.ravel()), columns.append(to_peak.ravel())
        types.append(np.full(from_peak.size, part, np.int32))
    kind, start, end = map(np.concatenate, (types, rows, columns))
    return kind, np.stack([start, end], 1).astype(np.int64), responses[kind, start, end]


def people_of(places: NDArray[Any], scores: NDArray[Any]) -> People:
    """People from positions ``[N, J, 2]``, NaN where a keypoint is missing, and scores ``[N, J]``."""
    people = np.concatenate([places, scores[..., None]], -1).astype(np.float32)
    people[np.isnan(people[..., 0])] = (np.nan, np.nan, 0)
    return people


SLEAP = "sleap_nn.inference.paf_grouping"

PEERS: dict[str, tuple[Grouper, str]] = {
    "simplepose": (simplepose, "simplepose"),
    "sleap-nn": (sleap_nn, SLEAP),
    "deeplabcut": (deeplabcut, "deeplabcut.core.inferenceutils"),
}
"""The groupers of candidate parts, each with the module that it needs."""

FIELD_PEERS: dict[str, tuple[Grouper, str]] = {
    "simplepose": (simplepose_fields, "simplepose"),
    "sleap-nn": (sleap_nn_fields, SLEAP),
}
"""The groupers of part affinity fields."""
