"""The vectorised find_peaks equals the reference, but for positions where two logarithms round apart."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import simplepose as sp
from simplepose import baseline


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 17), st.integers(1, 17)),
    levels=st.sampled_from([2, 5, 1000]),
    broken=st.booleans(),
    max_peaks=st.sampled_from([1, 3, 256]),
)
def test_same_peaks_as_the_reference(seed, shape, levels, broken, max_peaks):
    rng = np.random.default_rng(seed)
    maps = np.round(rng.random(shape) * levels).astype(np.float32) / np.float32(levels)
    if broken:
        maps[rng.random(shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    config = sp.DecodeConfig(max_peaks=max_peaks)
    found = baseline.find_peaks(torch.from_numpy(maps), config)
    assert len(found) == shape[0]
    for one, image in zip(found, maps, strict=True):
        expected = sp.reference.find_peaks(image, config)
        assert np.array_equal(one.type, expected.type)
        assert np.array_equal(one.score, expected.score)
        assert one.truncated == expected.truncated
        assert one.xy.dtype == np.float32
        assert np.abs(one.xy - expected.xy).max(initial=0) <= 1 / 256
