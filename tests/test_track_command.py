"""`simplepose predict --track`: identities in all outputs, and one color for each person."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from simplepose.cli.main import main
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.poses import Poses


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("clip") / "clip"
    arguments = ["--video", "--frames", "6", "--people", "2", "--seed", "1", "--size", "192", "--json"]
    assert main(["synth", str(out), *arguments]) == 0
    return out / "clip.mp4"


def run(clip: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict:
    pytest.importorskip("scipy", reason="the extra track is not installed")
    capsys.readouterr()
    assert main(["predict", str(clip), "--checkpoint", "tiny", "--json", "--track", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_track_ids_are_in_all_outputs(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    report = run(clip, capsys, "--out", str(tmp_path), "--draw")
    people = [person for image in report["images"] for person in image["poses"]["people"]]
    results = json.loads((tmp_path / "results.json").read_text())
    assert len(results) == len(people) >= 12
    assert [r["track_id"] for r in results] == [p["track_id"] for p in people]
    counts = np.bincount([p["track_id"] or 0 for p in people])
    assert (counts == 6).sum() >= 2, "two people are in all frames"
    assert (tmp_path / "clip_poses.mp4").is_file()


def test_smoothing_changes_positions_alone(clip: Path, capsys: pytest.CaptureFixture[str]):
    plain, smooth = (run(clip, capsys, *options)["images"] for options in ((), ("--smooth",)))
    assert plain[0] == smooth[0], "the first frame has no past"
    moved = 0.0
    for before, after in zip(plain[1:], smooth[1:], strict=True):
        for a, b in zip(before["poses"]["people"], after["poses"]["people"], strict=True):
            assert (a["track_id"], a["score"]) == (b["track_id"], b["score"])
            assert [k and k[2] for k in a["keypoints"]] == [k and k[2] for k in b["keypoints"]]
            moved = max(moved, *(abs(k[0] - m[0]) for k, m in zip(a["keypoints"], b["keypoints"], strict=True) if k))
    assert 0.05 < moved < 20


def test_the_longest_gap_counts_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str], clip: Path):
    frames = [cv2.imread(str(path)) for path in sorted((clip.parent / "images").glob("*.jpg"))[:2]]
    video = tmp_path / "gap.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, frames[0].shape[1::-1])
    for frame in (*frames, frames[0] * 0, frames[0] * 0, *frames):
        writer.write(frame)
    writer.release()
    ids = {}
    for gap in (1, 2, 3):
        images = run(video, capsys, "--max-gap", str(gap))["images"]
        assert [len(images[i]["poses"]["people"]) for i in (2, 3)] == [0, 0]
        before, after = ({p["track_id"] for p in images[i]["poses"]["people"]} - {None} for i in (1, 4))
        ids[gap] = bool(before & after)
    assert ids == {1: False, 2: True, 3: True}, "two frames are without people"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-gap", "5"], "--max-gap needs --track"),
        (["--smooth"], "--smooth needs --track"),
        (["--track", "--max-gap", "-1"], "--max-gap: expected 0 to 100000 frames, got -1"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    options: list[str], message: str, clip: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["predict", str(clip), *options]) == 2
    assert message in capsys.readouterr().err


def test_images_are_not_tracked(clip: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["predict", str(clip.parent / "images"), "--track"]) == 2
    assert "--track needs a video" in capsys.readouterr().err


def test_without_scipy_the_error_names_the_extra(
    clip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("simplepose.cli.track.find_spec", lambda name: None)
    assert main(["predict", str(clip), "--track"]) == 2
    assert "--track needs scipy: pip install 'simplepose[track]'" in capsys.readouterr().err


def test_a_person_has_the_color_of_the_track():
    keypoints = np.ones((1, 18, 3), np.float32)
    keypoints[0, :, :2] = np.random.default_rng(0).uniform(20, 80, (18, 2))
    image = np.zeros((100, 200, 3), np.uint8)
    both = np.concatenate([keypoints + np.float32([100, 0, 0]), keypoints])

    def drawn(people: np.ndarray, ids: list[int] | None) -> np.ndarray:
        tracks = None if ids is None else np.array(ids, np.int64)
        poses = Poses(people, np.ones(len(people), np.float32), track_ids=tracks)
        return draw_poses(image, poses, DrawConfig(colors="people", thickness=2.0))

    alone = drawn(keypoints, [7])
    assert np.array_equal(drawn(both, [3, 7])[:, :90], alone[:, :90]), "whatever the order of the people"
    assert not np.array_equal(drawn(keypoints, [8]), alone)
    assert not np.array_equal(drawn(keypoints, None), alone)
    gray = drawn(keypoints, [-1])
    assert np.ptp(gray.astype(int), axis=2).max() <= 25, "people without a track"
