"""find_peaks in vectorized PyTorch and its arithmetic have the bits of the reference implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.implementations import pytorch, reference
from helpers.map_cases import cases
from helpers.map_scenes import noise_maps
from helpers.parity import assert_same_columns
from hypothesis import given, settings
from hypothesis import strategies as st

import simplepose as sp
from simplepose.ops.pytorch import maths
from simplepose.ops.reference.maths import finite, log32


@settings(max_examples=150, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 17), st.integers(1, 17)),
    levels=st.sampled_from([2, 5, 1000]),
    broken=st.booleans(),
    max_peaks=st.sampled_from([1, 3, 256]),
    dtype=st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
)
def test_batches_give_the_peaks_of_the_reference(seed, shape, levels, broken, max_peaks, dtype):
    rng = np.random.default_rng(seed)
    maps = np.round(rng.random(shape) * levels).astype(np.float32) / np.float32(levels)
    if broken:
        maps[rng.random(shape) < 0.1] = rng.choice([np.nan, np.inf, -np.inf])
    config = sp.DecodeConfig(max_peaks=max_peaks)
    tensor = torch.from_numpy(maps).to(dtype)
    found = pytorch.find_peaks(tensor, config)
    for peaks, image in zip(found, tensor.float().numpy(), strict=True):
        assert_same_columns(peaks, reference.find_peaks(image, config))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(case=cases)
def test_crowds_and_edge_cases_give_the_peaks_of_the_reference(case):
    maps = case.maps[case.skeleton.num_parts :]
    found = pytorch.find_peaks(torch.from_numpy(maps)[None], case.config)
    assert_same_columns(found[0], reference.find_peaks(maps.astype(np.float32), case.config))


def test_positions_near_rounding_boundaries_are_those_of_the_reference():
    """80,000 flat peaks. With another library's logarithm some of them would move by 1/256 cell."""
    random = np.random.default_rng(5)
    rows = np.zeros((20, 4000, 4), np.float32)
    rows[..., 1] = random.uniform(0.2, 1, rows.shape[:2])
    rows[..., ::2] = rows[..., 1:2] * random.uniform(0.95, 1, (*rows.shape[:2], 2))
    maps = rows.reshape(20, 1, -1)
    config = sp.DecodeConfig(max_peaks=4096)
    found = pytorch.find_peaks(torch.from_numpy(maps)[None], config)[0]
    assert len(found.type) == 80_000
    assert_same_columns(found, reference.find_peaks(maps, config))


def test_a_peak_reaches_the_threshold_as_float32_rounds_it():
    maps = torch.zeros(1, 1, 3, 9)
    maps[0, 0, 1, 2], maps[0, 0, 1, 6] = 0.1, float(np.nextafter(np.float32(0.1), np.float32(0)))
    assert pytorch.find_peaks(maps, sp.DecodeConfig(peak_threshold=0.1))[0].xy.tolist() == [[2, 1]]


def test_an_empty_batch_gives_no_peaks():
    assert pytorch.find_peaks(torch.zeros(0, 18, 8, 8), sp.DecodeConfig()) == []


@pytest.mark.parametrize("smallest", [1e-3, 1e-37])
def test_the_logarithm_has_the_bits_of_the_reference(smallest):
    values = np.exp(np.random.default_rng(0).uniform(np.log(smallest), 88, 200_000)).astype(np.float32)
    values[:3] = 1, np.sqrt(np.float32(0.5)), np.finfo(np.float32).tiny
    found = maths.log32(torch.from_numpy(values)).numpy()
    np.testing.assert_array_equal(found.view(np.int32), log32(values).view(np.int32))


def test_values_that_are_not_finite_read_as_0():
    values = noise_maps("normal", (1000,), 1)
    values[::7], values[1::7], values[2::7] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(maths.finite(torch.from_numpy(values)).numpy(), finite(values))
