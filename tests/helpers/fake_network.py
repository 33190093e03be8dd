"""A network that sees colored blobs: what it is shown passes through every true step around the network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from simplepose.skeleton.skeleton import Skeleton

FACE = Skeleton(
    "face",
    ("nose", "left_eye", "right_eye"),
    (("nose", "left_eye"), ("nose", "right_eye"), ("left_eye", "right_eye")),
    left_right=(("left_eye", "right_eye"),),
)
"""One keypoint for each of the colors blue, green and red."""

SIGMA = 10.0
"""Of a blob, in image pixels."""


def blob_image(height: int, width: int, spacing: float = 52.0) -> tuple[NDArray[np.uint8], list[NDArray[np.float64]]]:
    """``[H, W, 3]`` with blobs at odd places all over it, and the places ``[N, 2]`` (x, y) of each color.

    The background is a gray ramp that grows to the right, so that the network can tell a mirrored image.
    """
    rng = np.random.default_rng(height * 10007 + width)
    columns, rows = (max(1, int((n - 2 * SIGMA) // spacing + 1)) for n in (width, height))
    x, y = np.meshgrid(*(np.linspace(2 * SIGMA, n - 1 - 2 * SIGMA, c) for n, c in ((width, columns), (height, rows))))
    places = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-2, 2, (columns * rows, 2))
    image = np.repeat(np.linspace(5, 60, width)[None, :, None], height, 0).repeat(3, 2)
    grid_y, grid_x = np.mgrid[:height, :width]
    for i, place in enumerate(places):
        square = (grid_x - place[0]) ** 2 + (grid_y - place[1]) ** 2
        image[..., i % 3] += 190 * np.exp(-square / (2 * SIGMA**2))
    return np.round(image).astype(np.uint8), [places[color::3] for color in range(3)]


def blob_network(x: Tensor) -> Tensor:
    """``[B, 3, H, W]`` -> ``[B, 6, H/4, W/4]``: no parts; how much each color exceeds the mean of the others.

    Gray gives 0. As a network sees the right eye of a mirrored face as a left one, green and red change places where
    the image gets darker to the right.
    """
    response = functional.avg_pool2d(functional.relu(x - (x.sum(1, keepdim=True) - x) / 2), 4)
    ramp = torch.linspace(-1, 1, x.shape[3], device=x.device)
    mirrored = (x.amin(1) * ramp).sum((1, 2)) < 0
    swapped = response[:, [0, 2, 1]]
    response = torch.where(mirrored[:, None, None, None], swapped, response)
    return torch.cat([torch.zeros_like(response), response], 1)
