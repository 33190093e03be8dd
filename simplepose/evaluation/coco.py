"""The official COCO evaluation of keypoints, by pycocotools, on what `simplepose.data.annotations` read."""

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
"""pycocotools' ten keypoint numbers, in its order."""

Result = dict[str, Any]
"""One detected person: image_id, category_id, keypoints [D * 3], score."""


def check_people(annotations: Annotations, image_ids: Iterable[int]) -> None:
    """ValueError unless all images are known and one shows somebody to evaluate: a person with labeled keypoints."""
    ids = list(image_ids)
    unknown = [i for i in ids if i not in annotations.images]
    if unknown:
        raise ValueError(f"{annotations.path}: images: expected an image with the id {unknown[0]}, got none")
    people = [person for i in ids for person in annotations.images[i].people]
    if all(person.ignored for person in people):
        crowds = sum(person.crowd for person in people)
        raise ValueError(
            f"{annotations.path}: nobody to evaluate: expected people with labeled keypoints in {len(ids)} images, got "
            f"0; {len(people) - crowds} people without labeled keypoints, {crowds} crowds{annotations.left_out()}"
        )


def evaluate_keypoints(
    annotations: Annotations,
    results: Sequence[Result],
    image_ids: Iterable[int] | None = None,
    skeleton: Skeleton | None = None,
) -> dict[str, float]:
    """COCO's OKS AP and AR, 20 detections an image, by pycocotools.

    Args:
        annotations: the ground truth.
        results: detected people, as `Poses.to_coco` gives them.
        image_ids: the images to count, also those without results; default: all of the annotations.
        skeleton: its OKS sigmas are used; default: that of the annotations.

    Returns:
        The numbers of `METRICS`; those without any annotated person are -1, as pycocotools has them.
    """
    from pycocotools.coco import COCO as Dataset
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pycocotools' own, under NumPy 2
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
    """The records as pycocotools takes them, complete.

    People are numbered from 1: to pycocotools a person with the id 0 was not found. Outlines are left out: the
    evaluation of keypoints takes the areas.
    """
    everyone = [(image_id, person) for image_id, image in annotations.images.items() for person in image.people]
    return {
        "info": {},
        "images": [{"id": i, "height": r.height, "width": r.width} for i, r in annotations.images.items()],
        "annotations": [
            _annotation(number, image_id, annotations.category, person)
            for number, (image_id, person) in enumerate(everyone, 1)
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
    """The ten numbers in two lines, for people."""
    names = "  ".join(f"{name:>5}" for name in metrics)
    values = "  ".join(f"{value:5.3f}" for value in metrics.values())
    return f"{names}\n{values}"
