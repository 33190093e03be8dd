"""COCO evaluation: perfect poses, poses shifted by a known distance, and invalid files."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.shared_data import shared

import simplepose as sp
from simplepose.data.annotations import Annotations, annotations_from, read_annotations
from simplepose.evaluation import coco

SIGMAS = np.array(sp.COCO.sigmas)


def one_person(area: float = 10_000.0, shift: float = 0.0, **changes: object) -> tuple[Annotations, list[dict]]:
    """A person with 17 labeled keypoints, and a result with the same person ``shift`` pixels to the right.

    ``changes`` replace lists of the annotation file.
    """
    xy = np.stack([np.arange(17) * 5.0 + 20, np.arange(17) * 7.0 + 10], 1)
    keypoints = np.concatenate([xy, np.full((17, 1), 2.0)], 1)
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": area, "num_keypoints": 17}
    person |= {"bbox": [15, 5, 100, 130], "keypoints": keypoints.ravel().tolist()}
    data = {"images": [{"id": 1, "width": 200, "height": 200, "file_name": "1.jpg"}], "annotations": [person]}
    data["categories"] = [{"id": 1, "name": "person", "keypoints": list(sp.COCO.dataset_keypoints)}]
    moved = sp.COCO.from_dataset(keypoints + np.array([shift, 0, 0]))[None]
    moved[..., 2] = 1
    poses = sp.Poses(moved, np.ones(1, np.float32))
    return annotations_from({**data, **changes}, "memory"), poses.to_coco(1)


def entry(**fields: object) -> dict:
    """The annotation of `one_person`, with other fields."""
    xy = np.stack([np.arange(17) * 5.0 + 20, np.arange(17) * 7.0 + 10], 1)
    keypoints = np.concatenate([xy, np.full((17, 1), 2.0)], 1).ravel().tolist()
    return {"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints, **fields}


def test_perfect_poses_have_ap_1():
    annotations, results = one_person()
    assert coco.evaluate_keypoints(annotations, results)["AP"] == pytest.approx(1.0)


def test_shifted_poses_have_the_ap_of_their_oks():
    shift, area = 6.0, 10_000.0
    oks = np.exp(-(shift**2) / (2 * area * (2 * SIGMAS) ** 2)).mean()  # COCO's OKS, all keypoints labeled
    thresholds = np.arange(0.5, 1.0, 0.05)
    assert 0.5 < oks < 0.95
    annotations, results = one_person(area, shift)
    assert coco.evaluate_keypoints(annotations, results)["AP"] == pytest.approx((oks >= thresholds).mean())


def test_annotations_with_keypoints_alone_can_be_evaluated():
    """The other fields that pycocotools needs are computed; other categories may have other keypoints."""
    person = {"id": 1, "name": "person", "keypoints": list(sp.COCO.dataset_keypoints)}
    hand = {"id": 8, "image_id": 1, "category_id": 2, "keypoints": [1, 1, 2] * 21}
    categories = [person, {"id": 2, "name": "hand", "keypoints": ["point"] * 21}]
    bare = {"id": 0, "image_id": 1, "keypoints": entry()["keypoints"]}
    found, results = one_person(annotations=[bare, {"image_id": 1}, hand], categories=categories)
    assert len(found.images[1].people) == 2
    assert coco.evaluate_keypoints(found, results)["AP"] == pytest.approx(1.0)


def test_pycocotools_gets_a_complete_data_set():
    """The data set has every field that pycocotools reads, also if the file lacks it, and of the expected type."""
    crowd = {"image_id": 1, "iscrowd": 1, "segmentation": {"size": [200, 200], "counts": [0, 400, 39600]}}
    found, results = one_person(annotations=[entry(id=0, area=None), {"image_id": "1"}, crowd])
    people = coco._dataset(found)["annotations"]
    kinds = {"id": int, "image_id": int, "category_id": int, "keypoints": list, "num_keypoints": int, "bbox": list}
    for number, person in enumerate(people, 1):
        assert {name: type(value) for name, value in person.items()} == {**kinds, "area": float, "iscrowd": int}
        assert person["id"] == number, "pycocotools counts a person with id 0 as missed"
        assert len(person["keypoints"]) == 51
        assert len(person["bbox"]) == 4
    assert [p["iscrowd"] for p in people] == [0, 0, 1]
    assert people[2]["area"] == 400
    assert people[2]["bbox"] == [0, 0, 2, 200]
    assert coco.evaluate_keypoints(found, results)["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("fields", "area"),
    [
        ({"area": 0, "bbox": [15, 5, 100, 130]}, 13_000.0),
        ({"bbox": [15, 5, 100, 130], "segmentation": [[0, 0, 100, 0, 100, 90]]}, 4500.0),
        ({"area": 900, "bbox": [15, 5, 100, 130]}, 900.0),
        ({"area": None}, 80 * 112.0),  # the box around the keypoints
    ],
)
def test_the_oks_uses_the_computed_area(fields, area):
    annotations, _ = one_person(annotations=[entry(**fields)])
    found = []
    for factor in np.linspace(0.2, 2.0, 10):  # the AP falls from 1 to 0
        distance = factor * 2 * np.sqrt(area) * SIGMAS.mean()
        oks = np.exp(-(distance**2) / (2 * area * (2 * SIGMAS) ** 2)).mean()
        moved = sp.COCO.from_dataset(np.reshape(entry()["keypoints"], (17, 3)) + np.array([distance, 0, 0]))[None]
        moved[..., 2] = 1
        results = sp.Poses(moved, np.ones(1, np.float32)).to_coco(1)
        found.append(coco.evaluate_keypoints(annotations, results)["AP"])
        assert found[-1] == pytest.approx((oks >= np.arange(0.5, 1.0, 0.05)).mean())
    assert len({round(value, 3) for value in found}) > 5


def test_annotations_without_people_to_evaluate_are_refused():
    crowd = entry(iscrowd=1, bbox=[0, 0, 50, 50])
    annotations, _ = one_person(annotations=[crowd, {"image_id": 1}, entry(id=3, category_id=5)])
    with pytest.raises(
        ValueError, match=r"memory: no person to evaluate: .* in 1 images, got 0; 1 people without"
    ) as error:
        coco.check_people(annotations, [1])
    assert "1 annotation: category_id of a category that is not listed, left out" in str(error.value)
    with pytest.raises(ValueError, match="memory: images: expected an image with the id 4, got none"):
        coco.check_people(annotations, [4])
    coco.check_people(one_person()[0], [1])


def test_images_without_results_lower_the_ap():
    annotations, _ = one_person()
    assert coco.evaluate_keypoints(annotations, [])["AP"] == 0.0


@pytest.mark.parametrize("name", ["photos/person_keypoints.json", "person_keypoints_val2017_a.json"])
def test_annotated_poses_of_real_people_have_ap_1(name):
    annotations = read_annotations(shared(f"data/{name}"))
    results = []
    for image_id in annotations.images:
        keypoints = annotations.keypoints(image_id)
        keypoints[..., 2] = keypoints[..., 2] > 0
        scores = np.ones(len(keypoints), np.float32)
        results += sp.Poses(keypoints, scores).to_coco(image_id)
    assert coco.evaluate_keypoints(annotations, results)["AP"] == pytest.approx(1.0)


def test_other_skeletons_are_evaluated_with_their_sigmas():
    hand = sp.load_skeleton("hand21")
    assert len(hand.sigmas) == 21
    keypoints = np.concatenate([np.random.default_rng(0).uniform(10, 90, (21, 2)), np.full((21, 1), 2.0)], 1)
    person = {"id": 1, "image_id": 1, "category_id": 5, "iscrowd": 0, "area": 6400.0, "num_keypoints": 21}
    person |= {"bbox": [10, 10, 80, 80], "keypoints": keypoints.ravel().tolist()}
    data = {"images": [{"id": 1, "width": 100, "height": 100}], "annotations": [person]}
    data["categories"] = [{"id": 5, "name": "hand", "keypoints": list(hand.dataset_keypoints)}]
    annotations = annotations_from(data, "memory", hand)
    found = hand.from_dataset(keypoints)[None]
    results = sp.Poses(found, np.ones(1, np.float32), hand).to_coco(1, annotations.category)
    assert coco.evaluate_keypoints(annotations, results)["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a JSON file"),
        ("[]", "expected an object with the lists"),
        ('{"images": [], "annotations": []}', "it has no list 'categories'"),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1}]}', r"images\[0\].id: expected an integer"),
        (
            '{"images": [{"id": 1}], "annotations": [{"id": 3, "image_id": 1, "keypoints": [1, 2, 2]}], '
            '"categories": [{"id": 1, "name": "person"}]}',
            "annotation 3.keypoints: expected 17 x .* got 3 numbers",
        ),
    ],
)
def test_the_error_of_an_invalid_file_begins_with_its_path(tmp_path, text, message):
    path = tmp_path / "invalid.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_annotations(path)
    assert str(error.value).startswith(f"{path}: ")


def test_two_person_categories_are_refused():
    categories = [{"id": i, "name": "person", "keypoints": list(sp.COCO.dataset_keypoints)} for i in (1, 2)]
    with pytest.raises(ValueError, match=r"only one with keypoints, got \['person', 'person'\]"):
        one_person(categories=categories)
    found, _ = one_person(categories=[categories[0], {"id": 2, "name": "person"}])
    assert found.category == 1, "only one of them has keypoints"


def test_people_stay_in_file_order_and_crowds_are_not_evaluated():
    crowd = {"id": 2, "image_id": 1, "iscrowd": 1, "keypoints": [1.0, 1.0, 2] * 17}
    loaded, results = one_person(annotations=[crowd, entry(area=10_000)])
    assert [p.id for p in loaded.images[1].people] == [2, 1]
    assert loaded.keypoints(1).shape == (1, 18, 3)  # without the crowd
    assert loaded.with_keypoints() == [1]
    assert coco.evaluate_keypoints(loaded, results)["AP"] == pytest.approx(1.0)


def crowded(indices: list[float | None], shifts: list[float]) -> tuple[Annotations, list[dict]]:
    """One CrowdPose person per image with the crowd index, and results that are shifted by some pixels."""
    skeleton = sp.load_skeleton("crowdpose14")
    xy = np.random.default_rng(0).uniform(20, 120, (14, 2))
    people, images, results = [], [], []
    for i, (index, shift) in enumerate(zip(indices, shifts, strict=True), 1):
        keypoints = np.concatenate([xy, np.full((14, 1), 2.0)], 1).ravel().tolist()
        people.append({"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "bbox": [20, 20, 100, 100]})
        people[-1] |= {"keypoints": keypoints, "num_keypoints": 14}
        images.append({"id": i, "height": 200, "width": 200, **({} if index is None else {"crowdIndex": index})})
        moved = np.concatenate([xy + np.array([shift, 0]), np.ones((14, 1))], 1).ravel().tolist()
        results.append({"image_id": i, "category_id": 1, "keypoints": moved, "score": 1.0})
    categories = [{"id": 1, "name": "person", "keypoints": list(skeleton.dataset_keypoints)}]
    return annotations_from(
        {"images": images, "annotations": people, "categories": categories}, "c.json", skeleton
    ), results


def test_crowdpose_has_an_ap_for_every_level_of_crowding():
    annotations, results = crowded([0.0, 0.19, 0.2, 0.79, 0.8, 1.0, None], [0, 0, 0, 500, 500, 500, 0])
    assert any("1 image: crowdIndex missing" in line for line in annotations.warnings)
    metrics = coco.evaluate_keypoints(annotations, results)
    assert list(metrics) == [*coco.METRICS, "AP_easy", "AP_medium", "AP_hard"]
    assert metrics["AP_easy"] == pytest.approx(1.0)
    assert metrics["AP_medium"] == pytest.approx(51 / 101)  # one of two people, after a false one of the same score
    assert metrics["AP_hard"] == 0.0
    alone = coco.evaluate_keypoints(annotations, results, [1, 2])
    assert (alone["AP_easy"], alone["AP_medium"], alone["AP_hard"]) == (pytest.approx(1.0), -1.0, -1.0)
    table = coco.metrics_table(metrics).splitlines()
    assert len(table[0]) == len(table[1])
    assert "AP_easy" not in coco.evaluate_keypoints(*one_person())


NAN, INFINITY = float("nan"), float("inf")
BAD_RESULTS = {
    "nan": ({"keypoints": [NAN] * 51}, r"results\[0\].keypoints: expected 51 finite numbers"),
    "infinity": ({"keypoints": [1.0] * 50 + [INFINITY]}, r"results\[0\].keypoints"),
    "huge": ({"keypoints": [1.0] * 50 + [10**400]}, r"results\[0\].keypoints"),
    "text": ({"keypoints": ["1.0"] * 51}, r"results\[0\].keypoints"),
    "short": ({"keypoints": [1.0] * 50}, r"results\[0\].keypoints: expected 51 finite numbers, got a list of 50"),
    "none": ({"keypoints": None}, r"results\[0\].keypoints"),
    "nested": ({"keypoints": [[1.0, 1.0, 1.0]] * 51}, r"results\[0\].keypoints"),
    "score nan": ({"score": NAN}, r"results\[0\].score: expected a finite number, got nan"),
    "score text": ({"score": "1"}, r"results\[0\].score"),
    "score none": ({"score": None}, r"results\[0\].score"),
    "unknown image": ({"image_id": 7}, r"results\[0\].image_id: expected the id of an annotated image, got 7"),
    "image as text": ({"image_id": "1"}, r"results\[0\].image_id"),
    "another category": ({"category_id": 2}, r"results\[0\].category_id: expected 1, the category of the annotations"),
    "no category": ({"category_id": None}, r"results\[0\].category_id"),
}


@pytest.mark.parametrize("kind", BAD_RESULTS)
def test_results_that_pycocotools_would_count_wrongly_are_refused(kind):
    """pycocotools matches a person whose OKS is NaN: 5000 pixels away, its AP is 1."""
    changes, message = BAD_RESULTS[kind]
    annotations, results = one_person()
    with pytest.raises(ValueError, match=message):
        coco.evaluate_keypoints(annotations, [{**results[0], **changes}])


@pytest.mark.parametrize("results", [None, "results.json", 3, [None], [[1]], {"image_id": 1}])
def test_results_of_another_type_are_refused(results):
    with pytest.raises(TypeError, match=r"results.*: expected a"):
        coco.evaluate_keypoints(one_person()[0], results)
