"""Skeletons whose parts do not connect all keypoints, and the smallest and largest skeletons, in every backend."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.parity import assert_same_columns, assert_same_poses

import simplepose as sp
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.names import SkeletonError

FOREST = sp.Skeleton(
    "forest",
    ("a", "b", "c", "d", "lone"),
    (("a", "b"), ("c", "d")),
    allow_unconnected=True,
)
WIDEST = sp.Skeleton("widest", tuple(f"k{i}" for i in range(256)), tuple((f"k{i}", f"k{i + 1}") for i in range(255)))
PAIR = sp.Skeleton("pair", ("a", "b"), (("a", "b"),))
BACKENDS = ("native", "torch")


@pytest.mark.parametrize("encoding", ["parts", "paf"])
@pytest.mark.parametrize("skeleton", [FOREST, WIDEST, PAIR], ids=lambda s: s.name)
def test_all_backends_give_the_same_people(skeleton, encoding):
    random, config = np.random.default_rng(1), sp.DecodeConfig(encoding=encoding)
    channels = map_channels(skeleton, encoding)
    cells = (2, 2) if skeleton is WIDEST else (7, 8)
    maps = (random.random((channels.num_maps, *cells)) ** 2).astype(np.float32)
    peaks = sp.find_peaks(maps, skeleton, config, "reference")
    parts = sp.match_parts(maps, peaks, skeleton, config, "reference")[0]
    poses = sp.decode(maps, skeleton, config, backend="reference")[0]
    assert len(parts.type) > 0
    assert len(poses) > 0
    for backend in BACKENDS:
        assert_same_columns(sp.match_parts(maps, peaks, skeleton, config, backend)[0], parts)
        assert_same_poses(sp.decode(maps, skeleton, config, backend=backend)[0], poses)


@pytest.mark.parametrize("encoding", ["parts", "paf"])
def test_each_component_is_a_pose(encoding):
    keypoints = np.array([[(20, 20, 2), (60, 20, 2), (20, 100, 2), (60, 100, 2), (110, 60, 2)]], np.float32)
    maps = sp.render_targets(keypoints, (128, 128), FOREST, sp.TargetConfig(encoding=encoding))
    poses = sp.decode(maps, FOREST, sp.DecodeConfig(encoding=encoding, join_distance=0.0))[0]
    found = sorted(tuple(np.nonzero(row)[0]) for row in poses.visible)
    assert found == [(0, 1), (2, 3), (4,)]
    np.testing.assert_allclose(poses.keypoints[poses.visible][:, :2].sum(0), keypoints[0, :, :2].sum(0), atol=0.5)


def test_unconnected_keypoints_need_the_permission_of_the_skeleton():
    values = {**FOREST.to_dict(), "allow_unconnected": False}
    with pytest.raises(SkeletonError, match=r"parts: they do not connect \['c', 'd', 'lone'\]"):
        sp.Skeleton.from_dict(values)
    with pytest.raises(SkeletonError, match="allow_unconnected: expected true or false, got 1"):
        sp.Skeleton.from_dict({**values, "allow_unconnected": 1})
    assert sp.Skeleton.from_dict(FOREST.to_dict()) == FOREST
    assert "allow_unconnected" not in sp.COCO.to_dict()
