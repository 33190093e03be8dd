"""The predictor's covariances are those of the responses in image pixels, for every way of averaging the maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.fake_network import FACE, blob_image, blob_network
from torch import Tensor

from simplepose.inference.frame import Frame
from simplepose.inference.predictor import Predictor
from simplepose.inference.smoothing import Smoother

RAMP = np.repeat(np.linspace(20, 90, 200).astype(np.uint8)[None, :, None], 120, 0).repeat(3, 2)
"""An image that gets brighter to the right, by which `one_response` detects a mirrored input."""

IN_IMAGE = np.array([[160.0, 48.0], [48.0, 90.0]])
"""pixels^2 of the image."""


def one_response(x: Tensor) -> Tensor:
    """Maps of `FACE` with a nose at (90, 60) in the image `RAMP`, whose response has the covariance `IN_IMAGE`."""
    maps = torch.zeros(len(x), 6, x.shape[2] // 4, x.shape[3] // 4)
    for image, target in zip(x, maps, strict=True):
        width = int((image[0, 0] < 0.5).sum())  # the padding is brighter
        factor = width / RAMP.shape[1]
        mirrored = bool((image[0, 0] >= 0.5)[0]) or bool(image[0, 0, 0] > image[0, 0, 8])
        ys, xs = (np.arange(n) * 4 + 1.5 for n in target.shape[1:])
        xs = x.shape[3] - 1 - xs if mirrored else xs
        offset = np.stack(np.broadcast_arrays(xs, ys[:, None]), -1)
        offset = (offset + 0.5) / factor - 0.5 - [90, 60]
        square = np.einsum("hwi,ij,hwj->hw", offset, np.linalg.inv(IN_IMAGE), offset)
        target[3] = torch.from_numpy(np.exp(-0.5 * square))
    return maps


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"size": 120}, 1e-3),
        ({"size": 240}, 1e-3),
        ({"size": 240, "flip": True}, 1e-3),
        ({"size": 240, "scales": (0.5, 1.0)}, 0.15),  # bicubic resampling changes the curvature
    ],
)
def test_the_covariance_is_that_of_the_response_in_image_pixels(settings: dict, error: float) -> None:
    poses = Predictor(one_response, FACE, covariance=True, **settings)(RAMP)
    assert poses.keypoints[0, 0, :2] == pytest.approx([90, 60], abs=1)  # positions are refined along each axis alone
    assert poses.covariance is not None
    assert poses.covariance.shape == (1, 3, 2, 2)
    assert np.abs(poses.covariance[0, 0] - IN_IMAGE).max() <= error * IN_IMAGE.max()
    assert np.isnan(poses.covariance[0, 1:]).all(), "missing keypoints"


def test_many_images_have_the_covariances_of_single_calls() -> None:
    images = [blob_image(120, 150)[0], blob_image(70, 200)[0]]
    predictor = Predictor(blob_network, FACE, size=128, covariance=True)
    for prediction, image in zip(predictor.predict_many(images, batch_size=2), images, strict=True):
        expected = predictor(image)
        assert np.isfinite(expected.covariance).any()
        assert np.array_equal(prediction.poses.covariance, expected.covariance, equal_nan=True)
    assert Predictor(blob_network, FACE, size=128)(images[0]).covariance is None


def test_sides_that_are_scaled_differently_scale_the_covariance() -> None:
    frame = Frame((100, 300), (200, 150))  # A = diag(2, 1/2)
    covariance = np.float32([[[4, 1], [1, 9]], [[np.nan] * 2] * 2])
    found = frame.covariance_to_image(covariance)
    assert found.dtype == np.float32
    assert np.array_equal(found[0], [[16, 1], [1, 2.25]])
    assert np.isnan(found[1]).all()


def test_tracks_smoothing_and_selection_keep_the_covariance() -> None:
    poses = Predictor(blob_network, FACE, size=128, covariance=True)(blob_image(120, 150)[0])
    assert len(poses) >= 2
    smoother = Smoother()
    tracked = poses.with_tracks(np.arange(1, len(poses) + 1))
    smoother.update(tracked, 0.0)
    assert np.array_equal(smoother.update(tracked, 0.1).covariance, poses.covariance, equal_nan=True)
    assert np.array_equal(tracked[1].covariance, poses.covariance[1:2], equal_nan=True)
