"""Frames: the geometry of an image in the network's input and in the maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Fit = Literal["height", "longer"]
"""The side of an image that is resized to the requested size: the height, as in the paper, or the longer side."""

STRIDE = 4
"""Input pixels between two cells of the maps, unless the network says otherwise."""

MULTIPLE = 64
"""The network's input is padded to multiples of this number of pixels, unless the network says otherwise."""

PADDING = 128
"""The value of padded pixels."""

MOST_HEIGHT, MOST_WIDTH = 2600, 3800
"""The maximum size of a resized image in pixels. A larger image is scaled down to fit, at its aspect ratio."""


@dataclass(frozen=True)
class Frame:
    """An image resized and padded for the network (docs/design.md, Conventions). Pairs are (height, width).

    Pixel centers lie at integers, so a resize by the factor f maps x to ``(x + 1/2) f - 1/2``. Padding does not move
    pixels. Cell i of the maps lies at ``stride i + stride / 2 - 1/2`` in the input.
    """

    image: tuple[int, int]  # the image's size
    resized: tuple[int, int]  # its size in the input
    stride: int = STRIDE  # input pixels between two cells of the maps
    multiple: int = MULTIPLE  # height and width of the input are multiples of this

    @classmethod
    def fit(
        cls,
        image: tuple[int, int],
        size: int,
        scale: float = 1.0,
        fit: Fit = "height",
        *,
        stride: int = STRIDE,
        multiple: int = MULTIPLE,
    ) -> Frame:
        """The frame in which the image's height, or longer side, becomes ``size * scale`` pixels.

        Args:
            image: height and width of the image.
            size: height, or longer side, in pixels at scale 1.
            scale: factor on ``size``.
            fit: the side that is meant.
            stride: of the network.
            multiple: the input is padded to multiples of this number of pixels.

        Returns:
            A frame of at most `MOST_HEIGHT` x `MOST_WIDTH` pixels.
        """
        height, width = image
        side = height if fit == "height" else max(height, width)
        factor = min(size * scale / side, MOST_HEIGHT / height, MOST_WIDTH / width)
        resized = (max(1, round(height * factor)), max(1, round(width * factor)))
        return cls(image, resized, stride, multiple)

    @property
    def padded(self) -> tuple[int, int]:
        """Size of the network's input."""
        height, width = (math.ceil(n / self.multiple) * self.multiple for n in self.resized)
        return height, width

    @property
    def cells(self) -> tuple[int, int]:
        """Size of the maps without padding; the last cells may extend beyond the image."""
        height, width = (math.ceil(n / self.stride) for n in self.resized)
        return height, width

    @cached_property
    def factor(self) -> tuple[float, float]:
        """Input pixels per image pixel; the two values differ only by the rounding to whole pixels."""
        return self.resized[0] / self.image[0], self.resized[1] / self.image[1]

    @property
    def cell_size(self) -> tuple[float, float]:
        """Image pixels between two cells, in x and in y: cell i lies at ``(i + 1/2) cell_size - 1/2`` in the image."""
        return self.stride / self.factor[1], self.stride / self.factor[0]

    def place(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The network's input: ``image`` ``[H, W, 3]`` resized (bicubic) and padded on the right and below."""
        height, width = self.resized
        result = np.full((*self.padded, image.shape[2]), PADDING, np.uint8)
        result[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC)
        return result

    def to_image(self, xy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map positions ``[..., 2]`` (x, y) from input pixels to image pixels; NaN stays NaN."""
        factor = np.array(self.factor[::-1])
        return ((xy + 0.5) / factor - 0.5).astype(np.float32)

    def covariance_to_image(self, covariance: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map covariances ``[..., 2, 2]`` from input pixels^2 to image pixels^2: ``A C A^T`` with A of `to_image`."""
        scale = 1 / np.array(self.factor[::-1])
        return (covariance * np.outer(scale, scale)).astype(np.float32)
