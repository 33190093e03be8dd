"""The OpenCV reader: implausible frame rates, and numbers of frames that OpenCV computes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from simplepose.inference.video import opencv_reader
from simplepose.inference.video.open import open_video
from simplepose.inference.video.reader import VideoReader


class Capture:
    """A stand-in for cv2.VideoCapture with a given rate in the header and given timestamps in milliseconds."""

    rate, announced, times = 25.0, 0, [0.0]

    def __init__(self, path: str) -> None:
        self.read_frames = 0

    def isOpened(self) -> bool:
        return True

    def get(self, name: int) -> float:
        if name == cv2.CAP_PROP_FPS:
            return self.rate
        if name == cv2.CAP_PROP_FRAME_COUNT:
            return float(self.announced)
        if name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            return 64.0
        return self.times[self.read_frames - 1]

    def grab(self) -> bool:
        self.read_frames += 1
        return self.read_frames <= len(self.times)

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, np.zeros((4, 4, 3), np.uint8)) if self.grab() else (False, None)

    def release(self) -> None:
        pass


def opened(path: Path, monkeypatch: pytest.MonkeyPatch, **header: object) -> tuple[VideoReader, list[str]]:
    """A reader of a file with the given header, and its messages."""
    path.touch()
    for name, value in header.items():
        monkeypatch.setattr(Capture, name, value)
    monkeypatch.setattr(opencv_reader.cv2, "VideoCapture", Capture)
    notes: list[str] = []
    return open_video(path, notes.append, "opencv"), notes


@pytest.mark.parametrize(
    ("header", "times", "rate", "message"),
    [
        (30.0, [0.0], 30.0, ""),
        (240.0, [0.0], 240.0, ""),
        (1.0, [0.0], 1.0, ""),
        (1000.0, [i * 40.0 for i in range(50)], 25.0, "computed from the timestamps"),
        (1000.0, [i * 1.0 for i in range(50)], 1000.0, "computed from the timestamps"),
        (90000.0, [5.0, 45.0, 75.0, 125.0], 25.0, "computed from the timestamps"),
        (0.0, [0.0, 50.0], 20.0, "computed from the timestamps"),
        (float("nan"), [0.0, 50.0], 20.0, "computed from the timestamps"),
        (float("inf"), [0.0, 50.0], 20.0, "computed from the timestamps"),
        (-25.0, [0.0, 50.0], 20.0, "computed from the timestamps"),
        (1000.0, [0.0, 0.0, 0.0], 25.0, "the frames have no timestamps"),
        (1000.0, [7.0], 25.0, "the frames have no timestamps"),
        (1000.0, [], 25.0, "the frames have no timestamps"),
        (0.0, [80.0, 40.0], 25.0, "the frames have no timestamps"),
        (0.0, [0.0, float("nan")], 25.0, "the frames have no timestamps"),
    ],
)
def test_an_implausible_rate_is_replaced_and_reported(
    header: float, times: list[float], rate: float, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, notes = opened(tmp_path / "a.webm", monkeypatch, rate=header, times=times)
    assert video.rate == pytest.approx(rate)
    if message:
        (note,) = notes
        assert note.startswith(f"{tmp_path / 'a.webm'}: frame rate ")
        assert message in note
    else:
        assert notes == []


@pytest.mark.parametrize(
    ("suffix", "rate", "announced", "read", "message"),
    [
        (".mp4", 25.0, 10, 10, ""),
        (".mp4", 25.0, 10, 9, "10 frames announced, 9 could be read"),
        (".avi", 1000.0, 10, 4, "10 frames announced, 4 could be read"),
        (".MOV", 25.0, 10, 0, "10 frames announced, 0 could be read"),
        (".mp4", 25.0, 10, 12, ""),
        (".mp4", 25.0, -1, 5, ""),
        (".mkv", 25.0, 100, 95, ""),  # computed by OpenCV from the duration
        (".mkv", 25.0, 100, 50, "about 100 frames expected from the duration, 50 could be read"),
        (".webm", 1000.0, 1668, 40, ""),  # computed from an implausible rate
    ],
)
def test_frames_that_are_announced_but_missing_are_reported(
    suffix: str, rate: float, announced: int, read: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    times = [40.0 * i for i in range(read)]
    video, _ = opened(path, monkeypatch, rate=rate, announced=announced, times=times)
    assert video.problems() == []
    assert len(list(video)) == read
    expected = f"{path}: {message}; the file may be cut short or its header wrong"
    assert video.problems() == ([expected] if message else [])


def test_huge_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Capture, "get", lambda self, name: 16384.0)
    with pytest.raises(ValueError, match=r"a.mp4: expected frames of at most 80 megapixels, got 16384 x 16384"):
        opened(tmp_path / "a.mp4", monkeypatch)
