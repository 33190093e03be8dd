"""The benchmark of tracking: its metrics see confused ids, and `Tracker` reaches its goals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("scipy", reason="the extra track is not installed")
pytest.importorskip("trackers", reason="trackers, which computes the metrics, is not installed")

import tracking

from simplepose.poses import Poses

FRAMES = 75


def judged(kind: str, people: int, seeds: range) -> tuple[list[tracking.Clip], list[list[Poses]]]:
    config = replace(tracking.KINDS[kind], people=people)
    pairs = [tracking.disturbed(tracking.make_clip(config, FRAMES, seed, False), seed) for seed in seeds]
    return [kept for _, kept in pairs], [found for found, _ in pairs]


def test_the_metrics_see_lost_and_swapped_ids():
    clips, poses = judged("mixed", 2, range(1))

    def true(found: list[Poses], rate: float) -> list[np.ndarray]:
        return [ids.copy() for ids in clips[0].tracks]

    def swapped(found: list[Poses], rate: float) -> list[np.ndarray]:
        return [3 - ids if index >= FRAMES // 2 else ids for index, ids in enumerate(clips[0].tracks)]

    def half(found: list[Poses], rate: float) -> list[np.ndarray]:
        return [np.where(ids == 1, ids, -1) for ids in clips[0].tracks]

    perfect, confused, missing = (tracking.measure(clips, poses, tracks) for tracks in (true, swapped, half))
    assert (perfect["IDF1"], perfect["IDSW"]) == (pytest.approx(1, abs=0.01), 0)
    assert confused["IDF1"] == pytest.approx(0.5, abs=0.05)
    assert confused["IDSW"] == 2
    assert missing["IDF1"] == pytest.approx(2 / 3, abs=0.05)
    assert missing["MOTA"] == pytest.approx(0.5, abs=0.05)


def test_disturbed_people_keep_their_ids():
    clips, poses = judged("mixed", 4, range(1))
    assert tracking.measure(clips, poses, tracking.by_keypoints)["IDF1"] >= 0.95


def test_crossing_people_are_confused_less_than_by_boxes():
    clips, poses = judged("crossing", 6, range(104, 105))
    ours, boxes = (tracking.measure(clips, poses, tracks) for tracks in (tracking.by_keypoints, tracking.by_boxes))
    assert ours["IDF1"] >= boxes["IDF1"] + 0.1
