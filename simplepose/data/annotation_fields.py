"""The rules for the fields of COCO annotation files: what is taken, what is worked out, what is refused.

`simplepose.data.annotations` is the only caller, so that training, validation, evaluation, oracle and inspection follow
the same rules. Everything that is worked out is counted in `Notes`. `null` is the same as a missing field, also within
lists. Whatever else is wrong (a wrong type, an integer beyond 64 bits) is a ValueError that names the place.

| field | missing | other rules |
|---|---|---|
| `images[].id`, `categories[].id` | refused | an integer in text ("7") and 7.0 are converted; two equal ids are \
refused |
| `images[].width`, `height` | taken from the image file | converted like ids; 0 counts as missing; negative numbers \
and more than 80 megapixels are refused |
| `images[].file_name` | refused where image files are read | a backslash separates folders unless a file of the \
literal name exists |
| `annotations[].id` | accepted | converted like other ids; two equal ids are refused |
| `image_id` | refused | converted; the annotation of an image that is not listed is left out |
| `category_id` | taken as the skeleton's category | converted; annotations of other categories are left out |
| `keypoints` | no keypoint is labeled | D x (x, y, visibility) with visibility 0, 1 or 2; `null`, NaN and Infinity \
become 0 for an unlabeled keypoint and are refused for a labeled one |
| `num_keypoints` | counted | always counted from the visibilities |
| `iscrowd` | 0 | 0, 1, true or false; integers also in text |
| `segmentation` | the box is the outline | polygons of finite numbers, where a last x without y is dropped; run \
lengths are not negative, sum to H x W and have the image's size |
| `bbox` | around the segmentation, else around the labeled keypoints | four finite numbers; a side of 0 counts as \
missing; a negative side is refused |
| `area` | of the segmentation, else of the box; with skeleton crowdpose14: 0.53 x the box's | NaN, Infinity, 0 and \
negative numbers count as missing; an area below 0.01 or above 1.5 x the box's is kept and reported |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import show
from simplepose.data.images import MOST_PIXELS
from simplepose.data.run_lengths import RunLengths, check_run_lengths, mask_box, run_counts

MOST = 1e8
"""The largest coordinate, in pixels either way."""

MOST_INTEGER = 2**63 - 1
"""The largest integer, as it is stored in tensors."""

AREA_SHARES = {"crowdpose14": 0.53}
"""Skeletons whose data sets define the area as a share of the box: CrowdPose's evaluation takes 0.53."""

PLAUSIBLE_AREA = (0.01, 1.5)
"""Areas outside this range, as a share of the box, are reported; those of COCO val2017 people are from 0.02 to 1."""

Polygons = tuple[NDArray[np.float32], ...]
Box = tuple[float, float, float, float]


class Notes:
    """What was worked out or left out, counted by kind."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, text: str, unit: str = "annotation") -> None:
        """Count one more ``unit`` (image, annotation, category) of this kind."""
        self.counts[text, unit] += 1

    def lines(self, path: Path) -> tuple[str, ...]:
        """One line a kind: file, how many, what."""
        plural = {"category": "categories"}
        return tuple(
            f"{path}: {count} {unit if count == 1 else plural.get(unit, unit + 's')}: {text}"
            for (text, unit), count in self.counts.items()
        )


def integer(value: object, place: str, notes: Notes, unit: str = "annotation", least: int = -MOST_INTEGER) -> int:
    """An integer of at least ``least``; one in text or in a float without fraction is converted.

    Raises:
        ValueError: it is none; the message begins with ``place``.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
    elif isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,20}\s*", value):
        number = int(value)
        notes.add("integers in text, converted", unit)
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    else:
        raise ValueError(f"{place}: expected an integer, got {show(value)}")
    if not least <= number <= MOST_INTEGER:
        limit = f"from {least} " if least > -MOST_INTEGER else ""
        raise ValueError(f"{place}: expected an integer {limit}of at most 64 bits, got {show(number)}")
    return number


def image_sides(height: object, width: object, place: str, notes: Notes) -> tuple[int, int]:
    """``height`` and ``width`` of an image in pixels; (0, 0) if one is missing.

    Raises:
        ValueError: one is no integer or negative, or the image is larger than an image file may be.
    """
    sides = [
        0 if value is None else integer(value, f"{place}.{name}", notes, "image", 0)
        for name, value in (("height", height), ("width", width))
    ]
    if sides[0] * sides[1] > MOST_PIXELS:
        raise ValueError(f"{place}.height: expected at most {MOST_PIXELS / 1e6:g} megapixels, got {show(sides)}")
    return (sides[0], sides[1]) if all(sides) else (0, 0)


def crowd_flag(value: object, place: str, notes: Notes) -> bool:
    """``iscrowd``."""
    if value is None:
        notes.add("iscrowd missing, taken as 0")
        return False
    if isinstance(value, bool):
        return value
    number = integer(value, f"{place}.iscrowd", notes)
    if number not in (0, 1):
        raise ValueError(f"{place}.iscrowd: expected 0 or 1, got {show(value)}")
    return bool(number)


def keypoint_table(
    value: object, count: int, order: Sequence[int] | None, place: str, notes: Notes
) -> NDArray[np.float32]:
    """``keypoints`` as ``[count, 3]`` x, y in pixels, visibility; zeros where the annotation has none.

    Args:
        value: the field.
        count: how many keypoints the skeleton's data sets have.
        order: row ``i`` of the result is keypoint ``order[i]`` of the file; None: the orders are the same.
        place: the annotation, for messages.
        notes: where replaced coordinates are counted.

    Raises:
        ValueError: the length, a type, a visibility or a coordinate of a labeled keypoint is wrong.
    """
    if value is None or value == []:
        return np.zeros((count, 3), np.float32)
    place = f"{place}.keypoints"
    if not isinstance(value, list) or len(value) != 3 * count:
        got = f"{len(value)} numbers" if isinstance(value, list) else show(value)
        raise ValueError(f"{place}: expected {count} x (x, y, visibility), got {got}")
    if value.count(0) == len(value):
        return np.zeros((count, 3), np.float32)
    table = _numbers(value, place, nulls=True).reshape(count, 3)
    visibility = table[:, 2]
    unplaced = ~(np.abs(table[:, :2]) <= MOST).all(1)
    visibility[np.isnan(visibility) & (unplaced | ~table[:, :2].any(1))] = 0
    if not ((visibility == 0) | (visibility == 1) | (visibility == 2)).all():
        row = int(np.flatnonzero(~np.isin(visibility, (0, 1, 2)))[0])
        raise ValueError(f"{place}[{3 * row + 2}]: expected visibility 0, 1 or 2, got {show(value[3 * row + 2])}")
    if unplaced.any():
        wrong = np.flatnonzero(unplaced & (visibility > 0))
        if len(wrong):
            at = 3 * int(wrong[0])
            raise ValueError(
                f"{place}[{at}]: expected finite coordinates of a labeled keypoint, got {show(value[at : at + 3])}"
            )
        table[unplaced, :2] = 0
        notes.add("coordinates of unlabeled keypoints are no numbers, taken as 0")
    return (table if order is None else table[list(order)]).astype(np.float32)


def check_count(value: object, counted: int, notes: Notes) -> None:
    """Compare ``num_keypoints`` with the number of labeled keypoints, which is what counts."""
    if value is None:
        notes.add("num_keypoints missing, counted from the visibilities")
    elif value != counted:
        notes.add("num_keypoints wrong, counted from the visibilities")


def outline(value: object, size: tuple[int, int], place: str, notes: Notes) -> tuple[Polygons, RunLengths | None]:
    """``segmentation``: polygons ``[V, 2]`` float32 in pixels, or run lengths.

    Args:
        value: the field.
        size: height and width of the image in pixels; (0, 0) if they are not known.
        place: the annotation, for messages.
        notes: where dropped numbers are counted.

    Raises:
        ValueError: a polygon or the run lengths are not as COCO has them.
    """
    if not value:
        if value is None or value == [] or value == {}:
            return (), None
        raise ValueError(f"{place}.segmentation: expected polygons or run lengths, got {show(value)}")
    place = f"{place}.segmentation"
    if isinstance(value, dict):
        return (), check_run_lengths(value, size, place)
    if not isinstance(value, list):
        raise ValueError(f"{place}: expected polygons or run lengths, got {show(value)}")
    polygons = []
    for index, polygon in enumerate(value):
        if not isinstance(polygon, list):
            raise ValueError(f"{place}[{index}]: expected a polygon [x, y, x, y, ...], got {show(polygon)}")
        points = _numbers(polygon, f"{place}[{index}]")
        if len(points) and not np.abs(points).max() <= MOST:
            raise ValueError(f"{place}[{index}]: expected finite coordinates, got {show(polygon)}")
        if len(points) % 2:
            notes.add("a polygon's last x without y, dropped")
        if len(points) >= 6:  # fewer than three corners enclose nothing; COCO has a few such
            polygons.append(points[: len(points) // 2 * 2].reshape(-1, 2).astype(np.float32))
    return tuple(polygons), None


def person_box(
    value: object,
    polygons: Polygons,
    rle: RunLengths | None,
    keypoints: NDArray[np.float32],
    place: str,
    notes: Notes,
) -> Box:
    """``bbox``, x, y, width, height in pixels; worked out where it is missing or has no extent.

    Raises:
        ValueError: it is not four finite numbers, or a side is negative.
    """
    given: Box | None = None
    if value is not None and value != []:
        numbers = _numbers(value, f"{place}.bbox") if isinstance(value, list) else np.empty(0)
        if len(numbers) != 4 or not np.abs(numbers).max() <= MOST or numbers[2:].min() < 0:
            raise ValueError(f"{place}.bbox: expected x, y, width, height, got {show(value)}")
        x, y, width, height = numbers.tolist()
        given = (x, y, width, height)
        if width > 0 and height > 0:
            return given
    known = mask_box(rle) if rle is not None else points_box(polygons, keypoints)
    if known[2] > 0 and known[3] > 0:
        source = "segmentation" if polygons or rle is not None else "labeled keypoints"
        notes.add(f"bbox missing or without extent, worked out from the {source}")
        return known
    return given or known


def person_area(
    value: object, box: Box, polygons: Polygons, rle: RunLengths | None, skeleton: str, place: str, notes: Notes
) -> float:
    """``area`` in square pixels; worked out where it is missing or not positive.

    Raises:
        ValueError: it is no number.
    """
    of_box = box[2] * box[3]
    if value is not None:
        if not _is_number(value):
            raise ValueError(f"{place}.area: expected a number, got {show(value)}")
        given = float(_numbers([value], f"{place}.area")[0])
        if 0 < given < np.inf:
            return given
    how = "area missing or not positive, worked out as "
    if skeleton in AREA_SHARES:
        worked_out, source = AREA_SHARES[skeleton] * of_box, f"{AREA_SHARES[skeleton]:g} x the box's, CrowdPose's rule"
    elif polygons or rle is not None:
        worked_out = float(sum(run_counts(rle)[1::2])) if rle is not None else sum(map(_polygon_area, polygons))
        source = "the segmentation's"
    else:
        worked_out, source = of_box, "the box's"
    if worked_out > 0:
        notes.add(how + source)
        return worked_out
    if of_box > 0:
        notes.add(how + "the box's")
    return of_box


def check_area(area: float, box: Box, notes: Notes) -> None:
    """Report the area of a person to evaluate if no prediction can match it, or if it can hardly be right."""
    low, high = PLAUSIBLE_AREA
    of_box = box[2] * box[3]
    if area <= 0:
        notes.add("labeled keypoints without an area, no prediction can match them")
    elif of_box > 0 and not low <= area / of_box <= high:
        notes.add(f"area outside {low:g} to {high:g} x the box's, kept as it is")


def file_path(value: object, images: Path | None, place: str, notes: Notes) -> Path:
    """Where the image file lies; without a folder the name as it is, the empty path if there is none.

    Raises:
        ValueError: ``file_name`` is no text, or is missing although there is a folder.
    """
    if (value is None or value == "") and images is None:
        return Path()
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{place}.file_name: expected a file name, got {show(value)}")
    folder = images or Path()
    if "\\" in value and not (folder / value).is_file():
        notes.add("backslashes in file_name, taken as separators of folders", "image")
        value = value.replace("\\", "/")
    return folder / value


def points_box(polygons: Polygons, keypoints: NDArray[np.float32]) -> Box:
    """The box around the polygons, else around the labeled keypoints; empty where there are none."""
    points = np.concatenate(polygons) if polygons else keypoints[keypoints[:, 2] > 0, :2] + 0.5
    if not len(points):
        return (0.0, 0.0, 0.0, 0.0)
    low, high = points.min(0), points.max(0)
    return (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def _numbers(values: list[object], place: str, nulls: bool = False) -> NDArray[np.float64]:
    """``values`` as float64; null becomes NaN where it is allowed.

    Raises:
        ValueError: a value is no number.
    """
    if not set(map(type, values)) <= {int, float}:  # what a JSON file can have is checked at once
        wrong = [i for i, v in enumerate(values) if not _is_number(v) and not (nulls and v is None)]
        if wrong:
            raise ValueError(f"{place}[{wrong[0]}]: expected a number, got {show(values[wrong[0]])}")
    try:
        return np.array(values, np.float64)
    except OverflowError:
        raise ValueError(f"{place}: expected numbers of at most 64 bits, got {show(values)}") from None


def _is_number(value: object) -> bool:
    """Whether ``value`` is a number; data sets made in Python may have those of NumPy."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _polygon_area(polygon: NDArray[np.float32]) -> float:
    x, y = (polygon - polygon[0]).astype(np.float64).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
