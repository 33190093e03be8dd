"""The reader of COCO annotation files: the images and their people, for any skeleton.

Training, validation, evaluation, oracle evaluation and `simplepose inspect` read each file once, through
`read_annotations`. `simplepose.data.annotation_fields` defines the rules for single fields. The rules for the whole
file are:

| item | rule |
|---|---|
| category | the category whose keypoint names are the skeleton's, with any name; of several, the one named "person". \
If no category lists keypoint names: the category named "person", else the only category |
| order of the keypoints | if the category has the skeleton's keypoint names in another order, keypoints are reordered \
by name |
| an annotation of another category, or of an image that is not listed | left out |
| duplicate ids of images, categories or annotations | refused |
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import brief, one_line, show
from simplepose.data import annotation_fields as fields
from simplepose.data.annotation_fields import Notes, Polygons
from simplepose.data.images import ImageError, image_size
from simplepose.data.run_lengths import RunLengths
from simplepose.skeleton.skeleton import COCO, Skeleton

ANNOTATION_FILES = ("annotations.json", "person_keypoints.json")
"""Names of annotation files in a data folder, in order of preference; else the folder's only JSON file is used."""

LISTS = ("images", "annotations", "categories")
"""The lists that an annotation file must have."""


class Person(NamedTuple):
    """One annotated person, or a crowd. Boxes and polygons have COCO's coordinates: the first pixel covers 0 to 1."""

    id: int  # in the file; -1 if it has none
    keypoints: NDArray[np.float32]  # [D, 3] x, y, COCO visibility, in dataset order; all 0 if not annotated
    box: tuple[float, float, float, float]  # x, y, width, height
    area: float  # of the person's segmentation, in square pixels
    crowd: bool
    polygons: Polygons  # [V, 2] each; their union is the outline; the box if there is no segmentation
    rle: RunLengths | None  # the outline as a COCO run-length encoding; then ``polygons`` is empty

    @property
    def labeled(self) -> int:
        """The number of labeled keypoints (visibility above 0)."""
        return int(np.count_nonzero(self.keypoints[:, 2]))

    @property
    def ignored(self) -> bool:
        """Whether loss and evaluation ignore it: a crowd, or a person without labeled keypoints."""
        return self.crowd or self.labeled == 0


class ImageRecord(NamedTuple):
    """One image of an annotation file."""

    id: int
    path: Path
    height: int  # pixels; 0 if neither the annotation file nor an image file gives it
    width: int
    people: tuple[Person, ...]  # in the order of the file, crowds included
    crowd_index: float | None = None  # CrowdPose's measure of crowding, 0 to 1; None with other skeletons


@dataclass(frozen=True)
class Annotations:
    """The content of an annotation file for one skeleton's category."""

    path: Path
    skeleton: Skeleton
    category: int  # the id of the category
    images: Mapping[int, ImageRecord]  # by id, in the order of the file
    warnings: tuple[str, ...] = ()  # computed values and skipped entries: one line per kind, with its count
    annotated: bool = True  # False: the file is a list of images

    def keypoints(self, image_id: int) -> NDArray[np.float32]:
        """``[P, J, 3]`` float32 in network order: the people of an image that have labeled keypoints."""
        rows = [person.keypoints for person in self.images[image_id].people if not person.ignored]
        return self.skeleton.from_dataset(np.reshape(rows, (-1, len(self.skeleton.dataset_keypoints), 3)))

    def with_keypoints(self) -> list[int]:
        """The ids of the images that show at least one person with labeled keypoints."""
        return [i for i, image in self.images.items() if not all(person.ignored for person in image.people)]

    def left_out(self) -> str:
        """The warnings about annotations that were left out, each after "; ", to append to an error message."""
        lines = (line.removeprefix(f"{self.path}: ") for line in self.warnings if line.endswith("left out"))
        return "".join(f"; {line}" for line in lines)


def find_data(data: str | Path, images: str | Path | None = None) -> tuple[Path, Path]:
    """The annotation file and the image folder of a data source.

    Args:
        data: an annotation file, or a folder with `ANNOTATION_FILES` or a single JSON file in it.
        images: the image folder; default: ``images`` beside the file, or COCO's split folder (``train2017`` for
            ``annotations/person_keypoints_train2017.json``), or the file's own folder.

    Raises:
        FileNotFoundError: one of them does not exist; the message names the expected path.
    """
    data = Path(data)
    if data.is_dir():
        named = [data / name for name in ANNOTATION_FILES if (data / name).is_file()]
        found = named[:1] or sorted(p for p in data.glob("*.json") if not p.name.startswith("."))
        if len(found) != 1:
            raise FileNotFoundError(
                f"{data}: expected {' or '.join(ANNOTATION_FILES)} or one other json file in it, got {len(found)}"
            )
        data = found[0]
    if not data.is_file():
        raise FileNotFoundError(f"{data}: no such annotation file or data folder")
    if images is not None:
        if not Path(images).is_dir():
            raise FileNotFoundError(f"{images}: no such image folder")
        return data, Path(images)
    folder, split = data.parent, data.stem.rpartition("_")[2]
    candidates = (folder / "images", folder.parent / split, folder.parent / "images", folder)
    return data, next(c for c in candidates if c.is_dir())


def read_annotations(
    path: str | Path, images: str | Path | None = None, skeleton: Skeleton = COCO, *, image_list: bool = False
) -> Annotations:
    """Read a COCO keypoint annotation file.

    Args:
        path: the JSON file.
        images: the folder that the file names are relative to; None if no image file is read.
        skeleton: the keypoints to read.
        image_list: whether a file without the list "annotations", such as COCO's ``image_info_test-dev2017.json``, is
            read as images without people. ``annotated`` of the result is False then.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is invalid; the message names the file, the place, the expected and the actual value.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # also for bytes that are not valid text
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if image_list and isinstance(data, dict) and "annotations" not in data:
        listed = annotations_from({**data, "annotations": []}, path, skeleton, images)
        return replace(listed, annotated=False)
    return annotations_from(data, path, skeleton, images)


def merge_annotations(parts: Sequence[Annotations]) -> Annotations:
    """Several files as one set, such as COCO's train and val; the path of the result is that of the first file.

    Raises:
        ValueError: there is none, two files have an image of the same id, or their categories have different ids.
    """
    if not parts:
        raise ValueError("data: expected at least one annotation file, got none")
    first = parts[0]
    images: dict[int, ImageRecord] = {}
    for part in parts:
        if part.category != first.category:
            raise ValueError(f"{part.path}: expected category {first.category} as in {first.path}, got {part.category}")
        for key, record in part.images.items():
            if key in images:
                raise ValueError(f"{part.path}: image {key}: expected an id that no other file has, got {record.path}")
            images[key] = record
    warnings = tuple(line for part in parts for line in part.warnings)
    return replace(first, images=images, warnings=warnings)


def annotations_from(
    data: object, path: str | Path, skeleton: Skeleton = COCO, images: str | Path | None = None
) -> Annotations:
    """The records of a parsed annotation file, as `read_annotations` returns them; ``path`` is for messages.

    Raises:
        ValueError: as in `read_annotations`.
    """
    path, notes = Path(path), Notes()
    lists = _lists(data, path)
    try:
        category = _category(lists["categories"], skeleton, notes)
        records = _images(lists["images"], None if images is None else Path(images), skeleton, notes)
        people = _people(lists["annotations"], records, category, skeleton, notes)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    complete = {i: record._replace(people=tuple(people[i])) for i, record in records.items()}
    return Annotations(path, skeleton, category.id, complete, notes.lines(path))


Entry = dict[str, object]


class _Category(NamedTuple):
    """The skeleton's category among those of a file."""

    id: int
    order: tuple[int, ...] | None  # index of each dataset keypoint in the category; None: the same order
    listed: frozenset[int]  # the ids of all categories


def _lists(data: object, path: Path) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for name in LISTS:
        values = data.get(name) if isinstance(data, dict) else None
        if not isinstance(values, list):
            raise ValueError(f"{path}: expected an object with the lists {', '.join(LISTS)}; it has no list {name!r}")
        found[name] = values
    return found


def _entry(value: object, place: str) -> Entry:
    if not isinstance(value, dict):
        raise ValueError(f"{place}: expected an object, got {show(value)}")
    return value


def _category(entries: Sequence[object], skeleton: Skeleton, notes: Notes) -> _Category:
    names: dict[int, object] = {}
    keypoints: dict[int, tuple[str, ...]] = {}
    for index, value in enumerate(entries):
        entry = _entry(value, f"categories[{index}]")
        key = fields.integer(entry.get("id"), f"categories[{index}].id", notes, "category")
        if key in names:
            raise ValueError(f"categories[{index}].id: expected a unique id, got {key} twice")
        given = entry.get("keypoints") or []
        if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
            raise ValueError(f"categories[{index}].keypoints: expected a list of names, got {show(given)}")
        names[key], keypoints[key] = entry.get("name"), tuple(given)
    wanted = skeleton.dataset_keypoints
    with_keypoints = [key for key in keypoints if keypoints[key]]
    fitting = [key for key in with_keypoints if sorted(keypoints[key]) == sorted(wanted)]
    if with_keypoints and not fitting:
        given = "; ".join(", ".join(keypoints[key]) for key in with_keypoints)
        raise ValueError(
            f"categories: expected the keypoints of skeleton {skeleton.name!r}, {', '.join(wanted)}, "
            f"got {one_line(given, 600)}"
        )
    candidates = fitting or list(names)
    named_person = [key for key in candidates if names[key] == "person"]
    chosen = candidates if len(candidates) == 1 else named_person
    if len(chosen) != 1:
        raise ValueError(
            f"categories: expected one category named 'person' or only one with keypoints, "
            f"got {brief(list(names.values()), 600)}"
        )
    found = chosen[0]
    if not keypoints[found]:
        notes.add(f"no keypoint names, the order of skeleton {skeleton.name!r} is assumed", "category")
    if keypoints[found] in ((), wanted):
        return _Category(found, None, frozenset(names))
    notes.add("keypoints in another order than the skeleton's, reordered by name", "category")
    order = tuple(keypoints[found].index(name) for name in wanted)
    return _Category(found, order, frozenset(names))


def _images(entries: Sequence[object], folder: Path | None, skeleton: Skeleton, notes: Notes) -> dict[int, ImageRecord]:
    records: dict[int, ImageRecord] = {}
    for index, value in enumerate(entries):
        entry = _entry(value, f"images[{index}]")
        key = fields.integer(entry.get("id"), f"images[{index}].id", notes, "image")
        if key in records:
            raise ValueError(f"images[{index}].id: expected a unique id, got {key} twice")
        path = fields.file_path(entry.get("file_name"), folder, f"image {key}", notes)
        height, width = fields.image_sides(entry.get("height"), entry.get("width"), f"image {key}", notes)
        if not height:
            height, width = _size_of_file(path if folder else None, notes)
        crowding = fields.crowd_index(entry.get("crowdIndex"), f"image {key}", skeleton.name, notes)
        records[key] = ImageRecord(key, path, height, width, (), crowding)
    return records


def _size_of_file(path: Path | None, notes: Notes) -> tuple[int, int]:
    """Height and width of an image file; zeros if it cannot be read: a later read of its pixels raises the error."""
    if path is None:
        return 0, 0
    try:
        size = image_size(path)
    except ImageError:
        return 0, 0
    notes.add("height or width missing, taken from the image file", "image")
    return size


def _people(
    entries: Sequence[object],
    records: Mapping[int, ImageRecord],
    category: _Category,
    skeleton: Skeleton,
    notes: Notes,
) -> dict[int, list[Person]]:
    people: dict[int, list[Person]] = {key: [] for key in records}
    seen: set[int] = set()
    for index, value in enumerate(entries):
        place = f"annotations[{index}]"
        entry = _entry(value, place)
        key = -1
        if entry.get("id") is not None:
            key = fields.integer(entry["id"], f"{place}.id", notes)
            if key in seen:
                raise ValueError(f"{place}.id: expected a unique id, got {key} twice")
            seen.add(key)
        if not _is_of(category, entry, place, notes):
            continue
        image = fields.integer(entry.get("image_id"), f"{place}.image_id", notes)
        if image not in people:
            notes.add("image_id of an image that is not listed, left out")
            continue
        place = place if key < 0 else f"annotation {key}"
        people[image].append(_person(key, entry, place, records[image], category, skeleton, notes))
    return people


def _is_of(category: _Category, entry: Entry, place: str, notes: Notes) -> bool:
    if entry.get("category_id") is None:
        notes.add(f"category_id missing, taken as {category.id}")
        return True
    found = fields.integer(entry["category_id"], f"{place}.category_id", notes)
    if found not in category.listed:
        notes.add("category_id of a category that is not listed, left out")
    return found == category.id


def _person(
    key: int,
    entry: Entry,
    place: str,
    image: ImageRecord,
    category: _Category,
    skeleton: Skeleton,
    notes: Notes,
) -> Person:
    count = len(skeleton.dataset_keypoints)
    keypoints = fields.keypoint_table(entry.get("keypoints"), count, category.order, place, notes)
    labeled = int(np.count_nonzero(keypoints[:, 2]))
    fields.check_count(entry.get("num_keypoints"), labeled, notes)
    polygons, rle = fields.outline(entry.get("segmentation"), (image.height, image.width), place, notes)
    box = fields.person_box(entry.get("bbox"), polygons, rle, keypoints, place, notes)
    area = fields.person_area(entry.get("area"), box, polygons, rle, skeleton.name, place, notes)
    crowd = fields.crowd_flag(entry.get("iscrowd"), place, notes)
    if labeled and not crowd:
        fields.check_area(area, box, notes)
    x, y, width, height = box
    if not polygons and rle is None and width > 0 and height > 0:
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        polygons = (np.array(corners, np.float32),)
    return Person(key, keypoints, box, area, crowd, polygons, rle)
