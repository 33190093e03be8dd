"""match_parts: every backend, on scenes of 1 to 30 people. Correctness first, then time.

Run with ``pytest benchmarks/bench_match_parts.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from turns import SCENES, in_turn

import simplepose as sp


@pytest.mark.parametrize("backend", ["native", "reference", "torch"])
def test_match_parts(benchmark, scenes, backend):
    peaks = [sp.find_peaks(maps)[0] for maps in scenes]
    expected = sp.match_parts(scenes[0], peaks[0], backend="reference")[0]
    for column, expected_column in zip(sp.match_parts(scenes[0], peaks[0], backend=backend)[0], expected, strict=True):
        assert np.array_equal(column, expected_column)
    rounds = {"native": 200, "reference": SCENES, "torch": 20}[backend]
    in_turn(benchmark, "match_parts", lambda i: sp.match_parts(scenes[i], peaks[i], backend=backend), rounds)
