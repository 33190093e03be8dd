"""Tracking: identities through crossings, gaps, jitter and weak poses, for any skeleton."""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import pytest

from simplepose.inference.tracker import NO_TRACK, Tracker, TrackerConfig
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton, load_skeleton
from simplepose.synth.clip import ClipConfig, render_clip

RATE = 25.0
FIGURE = np.array([(x, y) for y in np.linspace(0, 100, 6) for x in (-12, 0, 12)])[:18]  # [18, 2] pixels


@pytest.fixture(autouse=True)
def _scipy() -> None:
    pytest.importorskip("scipy", reason="the extra track is not installed")


def people(*centers: float, score: float = 1.0, skeleton: Skeleton = COCO) -> Poses:
    """A person at each x. All people have the same shape, so that only their places differ."""
    figure = np.resize(FIGURE, (skeleton.num_keypoints, 2))
    keypoints = np.full((len(centers), skeleton.num_keypoints, 3), score, np.float32)
    for row, x in zip(keypoints, centers, strict=True):
        row[:, :2] = figure + np.array([x, 50])
    return Poses(keypoints, np.full(len(centers), score, np.float32), skeleton)


def track(frames: list[Poses], tracker: Tracker | None = None, rate: float = RATE) -> list[list[int]]:
    tracker = tracker or Tracker()
    return [tracker.update(poses, index / rate).tolist() for index, poses in enumerate(frames)]


def test_people_keep_their_ids_in_any_order():
    frames = [people(20 + 2 * i, 200 - i) for i in range(20)]
    frames[5:] = [poses[np.array([1, 0])] for poses in frames[5:]]
    assert track(frames) == [[1, 2]] * 5 + [[2, 1]] * 15


@pytest.mark.parametrize("speed", [1.0, 2.0, 4.0])
def test_people_of_the_same_shape_who_walk_through_each_other_keep_their_ids(speed: float):
    frames = [people(100 + speed * (i - 30), 100 - speed * (i - 30)) for i in range(60)]
    assert track(frames) == [[1, 2]] * 60


@pytest.mark.parametrize("name", ["hand21", "crowdpose14"])
def test_any_skeleton_is_tracked(name: str):
    skeleton = load_skeleton(name)
    frames = [people(20 + 2 * i, 120 - i, skeleton=skeleton) for i in range(20)]
    assert track(frames, Tracker(skeleton)) == [[1, 2]] * 20


@pytest.mark.parametrize(("rate", "speed"), [(25.0, 6.0), (25.0, 0.0), (10.0, 3.0), (60.0, 1.0)])
def test_an_id_survives_a_gap_of_one_second(rate: float, speed: float):
    frames = [people(20 + speed * i) for i in range(int(3 * rate))]
    for i in range(int(rate), int(2 * rate)):
        frames[i] = Poses.empty()
    ids = track(frames, rate=rate)
    assert ids == [[1]] * int(rate) + [[]] * int(rate) + [[1]] * int(rate)


def test_a_person_who_turns_back_during_a_gap_keeps_the_id():
    frames = [people(20 + 6 * min(i, 70 - i)) for i in range(71)]
    frames[25:46] = [Poses.empty()] * 21
    assert {n for ids in track(frames) for n in ids} == {1}


def test_a_track_ends_after_the_longest_gap():
    frames = [people(50)] * 5 + [Poses.empty()] * 25 + [people(50)]
    assert track(frames, Tracker(config=TrackerConfig(max_gap=1.1)))[-1] == [1]
    assert track(frames, Tracker(config=TrackerConfig(max_gap=0.9)))[-1] == [2]


def test_after_a_gap_a_person_far_away_or_of_another_size_is_new():
    gap = [people(50)] * 5 + [Poses.empty()] * 20
    far, large = people(400), people(50)
    large.keypoints[..., :2] = (large.keypoints[..., :2] - 50) * 3 + 50
    assert track([*gap, far])[-1] == [2]
    assert track([*gap, large])[-1] == [2]


def test_weak_poses_continue_tracks_but_do_not_start_them():
    weak = people(50, 150, score=0.1)
    assert track([weak, people(50), weak, weak]) == [[NO_TRACK] * 2, [1], [1, NO_TRACK], [1, NO_TRACK]]


def test_a_weak_pose_does_not_take_the_track_of_a_sure_one():
    mixed = people(50, 50, score=0.1)
    mixed.keypoints[1] = people(53).keypoints[0]
    assert track([people(50), mixed])[-1] == [NO_TRACK, 1]


def test_a_covered_person_does_not_take_the_pose_of_the_one_in_front():
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(60):
        poses = people(50, 54)
        poses.keypoints[1, 3:] = (np.nan, np.nan, 0)  # 3 keypoints of the second person are visible
        poses.keypoints[..., :2] += rng.normal(0, 1, (2, 18, 2))
        frames.append(poses)
    first = track([people(50, 70), people(50, 62), *frames])
    assert {ids[0] for ids in first} == {1}


@pytest.mark.parametrize("count", [2, 4])
def test_ids_of_disturbed_people_in_a_clip(count: int):
    rng = np.random.default_rng(count)
    tracker, pairs = Tracker(), Counter()
    for index, scene in enumerate(render_clip(75, count, ClipConfig(people=count, noise=0.0))):
        rows = np.array([a["keypoints"] for a in scene.annotations], float).reshape(-1, 17, 3)
        stay = (rng.random(len(rows)) > 0.1) & ((rows[..., 2] == 2).sum(1) >= 3)
        rows = rows[stay]
        rows[..., :2] += rng.normal(0, 3, rows[..., :2].shape)
        rows[..., 2] = rows[..., 2] == 2
        keypoints = COCO.from_dataset(rows)
        ids = tracker.update(Poses(keypoints, np.ones(len(rows), np.float32)), index / RATE)
        names = [a["track_id"] for a, kept in zip(scene.annotations, stay, strict=True) if kept]
        pairs.update(zip(names, ids.tolist(), strict=True))
    best = {name: max(n for (other, _), n in pairs.items() if other == name) for name, _ in pairs}
    assert sum(best.values()) / pairs.total() >= 0.95


def test_frames_without_people_and_people_without_keypoints():
    nobody = people(50, 90)
    nobody.keypoints[0] = (np.nan, np.nan, 0)
    nobody.keypoints[1, 0] = (np.inf, 1e30, 1)
    tracker = Tracker()
    assert tracker.update(Poses.empty(), 0.0).tolist() == []
    assert tracker.update(nobody, 0.1).tolist() == [NO_TRACK, 1]
    assert tracker.update(nobody[0:1], 0.2).tolist() == [NO_TRACK]


@pytest.mark.parametrize(
    ("poses", "time", "message"),
    [
        ([1], 1.0, "poses: expected a Poses"),
        (Poses.empty(load_skeleton("hand21")), 1.0, "poses: expected skeleton 'coco', got 'hand21'"),
        (Poses.empty(), "1", "frame_time"),
        (Poses.empty(), float("nan"), "frame_time"),
        (Poses.empty(), 0.5, "frame_time: expected more than 0.5 s, that of the frame before, got 0.5 s"),
    ],
)
def test_a_bad_argument_is_named_and_changes_nothing(poses: object, time: object, message: str):
    tracker = Tracker()
    tracker.update(people(50), 0.5)
    with pytest.raises((TypeError, ValueError), match="^" + message):
        tracker.update(poses, time)  # type: ignore[arg-type]
    assert tracker.update(people(50), 0.6).tolist() == [1]


@pytest.mark.parametrize(
    ("name", "value"),
    [("sure", 1.5), ("min_oks", -0.1), ("max_gap", -1), ("max_growth", 0.9), ("acceleration", 0), ("reach", "a")],
)
def test_a_bad_setting_is_named(name: str, value: object):
    with pytest.raises((TypeError, ValueError), match=f"^{name}"):
        TrackerConfig(**{name: value})  # type: ignore[arg-type]


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(ModuleNotFoundError, match=r"Tracker needs scipy: pip install 'simplepose\[track\]'"):
        Tracker()
