"""Clips of synthetic people: identities, roles, deterministic files, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from simplepose.cli.main import main
from simplepose.synth.clip import ClipConfig, render_clip
from simplepose.synth.dataset import write_clip
from simplepose.synth.scene import Scene

CONFIG = ClipConfig(size=(96, 168), rate=10.0)


@pytest.fixture(scope="module")
def clip() -> list[Scene]:
    return list(render_clip(45, 2, CONFIG))


def hips(scenes: list[Scene], track: int) -> np.ndarray:
    """``[F]`` x of the middle of the hips in each frame; NaN where the person has no annotation."""
    x = np.full(len(scenes), np.nan)
    for index, scene in enumerate(scenes):
        for annotation, person in zip(scene.annotations, scene.people, strict=True):
            if annotation["track_id"] == track:
                x[index] = person.keypoints[11:13, 0].mean()
    return x


def test_a_frame_does_not_depend_on_the_frames_after_it(clip: list[Scene]):
    short = list(render_clip(3, 2, CONFIG))
    assert [scene.jpeg for scene in short] == [scene.jpeg for scene in clip[:3]]
    assert [scene.annotations for scene in short] == [scene.annotations for scene in clip[:3]]
    assert next(render_clip(1, 3, CONFIG)).jpeg != clip[0].jpeg


def test_the_people_have_their_roles(clip: list[Scene]):
    right, left, leaves, stands = (hips(clip, track) for track in (1, 2, 3, 4))
    assert right[0] < left[0]
    assert (right > left).any(), "the first two cross"
    away = np.flatnonzero(np.isnan(leaves))
    assert 5 <= len(away) <= 20, "about a second at 10 frames/s"
    assert (np.diff(away) == 1).all()
    assert away[0] > 0
    assert away[-1] < len(clip) - 1
    assert np.nanmax(stands) - np.nanmin(stands) < 2 * (CONFIG.pan * 168 + 5), "only the camera moves"


def test_people_cover_each_other(clip: list[Scene]):
    visibility = [np.array(a["keypoints"])[2::3] for scene in clip for a in scene.annotations]
    assert np.mean([(v == 2).all() for v in visibility]) < 1
    assert min((v == 2).sum() for v in visibility) <= 5, "in some frame, most of a person is covered"


def test_the_camera_moves(clip: list[Scene]):
    still = list(render_clip(12, 2, ClipConfig(size=(96, 168), rate=10.0, pan=0.0, shake=0.0, people=1, noise=0.0)))
    corner = (slice(0, 20), slice(150, 168))
    assert np.abs(still[0].image[corner].astype(int) - still[-1].image[corner]).max() <= 16, "JPEG alone"
    assert np.abs(clip[0].image[corner].astype(int) - clip[11].image[corner]).mean() > 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 96}, "size: expected (height, width), got 96"),
        ({"size": (96, 16)}, "size: width"),
        ({"people": 0}, "people"),
        ({"rate": 0.5}, "rate"),
        ({"roles": ()}, "roles: expected a tuple"),
        ({"roles": ("left", "flies")}, "roles: expected one of 'right', 'left', 'leaves', 'stands', got 'flies'"),
        ({"stature": (0.6, 0.4)}, "stature"),
        ({"pan": -0.1}, "pan"),
    ],
)
def test_a_bad_setting_is_named(change: dict[str, object], message: str):
    with pytest.raises((TypeError, ValueError), match="^" + message.replace("(", r"\(").replace(")", r"\)")):
        ClipConfig(**change)  # type: ignore[arg-type]


def test_an_error_leaves_no_files(tmp_path: Path):
    with pytest.raises(ValueError, match="frames"):
        write_clip(tmp_path / "a", 0, 1)
    assert not (tmp_path / "a").exists()


def test_the_command_writes_frames_annotations_and_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    out = tmp_path / "clip"
    arguments = ["--video", "--frames", "3", "--people", "2", "--seed", "5", "--size", "64", "--json"]
    assert main(["synth", str(out), *arguments]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == {
        "annotations": str(out / "annotations.json"),
        "video": str(out / "clip.mp4"),
        "frames": 3,
        "seed": 5,
    }
    data = json.loads((out / "annotations.json").read_text())
    assert [(i["frame_id"], i["time"], i["height"], i["width"]) for i in data["images"]] == [
        (0, 0.0, 64, 114),
        (1, 0.04, 64, 114),
        (2, 0.08, 64, 114),
    ]
    assert {a["track_id"] for a in data["annotations"]} == {1, 2}
    capture = cv2.VideoCapture(str(out / "clip.mp4"))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (3, 25)
    capture.release()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "3"], "--frames needs --video"),
        (["--video", "--images", "3"], "--images: a clip has --frames"),
        (["--video", "--workers", "2"], "--workers: a clip is rendered by 1 process, got 2"),
        (["--video", "--people", "0"], "people"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["synth", str(tmp_path / "a"), *arguments]) == 2
    assert message in capsys.readouterr().err
