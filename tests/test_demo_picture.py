"""The picture of `simplepose demo`: which channels it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import simplepose.drawing.heatmaps
from simplepose.cli.demo import Found, draw_demo
from simplepose.poses import Poses
from simplepose.skeleton.channels import Encoding, map_channels
from simplepose.skeleton.skeleton import COCO


@pytest.mark.parametrize("encoding", ["parts", "paf"])
def test_the_picture_shows_the_maps_of_the_encoding(
    encoding: Encoding, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = map_channels(COCO, encoding)
    heatmaps = np.random.default_rng(0).random((channels.num_channels, 4, 4), np.float32)
    shown: list[np.ndarray] = []

    def record(image: np.ndarray, maps: np.ndarray, **_: object) -> np.ndarray:
        shown.append(maps)
        return image

    monkeypatch.setattr(simplepose.drawing.heatmaps, "draw_heatmaps", record)
    nobody = Poses(np.zeros((0, 18, 3), np.float32), np.zeros(0, np.float32))
    image = np.zeros((16, 16, 3), np.uint8)
    draw_demo(tmp_path / "demo.png", [Found(image, "a", "b", heatmaps, channels, (4.0, 4.0), nobody, 0.0, 0.0)])
    keypoints, parts = shown
    first = 60 if encoding == "paf" else 30
    assert np.array_equal(keypoints, heatmaps[first : first + 18])
    vectors = np.hypot(heatmaps[:60:2], heatmaps[1:60:2])
    assert np.array_equal(parts, vectors if encoding == "paf" else heatmaps[:30])
