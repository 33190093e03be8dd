"""Values of annotations: areas, crowd indices, run lengths, and random damage; without image files."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import pytest
from helpers.annotation_cases import (
    ODD,
    Data,
    all_people,
    perfect,
    person,
    well_formed,
)
from pycocotools import mask as coco_mask

import simplepose as sp
from simplepose.data.annotations import annotations_from
from simplepose.data.augment import decode_masks, draw_outlines
from simplepose.data.run_lengths import mask_box, run_counts
from simplepose.evaluation.coco import evaluate_keypoints


@pytest.mark.parametrize(
    ("area", "warning"),
    [
        (..., "area missing or not positive, set to 0.53 x the area of the box, CrowdPose's rule"),
        (0, "area missing or not positive, set to 0.53 x the area of the box, CrowdPose's rule"),
        (200, "area not used, set to 0.53 x the area of the box, CrowdPose's rule"),
        (106, ""),
    ],
)
def test_the_area_of_crowdpose_is_a_fraction_of_the_box(area: Any, warning: str) -> None:
    skeleton = sp.load_skeleton("crowdpose14")
    entry = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2] * 14, "bbox": [0, 0, 10, 20]}
    entry |= {"num_keypoints": 14, "iscrowd": 0, "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]}
    entry |= {} if area is ... else {"area": area}
    data = {"images": [{"id": 1, "height": 50, "width": 50, "crowdIndex": 0.3}], "annotations": [entry]}
    data["categories"] = [{"id": 1, "name": "person", "keypoints": list(skeleton.dataset_keypoints)}]
    found = annotations_from(data, "c.json", skeleton)
    assert found.images[1].people[0].area == pytest.approx(0.53 * 200)
    assert found.warnings == ((f"c.json: 1 annotation: {warning}",) if warning else ())


@pytest.mark.parametrize("index", ["0.5", True, -0.1, 1.5, float("nan"), float("inf"), [0.5], 10**400])
def test_a_crowd_index_that_is_none_is_refused(index: Any) -> None:
    names = list(sp.load_skeleton("crowdpose14").dataset_keypoints)
    data: Data = {"images": [{"id": 1, "crowdIndex": index}], "annotations": []}
    data["categories"] = [{"id": 1, "keypoints": names}]
    with pytest.raises(ValueError, match=r"c.json: image 1.crowdIndex: expected"):
        annotations_from(data, "c.json", sp.load_skeleton("crowdpose14"))
    assert annotations_from({**data, "categories": well_formed()["categories"]}, "c.json").images[1].crowd_index is None


@pytest.mark.parametrize("names", [["x" * 5000], ["nose"] * 2000])
def test_the_message_about_other_keypoints_is_bounded(names: list[str]) -> None:
    data = well_formed()
    data["categories"][0]["keypoints"] = names
    with pytest.raises(ValueError, match="categories: expected the keypoints of skeleton 'coco'") as refused:
        annotations_from(data, "a.json")
    assert len(str(refused.value)) < 1000


def test_an_implausible_area_is_kept_and_reported() -> None:
    """Some exports have area 1 for all people. The number is kept, since it may be intended, and reported."""
    data = well_formed()
    all_people(area=1)(data)
    found = annotations_from(data, "a.json")
    assert [p.area for p in found.images[1].people] == [1, 1]
    assert found.warnings == ("a.json: 3 annotations: area outside 0.01 to 1.5 x the area of the box, kept unchanged",)


def test_labeled_keypoints_without_an_area_are_reported() -> None:
    data = well_formed()
    lone = {"id": 9, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2] + [0] * 48, "iscrowd": 0}
    data["annotations"] = [{**lone, "num_keypoints": 1}]
    assert annotations_from(data, "a.json").warnings == (
        "a.json: 1 annotation: labeled keypoints without an area, so no prediction can match them",
    )


def test_box_and_area_of_run_lengths_equal_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.01, 0.3, 0.9, 1.0):
        mask = (rng.random((13, 9)) < density).astype(np.uint8)
        encoded = coco_mask.encode(np.asfortranarray(mask))
        runs = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        assert mask_box(runs) == tuple(coco_mask.toBbox(encoded).tolist())
        assert sum(run_counts(runs)[1::2]) == mask.sum()
        plain = {"size": encoded["size"], "counts": run_counts(runs)}
        assert np.array_equal(decode_masks([plain], (13, 9)), mask)
        entry = {**person(1, 1, 5, 2, 2), "segmentation": runs, "bbox": None, "area": None}
        data = {"images": [{"id": 1, "height": 13, "width": 9}], "annotations": [entry]}
        found = annotations_from({**data, "categories": well_formed()["categories"]}, "r.json").images[1].people[0]
        if mask.any():
            assert found.box == tuple(coco_mask.toBbox(encoded).tolist())
            assert found.area == mask.sum()


def test_the_parsed_content_is_not_modified() -> None:
    data = well_formed()
    before = copy.deepcopy(data)
    annotations_from(data, "a.json")
    assert data == before


def places(value: Any) -> list[tuple[Any, Any]]:
    """All pairs (container, key) within ``value``."""
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    keys += list(range(len(value))) if isinstance(value, list) else []
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files_give_records_or_a_message_of_one_line(seed: int) -> None:
    """Values of wrong types at random places raise only ValueError, and accepted records can be drawn and evaluated."""
    rng = random.Random(seed)
    accepted = 0
    for _ in range(150):
        data = well_formed()
        for _ in range(rng.choice((1, 1, 2))):
            container, key = rng.choice([p for p in places(data) if isinstance(p[0], dict) or rng.random() < 0.1])
            container[key] = copy.deepcopy(rng.choice(ODD))
        try:
            found = annotations_from(data, "f.json")
        except ValueError as error:
            line = str(error)
            assert line.startswith("f.json: ")
            assert "\n" not in line
            assert len(line) < 600
            continue
        accepted += 1
        for image in found.images.values():
            if image.height:
                draw_outlines(image.people, np.array([[0.5, 0, 0], [0, 0.5, 0]]), 64, (image.height, image.width))
        results = [r for i in found.images for r in sp.Poses(*perfect(found, i)).to_coco(i, found.category)]
        evaluate_keypoints(found, results)
    assert accepted > 10
