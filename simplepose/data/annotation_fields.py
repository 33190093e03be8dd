"""The rules for the fields of COCO annotation files: what is accepted, computed or refused.

`simplepose.data.annotations` is the only caller, so that training, validation, evaluation, oracle evaluation and
`simplepose inspect` follow the same rules. `Notes` counts every value that is computed. `null` is the same as a missing
field, also within lists. Any other error (a wrong type, an integer of more than 64 bits) raises a ValueError that names
the place.

| field | missing | other rules |
|---|---|---|
| `images[].id`, `categories[].id` | refused | an integer as text ("7") and 7.0 are converted; duplicate ids are \
refused |
| `images[].width`, `height` | taken from the image file | converted like ids; 0 counts as missing; negative numbers \
and more than 80 megapixels are refused |
| `images[].crowdIndex` | the image counts in AP only, not in AP_easy, AP_medium and AP_hard | read with skeleton \
crowdpose14: a number from 0 to 1 |
| `images[].file_name` | refused where image files are read | a backslash separates folders, unless a file with \
exactly this name exists |
| `annotations[].id` | accepted | converted like other ids; duplicate ids are refused |
| `image_id` | refused | converted; an annotation of an image that is not listed is left out |
| `category_id` | the skeleton's category is assumed | converted; annotations of other categories are left out |
| `keypoints` | no keypoint is labeled | D x (x, y, visibility) with visibility 0, 1 or 2; `null`, NaN and Infinity \
become 0 for an unlabeled keypoint and are refused for a labeled one |
| `num_keypoints` | counted from the visibilities | replaced if it is not the number of labeled keypoints |
| `iscrowd` | 0 | 0, 1, true or false; integers also as text |
| `segmentation` | the box is the outline | polygons of finite numbers and at most 50,000 corners in all, where a \
last x without y is dropped; or run lengths of the image's size that are not negative and sum to H x W |
| `bbox` | computed from the segmentation, else from the labeled keypoints | four finite numbers; a box with a side of \
0 counts as missing; a negative side is refused |
| `area` | that of the segmentation, else that of the box | NaN, Infinity, 0 and negative numbers count as missing; an \
area below 0.01 x or above 1.5 x the area of the box is kept and reported; with skeleton crowdpose14 it is always \
0.53 x the area of the box, as in CrowdPose's evaluation |
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
"""The largest magnitude of a coordinate in pixels."""

MOST_CORNERS = 50_000
"""The largest number of corners of one annotation's polygons. It bounds the time to fill them."""

MOST_INTEGER = 2**63 - 1
"""The largest integer: tensors store ids as int64."""

AREA_SHARES = {"crowdpose14": 0.53}
"""Skeletons whose evaluation takes a fraction of the box area as area, also where a file has areas: CrowdPose's tool
crowdposetools. Their images have a crowd index."""

PLAUSIBLE_AREA = (0.01, 1.5)
"""Areas outside this range, as a fraction of the box area, are reported. COCO val2017 people have 0.02 to 1."""

Polygons = tuple[NDArray[np.float32], ...]
Box = tuple[float, float, float, float]


class Notes:
    """Counts of the values that were computed and of the entries that were left out, by kind."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def add(self, text: str, unit: str = "annotation") -> None:
        """Count one more ``unit`` (image, annotation, category) of this kind."""
        self.counts[text, unit] += 1

    def lines(self, path: Path) -> tuple[str, ...]:
        """One line per kind: the file, the number and the kind."""
        plural = {"category": "categories"}
        return tuple(
            f"{path}: {count} {unit if count == 1 else plural.get(unit, unit + 's')}: {text}"
            for (text, unit), count in self.counts.items()
        )


def integer(value: object, place: str, notes: Notes, unit: str = "annotation", least: int = -MOST_INTEGER) -> int:
    """An integer of at least ``least``; an integer as text and a float without fraction are converted.

    Raises:
        ValueError: the value is not such an integer; the message begins with ``place``.
    """
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
    elif isinstance(value, str) and re.fullmatch(r"\s*[-+]?[0-9]{1,20}\s*", value):
        number = int(value)
        notes.add("integers as text, converted", unit)
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
        ValueError: one is not an integer or is negative, or the image has more than `MOST_PIXELS` pixels.
    """
    sides = [
        0 if value is None else integer(value, f"{place}.{name}", notes, "image", 0)
        for name, value in (("height", height), ("width", width))
    ]
    if sides[0] * sides[1] > MOST_PIXELS:
        raise ValueError(f"{place}.height: expected at most {MOST_PIXELS / 1e6:g} megapixels, got {show(sides)}")
    return (sides[0], sides[1]) if all(sides) else (0, 0)


def crowd_flag(value: object, place: str, notes: Notes) -> bool:
    """The field ``iscrowd`` as bool."""
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
    """``keypoints`` as ``[count, 3]``: x, y in pixels and visibility; zeros if the annotation has none.

    Args:
        value: the field.
        count: the number of keypoints in the skeleton's data sets.
        order: row ``i`` of the result is keypoint ``order[i]`` of the file; None: the orders are the same.
        place: the annotation, for messages.
        notes: counts replaced coordinates.

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
        notes.add("coordinates of unlabeled keypoints are not finite numbers, set to 0")
    return (table if order is None else table[list(order)]).astype(np.float32)


def check_count(value: object, counted: int, notes: Notes) -> None:
    """Report ``num_keypoints`` if it is missing or differs from the number of labeled keypoints, which is used."""
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
        notes: counts dropped numbers.

    Raises:
        ValueError: a polygon or the run lengths are not in COCO's format.
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
    corners = sum(len(polygon) for polygon in value if isinstance(polygon, list)) // 2
    if corners > MOST_CORNERS:
        raise ValueError(f"{place}: expected polygons with at most {MOST_CORNERS} corners, got {corners}")
    polygons = []
    for index, polygon in enumerate(value):
        if not isinstance(polygon, list):
            raise ValueError(f"{place}[{index}]: expected a polygon [x, y, x, y, ...], got {show(polygon)}")
        points = _numbers(polygon, f"{place}[{index}]")
        if len(points) and not np.abs(points).max() <= MOST:
            raise ValueError(f"{place}[{index}]: expected finite coordinates, got {show(polygon)}")
        if len(points) % 2:
            notes.add("a polygon's last x without y, dropped")
        if len(points) >= 6:  # fewer than three corners have no area; COCO contains a few such polygons
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
    """``bbox``: x, y, width, height in pixels; computed if it is missing or a side is 0.

    Raises:
        ValueError: the box does not consist of four finite numbers, or a side is negative.
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
        notes.add(f"bbox missing or with a side of 0, computed from the {source}")
        return known
    return given or known


def person_area(
    value: object, box: Box, polygons: Polygons, rle: RunLengths | None, skeleton: str, place: str, notes: Notes
) -> float:
    """``area`` in square pixels; computed if it is missing or not positive, and always with skeletons of `AREA_SHARES`.

    Raises:
        ValueError: the area is not a number.
    """
    of_box, given = box[2] * box[3], 0.0
    if value is not None:
        if not _is_number(value):
            raise ValueError(f"{place}.area: expected a number, got {show(value)}")
        given = float(_numbers([value], f"{place}.area")[0])
        if 0 < given < np.inf and not (skeleton in AREA_SHARES and of_box > 0):
            return given
    how = "area missing or not positive, set to "
    if skeleton in AREA_SHARES:
        computed = AREA_SHARES[skeleton] * of_box
        source = f"{AREA_SHARES[skeleton]:g} x the area of the box, CrowdPose's rule"
        if 0 < given < np.inf:
            if abs(given - computed) <= 0.01 * computed:
                return computed
            how = "area not used, set to "
    elif polygons or rle is not None:
        computed = float(sum(run_counts(rle)[1::2])) if rle is not None else sum(map(_polygon_area, polygons))
        source = "the area of the segmentation"
    else:
        computed, source = of_box, "the area of the box"
    if computed > 0:
        notes.add(how + source)
        return computed
    if of_box > 0:
        notes.add(how + "the area of the box")
    return of_box


def check_area(area: float, box: Box, notes: Notes) -> None:
    """Report the area of an evaluated person if it is 0, so that no prediction matches, or if it is implausible."""
    low, high = PLAUSIBLE_AREA
    of_box = box[2] * box[3]
    if area <= 0:
        notes.add("labeled keypoints without an area, so no prediction can match them")
    elif of_box > 0 and not low <= area / of_box <= high:
        notes.add(f"area outside {low:g} to {high:g} x the area of the box, kept unchanged")


def crowd_index(value: object, place: str, skeleton: str, notes: Notes) -> float | None:
    """``crowdIndex`` of an image, 0 to 1; None if it is missing, and with skeletons that are not in `AREA_SHARES`.

    Raises:
        ValueError: it is not a number from 0 to 1.
    """
    if skeleton not in AREA_SHARES:
        return None
    if value is None:
        notes.add("crowdIndex missing, not counted in AP_easy, AP_medium and AP_hard", "image")
        return None
    if not _is_number(value) or not 0 <= _numbers([value], f"{place}.crowdIndex")[0] <= 1:
        raise ValueError(f"{place}.crowdIndex: expected a number from 0 to 1, got {show(value)}")
    return float(_numbers([value], place)[0])


def file_path(value: object, images: Path | None, place: str, notes: Notes) -> Path:
    """The path of the image file in ``images``; without a folder, the file name alone or, if missing, an empty path.

    Raises:
        ValueError: ``file_name`` is not text, or is missing although there is a folder.
    """
    if (value is None or value == "") and images is None:
        return Path()
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"{place}.file_name: expected a file name, got {show(value)}")
    folder = images or Path()
    if "\\" in value and not (folder / value).is_file():
        notes.add("backslashes in file_name, taken as folder separators", "image")
        value = value.replace("\\", "/")
    return folder / value


def points_box(polygons: Polygons, keypoints: NDArray[np.float32]) -> Box:
    """The box around the polygons, else around the labeled keypoints; zeros if there are neither."""
    points = np.concatenate(polygons) if polygons else keypoints[keypoints[:, 2] > 0, :2] + 0.5
    if not len(points):
        return (0.0, 0.0, 0.0, 0.0)
    low, high = points.min(0), points.max(0)
    return (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))


def _numbers(values: list[object], place: str, nulls: bool = False) -> NDArray[np.float64]:
    """``values`` as float64; null becomes NaN if ``nulls`` allows it.

    Raises:
        ValueError: a value is not a number.
    """
    if not set(map(type, values)) <= {int, float}:  # a fast test of the types that JSON numbers have
        wrong = [i for i, v in enumerate(values) if not _is_number(v) and not (nulls and v is None)]
        if wrong:
            raise ValueError(f"{place}[{wrong[0]}]: expected a number, got {show(values[wrong[0]])}")
    try:
        return np.array(values, np.float64)
    except OverflowError:
        raise ValueError(f"{place}: expected numbers of at most 64 bits, got {show(values)}") from None


def _is_number(value: object) -> bool:
    """Whether ``value`` is a number; data sets made in Python may contain NumPy numbers."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _polygon_area(polygon: NDArray[np.float32]) -> float:
    x, y = (polygon - polygon[0]).astype(np.float64).T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
