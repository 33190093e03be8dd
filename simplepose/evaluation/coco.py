"""The official COCO evaluation of keypoints: pycocotools on the records of `simplepose.data.annotations`."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import brief, show
from simplepose.data.annotations import Annotations, Person
from simplepose.skeleton.skeleton import Skeleton

METRICS = ("AP", "AP50", "AP75", "APM", "APL", "AR", "AR50", "AR75", "ARM", "ARL")
"""The ten keypoint metrics of pycocotools, in its order."""

CROWDING = {"AP_easy": (0.0, 0.2), "AP_medium": (0.2, 0.8), "AP_hard": (0.8, np.inf)}
"""CrowdPose's three levels of crowding: the AP of the images with a crowd index in a range, low <= index < high.

The limits are those of its evaluation tool, crowdposetools."""

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


def check_results(results: Sequence[Result], annotations: Annotations, name: str = "results") -> None:
    """Check the results that pycocotools gets: it counts a person with a coordinate of NaN as matched.

    Args:
        results: detected people, as returned by `Poses.to_coco`.
        annotations: the ground truth.
        name: what the results are called in messages.

    Raises:
        TypeError: the results are not a list of dictionaries.
        ValueError: an image or category is unknown, or a number is not finite; the message names result and field.
    """
    if not isinstance(results, Sequence) or isinstance(results, str | bytes):
        raise TypeError(f"{name}: expected a list of dictionaries, got {show(results)}")
    count = 3 * len(annotations.skeleton.dataset_keypoints)
    for index, result in enumerate(results):
        place = f"{name}[{index}]"
        if not isinstance(result, dict):
            raise TypeError(f"{place}: expected a dictionary, got {show(result)}")
        image, category = result.get("image_id"), result.get("category_id")
        if isinstance(image, bool) or not isinstance(image, int | np.integer) or image not in annotations.images:
            raise ValueError(f"{place}.image_id: expected the id of an annotated image, got {show(image)}")
        if isinstance(category, bool) or category != annotations.category:
            expected = f"{annotations.category}, the category of the annotations"
            raise ValueError(f"{place}.category_id: expected {expected}, got {show(category)}")
        keypoints = result.get("keypoints")
        values = keypoints if isinstance(keypoints, Sequence | np.ndarray) else ()
        if len(values) != count or not _all_finite(values):
            raise ValueError(f"{place}.keypoints: expected {count} finite numbers, got {show(keypoints)}")
        if not _all_finite([result.get("score")]):
            raise ValueError(f"{place}.score: expected a finite number, got {brief(result.get('score'))}")


def _all_finite(values: Sequence[Any] | NDArray[Any]) -> bool:
    try:
        array = np.asarray(values, np.float64)
        return array.ndim == 1 and bool(np.isfinite(array).all()) and not any(isinstance(v, str) for v in values)
    except (TypeError, ValueError, OverflowError):
        return False


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
        The values of `METRICS` and, for images with a crowd index, of `CROWDING`. As in pycocotools, a metric without
        annotated people is -1.

    Raises:
        TypeError, ValueError: as in `check_results`.
    """
    check_results(results, annotations)
    from pycocotools.coco import COCO as Dataset

    ids = list(annotations.images if image_ids is None else image_ids)
    sigmas = np.array((skeleton or annotations.skeleton).sigmas)
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # raised within pycocotools under NumPy 2
        ground_truth = Dataset()
        ground_truth.dataset = _dataset(annotations)
        ground_truth.createIndex()
        found = ground_truth.loadRes(list(results)) if results else Dataset()

        def evaluate(chosen: Sequence[int]) -> list[float]:
            return _evaluate(ground_truth, found, sigmas, annotations.category, chosen)

        metrics = dict(zip(METRICS, evaluate(ids), strict=True))
        for name, chosen in _crowding(annotations, ids).items():
            metrics[name] = evaluate(chosen)[0]
    return metrics


def _evaluate(ground_truth: Any, found: Any, sigmas: NDArray[Any], category: int, ids: Sequence[int]) -> list[float]:
    """The ten metrics of pycocotools on some images."""
    from pycocotools.cocoeval import COCOeval

    evaluation = COCOeval(ground_truth, found, "keypoints")
    evaluation.params.kpt_oks_sigmas = sigmas
    evaluation.params.imgIds = sorted(ids)
    evaluation.params.catIds = [category]
    if not ids:
        return [-1.0] * len(METRICS)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def _crowding(annotations: Annotations, ids: Sequence[int]) -> dict[str, list[int]]:
    """The images of each level of `CROWDING`; empty if no image has a crowd index."""
    indexed = {i: index for i in ids if (index := annotations.images[i].crowd_index) is not None}
    if not indexed:
        return {}
    return {name: [i for i, x in indexed.items() if low <= x < high] for name, (low, high) in CROWDING.items()}


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
    values = {name: f"{value:5.3f}" for name, value in metrics.items()}
    widths = {name: max(5, len(name), len(value)) for name, value in values.items()}
    lines = ("  ".join(f"{row[name]:>{widths[name]}}" for name in widths) for row in ({n: n for n in widths}, values))
    return "\n".join(lines)
