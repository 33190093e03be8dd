"""Covariance of keypoints: exact for a Gaussian response, NaN where undefined, the same bits on all backends."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.map_scenes import DIRT, PAIR, people_maps, sprinkle
from numpy.typing import NDArray

import simplepose as sp

BALL = sp.Skeleton("ball", ("center",), ())
KEEP = sp.DecodeConfig(peak_threshold=0.05, min_single_score=0.0)
BACKENDS = ["reference", "native", "torch"]


def response(center: tuple[float, float], covariance: NDArray, cells: tuple[int, int] = (24, 20)) -> NDArray:
    """``[1, H, W]`` float32: a Gaussian with a covariance in cells^2."""
    ys, xs = np.mgrid[: cells[0], : cells[1]]
    offset = np.stack([xs, ys], -1) - np.array(center)
    exponent = -0.5 * np.einsum("hwi,ij,hwj->hw", offset, np.linalg.inv(covariance), offset)
    return np.exp(exponent).astype(np.float32)[None]


def ellipse(long: float, short: float, degrees: float) -> NDArray:
    """The covariance with these standard deviations along and across a direction."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s], [s, c]])
    return turn @ np.diag([long**2, short**2]) @ turn.T


def covariances(maps: NDArray, skeleton: sp.Skeleton = BALL, **options) -> NDArray:
    poses = sp.decode(maps, skeleton, options.pop("config", KEEP), covariance=True, **options)[0]
    assert poses.covariance is not None
    assert poses.covariance.dtype == np.float32
    return poses.covariance


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("degrees", [0, 30, 90, 135])
@pytest.mark.parametrize(("long", "short"), [(2.25, 2.25), (3.0, 1.5), (4.0, 0.9)])
def test_it_is_exact_for_a_gaussian(long: float, short: float, degrees: float, stride: int):
    expected = ellipse(long, short, degrees)
    random = np.random.default_rng(5)
    for center in random.uniform(9, 11, (20, 2)):  # at any position within a cell
        found = covariances(response(tuple(center), expected), stride=stride)
        assert found.shape[1:] == (1, 2, 2)  # a thin Gaussian has several local maxima on the grid
        assert len(found)
        error = np.abs(found[:, 0] / stride**2 - expected)
        assert error.max() <= 1e-4 * long**2


@pytest.mark.parametrize("center", [(9.5, 10), (10, 9.5), (9.5, 9.5), (10, 10), (9.49, 10.51)])
def test_a_peak_between_two_cells_belongs_to_one_of_them(center: tuple[float, float]):
    expected = ellipse(3, 2, 20)
    for backend in BACKENDS:
        found = covariances(response(center, expected), backend=backend)
        np.testing.assert_allclose(found[0, 0], expected * 16, rtol=1e-4, atol=1e-3)


def saddle() -> NDArray:
    """A peak with a curvature that is negative along x and y, but not along a diagonal."""
    maps = np.zeros((1, 24, 20), np.float32)
    maps[0, 11:14, 9:12] = [[0.89, 0.8, 0.1], [0.8, 0.9, 0.8], [0.1, 0.8, 0.89]]
    return maps


def spike(**values: float) -> NDArray:
    """A Gaussian at cell (10, 12), in which the values of "center", "right", ... are replaced."""
    maps = response((10, 12), ellipse(2, 2, 0))
    places = {"center": (12, 10), "right": (12, 11), "below": (13, 10), "corner": (13, 11), "far": (12, 12)}
    for name, value in values.items():
        maps[(0, *places[name])] = value
    return maps


UNDEFINED = {
    "left border": response((0.2, 10), ellipse(2, 2, 0)),
    "right border": response((19, 10), ellipse(2, 2, 0)),
    "top border": response((10, 0), ellipse(2, 2, 0)),
    "bottom border": response((10, 23.4), ellipse(2, 2, 0)),
    "zero beside": spike(right=0.0),
    "negative below": spike(below=-0.1),
    "zero at a corner": spike(corner=0.0),
    "not finite at a corner": spike(corner=np.nan),
    "a saddle along a diagonal": saddle(),
}


@pytest.mark.parametrize("kind", UNDEFINED)
def test_it_is_nan_where_it_is_not_defined(kind: str):
    for backend in BACKENDS:
        found = covariances(UNDEFINED[kind], backend=backend)
        assert len(found) == 1
        assert np.isnan(found).all()


def test_a_value_two_cells_away_has_no_influence():
    assert np.array_equal(covariances(spike()), covariances(spike(far=0.0)))


@pytest.mark.parametrize("dirt", DIRT)
def test_all_backends_give_the_same_bits(dirt: str):
    batch = np.stack([people_maps(2, (40, 36), seed) for seed in range(2)])
    sprinkle(batch, dirt, 3)
    expected = sp.decode(batch, backend="reference", covariance=True)
    assert sum(np.isfinite(poses.covariance).all((2, 3)).sum() for poses in expected) > 5
    for backend, maps in (("native", batch), ("torch", batch), ("torch", torch.from_numpy(batch))):
        for found, poses in zip(sp.decode(maps, backend=backend, covariance=True), expected, strict=True):
            assert np.array_equal(found.keypoints, poses.keypoints, equal_nan=True)
            assert np.array_equal(found.covariance, poses.covariance, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_give_the_covariance_of_their_values(dtype: torch.dtype):
    maps = torch.from_numpy(people_maps(2, (48, 40), 1)).to(dtype)
    expected = sp.decode(maps.float(), covariance=True)[0].covariance
    for backend in BACKENDS:
        assert np.array_equal(sp.decode(maps, backend=backend, covariance=True)[0].covariance, expected, equal_nan=True)


def test_the_peak_is_that_of_the_keypoint():
    maps = np.random.default_rng(2).uniform(0.2, 1, (3, 40, 40)).astype(np.float32)  # peaks of many offsets, also ties
    maps = np.round(maps * 8) / 8
    poses = sp.decode(maps, PAIR, sp.DecodeConfig(min_single_score=0.0), covariance=True)[0]
    assert len(poses) > 50
    from simplepose.ops import covariance

    for row, found in zip(poses.keypoints, poses.visible, strict=True):
        for j in np.flatnonzero(found):
            cell = (row[j, :2].astype(float) - 1.5) / 4
            corner = np.floor(cell)
            patch = covariance._patches(maps[1:], np.array([j]), corner[None].astype(int))
            assert covariance.peak_values(patch, (cell - corner)[None])[0, 1, 1] == row[j, 2]


def test_nothing_is_computed_when_not_asked_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("simplepose.ops.decode.add_covariance", lambda *_: pytest.fail("computed"))
    assert sp.decode(people_maps(1, (32, 32)))[0].covariance is None


def test_images_without_people_have_an_empty_covariance():
    assert covariances(np.zeros((3, 8, 8), np.float32), PAIR).shape == (0, 2, 2, 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_part_maps_of_their_own_do_not_change_the_covariance(backend: str):
    maps = people_maps(2, (40, 36), 4)
    parts, keypoints = np.split(maps, [sp.COCO.num_parts])
    expected = sp.decode(maps, covariance=True, alignment="corner")[0]
    found = sp.decode(keypoints, backend=backend, part_maps=parts, part_stride=4, alignment="corner", covariance=True)[
        0
    ]
    assert np.isfinite(expected.covariance).any()
    assert np.array_equal(found.covariance, expected.covariance, equal_nan=True)
    assert np.array_equal(found.covariance, sp.decode(maps, covariance=True)[0].covariance, equal_nan=True)
