"""decode and its three ops: every backend and the floor, a copy of the keypoint maps. Correctness first, then time.

Run with ``pytest benchmarks/bench_decode.py``; scenes take turns, since one map repeated trains the branch predictor.
`benchmarks/decode_speed.py` measures the ratios of the README in one interleaved run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scenes import scene_maps

import simplepose as sp
from simplepose.ops.pytorch.find_peaks import find_peaks as pytorch_find_peaks
from simplepose.ops.pytorch.match_parts import match_parts as pytorch_match_parts

PEOPLE = [1, 5, 10, 20, 30]
SCENES = 8


@pytest.fixture(scope="module", params=PEOPLE, ids=lambda count: f"{count}_people")
def scenes(request):
    """``[SCENES, 48, 128, 128]`` maps."""
    return np.stack([scene_maps(request.param, seed) for seed in range(SCENES)])


def in_turn(benchmark: Any, group: str, call: Callable[[int], Any], rounds: int = 200) -> None:
    """The median over calls with scene 0, 1, 2, ... in turn."""
    benchmark.group = group
    turn = itertools.cycle(range(SCENES))
    benchmark.pedantic(lambda: call(next(turn)), rounds=rounds, warmup_rounds=SCENES)


def assert_same(found: sp.Poses, expected: sp.Poses) -> None:
    assert np.array_equal(found.keypoints, expected.keypoints, equal_nan=True)
    assert np.array_equal(found.scores, expected.scores)


def test_floor(benchmark, scenes):
    """A copy of the 18 keypoint maps."""
    target = np.empty_like(scenes[0, 30:])
    in_turn(benchmark, f"decode, {len(scenes)} scenes", lambda i: np.copyto(target, scenes[i, 30:]))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_decode(benchmark, scenes, backend):
    for maps in scenes[:2]:
        assert_same(sp.decode(maps, backend=backend)[0], sp.decode(maps, backend="reference")[0])
    rounds = 200 if backend == "native" else SCENES
    in_turn(benchmark, "decode", lambda i: sp.decode(scenes[i], backend=backend, threads=1), rounds)


@pytest.mark.parametrize("backend", ["native", "reference", "baseline"])
def test_find_peaks(benchmark, scenes, backend):
    keypoint_maps = torch.from_numpy(scenes[:, None, 30:].copy())
    calls: dict[str, Callable[[int], list[sp.Peaks]]] = {
        "native": lambda i: sp.find_peaks(scenes[i], backend="native", threads=1),
        "reference": lambda i: sp.find_peaks(scenes[i], backend="reference"),
        "baseline": lambda i: pytorch_find_peaks(keypoint_maps[i], sp.DecodeConfig()),
    }
    expected = sp.find_peaks(scenes[0], backend="reference")[0]
    found = calls[backend](0)[0]
    assert np.array_equal(found.type, expected.type)
    assert np.array_equal(found.score, expected.score)
    assert np.array_equal(found.xy, expected.xy)
    in_turn(benchmark, "find_peaks", calls[backend], 20 if backend != "native" else 200)


@pytest.mark.parametrize("backend", ["native", "reference", "baseline"])
def test_match_parts(benchmark, scenes, backend):
    peaks = [sp.find_peaks(maps)[0] for maps in scenes]
    part_maps = torch.from_numpy(scenes[:, None, :30].copy())
    calls: dict[str, Callable[[int], list[sp.CandidateParts]]] = {
        "native": lambda i: sp.match_parts(scenes[i], peaks[i], backend="native"),
        "reference": lambda i: sp.match_parts(scenes[i], peaks[i], backend="reference"),
        "baseline": lambda i: list(pytorch_match_parts(part_maps[i], [peaks[i]], sp.COCO, sp.DecodeConfig())),
    }
    expected = sp.match_parts(scenes[0], peaks[0], backend="reference")[0]
    for one, other in zip(calls[backend](0)[0], expected, strict=True):
        assert np.array_equal(one, other)
    in_turn(benchmark, "match_parts", calls[backend], {"native": 200, "reference": SCENES, "baseline": 20}[backend])


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_assign_keypoints(benchmark, scenes, backend):
    peaks = [sp.find_peaks(maps)[0] for maps in scenes]
    parts = [sp.match_parts(maps, peak)[0] for maps, peak in zip(scenes, peaks, strict=True)]
    found = sp.assign_keypoints(peaks[0], parts[0], backend=backend)[0]
    assert_same(found, sp.assign_keypoints(peaks[0], parts[0], backend="reference")[0])
    rounds = 200 if backend == "native" else SCENES
    in_turn(benchmark, "assign_keypoints", lambda i: sp.assign_keypoints(peaks[i], parts[i], backend=backend), rounds)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [8, 32])
def test_decode_batch(benchmark, threads, batch):
    maps = np.stack([scene_maps(10, seed) for seed in range(batch)])
    for one, many in zip(sp.decode(maps, threads=1), sp.decode(maps, threads=threads), strict=True):
        assert_same(many, one)
    in_turn(benchmark, f"decode, batch {batch} x 10 people", lambda _: sp.decode(maps, threads=threads), 50)
