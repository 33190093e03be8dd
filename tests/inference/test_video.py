"""Videos: implausible frame rates, frames with odd sides, and frames of several sizes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.shared_data import shared

from simplepose.data.images import ImageError
from simplepose.inference import video
from simplepose.inference.video import Frames, even_sides, video_writer


def write(path: Path, sizes: list[tuple[int, int]], rate: float = 10.0) -> tuple[list[str], np.ndarray]:
    """Write one frame of each size (height, width); return the messages and the first frame of the file."""
    notes: list[str] = []
    with video_writer(path, rate, notes.append) as append:
        assert append is not None
        for index, (height, width) in enumerate(sizes):
            append(np.full((height, width, 3), 40 * index + 60, np.uint8))
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == len(sizes)
    read, frame = capture.read()
    assert read
    capture.release()
    return notes, frame


@pytest.mark.parametrize(
    ("size", "padded"), [((64, 96), (64, 96)), ((65, 96), (66, 96)), ((64, 97), (64, 98)), ((193, 255), (194, 256))]
)
def test_odd_sides_are_padded_and_reported(size: tuple[int, int], padded: tuple[int, int], tmp_path: Path) -> None:
    notes, frame = write(tmp_path / "a.mp4", [size] * 3)
    assert frame.shape[:2] == padded
    assert np.abs(frame.astype(int) - 60).max() < 12, "the added row and column repeat the last ones"
    if size == padded:
        assert notes == []
    else:
        assert notes == [
            f"{tmp_path / 'a.mp4'}: frames of odd size {size[1]} x {size[0]} are padded to {padded[1]} x {padded[0]}; "
            "MP4 needs even sides"
        ]


def test_padding_repeats_the_last_row_and_column() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    padded = even_sides(frame)
    assert padded.shape == (6, 8, 3)
    assert np.array_equal(padded[:5, :7], frame)
    assert np.array_equal(padded[5, :7], frame[4])
    assert np.array_equal(padded[:5, 7], frame[:, 6])
    assert even_sides(frame[:4, :6]).shape == (4, 6, 3)


def test_frames_of_other_sizes_are_resized_and_reported_once(tmp_path: Path) -> None:
    notes, _ = write(tmp_path / "a.mp4", [(64, 96), (32, 48), (66, 96)])
    assert notes == [f"{tmp_path / 'a.mp4'}: frames of other sizes are resized to the first frame's, 96 x 64"]


class Capture:
    """A stand-in for cv2.VideoCapture with a given rate in the header and given timestamps in milliseconds."""

    rate, times = 25.0, [0.0]

    def __init__(self, path: str) -> None:
        self.read_frames = 0

    def isOpened(self) -> bool:
        return True

    def get(self, name: int) -> float:
        if name == cv2.CAP_PROP_FPS:
            return self.rate
        if name == cv2.CAP_PROP_FRAME_COUNT:
            return float(len(self.times))
        if name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT):
            return 64.0
        return self.times[self.read_frames - 1]

    def grab(self) -> bool:
        self.read_frames += 1
        return self.read_frames <= len(self.times)

    def release(self) -> None:
        pass


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
    path = tmp_path / "a.webm"
    path.touch()
    monkeypatch.setattr(Capture, "rate", header)
    monkeypatch.setattr(Capture, "times", times)
    monkeypatch.setattr(video.cv2, "VideoCapture", Capture)
    frames = Frames(path)
    assert frames.rate == pytest.approx(rate)
    if message:
        (note,) = frames.notes
        assert note.startswith(f"{path}: frame rate ")
        assert message in note
    else:
        assert frames.notes == []


def test_the_rate_of_a_browser_recording_is_computed_from_its_timestamps() -> None:
    frames = Frames(shared("cases/09_webm_frame_rate/recorded.webm"))
    assert frames.rate == pytest.approx(24.18, abs=0.01)
    assert sum(1 for _ in frames) == 40


def test_the_error_for_an_unreadable_video_names_it(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(ImageError, match=r"a\.mp4: OpenCV cannot read this video"):
        Frames(tmp_path / "a.mp4")
    with pytest.raises(ImageError, match=r"b\.mp4: there is no such file"):
        Frames(tmp_path / "b.mp4")


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
        (".mkv", 25.0, 100, 50, "100 frames announced, 50 could be read"),
        (".webm", 1000.0, 1668, 40, ""),  # computed from an implausible rate
    ],
)
def test_frames_that_are_announced_but_missing_are_reported(
    suffix: str, rate: float, announced: int, read: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short(Capture):
        def get(self, name: int) -> float:
            return float(announced) if name == cv2.CAP_PROP_FRAME_COUNT else super().get(name)

        def read(self) -> tuple[bool, np.ndarray | None]:
            return (True, np.zeros((4, 4, 3), np.uint8)) if self.grab() else (False, None)

    path = tmp_path / f"a{suffix}"
    path.touch()
    monkeypatch.setattr(Capture, "rate", rate)
    monkeypatch.setattr(Capture, "times", [40.0 * i for i in range(read)])
    monkeypatch.setattr(video.cv2, "VideoCapture", Short)
    frames = Frames(path)
    assert frames.missing() == ""
    assert len(list(frames)) == read
    assert frames.missing() == (f"{path}: {message}; the file may be cut short" if message else "")
