"""Poses: boxes, indexing, the COCO export, and the JSON form and its errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

import simplepose as sp
from simplepose.poses import FORMAT, FORMAT_VERSION, Poses

NAN = float("nan")
NOSE, NECK, RIGHT_SHOULDER, LEFT_EAR = (
    sp.COCO.keypoints.index(k) for k in ("nose", "neck", "right_shoulder", "left_ear")
)


@pytest.fixture
def poses() -> Poses:
    """Three people: one with nose, shoulder and ear, one with only a neck, and one with nose and neck."""
    keypoints = np.full((3, 18, 3), NAN, np.float32)
    keypoints[..., 2] = 0
    keypoints[0, NOSE] = (10.25, 20.5, 0.5)
    keypoints[0, RIGHT_SHOULDER] = (2, 60, 0.75)
    keypoints[0, LEFT_EAR] = (14.1234, 18, 1 / 3)
    keypoints[1, NECK] = (100, 7, 0.9)
    keypoints[2, NOSE] = (-1.5, 0, 0.25)
    keypoints[2, NECK] = (3, 4, 0.25)
    return Poses(keypoints, np.float32([1.58, 0.9, 0.5]), sp.COCO, truncated=True)


def test_boxes_enclose_the_detected_keypoints(poses):
    boxes = poses.boxes
    assert boxes.dtype == np.float32
    np.testing.assert_allclose(boxes, [[2, 18, 14.1234, 60], [100, 7, 100, 7], [-1.5, 0, 3, 4]], rtol=1e-6)


def test_indexing_returns_poses(poses):
    assert len(poses) == 3
    for index in (1, -2, np.int64(1)):
        np.testing.assert_array_equal(poses[index].scores, np.float32([0.9]))
    assert len(poses[-1]) == 1
    assert poses[-1].scores[0] == np.float32(0.5)
    for selected in (poses[1:], poses[np.array([False, True, True])], poses[np.array([1, 2])]):
        np.testing.assert_array_equal(selected.keypoints, poses.keypoints[1:])
        assert selected.truncated
        assert selected.skeleton is sp.COCO
    assert [float(pose.scores[0]) for pose in poses] == poses.scores.tolist()
    assert len(poses[3:]) == 0
    for index in (3, -4):
        with pytest.raises(IndexError, match=f"pose {index} of 3"):
            poses[index]


def test_visible_and_at_least_count_keypoints(poses):
    assert poses.visible.sum(1).tolist() == [3, 1, 2]
    assert poses.at_least(2).scores.tolist() == poses.scores[[0, 2]].tolist()
    assert poses.at_least(score=0.6).scores.tolist() == poses.scores[[0, 1]].tolist()
    assert len(poses.at_least(3, 2.0)) == 0


def test_repr_states_people_skeleton_and_truncation(poses):
    assert repr(poses) == "Poses(3 people, skeleton 'coco', truncated)"
    assert repr(Poses.empty()) == "Poses(0 people, skeleton 'coco')"


def test_coco_results_are_in_dataset_order_without_people_with_only_a_neck(poses):
    results = poses.to_coco(image_id=42)
    assert [r["score"] for r in results] == poses.scores[[0, 2]].tolist()
    first, second = results
    assert set(first) == {"image_id", "category_id", "keypoints", "score"}
    assert (first["image_id"], first["category_id"]) == (42, 1)
    expected = np.zeros((17, 3))
    expected[sp.COCO.dataset_keypoints.index("nose")] = (10.25, 20.5, 0.5)
    expected[sp.COCO.dataset_keypoints.index("right_shoulder")] = (2, 60, 0.75)
    expected[sp.COCO.dataset_keypoints.index("left_ear")] = (14.123, 18, 0.333)
    assert first["keypoints"] == expected.ravel().tolist()
    assert second["keypoints"][:3] == [-1.5, 0, 0.25]
    assert not any(second["keypoints"][3:])
    assert json.loads(json.dumps(results)) == results
    assert poses.to_coco(1, category_id=7)[0]["category_id"] == 7


def test_coco_results_are_read_by_pycocotools(poses, capsys):
    from pycocotools.coco import COCO

    ground_truth = COCO()
    ground_truth.dataset = {"images": [{"id": 42}], "annotations": [], "categories": [{"id": 1}]}
    ground_truth.createIndex()
    loaded = ground_truth.loadRes(poses.to_coco(42))
    assert len(loaded.getAnnIds(imgIds=[42])) == 2
    capsys.readouterr()


def test_json_reads_back_without_loss(poses):
    data = poses.to_dict()
    assert (data["format"], data["version"]) == (FORMAT, FORMAT_VERSION) == ("simplepose.poses", 1)
    assert data["people"][1]["keypoints"][NOSE] is None
    again = Poses.from_dict(json.loads(json.dumps(data, allow_nan=False)))
    np.testing.assert_array_equal(again.keypoints, poses.keypoints)
    np.testing.assert_array_equal(again.scores, poses.scores)
    assert again.keypoints.dtype == again.scores.dtype == np.float32
    assert again.truncated
    assert again.skeleton == sp.COCO


def test_from_dict_accepts_a_user_defined_skeleton():
    arm = sp.Skeleton("arm", ("elbow", "hand"), (("elbow", "hand"),))
    poses = Poses(np.float32([[[1, 2, 0.5], [NAN, NAN, 0]]]), np.float32([0.5]), arm)
    again = Poses.from_dict(poses.to_dict(), arm)
    np.testing.assert_array_equal(again.keypoints, poses.keypoints)
    assert again.skeleton is arm
    with pytest.raises(ValueError, match="no skeleton of that name"):
        Poses.from_dict(poses.to_dict())
    with pytest.raises(ValueError, match="keypoint_names are not those of skeleton 'coco'"):
        Poses.from_dict(poses.to_dict(), sp.COCO)


INVALID = {
    "no dictionary": (lambda d: [], "expected a dictionary with format 'simplepose.poses'"),
    "other format": (lambda d: {**d, "format": "coco"}, "expected a dictionary with format"),
    "later version": (lambda d: {**d, "version": 2}, "expected version 1, got 2"),
    "no version": (lambda d: {k: d[k] for k in d if k != "version"}, "expected version 1, got None"),
    "other names": (lambda d: {**d, "keypoint_names": ["a"]}, "keypoint_names are not those of skeleton 'coco'"),
    "people is a number": (lambda d: {**d, "people": 3}, "people are not"),
    "people is none": (lambda d: {**d, "people": None}, "people are not"),
    "person is a string": (lambda d: {**d, "people": ["a"]}, "people are not"),
    "no score": (lambda d: {**d, "people": [{"keypoints": [None] * 18}]}, "people are not"),
    "few keypoints": (
        lambda d: {**d, "people": [{"score": 1, "keypoints": [None] * 17}]},
        "expected a score and 18 keypoi",
    ),
    "eighteen of 17": (
        lambda d: {**d, "people": [{"score": 1, "keypoints": [None] * 17}] * 18},
        "expected a score and 18",
    ),
    "flat": (lambda d: {**d, "people": [{"score": 1, "keypoints": [0.0] * 54}]}, "expected a score and 18 keypoi"),
    "two numbers": (lambda d: {**d, "people": [{"score": 1, "keypoints": [[1, 2]] * 18}]}, "expected a score and 18"),
    "letters": (lambda d: {**d, "people": [{"score": 1, "keypoints": [["a", 2, 3]] * 18}]}, "people are not"),
    "score of letters": (lambda d: {**d, "people": [{"score": "a", "keypoints": [None] * 18}]}, "people are not"),
}


@pytest.mark.parametrize(("change", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_dictionaries_are_rejected(change, message, poses):
    with pytest.raises(ValueError, match=message):
        Poses.from_dict(change(poses.to_dict()))


def test_empty_poses_have_empty_arrays_and_read_back():
    empty = Poses.empty()
    assert len(empty) == 0
    assert empty.keypoints.shape == (0, 18, 3)
    assert empty.boxes.shape == (0, 4)
    assert empty.boxes.dtype == np.float32
    assert empty.visible.shape == (0, 18)
    assert empty.to_coco(1) == []
    assert list(empty) == []
    assert len(empty.at_least(3)) == len(empty[:2]) == 0
    again = Poses.from_dict(json.loads(json.dumps(empty.to_dict())))
    assert again.keypoints.shape == (0, 18, 3)
    assert not again.truncated
    with pytest.raises(IndexError):
        empty[0]


def test_identities_are_kept_and_written():
    poses = Poses(np.ones((3, 18, 3), np.float32), np.ones(3, np.float32), track_ids=np.array([4, -1, 2], np.int64))
    assert poses[np.array([2, 0])].track_ids.tolist() == [2, 4]
    assert poses[1].track_ids.tolist() == [-1]
    assert [r["track_id"] for r in poses.to_coco(1)] == [4, None, 2]
    data = poses.to_dict()
    assert [p["track_id"] for p in data["people"]] == [4, None, 2]
    assert Poses.from_dict(data).track_ids.tolist() == [4, -1, 2]
    plain = Poses(poses.keypoints, poses.scores)
    assert plain.track_ids is None
    assert "track_id" not in plain.to_coco(1)[0]
    assert "track_id" not in plain.to_dict()["people"][0]
    assert plain.with_tracks(np.array([1, 2, 3], np.int64)).track_ids.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, 2], "track_ids: expected an int64 array"),
        (np.array([1.0, 2.0]), "track_ids: expected an int64 array"),
        (np.array([1, 2, 3], np.int64), "track_ids: expected one for each of 2 people"),
    ],
)
def test_invalid_identities_are_refused(ids, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Poses(np.ones((2, 18, 3), np.float32), np.ones(2, np.float32), track_ids=ids)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"track_id": 1}, {}, "1 of 2 people have a track_id"),
        ({"track_id": 0}, {"track_id": 2}, "data: track_id"),
        ({"track_id": "a"}, {"track_id": 2}, "data: track_id"),
    ],
)
def test_invalid_identities_in_json_are_refused(first, second, message):
    data = Poses(np.ones((2, 18, 3), np.float32), np.ones(2, np.float32)).to_dict()
    for person, change in zip(data["people"], (first, second), strict=True):
        person.update(change)
    with pytest.raises(ValueError, match=message):
        Poses.from_dict(data)


def with_covariance() -> Poses:
    """Two people; every third keypoint has no covariance."""
    random = np.random.default_rng(3)
    root = random.normal(size=(2, 18, 2, 2)).astype(np.float32)
    covariance = root @ root.swapaxes(-1, -2)
    covariance[:, ::3] = np.nan
    keypoints = random.uniform(1, 9, (2, 18, 3)).astype(np.float32)
    return Poses(keypoints, np.float32([2, 1]), covariance=covariance)


def test_the_covariance_is_selected_and_comes_back_from_json():
    poses = with_covariance()
    assert np.array_equal(poses[1].covariance, poses.covariance[1:], equal_nan=True)
    data = json.loads(json.dumps(poses.to_dict(), allow_nan=False))
    assert np.array_equal(Poses.from_dict(data).covariance, poses.covariance, equal_nan=True)
    assert "covariance" not in Poses(poses.keypoints, poses.scores).to_dict()["people"][0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (3, "covariance: expected 18 of"),
        ([None] * 17, "covariance: expected 18 of"),
        ([[1, 2]] + [None] * 17, r"covariance: expected \[xx, xy, yy\] or null"),
        ([["a", 0, 1]] + [None] * 17, "covariance: expected a number"),
        ([[1e300, 0, 1]] + [None] * 17, "covariance: expected a finite number"),
    ],
)
def test_an_invalid_covariance_in_json_is_refused(value: object, message: str):
    data = with_covariance().to_dict()
    data["people"][0]["covariance"] = value
    with pytest.raises(ValueError, match=message):
        Poses.from_dict(data)
    del data["people"][0]["covariance"]
    with pytest.raises(ValueError, match="1 of 2 people have a covariance"):
        Poses.from_dict(data)
