"""Scenes that take turns, since one map repeated trains the branch predictor; and the check that two results agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

import simplepose as sp

SCENES = 8


def in_turn(benchmark: Any, group: str, call: Callable[[int], Any], rounds: int = 200) -> None:
    """The median over calls with scene 0, 1, 2, ... in turn."""
    benchmark.group = group
    turn = itertools.cycle(range(SCENES))
    benchmark.pedantic(lambda: call(next(turn)), rounds=rounds, warmup_rounds=SCENES)


def assert_same(found: sp.Poses, expected: sp.Poses) -> None:
    assert np.array_equal(found.keypoints, expected.keypoints, equal_nan=True)
    assert np.array_equal(found.scores, expected.scores)
