"""The pixel convention: keypoints return to their image pixels through every scale, flip and padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from helpers.fake_network import FACE, BlobNetwork, blob_image, blob_network
from torch import Tensor
from torch.nn import functional

import simplepose.inference.predictor
from simplepose.data.images import Image
from simplepose.inference.frame import STRIDE, Frame
from simplepose.inference.predictor import Predictor
from simplepose.ops.config import DecodeConfig
from simplepose.skeleton.channels import MapChannels

TOLERANCE = 0.27
"""Maximum error in image pixels. Measured: 0.251 at scale 0.77, whose maps are interpolated, and 0.03 to 0.24 at other
scales. A mirrored run with an error of one pixel moves the average by half a pixel, so the limit must be below that."""

SIZE = 256
SHAPES = [(256, 256), (251, 333), (197, 150), (300, 402), (263, 389)]
"""Image sizes with and without padding, and sizes that end within a cell at some scale."""

SCALES = [(1.0,), (0.5,), (1.5,), (2.0,), (0.77,), (0.5, 1.0, 1.5, 2.0)]

SCALES_AT_STRIDE_8 = [(1.0,), (1.5,), (2.0,), (1.0, 1.5, 2.0)]
"""Without the scales at which a blob is narrower than a cell. Measured: 0.03 to 0.21."""


def worst_error(shape: tuple[int, int], scales: tuple[float, ...], flip: bool, stride: int = 4) -> float:
    """The maximum distance of a keypoint from its blob, in pixels; infinite if the numbers of keypoints differ."""
    image, places = blob_image(*shape)
    predictor = Predictor(
        blob_network if stride == 4 else BlobNetwork(stride),
        FACE,
        size=SIZE,
        scales=scales,
        flip=flip,
        decode=DecodeConfig(peak_threshold=0.2, join_distance=0.0),
    )
    keypoints = predictor(image).keypoints
    worst = 0.0
    for color, expected in enumerate(places):
        found = keypoints[keypoints[:, color, 2] > 0, color, :2]
        if len(found) != len(expected):
            return float("inf")
        distance = np.abs(found[:, None] - expected[None]).max(2)
        worst = max(worst, float(distance.min(0).max()))
    return worst


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", SCALES)
@pytest.mark.parametrize("shape", SHAPES)
def test_keypoints_lie_at_their_blobs(shape: tuple[int, int], scales: tuple[float, ...], flip: bool) -> None:
    assert worst_error(shape, scales, flip) < TOLERANCE


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", SCALES_AT_STRIDE_8)
@pytest.mark.parametrize("shape", SHAPES)
def test_keypoints_lie_at_their_blobs_at_stride_8(
    shape: tuple[int, int], scales: tuple[float, ...], flip: bool
) -> None:
    assert worst_error(shape, scales, flip, stride=8) < TOLERANCE


def _resized_one_right(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Frame.place
    monkeypatch.setattr(Frame, "place", lambda self, image: np.roll(place(self, image), 1, 1))


def _resized_one_up(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Frame.place
    monkeypatch.setattr(Frame, "place", lambda self, image: np.roll(place(self, image), -1, 0))


def _input_mirrored_one_off(monkeypatch: pytest.MonkeyPatch) -> None:
    flip = Tensor.flip
    monkeypatch.setattr(Tensor, "flip", lambda x, dim: flip(x, dim).roll(1 if x.shape[1] == 3 else 0, dim))


def _maps_mirrored_one_cell_off(monkeypatch: pytest.MonkeyPatch) -> None:
    flip = Tensor.flip
    monkeypatch.setattr(Tensor, "flip", lambda x, dim: flip(x, dim).roll(0 if x.shape[1] == 3 else 1, dim))


def _left_and_right_not_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MapChannels, "flip", property(lambda self: np.arange(self.num_channels)))


def _cells_at_their_corners(monkeypatch: pytest.MonkeyPatch) -> None:
    to_image = Frame.to_image
    monkeypatch.setattr(Frame, "to_image", lambda self, xy: to_image(self, xy - 1.5))


def _one_pixel_added_after_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    to_image = Frame.to_image
    monkeypatch.setattr(Frame, "to_image", lambda self, xy: to_image(self, xy + 1))


def _resized_by_corners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the half pixel: the error is up to (factor - 1) / 2 input pixels, largest at the smallest factor."""
    monkeypatch.setattr(Frame, "to_image", lambda self, xy: xy / np.float32(self.factor[::-1]))


def _scales_resampled_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    def resample(maps: Tensor, frame: Frame, grid: Frame) -> Tensor:
        cut = maps[None, :, : frame.cells[0], : frame.cells[1]]
        return functional.interpolate(cut, size=grid.cells, mode="bicubic")[0]

    monkeypatch.setattr(simplepose.inference.predictor, "resample", resample)


def _scales_resampled_by_corners(monkeypatch: pytest.MonkeyPatch) -> None:
    def resample(maps: Tensor, frame: Frame, grid: Frame) -> Tensor:
        cut = maps[None, :, : frame.cells[0], : frame.cells[1]]
        return functional.interpolate(cut, size=grid.cells, mode="bicubic", align_corners=True)[0]

    monkeypatch.setattr(simplepose.inference.predictor, "resample", resample)


def _scales_resampled_one_pixel_off(monkeypatch: pytest.MonkeyPatch) -> None:
    correct = simplepose.inference.predictor.resample

    def resample(maps: Tensor, frame: Frame, grid: Frame) -> Tensor:
        right = correct(maps, frame, grid)
        moved = functional.pad(right[None], (1, 0, 0, 0), mode="replicate")[0, :, :, :-1]  # by one cell
        return right + (moved - right) / STRIDE if frame != grid else right

    monkeypatch.setattr(simplepose.inference.predictor, "resample", resample)


def _padded_on_the_left_and_above(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Frame.place

    def moved(self: Frame, image: Image) -> Image:
        shift = [padded - resized for padded, resized in zip(self.padded, self.resized, strict=True)]
        return np.roll(place(self, image), shift, (0, 1))

    monkeypatch.setattr(Frame, "place", moved)


MISTAKES = [
    _resized_one_right,
    _resized_one_up,
    _input_mirrored_one_off,
    _maps_mirrored_one_cell_off,
    _left_and_right_not_swapped,
    _cells_at_their_corners,
    _one_pixel_added_after_decoding,
    _resized_by_corners,
    _scales_resampled_by_size,
    _scales_resampled_by_corners,
    _scales_resampled_one_pixel_off,
    _padded_on_the_left_and_above,
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__.strip("_"))
def test_a_mistake_exceeds_the_tolerance(
    mistake: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mistake(monkeypatch)
    assert max(worst_error((197, 150), scales, flip=True) for scales in SCALES) > TOLERANCE
