"""COCO-style annotation files: which images there are and the people in them, for any skeleton."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.skeleton.skeleton import Skeleton

ANNOTATION_FILES = ("annotations.json", "person_keypoints.json")
"""What an annotation file in a data folder is called, the first found wins; else the folder's only json."""


class Person(NamedTuple):
    """One annotated person, or a crowd of them. Boxes and polygons are COCO's: the first pixel covers 0 to 1."""

    id: int
    keypoints: NDArray[np.float32]  # [D, 3] x, y, COCO visibility, in dataset order; all 0 if not annotated
    box: tuple[float, float, float, float]  # x, y, width, height
    area: float  # of the person's outline, square pixels
    crowd: bool
    polygons: tuple[NDArray[np.float32], ...]  # [V, 2] each; the outline is their union, the box where it is missing
    rle: dict[str, Any] | None  # the outline as a COCO run-length encoding, then there are no polygons

    @property
    def labelled(self) -> int:
        """How many keypoints are labelled (visibility above 0)."""
        return int(np.count_nonzero(self.keypoints[:, 2]))

    @property
    def ignored(self) -> bool:
        """Whether the loss must look away: a crowd, or a person without keypoint annotation."""
        return self.crowd or self.labelled == 0


class ImageRecord(NamedTuple):
    """One image of an annotation file."""

    id: int
    path: Path
    height: int
    width: int
    people: tuple[Person, ...]  # in the order of the file, crowds included


def find_data(data: str | Path, images: str | Path | None = None) -> tuple[Path, Path]:
    """The annotation file and the image folder that ``data`` means.

    Args:
        data: an annotation file, or a folder with `ANNOTATION_FILES` or a single json in it.
        images: the image folder; default: ``images`` beside the file, or COCO's split folder (``train2017`` for
            ``annotations/person_keypoints_train2017.json``), or the file's own folder.

    Raises:
        FileNotFoundError: one of them does not exist; the message names what was looked for.
    """
    data = Path(data)
    if data.is_dir():
        named = [data / name for name in ANNOTATION_FILES if (data / name).is_file()]
        found = named[:1] or sorted(data.glob("*.json"))
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


def read_annotations(annotations: str | Path, images: str | Path, skeleton: Skeleton) -> list[ImageRecord]:
    """The images of a COCO keypoint json, each with its people, in the order of the file.

    The category is the one called "person", or else the only one with keypoints. Where it names its keypoints they
    must be ``skeleton.dataset_keypoints``.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is not such a json; the message names the file, the entry, what was expected and what came.
    """
    path = Path(annotations)
    data = load_json(path, ("images", "annotations", "categories"))
    try:
        category = _checked_category(data["categories"], skeleton)
        people: dict[int, list[Person]] = {int(image["id"]): [] for image in data["images"]}
        for index, entry in enumerate(data["annotations"]):
            if entry.get("category_id", category) == category:
                people[_image_of(entry, people, index)].append(_person(entry, skeleton))
        return [_image_record(entry, Path(images), people) for entry in data["images"]]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: an entry is not as COCO has it ({type(error).__name__}: {error})") from None


def load_json(path: str | Path, lists: Sequence[str]) -> dict[str, Any]:
    """The content of a COCO annotation file, an object with at least these lists.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is not such a file. Both name the path.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such annotation file")
    try:
        data = json.loads(path.read_bytes())
    except ValueError as error:  # also bytes that are no text
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    return check_lists(data, path, lists)


def check_lists(data: Any, path: str | Path, lists: Sequence[str]) -> dict[str, Any]:
    """``data`` if it is an object with these lists; ValueError with the path otherwise."""
    missing = [name for name in lists if not isinstance(data, dict) or not isinstance(data.get(name), list)]
    if missing:
        raise ValueError(f"{path}: expected an object with the lists {', '.join(lists)}, it has no list {missing[0]!r}")
    checked: dict[str, Any] = data
    return checked


def find_category(categories: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The category whose keypoints count: the one called "person", or else the only one with keypoints.

    Raises:
        ValueError: there is none, or more than one.
    """
    named = [c for c in categories if c.get("name") == "person"]
    found = named or [c for c in categories if c.get("keypoints")]
    if len(found) != 1:
        names = [c.get("name") for c in categories]
        raise ValueError(f"categories: expected one called 'person' or one alone with keypoints, got {names}")
    return found[0]


def _checked_category(categories: Sequence[Mapping[str, Any]], skeleton: Skeleton) -> int:
    found = find_category(categories)
    keypoints = found.get("keypoints")
    if keypoints and tuple(keypoints) != skeleton.dataset_keypoints:
        raise ValueError(
            f"categories: expected the keypoints of skeleton {skeleton.name!r}, "
            f"{', '.join(skeleton.dataset_keypoints)}, got {', '.join(map(str, keypoints))}"
        )
    return int(found["id"])


def _image_of(entry: Mapping[str, Any], people: Mapping[int, Any], index: int) -> int:
    image: int | None = entry.get("image_id")
    if image is None or image not in people:
        raise ValueError(f"annotations[{index}].image_id: expected the id of an image, got {image!r}")
    return image


def _image_record(entry: Mapping[str, Any], images: Path, people: Mapping[int, list[Person]]) -> ImageRecord:
    for field in ("file_name", "height", "width"):
        if field not in entry:
            raise ValueError(f"image {entry['id']}: expected {field!r}, got {sorted(entry)}")
    image, path = int(entry["id"]), images / entry["file_name"]
    return ImageRecord(image, path, int(entry["height"]), int(entry["width"]), tuple(people[image]))


def _person(entry: Mapping[str, Any], skeleton: Skeleton) -> Person:
    label = f"annotation {entry.get('id', '?')}"
    keypoints = _keypoints(entry.get("keypoints") or [], len(skeleton.dataset_keypoints), label)
    polygons, rle = _outline(entry.get("segmentation"), label)
    box = entry.get("bbox") or box_of(polygons, keypoints)
    if len(box) != 4 or not np.isfinite(box).all():
        raise ValueError(f"{label}.bbox: expected x, y, width, height, got {box}")
    x, y, width, height = map(float, box)
    if not polygons and rle is None and width > 0 and height > 0:
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
        polygons = (np.array(corners, np.float32),)
    area = float(entry.get("area", width * height))
    return Person(
        int(entry.get("id", 0)), keypoints, (x, y, width, height), area, bool(entry.get("iscrowd")), polygons, rle
    )


def _keypoints(values: Any, count: int, label: str) -> NDArray[np.float32]:
    if len(values) not in (0, 3 * count):
        raise ValueError(f"{label}.keypoints: expected {count} x (x, y, visibility), got {len(values)} numbers")
    keypoints = np.zeros((count, 3), np.float32)
    if len(values):
        keypoints[:] = np.reshape(np.asarray(values, np.float32), (count, 3))
    if not np.isfinite(keypoints).all() or not np.isin(keypoints[:, 2], (0, 1, 2)).all():
        raise ValueError(f"{label}.keypoints: expected finite positions and visibilities 0, 1, 2, got {values}")
    return keypoints


def _outline(segmentation: Any, label: str) -> tuple[tuple[NDArray[np.float32], ...], dict[str, Any] | None]:
    if isinstance(segmentation, dict):
        if "counts" not in segmentation or len(segmentation.get("size", ())) != 2:
            raise ValueError(f"{label}.segmentation: expected counts and size [height, width], got {segmentation!r}")
        return (), segmentation
    polygons = (np.asarray(polygon, np.float32) for polygon in segmentation or ())
    # fewer than three corners enclose nothing; COCO has a few such
    return tuple(p[: p.size // 2 * 2].reshape(-1, 2) for p in polygons if p.ndim == 1 and p.size >= 6), None


def box_of(
    polygons: tuple[NDArray[np.float32], ...], keypoints: NDArray[np.float32]
) -> tuple[float, float, float, float]:
    """The box around what is known of the person; empty where nothing is."""
    labelled = keypoints[keypoints[:, 2] > 0, :2]
    points = np.concatenate([*polygons, labelled + 0.5])
    if not len(points):
        return (0.0, 0.0, 0.0, 0.0)
    low, high = points.min(0), points.max(0)
    return (float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1]))
