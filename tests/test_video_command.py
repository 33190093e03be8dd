"""`simplepose predict` on videos and streams: times, missing frames, the drawn video, the fallback, stdin."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from helpers.clips import H264, IRREGULAR, ROTATED, cut_short, display_matrix, even_clip, make_clip
from helpers.processes import PATHS, run_python

import simplepose as sp
from simplepose.cli.main import main
from simplepose.inference.video.open import open_video
from simplepose.network.checkpoint import save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN

TIMES = [stamp / 1000 for stamp in IRREGULAR]

pytestmark = pytest.mark.usefixtures("one_thread")

Predict = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options of a narrow network with random weights, which is fast."""
    path = tmp_path_factory.mktemp("weights") / "narrow.safetensors"
    torch.manual_seed(0)
    save_checkpoint(path, IMHN(ModelConfig(stacks=1, width=16, growth=8, input_size=64)), sp.COCO)
    return ["--checkpoint", str(path)]


@pytest.fixture
def predict(network: list[str], capsys: pytest.CaptureFixture[str]) -> Predict:
    """A function that runs `simplepose predict` and returns exit code, stdout and stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["predict", *map(str, arguments), *network])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def without_pyav(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)


def test_times_of_a_variable_rate_are_in_all_outputs(tmp_path: Path, predict: Predict) -> None:
    path = make_clip(tmp_path / "a.mkv", IRREGULAR, size=(49, 65), codec="ffv1", pixels="bgr0")
    code, out, err = predict(path, "--out", tmp_path / "o", "--draw", "--json")
    report = json.loads(out)
    assert code == 0
    assert [image["file_name"] for image in report["images"]] == [f"{path}#{i}" for i in range(16)]
    assert [image["time"] for image in report["images"]] == pytest.approx(TIMES)
    images = json.loads((tmp_path / "o" / "images.json").read_text())
    assert images == [{k: image[k] for k in ("id", "file_name", "frame_id", "time")} for image in report["images"]]
    drawn = list(open_video(tmp_path / "o" / "a_poses.mp4"))
    assert [frame.time for frame in drawn] == pytest.approx(TIMES, abs=1e-4)
    assert drawn[0].image.shape == (49, 65, 3)
    assert report["video"] == {
        "announced_frames": None,
        "damaged_frames": 0,
        "dropped_frames": 0,
        "unknown": "",
        "frames": 16,
        "reader": report["video"]["reader"],
        "seconds": pytest.approx(0.611 + 1 / 24.55, abs=0.01),
        "announced_seconds": pytest.approx(0.612),
    }
    assert len(report["warnings"]) == 1, "H.264 4:4:4"
    assert "49" in err


@pytest.mark.parametrize(
    ("name", "pyav"), [("a.mp4", True), ("a.mkv", True), ("a.webm", True), ("a.avi", True), ("a.mkv", False)]
)
def test_the_drawn_video_is_as_long_as_the_input(
    name: str, pyav: bool, tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder: dict[str, Any] = {"codec": "libvpx"} if name == "a.webm" else {}
    path = tmp_path / name
    length = 0.651
    if name == "a.avi":
        even_clip(path, 16)
        length = 0.64
    else:
        make_clip(path, IRREGULAR, **encoder)
    if not pyav:
        without_pyav(monkeypatch)
    assert predict(path, "--out", tmp_path / "o", "--draw")[0] == 0
    drawn = open_video(tmp_path / "o" / "a_poses.mp4")
    assert list(drawn)
    assert drawn.seconds == pytest.approx(length, abs=0.041)


@pytest.mark.parametrize("pyav", [True, False])
def test_the_people_of_a_rotated_video_are_upright(
    pyav: bool, tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = display_matrix(make_clip(tmp_path / "a.mp4", [0, 40], **H264), *ROTATED[90])
    if not pyav:
        without_pyav(monkeypatch)
    assert predict(path, "--out", tmp_path / "o", "--draw")[0] == 0
    drawn = next(iter(open_video(tmp_path / "o" / "a_poses.mp4"))).image
    assert drawn.shape == (64, 48, 3)
    assert drawn[10, 40, 2] > 150, "the red quarter is at the top right"
    assert drawn[10, 10, 1] > 150, "the green quarter is at the top left"


def test_a_video_that_was_cut_short_gives_exit_code_1(tmp_path: Path, predict: Predict) -> None:
    path = cut_short(even_clip(tmp_path / "a.mp4", **H264, container={"movflags": "faststart"}))
    code, out, err = predict(path, "--out", tmp_path / "o", "--draw")
    images = json.loads((tmp_path / "o" / "images.json").read_text())
    assert code == 1
    assert f"warning: {path}: 40 frames announced, {len(images)} could be read; the file may be cut short" in err
    assert f"{path}: {len(images)} frames, 1 damaged, " in out
    assert "(40 announced), read by PyAV " in out
    assert len(list(open_video(tmp_path / "o" / "a_poses.mp4"))) == len(images) > 0


@pytest.mark.parametrize("draw", [[], ["--draw"]])
def test_a_video_without_frames_gives_exit_code_1(draw: list[str], tmp_path: Path, predict: Predict) -> None:
    path = even_clip(tmp_path / "a.avi", 0)
    code, out, err = predict(path, "--out", tmp_path / "o", *draw)
    assert code == 1
    assert f"skipped {path}: no frame of the video can be read" in err
    assert f"{path}: 0 frames, " in out
    assert json.loads((tmp_path / "o" / "results.json").read_text()) == []
    assert not (tmp_path / "o" / "a_poses.mp4").exists()


def test_the_fallback_is_named_with_what_it_cannot_know(
    tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = even_clip(tmp_path / "a.mp4", 3)
    without_pyav(monkeypatch)
    code, out, _ = predict(path)
    assert code == 0
    assert f"read by OpenCV {cv2.__version__}. OpenCV does not tell " in out
    assert "pip install 'simplepose[video]'" in out
    code, out, _ = predict(path, "--json")
    video = json.loads(out)["video"]
    assert (code, video["frames"], video["announced_frames"], video["damaged_frames"]) == (0, 3, 3, None)
    assert "OpenCV does not tell" in video["unknown"]


def test_tracking_and_smoothing_use_the_times_of_the_file(
    tmp_path: Path, predict: Predict, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("scipy", reason="the extra track is not installed")
    from simplepose.inference import smoothing, tracker

    seen: dict[str, list[float]] = {"track": [], "smooth": []}
    update, smooth = tracker.Tracker.update, smoothing.Smoother.update

    def record_update(self: Any, poses: Any, time: float) -> Any:
        seen["track"].append(time)
        return update(self, poses, time)

    def record_smooth(self: Any, poses: Any, time: float) -> Any:
        seen["smooth"].append(time)
        return smooth(self, poses, time)

    monkeypatch.setattr(tracker.Tracker, "update", record_update)
    monkeypatch.setattr(smoothing.Smoother, "update", record_smooth)
    path = make_clip(tmp_path / "a.mp4", IRREGULAR, **H264)
    assert predict(path, "--track", "--smooth")[0] == 0
    assert seen == {"track": pytest.approx(TIMES), "smooth": pytest.approx(TIMES)}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mp4", "--queue", "3"], "--queue needs a stream or - (stdin)"),
        (["rtsp://camera/live", "--queue", "-1"], "--queue: expected 0 to 10000 frames, got -1"),
        (["-", "a.jpg"], "inputs: expected one video or one camera, or any number of images"),
        (["a.mp4", "b.mkv"], "inputs: expected one video or one camera, or any number of images"),
        (["gopher://x/y"], "inputs: expected a URL with one of http, "),
    ],
)
def test_arguments_that_do_not_fit_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("source", "name"), [("rtsp://me:secret@camera/live", "rtsp://camera/live"), ("-", "stdin")])
def test_streams_need_pyav(
    source: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pyav(monkeypatch)
    assert main(["predict", source]) == 2
    assert f"{name}: streams and frames on stdin need PyAV: pip install 'simplepose[video]'" in capsys.readouterr().err


def test_a_terminal_is_no_video(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    assert main(["predict", "-"]) == 2
    assert "stdin: expected a video, got a terminal" in capsys.readouterr().err


def test_a_stream_that_cannot_be_opened_is_named_without_its_password(predict: Predict) -> None:
    code, _, err = predict("rtsp://me:secret@127.0.0.1:9/live")
    assert code == 1
    assert "rtsp://127.0.0.1:9/live: PyAV cannot read this video (" in err
    assert "secret" not in err


def test_all_frames_on_stdin_are_read_without_a_queue(tmp_path: Path, network: list[str]) -> None:
    data = even_clip(tmp_path / "a.mkv", 12, **H264).read_bytes()
    arguments = ["-m", "simplepose", "predict", "-", "--queue", "0", "--json", *network]
    done = run_python(*arguments, "--out", tmp_path / "o", "--draw", input=data, text=False)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    assert [image["file_name"] for image in report["images"]] == [f"stdin#{i}" for i in range(12)]
    assert [image["time"] for image in report["images"]] == pytest.approx([0.04 * i for i in range(12)])
    assert len(list(open_video(tmp_path / "o" / "stdin_poses.mp4"))) == 12


def test_frames_of_a_stream_that_come_too_fast_are_dropped_and_counted(tmp_path: Path, network: list[str]) -> None:
    data = even_clip(tmp_path / "a.mkv", 400, **H264).read_bytes()
    arguments = ["-m", "simplepose", "predict", "-", "--queue", "2", "--json", *network]
    done = run_python(*arguments, input=data, text=False)
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)
    dropped, read = report["video"]["dropped_frames"], report["video"]["frames"]
    assert read == 400
    assert dropped == 400 - len(report["images"]) > 0
    assert report["images"][-1]["file_name"] == "stdin#399", "the newest frames are kept"
    assert report["images"][-1]["time"] == pytest.approx(399 * 0.04)
    assert report["warnings"] == [
        f"stdin: {dropped} of 400 frames were dropped, since they came faster than people are detected; "
        "--queue 0 drops none"
    ]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_stream_that_is_interrupted_keeps_its_results(tmp_path: Path, network: list[str]) -> None:
    data = even_clip(tmp_path / "a.mkv", 100, **H264).read_bytes()
    out = tmp_path / "o"
    process = subprocess.Popen(
        [sys.executable, "-m", "simplepose", "predict", "-", "--queue", "0", "--out", out, "--draw", *network],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, PATHS)), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdin is not None
    assert process.stderr is not None
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    try:
        process.stdin.write(data[: len(data) // 2])
        process.stdin.flush()  # the stream does not end, and half of its frames do not come
        while process.poll() is None and not list(out.glob("*.mp4")):  # the drawn video begins with the first frame
            time.sleep(0.05)
        time.sleep(1)  # until the frames are read and the command waits for more
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
        assert process.wait() == 0
    finally:
        watchdog.cancel()
        process.stdin.close()
        process.stderr.close()
    assert b"stdin: interrupted; the results until then are complete" in errors
    images = json.loads((out / "images.json").read_text())
    assert 0 < len(images) < 100
    assert len(list(open_video(out / "stdin_poses.mp4"))) == len(images)


def test_synthetic_clips_have_their_times(tmp_path: Path) -> None:
    arguments = ["--video", "--frames", "5", "--people", "1", "--size", "65", "--json"]
    assert main(["synth", str(tmp_path / "clip"), *arguments]) == 0
    frames = list(open_video(tmp_path / "clip" / "clip.mp4"))
    assert [frame.time for frame in frames] == pytest.approx([0.04 * i for i in range(5)], abs=1e-4)
    image = cv2.imread(str(tmp_path / "clip" / "images" / "0000003.jpg"))
    assert np.abs(frames[2].image.astype(int) - image).mean() < 8
