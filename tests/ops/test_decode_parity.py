"""The native decoding ops against the reference: all results of every stage are bit-identical on thousands of maps."""

from __future__ import annotations

import os

import pytest
from helpers.map_cases import CROWDED, EXAMPLES, SKELETONS, cases, counts, summary
from helpers.map_scenes import Case, noise_maps, people_maps
from helpers.parity import compare
from hypothesis import HealthCheck, given, seed, settings

import simplepose as sp

SLICES = range(8)
LEAST_CASES = 2000


@pytest.mark.parametrize("part", SLICES)
def test_native_equals_the_reference(part):
    @seed(part)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def run(case):
        candidates, people = compare(case)
        counts["cases"] += 1
        counts["people"] += len(people)
        counts["candidates"] += len(candidates.type)
        counts["crowded"] += len(candidates.type) >= CROWDED

    run()


def test_the_parity_test_covers_enough_crowded_cases():
    if counts["cases"] < len(SLICES) * EXAMPLES:
        pytest.skip(f"needs all slices of the parity test, of which only {counts['cases']} cases ran")
    print(summary())
    assert counts["crowded"] * 2 >= counts["cases"]
    assert counts["cases"] >= LEAST_CASES or "SIMPLEPOSE_TEST_EXAMPLES" in os.environ


@pytest.mark.parametrize(
    "config", [sp.DecodeConfig(), sp.DecodeConfig.paper(), sp.DecodeConfig(allow_shared_keypoints=True)]
)
@pytest.mark.parametrize("people", [0, 1, 12, 60])
def test_scenes_of_people_agree(people, config):
    _, poses = compare(Case(people_maps(people, (64, 80), seed=5), sp.COCO, config))
    assert (len(poses) > 0) == (people > 0)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_noise_agrees_where_max_peaks_cuts(kind, skeleton):
    maps = noise_maps(kind, (skeleton.num_channels, 20, 40), seed=1)
    config = sp.DecodeConfig(max_peaks=8 if skeleton.num_keypoints < 30 else 2)
    candidates, poses = compare(Case(maps, skeleton, config))
    assert len(candidates.type) > 10
    assert poses.truncated
