"""match_parts: rule 2 on small maps, for every backend."""

from __future__ import annotations

import numpy as np
import pytest

import simplepose as sp

TWINS = sp.Skeleton("twins", ("a", "b"), (("a", "b"),))
f32 = np.float32


@pytest.fixture(params=["reference", "native", "torch"])
def backend(request):
    return request.param


def match(part_map, peaks, backend, **config):
    """The candidates [(from, to)] of peaks [(type, x, y, score)], with their part responses and part scores."""
    rows = np.array(peaks, f32).reshape(-1, 4)
    found = sp.Peaks(rows[:, 0].astype(np.int32), rows[:, 1:3].copy(), rows[:, 3].copy(), False)
    parts = sp.match_parts(f32(part_map)[None], found, TWINS, sp.DecodeConfig(**config), backend)[0]
    return list(zip(parts.from_peak.tolist(), parts.to_peak.tolist(), strict=True)), parts.response, parts.score


@pytest.mark.parametrize(("above", "accepted"), [(7, False), (8, True)])
def test_enough_samples_must_exceed_the_threshold(backend, above, accepted):
    part_map = np.full((4, 16), f32(0.1))  # a value equal to the threshold does not exceed it
    part_map[:, :above] = 0.5
    pairs, response, _ = match(part_map, [(0, 0, 1, 1), (1, 9, 1, 1)], backend)  # samples on the cells 0 to 9
    assert pairs == ([(0, 1)] if accepted else [])
    if accepted:
        np.testing.assert_allclose(response, [0.42], rtol=1e-6)


@pytest.mark.parametrize(
    ("fraction", "samples", "needed"), [(0.8, 10, 8), (0.7, 10, 7), (0.71, 10, 8), (0.01, 4, 1), (1, 3, 3), (0.6, 5, 3)]
)
def test_the_minimum_number_of_samples_is_rounded_up(backend, fraction, samples, needed):
    for above in (needed - 1, needed):
        part_map = np.zeros((2, 24), f32)
        part_map[:, :above] = 0.5
        peaks = [(0, 0, 0, 1), (1, samples - 1, 0, 1)]
        assert len(match(part_map, peaks, backend, min_sample_fraction=fraction, num_samples=samples)[0]) == (
            above == needed
        )


def test_samples_are_bilinear_evenly_spaced_and_include_both_ends(backend):
    part_map = f32(np.arange(6)[:, None] * 10 + np.arange(9))  # linear, so bilinear samples are exact
    _, response, _ = match(part_map, [(0, 1.5, 0.25, 1), (1, 7, 4.75, 1)], backend, num_samples=4)
    np.testing.assert_allclose(response, [(1.5 + 7) / 2 + 10 * (0.25 + 4.75) / 2], rtol=1e-6)
    part_map = np.zeros((3, 9), f32)
    part_map[1, 0], part_map[1, 8] = 1, 0.5
    pairs, response, _ = match(part_map, [(0, 0, 1, 1), (1, 8, 1, 1)], backend, num_samples=3, min_sample_fraction=0.6)
    assert (pairs, response.tolist()) == ([(0, 1)], [0.5])


@pytest.mark.parametrize("cells", [(6, 6), (1, 6), (6, 1), (1, 1)])
def test_positions_outside_are_clamped_to_the_map(backend, cells):
    part_map = np.zeros(cells, f32)
    part_map[-1, -1] = 0.75
    pairs, response, _ = match(part_map, [(0, 5.5, 5.5, 1), (1, 90, 70, 1)], backend)
    assert (pairs, response.tolist()) == ([(0, 1)], [0.75])


def test_candidates_are_ordered_by_part_score_then_peak_indices(backend):
    part_map = np.zeros((8, 8), f32)
    part_map[:4] = 0.5
    part_map[4:] = 0.25
    peaks = [(0, 1, 1, 0.5), (0, 3, 2, 0.5), (0, 2, 6, 1.0), (1, 5, 0, 0.5), (1, 6, 1, 0.5), (1, 6, 7, 0.875)]
    pairs, _, score = match(part_map, peaks, backend)
    assert pairs[0] == (2, 5)  # weak response, strong peaks
    assert score[0] == f32(0.25) * f32(0.875)
    ties = [pair for pair, value in zip(pairs, score, strict=True) if value == 0.125]
    assert ties == [(0, 3), (0, 4), (1, 3), (1, 4)]
    assert (np.diff(score) <= 0).all()


def test_the_papers_part_score_is_a_weighted_sum(backend):
    peaks = [(0, 1, 1, 0.25), (1, 5, 5, 0.75)]
    assert match(np.full((8, 8), 0.5), peaks, backend)[2].tolist() == [0.5 * 0.25 * 0.75]
    assert match(np.full((8, 8), 0.5), peaks, backend, part_score="weighted_sum")[2].tolist() == [0.25 + 0.25 * 1.0]


def test_part_values_that_are_not_finite_read_as_zero(backend):
    part_map = np.full((4, 12), 0.5, f32)
    peaks = [(0, 0.25, 1.5, 1), (1, 9.25, 1.5, 1)]
    assert len(match(part_map, peaks, backend)[0]) == 1
    for value in (np.nan, np.inf, -np.inf):
        dirty, clean = part_map.copy(), part_map.copy()
        dirty[1:3, 4], clean[1:3, 4] = value, 0
        expected, found = match(clean, peaks, backend), match(dirty, peaks, backend)
        assert found[0] == expected[0] == [(0, 1)]
        np.testing.assert_array_equal(found[1], expected[1])


def test_pairs_with_an_infinite_part_score_are_rejected(backend):
    assert match(np.full((4, 12), 3e38), [(0, 0, 0, 1), (1, 9, 0, 1)], backend)[0] == []
    assert match(np.full((4, 12), 3e37), [(0, 0, 0, 100), (1, 9, 0, 1)], backend)[0] == []


def test_float32_rounding_beside_large_negative_values_is_reproduced(backend):
    """Float32 rounds 0.0999 + 5000 - 5000 to 0.1001, so every sample exceeds 0.1 although no cell does."""
    part_map = np.full((16, 16), -5000, f32)
    part_map[:, -1] = 0.0999
    ends = [(0, 15, y, 1) for y in range(8)] + [(1, 15, y, 1) for y in range(8)]
    assert len(match(part_map, ends, backend, num_samples=2, min_sample_fraction=1.0)[0]) == 64
