"""Skeletons: the derived tables, the shipped files, and the line numbers of errors in skeleton files."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from helpers.map_cases import wide_skeleton

import simplepose as sp
from simplepose.skeleton.names import SkeletonError
from simplepose.skeleton.skeleton import SHIPPED, Skeleton

KEYPOINTS = [
    *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
    *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
    *("right_eye", "left_eye", "right_ear", "left_ear"),
]
PARTS = [
    *([1, 0], [1, 14], [1, 15], [1, 16], [1, 17], [0, 14], [0, 15], [14, 16], [15, 17], [1, 2], [2, 3], [3, 4]),
    *([1, 5], [5, 6], [6, 7], [1, 8], [8, 9], [9, 10], [1, 11], [11, 12], [12, 13], [0, 2], [0, 5], [2, 8]),
    *([8, 12], [5, 11], [11, 9], [16, 2], [17, 5], [8, 11]),
]
ALL = [sp.COCO, sp.load_skeleton("crowdpose14"), sp.load_skeleton("hand21"), wide_skeleton()]
all_skeletons = pytest.mark.parametrize("skeleton", ALL, ids=lambda s: s.name)


def swap_sides(name: str) -> str:
    side = {"left": "right", "right": "left"}
    return "_".join(side.get(word, word) for word in name.split("_"))


def test_coco_has_the_network_order():
    assert list(sp.COCO.keypoints) == KEYPOINTS
    assert sp.COCO.part_index.tolist() == PARTS
    assert (sp.COCO.num_keypoints, sp.COCO.num_parts, sp.COCO.num_channels) == (18, 30, 50)


def test_coco_sigmas_are_those_of_pycocotools():
    from pycocotools.cocoeval import Params

    np.testing.assert_allclose(sp.COCO.sigmas, Params("keypoints").kpt_oks_sigmas)


def test_coco_mst_is_derived_from_coco():
    skeleton = sp.load_skeleton("coco-mst")
    assert skeleton.name == "coco-mst"
    assert skeleton.parts == sp.COCO.spanning_tree().parts
    assert len(skeleton.parts) == 17


@all_skeletons
def test_flips_are_involutions_that_map_left_to_right(skeleton):
    for flip in (skeleton.keypoint_flip, skeleton.part_flip, skeleton.channel_flip):
        np.testing.assert_array_equal(flip[flip], np.arange(len(flip)))
    for name, mirrored in zip(skeleton.keypoints, skeleton.keypoint_flip, strict=True):
        assert skeleton.keypoints[mirrored] == swap_sides(name)
    for part, mirrored in zip(skeleton.parts, skeleton.part_flip, strict=True):
        assert set(skeleton.parts[mirrored]) == set(map(swap_sides, part))


def test_channel_flip_holds_parts_then_keypoints_then_mask_and_envelope():
    flip = sp.COCO.channel_flip
    assert len(flip) == 50
    np.testing.assert_array_equal(flip[:30], sp.COCO.part_flip)
    np.testing.assert_array_equal(flip[30:48] - 30, sp.COCO.keypoint_flip)
    assert flip[48:].tolist() == [48, 49]
    fixed = {"neck-nose", "right_hip-left_hip"}
    assert {"-".join(sp.COCO.parts[i]) for i in np.nonzero(flip[:30] == np.arange(30))[0]} == fixed


@all_skeletons
def test_dataset_index_selects_the_dataset_keypoints(skeleton):
    assert [skeleton.keypoints[i] for i in skeleton.dataset_index] == list(skeleton.dataset_keypoints)
    assert len(skeleton.sigmas) == len(skeleton.dataset_keypoints)


@all_skeletons
def test_the_spanning_tree_connects_all_keypoints_without_a_cycle(skeleton):
    tree = skeleton.spanning_tree()
    assert tree.keypoints == skeleton.keypoints
    assert tree.num_parts == skeleton.num_keypoints - 1  # a Skeleton is always connected, so there is no cycle
    positions = [skeleton.parts.index(part) for part in tree.parts]
    assert positions == sorted(positions)
    assert skeleton.parts[0] in tree.parts


def test_tables_are_read_only():
    with pytest.raises(ValueError, match="read-only"):
        sp.COCO.part_index[0, 0] = 3


def test_the_neck_is_the_mean_of_labeled_shoulders():
    keypoints = np.zeros((4, 17, 3))
    left, right = sp.COCO.dataset_keypoints.index("left_shoulder"), sp.COCO.dataset_keypoints.index("right_shoulder")
    keypoints[:, left] = (10, 20, 2)
    keypoints[:, right] = [(30, 40, 2), (30, 40, 1), (30, 40, 0), (50, 60, 2)]
    keypoints[3, left] = (7, 7, 0)  # not labeled, with a position
    rows = sp.COCO.from_dataset(keypoints)
    assert rows.dtype == np.float32
    assert rows[:, 1].tolist() == [[20, 30, 2], [20, 30, 1], [0, 0, 0], [0, 0, 0]]
    assert rows[3, 5].tolist() == [0, 0, 0]
    np.testing.assert_array_equal(sp.COCO.from_dataset(keypoints[0]), rows[0])
    with pytest.raises(ValueError, match=r"keypoints: expected \[..., 17, 3\] for skeleton 'coco', got \[4, 18, 3\]"):
        sp.COCO.from_dataset(np.zeros((4, 18, 3)))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda p: p.stem)
def test_shipped_skeletons_load_by_name_and_path(path):
    skeleton = sp.load_skeleton(path.stem)
    assert skeleton == Skeleton.from_toml(path) == sp.load_skeleton(path)
    assert skeleton.name == path.stem
    assert skeleton.num_parts > skeleton.num_keypoints - 1, "no redundant parts"


def test_shipped_skeletons_have_the_keypoints_of_their_data_sets():
    crowdpose, hand = sp.load_skeleton("crowdpose14"), sp.load_skeleton("hand21")
    assert crowdpose.num_keypoints == len(crowdpose.dataset_keypoints) == 14
    assert crowdpose.keypoints[-2:] == ("head", "neck")
    assert (
        crowdpose.sigmas
        == (0.079,) * 2 + (0.072,) * 2 + (0.062,) * 2 + (0.107,) * 2 + (0.087,) * 2 + (0.089,) * 2 + (0.079,) * 2
    )
    assert hand.num_keypoints == 21
    assert hand.keypoint_flip.tolist() == list(range(21))
    with pytest.raises(ValueError, match=r"no skeleton of that name \(known: coco, coco-mst, crowdpose14, hand21\)"):
        sp.load_skeleton("hand22")


@all_skeletons
def test_dictionaries_and_toml_read_back(skeleton, tmp_path):
    assert Skeleton.from_dict(skeleton.to_dict()) == skeleton
    lines = [f"{key} = {value!r}" for key, value in skeleton.to_dict().items() if key != "derived"]
    lines += ["[derived]", *(f"{name} = {list(sources)!r}" for name, sources in skeleton.derived)]
    path = tmp_path / "skeleton.toml"
    path.write_text("\n".join(lines))
    assert Skeleton.from_toml(path) == skeleton
    assert hash(Skeleton.from_toml(path)) == hash(skeleton)


VALID = """\
name = "arm"
keypoints = [
  "neck", "left_hand",
  "right_hand",
]
parts = [
  ["neck", "left_hand"],
  ["neck", "right_hand"],
]
left_right = [["left_hand", "right_hand"]]
dataset_keypoints = ["left_hand", "right_hand"]
sigmas = [0.1, 0.1]
colors = [[0, 0, 0], [1, 2, 3], [255, 255, 255]]
drawn_parts = [["neck", "left_hand"]]
[derived]
neck = ["left_hand", "right_hand"]
"""
INVALID = {  # id: (text to replace, replacement, line of the error, message)
    "unknown in parts": ('["neck", "right_hand"],', '["neck", "foot"],', 8, "parts: unknown keypoint 'foot' in"),
    "repeated keypoint": ('  "right_hand",', '  "right_hand",\n  "neck",', 5, "keypoints: 'neck' is repeated"),
    "empty name": ('  "right_hand",', '  "right_hand", "",', 4, "keypoints: unknown keypoint ''"),
    "self-loop after others": (
        '["neck", "right_hand"],',
        '["neck", "right_hand"], # x\n["neck", "neck"],',
        9,
        "joins a keypoint to itself",
    ),
    "self-loop": ('["neck", "right_hand"],', '["neck", "neck"],', 8, r"parts: \['neck', 'neck'\] joins a keypoint"),
    "repeated": (
        '["neck", "right_hand"],',
        '["neck", "right_hand"],\n  ["right_hand", "neck"],',
        9,
        r"parts: \['right_hand', 'neck'\] is repeated",
    ),
    "triple": ('["neck", "right_hand"],', '["neck", "right_hand", "neck"],', 8, "parts: expected pairs of names"),
    "number in parts": ('["neck", "right_hand"],', '["neck", 7],', 8, "parts: expected strings, got 7"),
    "left without right": (
        'left_right = [["left_hand", "right_hand"]]',
        "",
        3,
        "'left_hand' and 'right_hand' are not paired",
    ),
    "unknown side": ('[["left_hand", "right_hand"]]', '[["left_hand", "foot"]]', 10, "unknown keypoint 'foot' in"),
    "paired with itself": (
        '[["left_hand", "right_hand"]]',
        '[["neck", "neck"]]',
        10,
        "'neck' must be in one pair only",
    ),
    "unmirrored": (
        '["neck", "right_hand"],',
        '["left_hand", "right_hand"],',
        7,
        r"\['neck', 'left_hand'\] has no mirrored part \['neck', 'right_hand'\]",
    ),
    "unconnected": (
        '  ["neck", "left_hand"],\n  ["neck", "right_hand"],\n]',
        '  ["right_hand", "left_hand"],\n]',
        6,
        r"parts: they do not connect \['left_hand', 'right_hand'\] with the other keypoints",
    ),
    "derived of itself": ('neck = ["left_hand", "right_hand"]', 'neck = ["neck"]', 16, "'neck' needs sources that are"),
    "derived unknown": (
        'neck = ["left_hand", "right_hand"]',
        'neck = ["foot"]',
        16,
        "derived: unknown keypoint 'foot'",
    ),
    "derived is not a table": ('[derived]\nneck = ["left_hand", "right_hand"]', "derived = 3", 15, "expected a table"),
    "dataset order lacks a keypoint": (
        'dataset_keypoints = ["left_hand", "right_hand"]',
        'dataset_keypoints = ["left_hand"]',
        11,
        "nor",
    ),
    "too few sigmas": ("sigmas = [0.1, 0.1]", "sigmas = [0.1]", 12, "sigmas: expected 2, got 1"),
    "negative sigma": ("sigmas = [0.1, 0.1]", "sigmas = [0.1, -0.1]", 12, "sigmas: expected positive numbers"),
    "sigma is a string": ("sigmas = [0.1, 0.1]", 'sigmas = [0.1, "a"]', 12, "sigmas: expected numbers, got 'a'"),
    "sigmas are a string": ("sigmas = [0.1, 0.1]", 'sigmas = "a"', 12, "sigmas: expected a list, got 'a'"),
    "too few colors": ("[0, 0, 0], ", "", 13, "colors: expected 3, got 2"),
    "color too bright": ("[1, 2, 3]", "[1, 2, 300]", 13, r"colors: expected \[red, green, blue\] from 0 to 255"),
    "drawn unknown": (
        'drawn_parts = [["neck", "left_hand"]]',
        'drawn_parts = [["neck", "foot"]]',
        14,
        "drawn_parts: un",
    ),
    "unknown field": (
        "sigmas = [0.1, 0.1]",
        "sigma = [0.1, 0.1]",
        12,
        "unknown field 'sigma', known are allow_unconnected, colors, ",
    ),
    "no name": ('name = "arm"', "", 1, "field 'name' is missing"),
    "name is a number": ('name = "arm"', "name = 3", 1, "name: expected a string, got 3"),
}


def test_the_valid_file_loads(tmp_path):
    path = tmp_path / "arm.toml"
    path.write_text(VALID)
    assert Skeleton.from_toml(path).derived == (("neck", ("left_hand", "right_hand")),)


@pytest.mark.parametrize(("old", "new", "line", "message"), INVALID.values(), ids=INVALID.keys())
def test_invalid_files_are_rejected_with_the_line_of_the_error(old, new, line, message, tmp_path):
    assert VALID.count(old) == 1
    path = tmp_path / "arm.toml"
    path.write_text(VALID.replace(old, new))
    with pytest.raises(SkeletonError, match=message) as caught:
        Skeleton.from_toml(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_a_file_that_is_not_toml_is_rejected_with_its_path(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text('name = "a\n')
    with pytest.raises(SkeletonError, match=r"broken.toml: .*line 1"):
        Skeleton.from_toml(path)
    with pytest.raises(FileNotFoundError):
        Skeleton.from_toml(tmp_path / "missing.toml")


def test_too_many_or_no_keypoints_are_rejected():
    names = tuple(f"k{i}" for i in range(257))
    chain = tuple(itertools.pairwise(names))
    assert Skeleton("many", names[:256], chain[:255]).num_keypoints == 256
    with pytest.raises(SkeletonError, match="keypoints: expected 1 to 256, got 257"):
        Skeleton("many", names, chain)
    with pytest.raises(SkeletonError, match="keypoints: expected 1 to 256, got 0"):
        Skeleton("none", (), ())


def test_a_skeleton_may_have_one_keypoint():
    ball = Skeleton("ball", ("center",), ())
    assert ball.num_channels == 3
    assert ball.part_index.shape == (0, 2)
    maps = np.zeros((1, 9, 9), np.float32)
    maps[0, 4, 5] = 0.5
    for backend in ("native", "reference"):
        assert sp.decode(maps, ball, backend=backend)[0].keypoints.tolist() == [[[21.5, 17.5, 0.5]]]


def test_skeletons_compare_by_value_and_are_immutable():
    assert replace(sp.COCO) == sp.COCO
    assert sp.COCO.spanning_tree() != sp.COCO
    with pytest.raises(AttributeError):
        sp.COCO.name = "other"
