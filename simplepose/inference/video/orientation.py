"""Rotation and mirroring that a video file states for its frames."""

from __future__ import annotations

import struct

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

NEGLIGIBLE = 0.01
"""Entries of a matrix below this fraction of the largest one count as 0."""


def is_right_angle(matrix: bytes) -> bool:
    """Whether a display matrix (see `upright`) rotates by a multiple of 90 degrees, mirrored or not."""
    a, b, c, d = _signs(matrix)
    return bool((a and d and not b and not c) or (b and c and not a and not d))


def upright(image: Image, matrix: bytes) -> Image:
    """``image [H, W, 3]`` as it is to be shown: ``[H, W, 3]``, or ``[W, H, 3]`` after a rotation by 90 or 270 degrees.

    Args:
        image: a decoded frame.
        matrix: the display matrix as FFmpeg states it: nine int32 ``a b u c d v x y w``, which map a pixel (p, q) of
            the frame to (a p + c q, b p + d q) up to a translation. If not `is_right_angle`, the
            image stays as it is.
    """
    if not is_right_angle(matrix):
        return image
    a, b, c, d = _signs(matrix)
    if not a:
        image = np.asarray(cv2.transpose(image), np.uint8)
    flips = {(False, True): 0, (True, False): 1, (True, True): -1}  # (left and right, top and bottom): code of OpenCV
    code = flips.get((a + c < 0, b + d < 0))
    return image if code is None else np.asarray(cv2.flip(image, code), np.uint8)


def swaps_sides(matrix: bytes) -> bool:
    """Whether `upright` swaps height and width."""
    return is_right_angle(matrix) and not _signs(matrix)[0]


def _signs(matrix: bytes) -> tuple[int, int, int, int]:
    """The signs of a, b, c, d; 0 for negligible ones."""
    a, b, _, c, d, *_ = struct.unpack("=9i", matrix)
    least = NEGLIGIBLE * max(abs(v) for v in (a, b, c, d))
    sa, sb, sc, sd = ((v > least) - (v < -least) for v in (a, b, c, d))
    return sa, sb, sc, sd
