"""find_peaks and match_parts: what each rule says, on small maps, for the reference and the native op."""

from __future__ import annotations

import numpy as np
import pytest
from map_scenes import gaussian

import simplepose as sp

BALL = sp.Skeleton("ball", ("centre",), ())
TWINS = sp.Skeleton("twins", ("a", "b"), (("a", "b"),))
f32 = np.float32


@pytest.fixture(params=["reference", "native"])
def backend(request):
    return request.param


def peaks_of(heatmap, backend, **config):
    """[(x, y, score)] of one map, and whether peaks were cut."""
    found = sp.find_peaks(f32(heatmap)[None], BALL, sp.DecodeConfig(**config), backend)[0]
    assert (found.type == 0).all()
    return [(x, y, s) for (x, y), s in zip(found.xy.tolist(), found.score.tolist(), strict=True)], found.truncated


def cells_of(heatmap, backend, **config):
    """The cells of the peaks as (x, y): positions without their sub-pixel part."""
    return [(round(x), round(y)) for x, y, _ in peaks_of(heatmap, backend, **config)[0]]


def test_a_plateau_has_one_peak_at_its_first_cell(backend):
    heatmap = np.zeros((12, 40), f32)
    heatmap[2:5, 7:19] = 0.5
    heatmap[8, 30], heatmap[9, 31] = 0.5, 0.5  # ties along a diagonal
    heatmap[9, 3], heatmap[8, 4] = 0.5, 0.5
    assert peaks_of(heatmap, backend)[0] == [(7.5, 2.5, 0.5), (4, 8, 0.5), (30, 8, 0.5)]


def test_every_neighbour_counts(backend):
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            heatmap = np.zeros((9, 24), f32)
            heatmap[4, 12] = 0.5
            heatmap[4 + dy, 12 + dx] = 0.6
            assert cells_of(heatmap, backend) == [(12 + dx, 4 + dy)], (dx, dy)


@pytest.mark.parametrize("cells", [(1, 1), (1, 9), (9, 1), (2, 2), (5, 8), (8, 33), (3, 64)])
def test_border_cells_can_be_peaks(backend, cells):
    height, width = cells
    for y, x in {(0, 0), (0, width - 1), (height - 1, 0), (height - 1, width - 1), (height // 2, width - 1)}:
        heatmap = np.full(cells, 0.2, f32) * 0
        heatmap[y, x] = 0.5
        assert peaks_of(heatmap, backend) == ([(x, y, 0.5)], False)


def test_a_peak_reaches_the_threshold_as_float32_rounds_it(backend):
    heatmap = np.zeros((4, 9), f32)
    heatmap[1, 1], heatmap[1, 4], heatmap[1, 7] = f32(0.1), np.nextafter(f32(0.1), f32(0)), 0.3
    assert cells_of(heatmap, backend, peak_threshold=0.1) == [(7, 1), (1, 1)]
    assert cells_of(heatmap, backend, peak_threshold=0.2) == [(7, 1)]


@pytest.mark.parametrize("sigma", [0.9, 2.25, 4.0])
def test_positions_are_exact_for_one_gaussian(backend, sigma):
    random = np.random.default_rng(3)
    for x, y in random.uniform(8, 12, (20, 2)):
        heatmap = gaussian((21, 21), x, y, sigma, height=random.uniform(0.3, 1))
        (found,), _ = peaks_of(heatmap, backend)
        assert abs(found[0] - x) <= 0.5 / 256 + 2e-4
        assert abs(found[1] - y) <= 0.5 / 256 + 2e-4
        assert (f32(found[:2]) * 256 % 1 == 0).all()
        assert found[2] == heatmap.max()


def test_offsets_are_zero_at_the_border_of_their_axis_only(backend):
    heatmap = gaussian((21, 21), 0.3, 9.3)
    (found,), _ = peaks_of(heatmap, backend)
    assert found[0] == 0
    assert abs(found[1] - 9.3) < 0.003
    (found,), _ = peaks_of(heatmap.T, backend)
    assert found[1] == 0


def test_offsets_stay_within_half_a_cell_and_are_zero_on_a_line(backend):
    heatmap = np.zeros((3, 5), f32)
    heatmap[1, 1:4] = 1e-4, 0.5, f32(0.5)  # a shoulder as high as the peak
    assert peaks_of(heatmap, backend)[0] == [(2.5, 1, 0.5)]
    assert peaks_of(np.full((3, 5), 0.5), backend)[0] == [(0, 0, 0.5)]


def test_samples_below_the_floor_count_as_it(backend):
    low = np.zeros((3, 3), f32)
    low[1, 1], low[1, 2] = 0.5, 0.25
    floor = low.copy()
    floor[1, 0] = 1e-3
    negative = low.copy()
    negative[1, 0] = -3
    assert peaks_of(low, backend) == peaks_of(floor, backend) == peaks_of(negative, backend)
    floor[1, 0] = 0.01
    assert peaks_of(low, backend) != peaks_of(floor, backend)


def test_peaks_come_by_type_then_score_then_raster_index(backend):
    maps = np.zeros((2, 8, 24), f32)
    for kind, y, x, score in ((0, 6, 2, 0.5), (0, 1, 20, 0.5), (0, 1, 2, 0.5), (0, 4, 10, 0.9), (1, 0, 0, 1.0)):
        maps[kind, y, x] = score
    found = sp.find_peaks(maps, TWINS, backend=backend)[0]
    assert found.type.tolist() == [0, 0, 0, 0, 1]
    assert found.xy.tolist() == [[10, 4], [2, 1], [20, 1], [2, 6], [0, 0]]
    assert (found.type.dtype, found.xy.dtype, found.score.dtype) == (np.int32, f32, f32)


def test_the_limit_keeps_the_best_and_says_so(backend):
    heatmap = np.zeros((6, 40), f32)
    for x, score in ((1, 0.3), (5, 0.5), (9, 0.4), (13, 0.5), (17, 0.9)):
        heatmap[2, x] = score
    assert cells_of(heatmap, backend, max_peaks=3) == [(17, 2), (5, 2), (13, 2)]
    assert cells_of(heatmap, backend, max_peaks=2) == [(17, 2), (5, 2)]
    assert peaks_of(heatmap, backend, max_peaks=4)[1] is True
    assert peaks_of(heatmap, backend, max_peaks=5)[1] is False
    assert sp.decode(f32(heatmap)[None], BALL, sp.DecodeConfig(max_peaks=4), backend=backend)[0].truncated
    assert not sp.decode(f32(heatmap)[None], BALL, sp.DecodeConfig(max_peaks=5), backend=backend)[0].truncated


def test_values_that_are_not_finite_read_as_zero(backend):
    heatmap = gaussian((17, 40), 20.2, 8.1)
    dirty, clean = heatmap.copy(), heatmap.copy()
    for value, cells in ((np.nan, [(8, 21), (3, 3)]), (np.inf, [(8, 19), (0, 0)]), (-np.inf, [(9, 20), (16, 39)])):
        for cell in cells:
            dirty[cell], clean[cell] = value, 0
    assert peaks_of(dirty, backend) == peaks_of(clean, backend)
    assert len(peaks_of(clean, backend)[0]) > 0
    for value in (np.nan, np.inf, -np.inf):
        assert peaks_of(np.full((9, 33), value), backend) == ([], False)


def match(part_map, peaks, backend, **config):
    """The candidates of peaks [(type, x, y, score)] as [(from, to)], and their responses and part scores."""
    rows = np.array(peaks, f32).reshape(-1, 4)
    found = sp.Peaks(rows[:, 0].astype(np.int32), rows[:, 1:3].copy(), rows[:, 3].copy(), False)
    parts = sp.match_parts(f32(part_map)[None], found, TWINS, sp.DecodeConfig(**config), backend)[0]
    return list(zip(parts.from_peak.tolist(), parts.to_peak.tolist(), strict=True)), parts.response, parts.score


@pytest.mark.parametrize(("above", "accepted"), [(7, False), (8, True)])
def test_enough_samples_must_exceed_the_threshold(backend, above, accepted):
    part_map = np.full((4, 16), f32(0.1))  # the threshold itself does not exceed it
    part_map[:, :above] = 0.5
    pairs, response, _ = match(part_map, [(0, 0, 1, 1), (1, 9, 1, 1)], backend)  # samples on the cells 0 to 9
    assert pairs == ([(0, 1)] if accepted else [])
    if accepted:
        np.testing.assert_allclose(response, [0.42], rtol=1e-6)


@pytest.mark.parametrize(
    ("share", "samples", "needed"), [(0.8, 10, 8), (0.7, 10, 7), (0.71, 10, 8), (0.01, 4, 1), (1, 3, 3), (0.6, 5, 3)]
)
def test_the_share_of_samples_rounds_up(backend, share, samples, needed):
    for above in (needed - 1, needed):
        part_map = np.zeros((2, 24), f32)
        part_map[:, :above] = 0.5
        peaks = [(0, 0, 0, 1), (1, samples - 1, 0, 1)]
        assert len(match(part_map, peaks, backend, min_sample_fraction=share, num_samples=samples)[0]) == (
            above == needed
        )


def test_samples_are_even_bilinear_and_include_both_ends(backend):
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


def test_candidates_are_ordered_by_part_score_then_peaks(backend):
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


def test_the_papers_rank_is_a_weighted_sum(backend):
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


def test_a_part_score_that_overflows_is_no_candidate(backend):
    assert match(np.full((4, 12), 3e38), [(0, 0, 0, 1), (1, 9, 0, 1)], backend)[0] == []
    assert match(np.full((4, 12), 3e37), [(0, 0, 0, 100), (1, 9, 0, 1)], backend)[0] == []


def test_deep_negatives_beside_a_line_do_not_hide_it(backend):
    """Float32 rounds 0.0999 + 5000 - 5000 to 0.1001, so every sample exceeds 0.1 where no cell does."""
    part_map = np.full((16, 16), -5000, f32)
    part_map[:, -1] = 0.0999
    ends = [(0, 15, y, 1) for y in range(8)] + [(1, 15, y, 1) for y in range(8)]
    assert len(match(part_map, ends, backend, num_samples=2, min_sample_fraction=1.0)[0]) == 64
