"""Comparison of the native decoding ops with the reference implementation, for each stage and for `decode`."""

from __future__ import annotations

import numpy as np

import simplepose as sp
from helpers.map_scenes import Case


def assert_same_poses(native: sp.Poses, reference: sp.Poses) -> None:
    """The same people in the same order, to the last bit."""
    assert len(native) == len(reference)
    for name in ("keypoints", "scores"):
        actual, expected = getattr(native, name), getattr(reference, name)
        assert actual.dtype == expected.dtype == np.float32
        np.testing.assert_array_equal(actual, expected, name)
    assert native.truncated == reference.truncated


def assert_same_columns(native, reference) -> None:
    """The same peaks or candidate parts, to the last bit."""
    for name in reference._fields:
        actual, expected = np.asarray(getattr(native, name)), np.asarray(getattr(reference, name))
        assert actual.dtype == expected.dtype, name
        np.testing.assert_array_equal(actual, expected, name)


def compare(case: Case, config: sp.DecodeConfig | None = None) -> tuple[sp.CandidateParts, sp.Poses]:
    """Compare the three stages and `decode`; returns the candidates and poses of the reference implementation.

    ``config`` replaces the configuration of the case for the reference implementation, in tests where they differ.
    """
    maps, skeleton, native_config = case
    config = config or native_config
    peaks = sp.find_peaks(maps, skeleton, config, "reference")
    parts = sp.match_parts(maps, peaks, skeleton, config, "reference")
    poses = sp.assign_keypoints(peaks, parts, skeleton, config, backend="reference")
    assert_same_columns(sp.find_peaks(maps, skeleton, native_config, "native")[0], peaks[0])
    assert_same_columns(sp.match_parts(maps, peaks, skeleton, native_config, "native")[0], parts[0])
    assert_same_poses(sp.assign_keypoints(peaks, parts, skeleton, native_config, backend="native")[0], poses[0])
    assert_same_poses(sp.decode(maps, skeleton, native_config, backend="native", threads=1)[0], poses[0])
    return parts[0], poses[0]
