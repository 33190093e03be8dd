"""Maps of other networks: with any names, edges, channel orders, strides and arrays, the people drawn are found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.parity import assert_same_poses

import simplepose as sp
from simplepose.adapters.openpose import BODY_25, COCO18
from simplepose.adapters.paf import PafLayout, from_paf, paf_config
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.names import SkeletonError

NAMES = ("left_ear", "nose", "right_ear", "tail")
EDGES = (("nose", "left_ear"), ("nose", "right_ear"), ("nose", "tail"))
MOUSE = sp.Skeleton("mouse", NAMES, EDGES, left_right=(("left_ear", "right_ear"),))
PLACES = np.float32([[[30, 40], [50, 60], [70, 40], [50, 110]], [[130, 60], [110, 40], [130, 20], [60, 20]]])


def maps_of(skeleton, places, stride, size=160):
    """Keypoint maps ``[J, H, W]`` and fields ``[2 L, H, W]`` of people at ``places [P, J, 2]``, in skeleton order."""
    keypoints = np.concatenate([places, np.full((*places.shape[:2], 1), 2, np.float32)], -1)
    config = sp.TargetConfig(encoding="paf", stride=stride, keypoint_sigma=stride * 1.5, paf_width=stride * 1.5)
    maps = sp.render_targets(keypoints, (size, size), skeleton, config)
    channels = map_channels(skeleton, "paf")
    return maps[channels.keypoints], maps[channels.parts]


def assert_people(poses, places, tolerance=0.1):
    """The keypoints of the people, in any order, within ``tolerance`` pixels."""
    assert len(poses) == len(places)
    found = poses.keypoints[..., :2]
    for person in places:
        assert np.abs(found - person).max((1, 2)).min() < tolerance


def last(maps):
    return np.moveaxis(maps, 0, -1)


KEYPOINTS, FIELDS = maps_of(MOUSE, PLACES, 4)
INPUTS = {
    "names": ((KEYPOINTS, FIELDS, EDGES, NAMES), {}),
    "indices": ((KEYPOINTS, FIELDS, [(1, 0), (1, 2), np.array([1, 3])], list(NAMES)), {}),
    "background": ((np.concatenate([KEYPOINTS, KEYPOINTS[:1]]), FIELDS, EDGES, NAMES), {}),
    "batch": ((KEYPOINTS[None], FIELDS[None], EDGES, NAMES), {}),
    "channels last": ((last(KEYPOINTS), last(FIELDS), EDGES, NAMES), {"channels_last": True}),
    "tensors": ((torch.from_numpy(KEYPOINTS), torch.from_numpy(FIELDS), EDGES, NAMES), {}),
    "last tensors": ((*map(torch.from_numpy, map(last, (KEYPOINTS, FIELDS))), EDGES, NAMES), {"channels_last": True}),
    "strides": ((KEYPOINTS, maps_of(MOUSE, PLACES, 8)[1], EDGES, NAMES), {"part_stride": 8}),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_people_are_found_in_maps_of_every_form(kind):
    arguments, options = INPUTS[kind]
    maps = from_paf(*arguments, **options)
    assert maps.skeleton.parts == EDGES
    assert maps.skeleton.left_right == MOUSE.left_right
    (poses,) = maps.decode()
    assert_people(poses, PLACES)
    assert_same_poses(maps.decode(backend="reference")[0], poses)


def test_a_field_that_points_the_other_way_finds_nobody():
    reversed_edges = [edge[::-1] for edge in EDGES]
    (poses,) = from_paf(KEYPOINTS, FIELDS, reversed_edges, NAMES).decode(paf_config(4, join_distance=0.0))
    assert (poses.visible.sum(1) == 1).all()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"keypoint_maps": KEYPOINTS[:3]}, ValueError, "keypoint_maps: expected 4 channels, got 3"),
        ({"pafs": FIELDS[:5]}, ValueError, "pafs: expected 6 channels, got 5"),
        ({"pafs": "maps"}, TypeError, "pafs: expected a NumPy array or torch tensor, got str"),
        ({"keypoint_maps": KEYPOINTS[0]}, ValueError, r"keypoint_maps: expected \[C, H, W\] or \[B, C, H, W\]"),
        ({"edges": [(0, 4)]}, ValueError, "edges: expected names or indices below 4, got 4"),
        ({"edges": [(0, 1, 2)]}, ValueError, "edges: expected pairs of keypoints"),
        ({"edges": [("nose", "paw")]}, SkeletonError, "unknown keypoint 'paw'"),
        ({"edges": EDGES[:1], "pafs": FIELDS[:2]}, SkeletonError, "has no mirrored part"),
        ({"names": [1, 2]}, TypeError, "names: expected strings"),
        ({"stride": 0}, ValueError, "stride: expected"),
        ({"alignment": "middle"}, ValueError, "alignment: expected"),
        ({"channels_last": 1}, TypeError, "channels_last: expected True or False"),
    ],
)
def test_arguments_that_do_not_fit_are_named(changes, error, message):
    arguments = {"keypoint_maps": KEYPOINTS, "pafs": FIELDS, "edges": EDGES, "names": NAMES}
    with pytest.raises(error, match=message):
        from_paf(**{**arguments, **changes})


def test_a_layout_of_wrong_channels_is_refused():
    good = {"skeleton": MOUSE, "keypoint_channels": (0, 1, 2, 3), "field_channels": ((0, 1), (2, 3), (4, 5))}
    for changes, message in (
        ({"keypoint_channels": (0, 1, 2)}, "keypoint_channels: expected 4, one for each, got 3"),
        ({"keypoint_channels": (0, 1, 2, 4)}, "keypoint_channels: expected indices from 0 to 3, got 0 to 4"),
        ({"field_channels": ((0, 1), (2, 3), (4, 6))}, "field_channels: expected indices from 0 to 5"),
    ):
        with pytest.raises(ValueError, match=message):
            PafLayout(**{**good, **changes}, stride=4, part_stride=4)


def test_lengths_of_the_rules_are_pixels():
    default = sp.DecodeConfig()
    for stride in (1, 4, 8):
        config = paf_config(stride)
        assert config.min_join_size * stride == default.min_join_size * 4
        assert config.min_cut_length * stride == default.min_cut_length * 4
    output = np.zeros((57, 4, 4), np.float32)
    assert COCO18.read(output, stride=1).config == paf_config(1)


OPENPOSE = {
    "coco18": (COCO18, 57, {19: ("neck", "right_hip"), 21: ("right_hip", "right_knee"), 55: ("left_eye", "left_ear")}),
    "body25": (
        BODY_25,
        78,
        {26: ("neck", "mid_hip"), 28: ("right_hip", "right_knee"), 76: ("right_ankle", "right_heel")},
    ),
}


@pytest.mark.parametrize("name", OPENPOSE)
def test_the_channels_of_openpose_are_those_of_its_documents(name):
    layout, channels, documented = OPENPOSE[name]
    joints = layout.skeleton.num_keypoints
    assert joints + 1 + 2 * layout.skeleton.num_parts == channels
    first = {x + joints + 1: part for (x, y), part in zip(layout.field_channels, layout.skeleton.parts, strict=True)}
    assert {channel: first[channel] for channel in documented} == documented
    assert sorted(channel for pair in layout.field_channels for channel in pair) == list(range(channels - joints - 1))
    assert layout.skeleton.dataset_keypoints[:17] == sp.COCO.dataset_keypoints


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("name", OPENPOSE)
def test_people_are_found_in_the_output_of_openpose(name, background):
    layout, channels, _ = OPENPOSE[name]
    skeleton = layout.skeleton
    places = np.random.default_rng(5).uniform(16, 300, (1, skeleton.num_keypoints, 2)).astype(np.float32)
    places = np.concatenate([places, places + np.float32([310, 20])])
    keypoints, fields = maps_of(skeleton, places, 8, 640)
    output = np.zeros((channels, *keypoints.shape[1:]), np.float32)
    output[: len(keypoints)] = keypoints
    output[len(keypoints)] = 1 - keypoints.max(0)
    for channel, field in zip(np.ravel(layout.field_channels), fields, strict=True):
        output[len(keypoints) + 1 + channel] = field
    separate = (output[: len(keypoints) + background], output[len(keypoints) + 1 :])
    (poses,) = layout.decode(output if background else np.concatenate(separate))
    assert_people(poses, places)
    assert_same_poses(layout.decode(*separate)[0], poses)
    with pytest.raises(ValueError, match=f"keypoint_maps: expected {channels - 1} or {channels} channels, got 7"):
        layout.decode(output[:7])
