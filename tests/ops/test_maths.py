"""The float32 power of two and logarithm that all backends share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simplepose.ops.reference.maths import exp2_minus, log32

f32 = np.float32


def test_exp2_minus_is_close_to_the_power_of_two():
    e = np.concatenate([np.linspace(0, 126, 400_001), 2.0 ** np.arange(-149, 7)]).astype(f32)
    np.testing.assert_allclose(exp2_minus(e), np.exp2(-e.astype(np.float64)), rtol=2e-7)


@given(st.integers(0, 126))
def test_exp2_minus_is_exact_at_integers(n):
    assert exp2_minus(np.full(1, n, f32))[0] == f32(2.0) ** -n


def test_exp2_minus_is_clamped_at_the_smallest_normal_number():
    beyond = np.array([126.5, 1e30, np.inf, np.nan], f32)
    np.testing.assert_array_equal(exp2_minus(beyond), np.full(4, 2.0**-126, f32))


def test_log32_is_close_to_the_logarithm():
    x = np.exp(np.linspace(-80, 80, 400_001)).astype(f32)
    error = np.abs(log32(x) - np.log(x.astype(np.float64)))
    assert error[np.abs(np.log(x)) < 7].max() < 3e-7
