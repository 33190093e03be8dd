"""A network that detects colored blobs, for tests of all steps before and after the network."""

from __future__ import annotations

from types import SimpleNamespace

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
"""Standard deviation of a blob in image pixels."""


def blob_image(height: int, width: int, spacing: float = 52.0) -> tuple[NDArray[np.uint8], list[NDArray[np.float64]]]:
    """An image ``[H, W, 3]`` with blobs, and the positions ``[N, 2]`` (x, y) of the blobs of each color.

    The blobs lie on a grid with random offsets. The background is a gray ramp that grows to the right, by which
    `blob_network` detects a mirrored image.
    """
    rng = np.random.default_rng(height * 10007 + width)
    columns, rows = (max(1, int((n - 2 * SIGMA) // spacing + 1)) for n in (width, height))
    x, y = np.meshgrid(*(np.linspace(2 * SIGMA, n - 1 - 2 * SIGMA, c) for n, c in ((width, columns), (height, rows))))
    positions = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-2, 2, (columns * rows, 2))
    image = np.repeat(np.linspace(5, 60, width)[None, :, None], height, 0).repeat(3, 2)
    grid_y, grid_x = np.mgrid[:height, :width]
    for i, position in enumerate(positions):
        square = (grid_x - position[0]) ** 2 + (grid_y - position[1]) ** 2
        image[..., i % 3] += 190 * np.exp(-square / (2 * SIGMA**2))
    return np.round(image).astype(np.uint8), [positions[color::3] for color in range(3)]


class BlobNetwork:
    """`blob_network` with maps of another stride than 4, and inputs of any multiple of it."""

    def __init__(self, stride: int) -> None:
        self.config = SimpleNamespace(stride=stride, multiple=stride)

    def __call__(self, x: Tensor) -> Tensor:
        return blob_network(x, self.config.stride)


def blob_network(x: Tensor, stride: int = 4) -> Tensor:
    """Maps ``[B, 6, H/stride, W/stride]`` of images ``[B, 3, H, W]``: empty part maps, and a keypoint map a color.

    A keypoint map is the excess of a color over the mean of the other two; gray gives 0. In a mirrored image, which
    gets darker to the right, green and red are swapped: a network detects a mirrored right eye as a left one.
    """
    response = functional.avg_pool2d(functional.relu(x - (x.sum(1, keepdim=True) - x) / 2), stride)
    ramp = torch.linspace(-1, 1, x.shape[3], device=x.device)
    mirrored = (x.amin(1) * ramp).sum((1, 2)) < 0
    swapped = response[:, [0, 2, 1]]
    response = torch.where(mirrored[:, None, None, None], swapped, response)
    return torch.cat([torch.zeros_like(response), response], 1)
