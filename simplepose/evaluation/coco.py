"""COCO keypoint files: annotations in, results out, and the official evaluation by pycocotools."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.data.annotations import box_of, check_lists, find_category, load_json
from simplepose.skeleton.skeleton import COCO, Skeleton

METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
"""pycocotools' ten keypoint numbers, in its order."""

LISTS = ("images", "annotations")
"""What an annotation file must have to be judged by."""

Result = dict[str, Any]
"""One detected person: image_id, category_id, keypoints [D * 3], score."""


@dataclass(frozen=True)
class Annotations:
    """What a COCO keypoint file says, by image."""

    path: Path
    images: dict[int, dict[str, Any]]  # by id, in file order
    people: dict[int, list[dict[str, Any]]]  # annotations of the judged category by image id
    data: dict[str, Any]  # the whole file

    def keypoints(self, image_id: int, skeleton: Skeleton = COCO) -> NDArray[np.float32]:
        """``[P, J, 3]`` float32 in network order: the people of an image that have labelled keypoints."""
        rows = [a["keypoints"] for a in self.people.get(image_id, ()) if is_labelled(a)]
        return skeleton.from_dataset(np.array(rows, np.float32).reshape(-1, len(skeleton.dataset_keypoints), 3))

    def with_keypoints(self) -> list[int]:
        """The ids of the images that show at least one person with labelled keypoints."""
        return [i for i in self.images if any(is_labelled(a) for a in self.people.get(i, ()))]


def is_labelled(annotation: dict[str, Any]) -> bool:
    """Whether an annotation is of one person with at least one labelled keypoint."""
    return not annotation.get("iscrowd") and any(v > 0 for v in (annotation.get("keypoints") or ())[2::3])


def load_annotations(path: str | Path, skeleton: Skeleton = COCO) -> Annotations:
    """Read a COCO keypoint annotation file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not JSON, lacks a field, or its keypoints are not those of the skeleton; the message
            begins with the path.
    """
    return annotations_from(load_json(path, LISTS), Path(path), skeleton)


def annotations_from(data: Any, path: Path, skeleton: Skeleton = COCO) -> Annotations:
    """The content of an annotation file, checked as `load_annotations` does; ``path`` is for messages."""
    check_lists(data, path, LISTS)
    length = 3 * len(skeleton.dataset_keypoints)
    people: dict[int, list[dict[str, Any]]] = {}
    try:
        category = _category(data)
        images = {image["id"]: image for image in data["images"]}
        for annotation in data["annotations"]:
            if category is not None and annotation.get("category_id", category) != category:
                continue
            if len(annotation.get("keypoints") or ()) not in (0, length):
                raise ValueError(
                    f"{path}: annotation {annotation.get('id')} has {len(annotation['keypoints'])} keypoint values, "
                    f"skeleton {skeleton.name!r} has {length}"
                )
            people.setdefault(annotation["image_id"], []).append(annotation)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: not a COCO annotation file ({error!r})") from None
    return Annotations(path, images, people, data)


def evaluate_keypoints(
    annotations: Annotations,
    results: Sequence[Result],
    image_ids: Iterable[int] | None = None,
    skeleton: Skeleton = COCO,
) -> dict[str, float]:
    """COCO's OKS AP and AR, 20 detections an image, by pycocotools.

    Args:
        annotations: the truth.
        results: detected people, as `Poses.to_coco` gives them.
        image_ids: the images to count, also those without results; default: all of the annotations.
        skeleton: its OKS sigmas are used.

    Returns:
        The numbers of `METRICS`; those without any annotated person are -1, as pycocotools has them.
    """
    from pycocotools.coco import COCO as Dataset
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' own, under NumPy 2
        truth = Dataset()
        truth.dataset = {**annotations.data, "annotations": _complete_annotations(annotations, skeleton)}
        truth.createIndex()
        found = truth.loadRes(list(results)) if results else Dataset()
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array(skeleton.sigmas)
        evaluation.params.imgIds = sorted(annotations.images if image_ids is None else image_ids)
        if annotations.data.get("categories"):
            evaluation.params.catIds = [person_category(annotations)]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, map(float, evaluation.stats), strict=True))


def _category(data: dict[str, Any]) -> int | None:
    """The id of the category that is judged, if the file says which it is."""
    try:
        return int(find_category(data.get("categories") or [])["id"])
    except ValueError:
        return None


def _complete_annotations(annotations: Annotations, skeleton: Skeleton) -> list[dict[str, Any]]:
    """What pycocotools wants of each annotation, also where the file leaves it out.

    They are numbered from 1: to pycocotools a person with the id 0 was not found.
    """
    category = _category(annotations.data)
    complete = []
    for number, entry in enumerate((a for people in annotations.people.values() for a in people), 1):
        values = entry.get("keypoints") or [0] * (3 * len(skeleton.dataset_keypoints))
        box = entry.get("bbox") or list(box_of((), np.array(values, np.float32).reshape(-1, 3)))
        defaults = {
            "category_id": category or 1,
            "num_keypoints": sum(v > 0 for v in values[2::3]),
            "area": box[2] * box[3],
            "iscrowd": 0,
        }
        complete.append({**defaults, **entry, "id": number, "bbox": box, "keypoints": values})
    return complete


def person_category(annotations: Annotations) -> int:
    """The id of the category whose keypoints are judged: "person", or the only one with keypoints.

    Raises:
        ValueError: there is no such category, or more than one.
    """
    try:
        return int(find_category(annotations.data.get("categories", []))["id"])
    except ValueError as error:
        raise ValueError(f"{annotations.path}: {error}") from None


def metrics_table(metrics: dict[str, float]) -> str:
    """The ten numbers in two lines, for people."""
    names = "  ".join(f"{name:>5}" for name in metrics)
    values = "  ".join(f"{value:5.3f}" for value in metrics.values())
    return f"{names}\n{values}"
