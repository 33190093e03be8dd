"""Skeletons and poses of SLEAP: what becomes of names, parts, pairs, scores and tracks."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import simplepose as sp
from simplepose.adapters.sleap_io import sleap_labels, sleap_skeleton
from simplepose.skeleton.names import SkeletonError

NODES = ("nose", "earR", "earL", "left_paw", "right_paw", "tail")
EDGES = (("nose", "earL"), ("nose", "earR"), ("nose", "left_paw"), ("nose", "right_paw"))


def mouse(**changes):
    """What `Skeleton.from_sleap` reads of a `sleap_io.Skeleton`."""
    fields = {"name": "mouse", "node_names": list(NODES), "edge_names": list(EDGES)}
    return SimpleNamespace(**{**fields, "symmetry_names": [("earR", "earL")], **changes})


def poses_of(skeleton, people=2, track_ids=None):
    rows = np.arange(people * len(skeleton.keypoints) * 3, dtype=np.float32).reshape(people, -1, 3)
    rows[:, 1] = (np.nan, np.nan, 0)
    return sp.Poses(rows, np.float32([3.5, 2.25][:people]), skeleton, track_ids=track_ids)


def test_a_skeleton_keeps_nodes_and_edges_and_pairs_left_with_right():
    skeleton = sp.Skeleton.from_sleap(mouse())
    assert (skeleton.name, skeleton.keypoints) == ("mouse", NODES)
    assert skeleton.parts == skeleton.drawn_parts == EDGES
    assert skeleton.left_right == (("earL", "earR"), ("left_paw", "right_paw"))
    assert skeleton.allow_unconnected  # the tail has no edge


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"edge_names": EDGES[1:]}, SkeletonError, r"parts: \['nose', 'earR'\] has no mirrored part"),
        ({"edge_names": [*EDGES, EDGES[0]]}, SkeletonError, "is repeated"),
        ({"node_names": None}, TypeError, "skeleton: expected a sleap_io.Skeleton, got SimpleNamespace"),
    ],
)
def test_a_skeleton_that_does_not_fit_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        sp.Skeleton.from_sleap(mouse(**changes))


def test_without_sleap_io_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sleap_io", None)
    with pytest.raises(ModuleNotFoundError, match=r"need sleap-io: pip install 'simplepose\[animals\]'"):
        sp.Poses.empty().to_sleap("image.png")


@pytest.fixture
def sio():
    return pytest.importorskip("sleap_io")


def test_poses_come_back_from_a_file_of_sleap(sio, tmp_path):
    skeleton = sp.Skeleton.from_sleap(mouse())
    tracked = poses_of(skeleton, 2, np.array([7, -1]))
    frames = [("a.mp4", 4, tracked), ("a.mp4", 5, tracked[:1]), ("b.mp4", 0, sp.Poses.empty(skeleton))]
    sleap_labels(frames).save(str(tmp_path / "poses.slp"))
    labels = sio.load_slp(str(tmp_path / "poses.slp"), open_videos=False)
    assert sp.Skeleton.from_sleap(labels.skeletons[0]) == skeleton
    assert [(f.video.filename, f.frame_idx, len(f.instances)) for f in labels.labeled_frames] == [
        ("a.mp4", 4, 2), ("a.mp4", 5, 1), ("b.mp4", 0, 0)]  # fmt: skip
    assert [track.name for track in labels.tracks] == ["7"]
    first, second = labels.labeled_frames[0].instances
    assert first.track is labels.tracks[0] is labels.labeled_frames[1].instances[0].track
    assert second.track is None
    for instance, pose in zip((first, second), tracked, strict=True):
        assert instance.score == pose.scores[0]
        np.testing.assert_array_equal(instance.numpy(), pose.keypoints[0, :, :2])
        np.testing.assert_array_equal(instance.points["score"], pose.keypoints[0, :, 2])


def test_one_frame_is_labeled_by_its_poses(sio):
    labels = poses_of(sp.COCO, 1).to_sleap("image.png")
    assert (labels.video.filename, labels[0].frame_idx, len(labels[0])) == ("image.png", 0, 1)
    assert labels.skeleton.edge_names == list(sp.COCO.drawn_parts)
    assert {frozenset(pair) for pair in sleap_skeleton(sp.COCO).symmetry_names} == {
        frozenset(pair) for pair in sp.COCO.left_right
    }


def test_frames_that_do_not_fit_are_named(sio):
    coco, hand = poses_of(sp.COCO), sp.Poses.empty(sp.load_skeleton("hand21"))
    for frames, error, message in (
        ([("a", 0, coco), ("a", 1, hand)], ValueError, r"frames\[1\]: expected poses of skeleton 'coco', got 'hand21'"),
        ([(3, 0, coco)], TypeError, r"frames\[0\]: expected the path of a video or image, got 3"),
        ([("a", -1, coco)], ValueError, r"frames\[0\]: its number: expected"),
    ):
        with pytest.raises(error, match=message):
            sleap_labels(frames)
