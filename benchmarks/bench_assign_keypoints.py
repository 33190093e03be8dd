"""assign_keypoints: every backend, on scenes of 1 to 30 people. Correctness first, then time.

Run with ``pytest benchmarks/bench_assign_keypoints.py``.
"""

from __future__ import annotations

import pytest
from turns import SCENES, assert_same, in_turn

import simplepose as sp


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_assign_keypoints(benchmark, scenes, backend):
    peaks = [sp.find_peaks(maps)[0] for maps in scenes]
    parts = [sp.match_parts(maps, peak)[0] for maps, peak in zip(scenes, peaks, strict=True)]
    poses = sp.assign_keypoints(peaks[0], parts[0], backend=backend)[0]
    assert_same(poses, sp.assign_keypoints(peaks[0], parts[0], backend="reference")[0])
    rounds = 200 if backend == "native" else SCENES
    in_turn(benchmark, "assign_keypoints", lambda i: sp.assign_keypoints(peaks[i], parts[i], backend=backend), rounds)
