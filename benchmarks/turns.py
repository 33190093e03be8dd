"""Timing over several scenes in turn, because repeating one scene trains the branch predictor; and a comparison."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import simplepose as sp

SCENES = 8


def in_turn(benchmark: Any, group: str, call: Callable[[int], Any], rounds: int = 200) -> None:
    """Time calls with scene 0, 1, 2, ... in turn."""
    benchmark.group = group
    scene = itertools.cycle(range(SCENES))
    benchmark.pedantic(lambda: call(next(scene)), rounds=rounds, warmup_rounds=SCENES)


def assert_same(poses: sp.Poses, expected: sp.Poses) -> None:
    """Require the same people to the last bit."""
    assert np.array_equal(poses.keypoints, expected.keypoints, equal_nan=True)
    assert np.array_equal(poses.scores, expected.scores)
