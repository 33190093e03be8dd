"""COCO run-length masks: the check before pycocotools decodes them, their run lengths and their box."""

from __future__ import annotations

from typing import TypedDict

import numpy as np

from simplepose.checks import show
from simplepose.data.images import MOST_PIXELS


class RunLengths(TypedDict):
    """A COCO run-length encoding, column by column; the first run is outside the mask."""

    size: list[int]  # height, width
    counts: list[int] | str | bytes  # the lengths, or their compressed form


def check_run_lengths(value: dict[str, object], size: tuple[int, int], place: str) -> RunLengths:
    """A checked copy, which cannot crash pycocotools or make it run without end.

    Args:
        value: ``segmentation``, an object.
        size: height and width of the image in pixels; (0, 0) if they are not known.
        place: the annotation and the field, for messages.

    Raises:
        ValueError: the size is not that of the image, or the lengths are not those of a mask of that size.
    """
    sides, counts = value.get("size"), value.get("counts")
    if (
        not isinstance(sides, list)
        or len(sides) != 2
        or not all(type(s) is int and s > 0 for s in sides)
        or sides[0] * sides[1] > MOST_PIXELS
    ):
        raise ValueError(f"{place}.size: expected height and width, got {show(sides)}")
    if all(size) and tuple(sides) != size:
        raise ValueError(f"{place}: expected a mask of the image's size {list(size)}, got {show(sides)}")
    if not isinstance(counts, list | str | bytes) or (isinstance(counts, list) and set(map(type, counts)) - {int}):
        raise ValueError(f"{place}.counts: expected run lengths as integers or as text, got {show(counts)}")
    checked = RunLengths(size=[int(s) for s in sides], counts=counts)
    try:
        lengths = run_counts(checked)
    except ValueError as error:
        raise ValueError(f"{place}.counts: {error}, got {show(counts)}") from None
    if not lengths or min(lengths) < 0 or sum(lengths) != sides[0] * sides[1]:
        found = f"a run of {show(min(lengths))}" if lengths and min(lengths) < 0 else f"a sum of {show(sum(lengths))}"
        raise ValueError(f"{place}.counts: expected runs of 0 or more that sum to {sides[0]} x {sides[1]}, got {found}")
    if 0 in lengths[1:]:
        checked["counts"] = without_empty_runs(lengths)
    return checked


def without_empty_runs(lengths: list[int]) -> list[int]:
    """The same mask with no run of length 0 but the first: pycocotools does not merge masks with other empty runs.

    A mask with such a run is merged in part only, or the merging does not end.
    """
    runs = np.array(lengths, np.int64)
    inside = np.arange(len(runs)) % 2
    runs, inside = runs[runs > 0], inside[runs > 0]
    starts = np.flatnonzero(np.diff(inside, prepend=-1))
    return [0] * int(inside[0]) + np.add.reduceat(runs, starts).tolist()


def run_counts(rle: RunLengths) -> list[int]:
    """The lengths of the runs; the first run is outside the mask.

    Raises:
        ValueError: the compressed form is invalid.
    """
    counts = rle["counts"]
    if isinstance(counts, list):
        return counts
    text = counts if isinstance(counts, str) else counts.decode("latin-1")
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        piece = ord(character) - 48
        if not 0 <= piece < 64 or shift > 30:
            raise ValueError("expected compressed run lengths as pycocotools writes them")
        value |= (piece & 31) << shift
        shift += 5
        if not piece & 32:
            if piece & 16:
                value -= 1 << shift
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("expected compressed run lengths as pycocotools writes them; the last one is cut off")
    return lengths


def mask_box(rle: RunLengths) -> tuple[float, float, float, float]:
    """The box around a run-length mask; zeros if the mask is empty."""
    height = rle["size"][0]
    edges = np.cumsum([0, *run_counts(rle)])[1:]
    starts, ends = edges[:-1:2], edges[1::2]
    starts, ends = starts[: len(ends)], ends[: len(starts)]
    inside = ends > starts
    starts, ends = starts[inside], ends[inside]
    if not len(starts):
        return (0.0, 0.0, 0.0, 0.0)
    left, right = int(starts[0]) // height, int(ends[-1] - 1) // height
    if (starts // height != (ends - 1) // height).any():  # a run beyond the end of a column touches both borders
        top, bottom = 0, height - 1
    else:
        top, bottom = int((starts % height).min()), int(((ends - 1) % height).max())
    return (float(left), float(top), float(right + 1 - left), float(bottom + 1 - top))
