"""find_peaks: rule 1 on small maps, for every backend."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.map_scenes import gaussian

import simplepose as sp

BALL = sp.Skeleton("ball", ("center",), ())
TWINS = sp.Skeleton("twins", ("a", "b"), (("a", "b"),))
f32 = np.float32


@pytest.fixture(params=["reference", "native", "torch"])
def backend(request):
    return request.param


def peaks_of(heatmap, backend, **config):
    """The peaks [(x, y, score)] of one map, and whether peaks were cut."""
    found = sp.find_peaks(f32(heatmap)[None], BALL, sp.DecodeConfig(**config), backend)[0]
    assert (found.type == 0).all()
    return [(x, y, s) for (x, y), s in zip(found.xy.tolist(), found.score.tolist(), strict=True)], found.truncated


def cells_of(heatmap, backend, **config):
    """The cells (x, y) of the peaks, without sub-pixel offsets."""
    return [(round(x), round(y)) for x, y, _ in peaks_of(heatmap, backend, **config)[0]]


def test_a_plateau_has_one_peak_at_its_first_cell(backend):
    heatmap = np.zeros((12, 40), f32)
    heatmap[2:5, 7:19] = 0.5
    heatmap[8, 30], heatmap[9, 31] = 0.5, 0.5  # ties along a diagonal
    heatmap[9, 3], heatmap[8, 4] = 0.5, 0.5
    assert peaks_of(heatmap, backend)[0] == [(7.5, 2.5, 0.5), (4, 8, 0.5), (30, 8, 0.5)]


def test_a_peak_must_exceed_all_eight_neighbors(backend):
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


def test_offsets_are_zero_only_at_the_border_of_their_axis(backend):
    heatmap = gaussian((21, 21), 0.3, 9.3)
    (found,), _ = peaks_of(heatmap, backend)
    assert found[0] == 0
    assert abs(found[1] - 9.3) < 0.003
    (found,), _ = peaks_of(heatmap.T, backend)
    assert found[1] == 0


def test_offsets_are_at_most_half_a_cell_and_zero_on_constant_maps(backend):
    heatmap = np.zeros((3, 5), f32)
    heatmap[1, 1:4] = 1e-4, 0.5, f32(0.5)  # a neighbor equal to the peak
    assert peaks_of(heatmap, backend)[0] == [(2.5, 1, 0.5)]
    assert peaks_of(np.full((3, 5), 0.5), backend)[0] == [(0, 0, 0.5)]


def test_samples_below_the_lower_bound_of_the_logarithm_are_clamped(backend):
    zero = np.zeros((3, 3), f32)
    zero[1, 1], zero[1, 2] = 0.5, 0.25
    at_bound = zero.copy()
    at_bound[1, 0] = 1e-3
    negative = zero.copy()
    negative[1, 0] = -3
    assert peaks_of(zero, backend) == peaks_of(at_bound, backend) == peaks_of(negative, backend)
    above_bound = zero.copy()
    above_bound[1, 0] = 0.01
    assert peaks_of(zero, backend) != peaks_of(above_bound, backend)


def test_peaks_are_ordered_by_type_then_score_then_raster_index(backend):
    maps = np.zeros((2, 8, 24), f32)
    for kind, y, x, score in ((0, 6, 2, 0.5), (0, 1, 20, 0.5), (0, 1, 2, 0.5), (0, 4, 10, 0.9), (1, 0, 0, 1.0)):
        maps[kind, y, x] = score
    found = sp.find_peaks(maps, TWINS, backend=backend)[0]
    assert found.type.tolist() == [0, 0, 0, 0, 1]
    assert found.xy.tolist() == [[10, 4], [2, 1], [20, 1], [2, 6], [0, 0]]
    assert (found.type.dtype, found.xy.dtype, found.score.dtype) == (np.int32, f32, f32)


def test_max_peaks_keeps_the_best_and_reports_a_cut(backend):
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
