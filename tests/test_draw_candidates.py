"""Candidate parts drawn over an image: their place, color and strength, and the choice of one part."""

from __future__ import annotations

import numpy as np
import pytest

from simplepose.drawing.candidates import MOST_DRAWN, draw_candidates
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.skeleton.skeleton import Skeleton

STICK = Skeleton("stick", ("a", "b", "c"), (("a", "b"), ("b", "c")), colors=((255, 0, 0), (0, 255, 0), (0, 0, 255)))
GRAY = np.full((120, 160, 3), 128, np.uint8)
CELL = (8.0, 4.0)
PEAKS = Peaks(np.int32([0, 1, 2]), np.float32([[2, 10], [9, 10], [17, 10]]), np.float32([1, 1, 1]), False)
"""In the image at y = 41.5 and x = 19.5, 75.5 and 139.5."""


def parts(first: float = 1.0, second: float = 1.0) -> CandidateParts:
    """The parts a-b and b-c with these responses."""
    response = np.float32([first, second])
    return CandidateParts(np.int32([0, 1]), np.int32([0, 1]), np.int32([1, 2]), response, response)


def change(picture: np.ndarray) -> np.ndarray:
    """``[H, W]`` sum of absolute differences from `GRAY` over the channels."""
    return np.abs(picture.astype(int) - GRAY).sum(2)


def test_candidates_are_lines_between_peaks_in_the_color_of_the_second_keypoint() -> None:
    image = GRAY.copy()
    picture = draw_candidates(image, PEAKS, parts(), STICK, cell_size=CELL)
    assert np.array_equal(image, GRAY)
    assert picture[41, 48].argmax() == 1  # green, as b
    assert picture[41, 108].argmax() == 0  # blue (BGR), as c
    rows, columns = np.nonzero(change(picture))
    assert 38 <= rows.min() <= rows.max() <= 45
    assert 16 <= columns.min() <= 19
    assert 140 <= columns.max() <= 143


def test_one_part_is_drawn_with_the_peaks_of_its_keypoints() -> None:
    columns = np.nonzero(change(draw_candidates(GRAY, PEAKS, parts(), STICK, cell_size=CELL, part=1)))[1]
    assert 72 <= columns.min() <= 75
    assert columns.max() >= 140


def test_a_higher_response_is_drawn_stronger_and_opacity_0_draws_nothing() -> None:
    picture = draw_candidates(GRAY, PEAKS, parts(0.9, 0.1), STICK, cell_size=CELL)
    assert change(picture)[41, 48] > 1.5 * change(picture)[41, 108] > 0
    assert np.array_equal(draw_candidates(GRAY, PEAKS, parts(), STICK, cell_size=CELL, opacity=0.0), GRAY)


def test_of_too_many_candidates_those_of_highest_response_are_drawn() -> None:
    """All but the last candidate connect b and c; the last one, a and b, is the weakest and is left out."""
    count = MOST_DRAWN + 1
    kind, start = np.ones(count, np.int32), np.ones(count, np.int32)
    kind[-1], start[-1] = 0, 0
    response = np.linspace(1, 0.5, count, dtype=np.float32)
    many = CandidateParts(kind, start, start + 1, response, response)
    picture = change(draw_candidates(GRAY, PEAKS, many, STICK, cell_size=CELL))
    assert picture[41, 108] > 0
    assert picture[41, 48] == 0


def test_an_image_without_peaks_is_copied() -> None:
    nothing = Peaks(np.zeros(0, np.int32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32), False)
    none = CandidateParts(*(np.zeros(0, np.int32),) * 3, *(np.zeros(0, np.float32),) * 2)
    assert np.array_equal(draw_candidates(GRAY, nothing, none, STICK, cell_size=CELL), GRAY)


@pytest.mark.parametrize(
    ("change", "name"), [({"image": GRAY[..., 0]}, "image"), ({"part": 2}, "part"), ({"opacity": 1.5}, "opacity")]
)
def test_an_invalid_argument_is_named(change: dict[str, object], name: str) -> None:
    arguments = {"image": GRAY, "peaks": PEAKS, "parts": parts(), "skeleton": STICK, "cell_size": CELL, **change}
    with pytest.raises((TypeError, ValueError), match=name):
        draw_candidates(**arguments)
