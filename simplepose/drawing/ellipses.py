"""Covariances drawn as ellipses of one standard deviation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simplepose.drawing.layer import OUTLINE_COLOR, Image, Layer
from simplepose.skeleton.skeleton import Color

ANGLES = np.linspace(0, 2 * np.pi, 48, endpoint=False)
CIRCLE = np.stack([np.cos(ANGLES), np.sin(ANGLES)])
"""``[2, 48]`` points of the unit circle."""

MOST_PIXELS = 1e6
"""Ellipses with larger coordinates are left out, since they overflow OpenCV's."""


def ellipse_points(centers: NDArray[np.float64], covariances: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[N, 48, 2]`` points x with ``(x - m)^T C^-1 (x - m) = 1``.

    Args:
        centers: ``[N, 2]`` the m.
        covariances: ``[N, 2, 2]`` the C, positive definite.
    """
    return centers[:, None] + (np.linalg.cholesky(covariances) @ CIRCLE).swapaxes(1, 2)


def draw_ellipses(
    canvas: Image,
    centers: NDArray[np.float64],
    covariances: NDArray[np.float64],
    colors: Sequence[Color],
    opacities: NDArray[np.float64],
    width: float,
) -> None:
    """Draw the outlines of ellipses onto ``canvas`` ``[H, W, 3]`` BGR, in place.

    Args:
        canvas: the image.
        centers: ``[N, 2]`` in pixels.
        covariances: ``[N, 2, 2]`` in pixels^2; those that are NaN or not positive definite are left out.
        colors: N, RGB.
        opacities: ``[N]``.
        width: of the outlines in pixels.
    """
    determinant = covariances[:, 0, 0] * covariances[:, 1, 1] - covariances[:, 0, 1] ** 2
    extent = np.abs(centers).max(1, initial=0) + np.sqrt(np.abs(covariances).max((1, 2), initial=0))
    drawn = (covariances[:, 0, 0] > 0) & (determinant > 0) & (extent < MOST_PIXELS)  # false for NaN
    if not drawn.any():
        return
    outlines = ellipse_points(centers[drawn], covariances[drawn])
    layer = Layer.around(outlines.reshape(-1, 2), width + 2, canvas.shape)
    if layer is None:
        return
    for grow, shade in ((2, 0.5), (0, 1.0)):
        for points, index in zip(outlines, np.flatnonzero(drawn).tolist(), strict=True):
            layer.loop(points, width + grow, OUTLINE_COLOR if grow else colors[index], shade * opacities[index])
    layer.blend_onto(canvas)
