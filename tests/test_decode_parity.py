"""The native decoding ops against the reference: every number of every stage is the same, on thousands of maps."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from map_cases import CROWDED, EXAMPLES, SKELETONS, Case, cases, counts, noise_maps, people_maps, summary

import simplepose as sp

SLICES = range(8)
LEAST_CASES = 2000


def assert_same_poses(native: sp.Poses, reference: sp.Poses) -> None:
    assert len(native) == len(reference)
    for name in ("keypoints", "scores"):
        ours, theirs = getattr(native, name), getattr(reference, name)
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs, name)
    assert native.truncated == reference.truncated


def assert_same_columns(native, reference) -> None:
    for name in reference._fields:
        ours, theirs = np.asarray(getattr(native, name)), np.asarray(getattr(reference, name))
        assert ours.dtype == theirs.dtype, name
        np.testing.assert_array_equal(ours, theirs, name)


def check(case: Case) -> sp.CandidateParts:
    """Compare the three stages and the whole; returns the candidates."""
    maps, skeleton, config = case
    peaks, native_peaks = (sp.find_peaks(maps, skeleton, config, b) for b in ("reference", "native"))
    assert_same_columns(native_peaks[0], peaks[0])
    parts, native_parts = (sp.match_parts(maps, peaks, skeleton, config, b) for b in ("reference", "native"))
    assert_same_columns(native_parts[0], parts[0])
    poses, native_poses = (
        sp.assign_keypoints(peaks, parts, skeleton, config, backend=b) for b in ("reference", "native")
    )
    assert_same_poses(native_poses[0], poses[0])
    whole = sp.decode(maps, skeleton, config, backend="native", threads=1)
    assert_same_poses(whole[0], poses[0])
    counts["people"] += len(poses[0])
    return parts[0]


@pytest.mark.parametrize("part", SLICES)
def test_native_equals_the_reference(part):
    @seed(part)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def compare(case):
        candidates = check(case)
        counts["cases"] += 1
        counts["candidates"] += len(candidates.type)
        counts["crowded"] += len(candidates.type) >= CROWDED

    compare()


def test_the_cases_are_many_and_crowded():
    if counts["cases"] < len(SLICES) * EXAMPLES:
        pytest.skip(f"judges all slices of the parity test, of which {counts['cases']} cases ran")
    print(summary())
    assert counts["crowded"] * 2 >= counts["cases"]
    assert counts["cases"] >= LEAST_CASES or "SIMPLEPOSE_TEST_EXAMPLES" in os.environ


@pytest.mark.parametrize("config", [sp.DecodeConfig(), sp.DecodeConfig.paper(), sp.DecodeConfig(share_taken=True)])
@pytest.mark.parametrize("people", [0, 1, 12, 60])
def test_whole_scenes_agree(people, config):
    check(Case(people_maps(people, (96, 80), seed=5), sp.COCO, config))


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_noise_agrees_where_the_limit_cuts(kind, skeleton):
    maps = noise_maps(kind, (skeleton.num_channels, 20, 40), seed=1)
    config = sp.DecodeConfig(max_peaks=8 if skeleton.num_keypoints < 30 else 3)
    assert len(check(Case(maps, skeleton, config)).type) > 10
    assert sp.find_peaks(maps, skeleton, config)[0].truncated
