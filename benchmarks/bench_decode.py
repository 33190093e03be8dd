"""decode: every backend and the lower bound, a copy of the keypoint maps. Correctness first, then time.

Run with ``pytest benchmarks/bench_decode.py``. `benchmarks/decode_speed.py` measures the ratios of the README.
"""

from __future__ import annotations

import numpy as np
import pytest
from scenes import scene_maps
from turns import SCENES, assert_same, in_turn

import simplepose as sp


def test_copy_of_the_keypoint_maps(benchmark, scenes):
    """The lower bound: a copy of the 18 keypoint maps."""
    target = np.empty_like(scenes[0, 30:])
    in_turn(benchmark, f"decode, {len(scenes)} scenes", lambda i: np.copyto(target, scenes[i, 30:]))


@pytest.mark.parametrize("backend", ["native", "torch", "reference"])
def test_decode(benchmark, scenes, backend):
    for maps in scenes[:2]:
        assert_same(sp.decode(maps, backend=backend)[0], sp.decode(maps, backend="reference")[0])
    rounds = {"native": 200, "torch": 20, "reference": SCENES}[backend]
    in_turn(benchmark, "decode", lambda i: sp.decode(scenes[i], backend=backend, threads=1), rounds)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [8, 32])
def test_decode_batch(benchmark, threads, batch):
    maps = np.stack([scene_maps(10, seed) for seed in range(batch)])
    for expected, poses in zip(sp.decode(maps, threads=1), sp.decode(maps, threads=threads), strict=True):
        assert_same(poses, expected)
    in_turn(benchmark, f"decode, batch {batch} x 10 people", lambda _: sp.decode(maps, threads=threads), 50)
