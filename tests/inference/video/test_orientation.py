"""Frames as a display matrix shows them."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from simplepose.inference.video.orientation import is_right_angle, swaps_sides, upright

ONE = 1 << 16


def matrix(a: float, b: float, c: float, d: float) -> bytes:
    return struct.pack("=9i", *(round(v * ONE) for v in (a, b, 0, c, d, 0)), 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("a", "b", "c", "d"),
    [
        *((1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)),  # rotated
        *((-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)),  # mirrored
    ],
)
def test_each_pixel_is_where_the_matrix_puts_it(a: int, b: int, c: int, d: int) -> None:
    image = np.random.default_rng(0).integers(0, 255, (4, 7, 3), np.uint8)
    height, width = (7, 4) if a == 0 else (4, 7)
    expected = np.zeros((height, width, 3), np.uint8)
    for q in range(4):
        for p in range(7):
            x = a * p + c * q + (width - 1) * (a + c < 0)
            y = b * p + d * q + (height - 1) * (b + d < 0)
            expected[y, x] = image[q, p]
    shown = upright(image, matrix(a, b, c, d))
    assert np.array_equal(shown, expected)
    assert swaps_sides(matrix(a, b, c, d)) == (a == 0)
    assert np.array_equal(upright(image, matrix(2.5 * a, 2.5 * b, 2.5 * c, 2.5 * d)), expected), "a scale has no effect"


@pytest.mark.parametrize("values", [(0.7, 0.7, -0.7, 0.7), (0, 0, 0, 0), (1, 0, 0, 0), (1, 0.5, 0, 1)])
def test_other_matrices_change_nothing(values: tuple[float, float, float, float]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (4, 7, 3), np.uint8)
    assert not is_right_angle(matrix(*values))
    assert np.array_equal(upright(image, matrix(*values)), image)
    assert not swaps_sides(matrix(*values))
