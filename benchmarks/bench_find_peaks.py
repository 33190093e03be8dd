"""find_peaks: every backend, on scenes of 1 to 30 people. Correctness first, then time.

Run with ``pytest benchmarks/bench_find_peaks.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from turns import in_turn

import simplepose as sp


@pytest.mark.parametrize("backend", ["native", "reference", "torch"])
def test_find_peaks(benchmark, scenes, backend):
    expected = sp.find_peaks(scenes[0], backend="reference")[0]
    peaks = sp.find_peaks(scenes[0], backend=backend)[0]
    assert np.array_equal(peaks.type, expected.type)
    assert np.array_equal(peaks.score, expected.score)
    assert np.array_equal(peaks.xy, expected.xy)
    rounds = 20 if backend != "native" else 200
    in_turn(benchmark, "find_peaks", lambda i: sp.find_peaks(scenes[i], backend=backend, threads=1), rounds)
