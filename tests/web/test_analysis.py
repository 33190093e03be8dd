"""The analysis of a picture: the people of the predictor, other rules on kept maps, limits, one network at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.fake_network import blob_network
from helpers.web_cases import blob_analyzer, blob_file, network_settings

import simplepose.web.analysis
from simplepose.cli.demo import make_scene
from simplepose.data.images import ImageError, write_image
from simplepose.inference.predictor import Predictor
from simplepose.ops.config import DecodeConfig
from simplepose.poses import Poses
from simplepose.web.analysis import Analyzer
from simplepose.web.settings import NetworkSettings

pytestmark = pytest.mark.usefixtures("one_thread")


def assert_same(found: Poses, expected: Poses) -> None:
    assert len(expected)
    assert np.array_equal(found.keypoints, expected.keypoints, equal_nan=True)
    assert np.array_equal(found.scores, expected.scores)


def test_the_people_are_those_of_a_predictor_with_the_same_settings(tmp_path: Path) -> None:
    scene = make_scene(7)[0]
    write_image(tmp_path / "scene.png", scene)
    predictor = Predictor.from_checkpoint("tiny", "cpu")
    config = DecodeConfig(peak_threshold=0.2)
    settings = NetworkSettings("tiny", 192, (0.7, 1.0), flip=True)
    analysis = Analyzer({"tiny": predictor}).analyze(tmp_path / "scene.png", "scene", settings, config)
    same = Predictor.from_checkpoint("tiny", "cpu", size=192, scales=(0.7, 1.0), flip=True, decode=config)
    assert_same(analysis.poses, same(scene))
    stages = ["read", "resize and pad", "network", "average", "find_peaks", "match_parts", "assign_keypoints"]
    assert list(analysis.times) == stages
    assert min(analysis.times.values()) > 0
    assert predictor.config == Predictor.from_checkpoint("tiny", "cpu").config  # unchanged for the next picture


def test_other_rules_decode_the_kept_maps(tmp_path: Path) -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(x.shape)
        return blob_network(x)

    image = blob_file(tmp_path / "a.png")
    analyzer, config = blob_analyzer(counted), DecodeConfig(peak_threshold=0.02, min_single_score=0.0)
    first = analyzer.analyze(tmp_path / "a.png", "a.png", network_settings(), DecodeConfig(peak_threshold=0.9))
    second = analyzer.decode(first, config)
    assert len(calls) == 1
    assert second.times["network"] == first.times["network"]
    assert_same(second.poses, Predictor(blob_network, first.channels.skeleton, size=192, decode=config)(image))
    assert len(first.poses) == 0


def test_a_large_picture_has_a_small_preview_with_the_people_at_the_same_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simplepose.web.analysis, "PREVIEW_SIDE", 128)
    blob_file(tmp_path / "a.png", 192, 256)
    analysis = blob_analyzer().analyze(tmp_path / "a.png", "a.png", network_settings(), DecodeConfig())
    assert analysis.image.shape == (192, 256, 3)
    assert analysis.preview.shape == (96, 128, 3)
    assert analysis.cell_size == (2.0, 2.0)
    expected = (analysis.poses.keypoints[..., :2] + 0.5) / 2 - 0.5
    assert np.allclose(analysis.preview_poses().keypoints[..., :2], expected, atol=1e-3, equal_nan=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nothing of any kind", "notes.jpg: not an image, or of an unknown format"),
        (b"", "notes.jpg: the file is empty"),
        (None, "notes.jpg: image: expected at most 0.01 megapixels, got 128 x 128 (0.0 megapixels); make it smaller"),
    ],
)
def test_the_error_for_a_file_names_the_upload_and_not_the_path(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a7c3.png"
    blob_file(path, 128, 128)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError) as error:
        blob_analyzer(most_pixels=10_000).analyze(path, "notes.jpg", network_settings(), DecodeConfig())
    assert str(error.value).startswith(message)
    assert "a7c3" not in str(error.value)


def test_one_network_runs_at_a_time(tmp_path: Path) -> None:
    running, most = [], []

    def slow(x: Any) -> Any:
        running.append(1)
        most.append(len(running))
        threading.Event().wait(0.02)
        running.pop()
        return blob_network(x)

    blob_file(tmp_path / "a.png")
    analyzer = blob_analyzer(slow)
    arguments = (tmp_path / "a.png", "a.png", network_settings(), DecodeConfig())
    threads = [threading.Thread(target=analyzer.analyze, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_checkpoint_is_chosen_by_its_name_only(tmp_path: Path) -> None:
    blob_file(tmp_path / "a.png")
    for name in ("/etc/passwd", "tiny", "", "Blobs"):
        with pytest.raises(ValueError, match="checkpoint: expected one of 'blobs', 'other'"):
            blob_analyzer().analyze(tmp_path / "a.png", "a", network_settings(checkpoint=name), DecodeConfig())
