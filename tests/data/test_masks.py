"""Masks of annotation files: filled polygons, merged run lengths, and damaged masks, which are refused in time."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.processes import run_python

from simplepose.data import polygons
from simplepose.data.augment import decode_masks
from simplepose.data.polygons import fill_polygon
from simplepose.data.run_lengths import check_run_lengths, mask_box, without_empty_runs

MUTANTS = """
import random, sys, time
import numpy as np
from helpers.annotation_cases import HEIGHT, WIDTH, as_text, well_formed
from simplepose.data.annotations import annotations_from
from simplepose.data.augment import draw_outlines

SIZE = [HEIGHT, WIDTH]
RUNS = {"size": SIZE, "counts": [HEIGHT * 100, HEIGHT * 20, HEIGHT * 8]}
SEEDS = [RUNS, as_text(RUNS), {"size": SIZE, "counts": [0, 50, HEIGHT * WIDTH - 50]}, [[10.0, 10, 60, 12, 40, 80]]]
NUMBERS = [0, -1, 1, 2, 50, 2**31, 2**32, 2**63, 10**30, 1.5, float("nan"), float("inf"), -1e300, None, "7", True, []]
CHARACTERS = [chr(48 + i) for i in range(64)] + ["\\0", "/", "p", "\\u00ff", "\\u20ac", " "]

def changed(mask, rng):
    if isinstance(mask, list):
        mask = [list(polygon) if isinstance(polygon, list) else polygon for polygon in mask]
        polygon = mask[0]
        kind = rng.randrange(6)
        if kind == 0:
            polygon.insert(rng.randrange(len(polygon) + 1), rng.choice(NUMBERS))
        elif kind == 1 and polygon:
            polygon[rng.randrange(len(polygon))] = rng.choice(NUMBERS)
        elif kind == 2:
            del polygon[rng.randrange(len(polygon) + 1) :]
        elif kind == 3:
            polygon += [rng.uniform(-1e4, 1e4) for _ in range(rng.choice([2, 40, 700]))]
        else:
            mask.append(rng.choice([[], [1.0], [1, 2], "x", None, [1, 2, 3, 4, 5]]))
        return mask
    mask = dict(mask)
    counts = mask.get("counts")
    kind = rng.randrange(8)
    if kind == 0:
        mask["size"] = rng.choice([None, [], [0, 0], SIZE[::-1], [-1, 5], SIZE + [1], ["96", "128"], [2**31, 2**31]])
    elif kind == 1:
        mask["counts"] = rng.choice([[], "", "\\0\\u00ff", [1, 2], [100], "zzzzzzzz", "P" * 9, None, 7, {}, [[]], b"0"])
    elif isinstance(counts, list) and counts:
        at = rng.randrange(len(counts))
        if kind == 2:
            counts = counts[:at]
        elif kind == 3:
            counts = [*counts[:at], 0, 0, *counts[at:]]
        elif kind == 4 and type(counts[at]) is int and counts[at] > 2:
            part = rng.randrange(counts[at])
            counts = [*counts[:at], part, 0, counts[at] - part, *counts[at + 1 :]]
        elif kind == 5 and at and all(type(c) is int for c in counts):
            counts = [*counts[: at - 1], counts[at - 1] - 1, counts[at] + 1, *counts[at + 1 :]]
        else:
            counts = [*counts[:at], rng.choice(NUMBERS), *counts[at + 1 :]]
        mask["counts"] = counts
    elif isinstance(counts, str):
        at = rng.randrange(len(counts) + 1)
        mask["counts"] = counts[:at] + rng.choice([*CHARACTERS, ""]) + counts[at + rng.randrange(2) :]
    else:
        mask.pop(rng.choice(list(mask)), None) if mask else None
    return mask

data, matrix = well_formed(), np.array([[0.5, 0, 0], [0, 0.5, 0]])
drawn = refused = 0
slowest = 0.0
for number in range(int(sys.argv[1])):
    rng = random.Random(number)
    mask = rng.choice(SEEDS)
    for _ in range(rng.choice([1, 1, 2, 3])):
        mask = changed(mask, rng)
    data["annotations"][2]["segmentation"] = mask
    start = time.process_time()
    try:
        people = annotations_from(data, "f.json").images[2].people
    except ValueError as error:
        assert str(error).startswith("f.json: annotation 3.segmentation"), error
        refused += 1
    else:
        draw_outlines(people, matrix, 64, (HEIGHT, WIDTH))  # merged with the crowd's mask
        drawn += 1
    slowest = max(slowest, time.process_time() - start)
print(drawn, refused, slowest)
"""


def test_damaged_masks_are_drawn_or_refused_in_time() -> None:
    done = run_python("-c", MUTANTS, 10_000, timeout=120)
    assert done.returncode == 0, done.stderr
    drawn, refused, slowest = done.stdout.split()
    assert int(drawn) > 1000
    assert int(refused) > 1000
    assert float(slowest) < 1


def decoded(lengths: list[int], height: int, width: int) -> np.ndarray:
    """The mask of run lengths, by definition."""
    return np.repeat(np.arange(len(lengths)) % 2, lengths).reshape(width, height).T


@pytest.mark.parametrize("seed", range(3))
def test_masks_with_empty_runs_are_merged(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(200):
        height, width = rng.integers(1, 7, 2).tolist()
        masks = []
        for _ in range(rng.integers(1, 4)):
            cuts = np.sort(rng.integers(0, height * width + 1, rng.integers(0, 9)))  # equal cuts make empty runs
            masks.append(np.diff([0, *cuts, height * width]).tolist())
        checked = [check_run_lengths({"size": [height, width], "counts": m}, (height, width), "") for m in masks]
        expected = np.max([decoded(m, height, width) for m in masks], 0)
        assert np.array_equal(decode_masks(checked, (height, width)), expected)
        for mask, lengths in zip(checked, masks, strict=True):
            y, x = np.nonzero(decoded(lengths, height, width))
            box = (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1) if len(x) else (0, 0, 0, 0)
            assert mask_box(mask) == box


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([3, 0, 2, 4], [5, 4]),
        ([0, 0, 5, 4, 0], [5, 4]),
        ([0, 4, 0, 1, 2], [0, 5, 2]),
        ([0, 0, 0, 9], [0, 9]),
        ([4, 0, 0, 0, 5], [9]),
    ],
)
def test_empty_runs_are_removed(lengths: list[int], expected: list[int]) -> None:
    assert without_empty_runs(lengths) == expected


def test_a_polygon_of_many_crossing_edges_is_filled_in_time() -> None:
    """Without OpenCV, whose time is quadratic in the number of crossing edges."""
    points = np.random.default_rng(0).uniform(0, 512, (10_000, 2))
    canvas = np.zeros((512, 512), np.uint8)
    fill_polygon(canvas, points)  # by OpenCV this takes more than ten seconds
    assert 0.4 < (canvas > 0).mean() < 0.6


def test_both_ways_to_fill_a_polygon_agree_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    angle = np.linspace(0, 2 * np.pi, 1000, endpoint=False)
    radius = 40 + 15 * np.sin(7 * angle)
    points = np.stack([64 + radius * np.cos(angle), 64 + radius * np.sin(angle)], 1)
    by_opencv, by_rows = np.zeros((2, 128, 128), np.uint8)
    fill_polygon(by_opencv, points)
    monkeypatch.setattr(polygons, "SMALL_POLYGON", 0)
    monkeypatch.setattr(polygons, "MAX_CROSSINGS", 0)
    fill_polygon(by_rows, points)
    assert (by_rows <= by_opencv).all()  # OpenCV also sets the border
    assert 0 < (by_rows != by_opencv).sum() < 0.12 * (by_rows > 0).sum()
