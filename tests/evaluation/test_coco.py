"""COCO files and the evaluation: perfect poses, poses moved by a known distance, and broken files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.shared_data import shared

import simplepose as sp
from simplepose.evaluation import coco

SIGMAS = np.array(sp.COCO.sigmas)


def one_person(area: float = 10_000.0, shift: float = 0.0) -> tuple[coco.Annotations, list[dict]]:
    """A person with 17 labelled keypoints, and the same person found ``shift`` pixels to the right."""
    xy = np.stack([np.arange(17) * 5.0 + 20, np.arange(17) * 7.0 + 10], 1)
    keypoints = np.concatenate([xy, np.full((17, 1), 2.0)], 1)
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": area, "num_keypoints": 17}
    person |= {"bbox": [15, 5, 100, 130], "keypoints": keypoints.ravel().tolist()}
    data = {"images": [{"id": 1, "width": 200, "height": 200, "file_name": "1.jpg"}], "annotations": [person]}
    data["categories"] = [{"id": 1, "name": "person", "keypoints": list(sp.COCO.dataset_keypoints)}]
    moved = sp.COCO.from_dataset(keypoints + np.array([shift, 0, 0]))[None]
    moved[..., 2] = 1
    poses = sp.Poses(moved, np.ones(1, np.float32))
    return coco.annotations_from(data, "memory"), poses.to_coco(1)


def test_perfect_poses_have_ap_1():
    annotations, results = one_person()
    assert coco.evaluate_keypoints(annotations, results)["AP"] == pytest.approx(1.0)


def test_shifted_poses_have_the_ap_of_their_oks():
    shift, area = 6.0, 10_000.0
    oks = np.exp(-(shift**2) / (2 * area * (2 * SIGMAS) ** 2)).mean()  # COCO's OKS, all keypoints labelled
    thresholds = np.arange(0.5, 1.0, 0.05)
    assert 0.5 < oks < 0.95
    annotations, results = one_person(area, shift)
    assert coco.evaluate_keypoints(annotations, results)["AP"] == pytest.approx((oks >= thresholds).mean())


def test_annotations_need_no_more_than_keypoints():
    """What else pycocotools wants is filled in; other categories may have keypoints of their own."""
    annotations, results = one_person()
    data = annotations.data
    bare = [{"id": 0, "image_id": 1, "keypoints": data["annotations"][0]["keypoints"]}, {"image_id": 1}]
    hand = {"image_id": 1, "category_id": 2, "keypoints": [1, 1, 2] * 21}
    categories = [*data["categories"], {"id": 2, "name": "hand", "keypoints": ["point"] * 21}]
    found = coco.annotations_from({**data, "annotations": [*bare, hand], "categories": categories}, "memory")
    assert len(found.people[1]) == 2
    assert coco.evaluate_keypoints(found, results)["AP"] == pytest.approx(1.0)
    assert "id" not in found.data["annotations"][1], "the file's content has changed"


def test_images_without_results_count():
    annotations, _ = one_person()
    assert coco.evaluate_keypoints(annotations, [])["AP"] == 0.0


@pytest.mark.parametrize("name", ["photos/person_keypoints.json", "person_keypoints_val2017_a.json"])
def test_annotated_poses_of_real_people_are_perfect(name):
    annotations = coco.load_annotations(shared(f"data/{name}"))
    results = []
    for image_id in annotations.images:
        keypoints = annotations.keypoints(image_id)
        keypoints[..., 2] = keypoints[..., 2] > 0
        scores = np.ones(len(keypoints), np.float32)
        results += sp.Poses(keypoints, scores).to_coco(image_id)
    assert coco.evaluate_keypoints(annotations, results)["AP"] == pytest.approx(1.0)


def test_other_skeletons_use_their_own_sigmas():
    hand = sp.load_skeleton("hand21")
    assert len(hand.sigmas) == 21
    keypoints = np.concatenate([np.random.default_rng(0).uniform(10, 90, (21, 2)), np.full((21, 1), 2.0)], 1)
    person = {"id": 1, "image_id": 1, "category_id": 5, "iscrowd": 0, "area": 6400.0, "num_keypoints": 21}
    person |= {"bbox": [10, 10, 80, 80], "keypoints": keypoints.ravel().tolist()}
    data = {"images": [{"id": 1, "width": 100, "height": 100}], "annotations": [person]}
    data["categories"] = [{"id": 5, "name": "hand", "keypoints": list(hand.dataset_keypoints)}]
    annotations = coco.annotations_from(data, "memory", hand)
    found = hand.from_dataset(keypoints)[None]
    results = sp.Poses(found, np.ones(1, np.float32), hand).to_coco(1, coco.person_category(annotations))
    assert coco.evaluate_keypoints(annotations, results, skeleton=hand)["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "expected an object with the lists"),
        ('{"images": [{}], "annotations": []}', "not a COCO annotation file"),
        ('{"images": [], "annotations": [{"id": 3, "image_id": 1, "keypoints": [1, 2, 2]}]}', "annotation 3 has 3"),
    ],
)
def test_a_broken_file_is_named(tmp_path, text, message):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        coco.load_annotations(path)
    assert str(path) in str(error.value)


def test_two_person_categories_are_refused():
    annotations, results = one_person()
    annotations.data["categories"].append({"id": 2, "name": "person"})
    with pytest.raises(ValueError, match=r"one alone with keypoints, got \['person', 'person'\]"):
        coco.evaluate_keypoints(annotations, results)


def test_the_file_order_and_crowds_are_kept(tmp_path):
    annotations, _ = one_person()
    crowd = {"id": 2, "image_id": 1, "iscrowd": 1, "keypoints": [1.0, 1.0, 2] * 17}
    data = annotations.data | {"annotations": [*annotations.data["annotations"], crowd]}
    path = tmp_path / "people.json"
    path.write_text(json.dumps(data))
    loaded = coco.load_annotations(path)
    assert loaded.keypoints(1).shape == (1, 18, 3)  # a crowd is nobody
    assert loaded.with_keypoints() == [1]
