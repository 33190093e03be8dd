"""The official COCO evaluation of keypoints: pycocotools on the records of `simplepose.data.annotations`."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from simplepose.data.annotations import Annotations, Person
from simplepose.skeleton.skeleton import Skeleton

METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
"""The ten keypoint metrics of pycocotools, in its order."""

Result = dict[str, Any]
"""One detected person: image_id, category_id, keypoints [D * 3], score."""


def check_people(annotations: Annotations, image_ids: Iterable[int]) -> None:
    """Check that all images are known and that at least one shows a person with labeled keypoints.

    Raises:
        ValueError: an image is unknown, or there is no person to evaluate.
    """
    ids = list(image_ids)
    unknown = [i for i in ids if i not in annotations.images]
    if unknown:
        raise ValueError(f"{annotations.path}: images: expected an image with the id {unknown[0]}, got none")
    people = [person for i in ids for person in annotations.images[i].people]
    if all(person.ignored for person in people):
        crowds = sum(person.crowd for person in people)
        raise ValueError(
            f"{annotations.path}: no person to evaluate: expected people with labeled keypoints in {len(ids)} images, "
            f"got 0; {len(people) - crowds} people without labeled keypoints, {crowds} crowds{annotations.left_out()}"
        )


def evaluate_keypoints(
    annotations: Annotations,
    results: Sequence[Result],
    image_ids: Iterable[int] | None = None,
    skeleton: Skeleton | None = None,
) -> dict[str, float]:
    """COCO's OKS AP and AR with 20 detections per image, by pycocotools.

    Args:
        annotations: the ground truth.
        results: detected people, as returned by `Poses.to_coco`.
        image_ids: the evaluated images, with or without results; default: all images of the annotations.
        skeleton: defines the OKS sigmas; default: the skeleton of the annotations.

    Returns:
        The values of `METRICS`. As in pycocotools, a metric without annotated people is -1.
    """
    from pycocotools.coco import COCO as Dataset
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised within pycocotools under NumPy 2
        ground_truth = Dataset()
        ground_truth.dataset = _dataset(annotations)
        ground_truth.createIndex()
        found = ground_truth.loadRes(list(results)) if results else Dataset()
        evaluation = COCOeval(ground_truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array((skeleton or annotations.skeleton).sigmas)
        evaluation.params.imgIds = sorted(annotations.images if image_ids is None else image_ids)
        evaluation.params.catIds = [annotations.category]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return dict(zip(METRICS, map(float, evaluation.stats), strict=True))


def _dataset(annotations: Annotations) -> dict[str, Any]:
    """The records as a complete data set for pycocotools.

    People are numbered from 1, because pycocotools counts a person with id 0 as missed. Segmentations are not included:
    the evaluation of keypoints uses the areas only.
    """
    people = [(image_id, person) for image_id, image in annotations.images.items() for person in image.people]
    return {
        "info": {},
        "images": [{"id": i, "height": r.height, "width": r.width} for i, r in annotations.images.items()],
        "annotations": [
            _annotation(number, image_id, annotations.category, person)
            for number, (image_id, person) in enumerate(people, 1)
        ],
        "categories": [{"id": annotations.category, "name": "person"}],
    }


def _annotation(number: int, image_id: int, category: int, person: Person) -> dict[str, Any]:
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category,
        "keypoints": person.keypoints.ravel().tolist(),
        "num_keypoints": person.labeled,
        "bbox": list(person.box),
        "area": person.area,
        "iscrowd": int(person.crowd),
    }


def metrics_table(metrics: dict[str, float]) -> str:
    """The metrics as text: a line of names and a line of values."""
    names = "  ".join(f"{name:>5}" for name in metrics)
    values = "  ".join(f"{value:5.3f}" for value in metrics.values())
    return f"{names}\n{values}"
