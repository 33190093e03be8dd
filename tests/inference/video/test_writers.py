"""Writers of videos: times, odd sizes, frames of several sizes, and files that cannot be completed."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.clips import IRREGULAR, patterned

from simplepose.inference.video import opencv_writer, pyav_writer
from simplepose.inference.video.libraries import Backend, load_pyav
from simplepose.inference.video.open import open_video
from simplepose.inference.video.opencv_writer import even_sides
from simplepose.inference.video.writer import video_writer

BACKENDS = [pytest.param("pyav", marks=pytest.mark.skipif(load_pyav() is None, reason="no PyAV")), "opencv"]


def write(
    path: Path, frames: list[np.ndarray], backend: Any, times: list[float] | None = None, **options: Any
) -> list[str]:
    """Write frames, at 10 frames/s without times; return the messages."""
    notes: list[str] = []
    with video_writer(path, 10.0, notes.append, backend=backend, **options) as writer:
        for index, frame in enumerate(frames):
            writer.write(frame, times[index] if times else index / 10)
    return notes


def shades(count: int) -> list[np.ndarray]:
    """Uniform frames, whose values tell their indices."""
    return [np.full((48, 64, 3), 20 + 12 * i, np.uint8) for i in range(count)]


def indices(path: Path) -> list[tuple[float, int]]:
    """The times of the frames of a file, and which of `shades` they are."""
    return [(frame.time, round((float(frame.image.mean()) - 20) / 12)) for frame in open_video(path)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("rate", [10, 24, 25, 30, 30000 / 1001, 60])
def test_a_constant_rate_is_kept(rate: float, backend: Backend, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with video_writer(path, rate, backend=backend) as writer:
        for index, frame in enumerate(shades(17)):
            writer.write(frame, index / rate)
    found = indices(path)
    assert [index for _, index in found] == list(range(17))
    assert [time for time, _ in found] == pytest.approx([i / rate for i in range(17)], abs=1e-4)
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, rel=1e-4)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 17
    capture.release()


def test_pyav_keeps_the_times_of_a_variable_rate(tmp_path: Path) -> None:
    times = [stamp / 1000 for stamp in IRREGULAR]
    with video_writer(tmp_path / "a.mp4", 25, backend="pyav") as writer:
        for frame, time in zip(shades(16), times, strict=True):
            writer.write(frame, time, 0.75)
    assert indices(tmp_path / "a.mp4") == [(pytest.approx(time, abs=1e-4), i) for i, time in enumerate(times)]
    video = open_video(tmp_path / "a.mp4")
    assert len(list(video)) == 16
    assert video.seconds == pytest.approx(times[-1] + 0.75, abs=1e-4)


def test_opencv_repeats_and_leaves_out_frames_to_keep_the_times(tmp_path: Path) -> None:
    notes: list[str] = []
    with video_writer(tmp_path / "a.mp4", 10, notes.append, backend="opencv") as writer:
        for frame, time in zip(shades(6), [0.0, 0.1, 0.4, 0.42, 0.5, 1.0], strict=True):
            writer.write(frame, time)
    assert [index for _, index in indices(tmp_path / "a.mp4")] == [0, 1, 1, 1, 3, 4, 4, 4, 4, 4, 5]
    message = "frames left out, since OpenCV writes a constant rate of 10 frames/s: 1"
    assert notes == [f"{tmp_path / 'a.mp4'}: {message}"]


@pytest.mark.parametrize("size", [(48, 64), (49, 64), (48, 65), (49, 65)])
@pytest.mark.parametrize("encoder", ["libx264", "mpeg4"])
def test_pyav_keeps_odd_sizes(encoder: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pyav_writer, "H264", encoder if encoder == "libx264" else "no encoder")
    notes = write(tmp_path / "a.mp4", [patterned(size, i) for i in range(3)], "pyav")
    images = [frame.image for frame in open_video(tmp_path / "a.mp4")]
    assert [image.shape for image in images] == [(*size, 3)] * 3
    assert all(np.abs(image.astype(int) - patterned(size, i)).mean() < 12 for i, image in enumerate(images))
    assert min(images[0][-1].mean(), images[0][:, -1].mean()) > 200, "the white last row and column"
    odd = size != (48, 64) and encoder == "libx264"
    message = f"frames of odd size {size[1]} x {size[0]} need H.264 4:4:4, which some players do not show"
    assert notes == ([f"{tmp_path / 'a.mp4'}: {message}"] if odd else [])


@pytest.mark.parametrize(("size", "padded"), [((48, 64), (48, 64)), ((49, 64), (50, 64)), ((49, 65), (50, 66))])
def test_opencv_pads_odd_sizes(size: tuple[int, int], padded: tuple[int, int], tmp_path: Path) -> None:
    notes = write(tmp_path / "a.mp4", [np.full((*size, 3), 60, np.uint8)] * 3, "opencv")
    image = next(iter(open_video(tmp_path / "a.mp4"))).image
    assert image.shape[:2] == padded
    assert np.abs(image.astype(int) - 60).max() < 12, "the added row and column repeat the last ones"
    message = f"frames of odd size {size[1]} x {size[0]} are padded to {padded[1]} x {padded[0]}; MP4 needs even sides"
    assert notes == ([] if size == padded else [f"{tmp_path / 'a.mp4'}: {message}"])


def test_padding_repeats_the_last_row_and_column() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    padded = even_sides(frame)
    assert padded.shape == (6, 8, 3)
    assert np.array_equal(padded[:5, :7], frame)
    assert np.array_equal(padded[5, :7], frame[4])
    assert np.array_equal(padded[:5, 7], frame[:, 6])
    assert even_sides(frame[:4, :6]).shape == (4, 6, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_frames_of_other_sizes_are_resized_and_reported_once(backend: Backend, tmp_path: Path) -> None:
    sizes = [(64, 96), (32, 48), (66, 96)]
    notes = write(tmp_path / "a.mp4", [np.full((*size, 3), 60, np.uint8) for size in sizes], backend)
    assert notes == [f"{tmp_path / 'a.mp4'}: frames of other sizes are resized to the first frame's, 96 x 64"]
    assert [frame.image.shape for frame in open_video(tmp_path / "a.mp4")] == [(64, 96, 3)] * 3


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 0.0], "after 0 s, got 0 s"),
        ([1.0, 0.5], "after 1 s, got 0.5 s"),
        ([-1.0], "after 0 s"),
        ([np.nan], "nan"),
    ],
)
def test_times_must_increase(times: list[float], message: str, backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"time: expected one .*{message}"):
        write(tmp_path / "a.mp4", shades(len(times)), backend, times)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_frames_are_an_error(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.mp4: there was no frame to write"):
        write(tmp_path / "a.mp4", [], backend)
    assert list(tmp_path.iterdir()) == []


def test_pyav_writes_the_shape_of_pixels(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", shades(2), "pyav", pixel_aspect=Fraction(16, 11))
    video = open_video(tmp_path / "a.mp4")
    assert len(list(video)) == 2
    assert video.pixel_aspect == Fraction(16, 11)


def test_a_full_disk_is_an_error_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    av = pytest.importorskip("av")

    def full(self: object, packets: object) -> None:
        raise av.error.OSError(28, "No space left on device", "a.tmp.mp4")

    write(tmp_path / "a.mp4", shades(1), "pyav")
    before = (tmp_path / "a.mp4").read_bytes()
    monkeypatch.setattr(pyav_writer.PyavFile, "_mux", full)
    with pytest.raises(OSError, match=r"/a\.mp4: PyAV cannot write this video \(No space left on device\)"):
        write(tmp_path / "a.mp4", shades(2), "pyav")
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_file_that_lost_its_end_is_an_error(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk: OpenCV loses frames and reports nothing."""
    kind = pyav_writer.PyavFile if backend == "pyav" else opencv_writer.OpencvFile
    write(tmp_path / "a.mp4", shades(3), backend)
    before = (tmp_path / "a.mp4").read_bytes()
    real = kind.close

    def close(self: Any) -> None:
        real(self)
        os.truncate(self._path, os.path.getsize(self._path) // 2)

    monkeypatch.setattr(kind, "close", close)
    with pytest.raises(OSError, match=r"/a\.mp4: 0 of 3 frames could be written; the disk may be full"):
        write(tmp_path / "a.mp4", shades(3), backend)
    assert (tmp_path / "a.mp4").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_without_pyav_opencv_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    notes = write(tmp_path / "a.mp4", [np.full((49, 64, 3), 60, np.uint8)], "auto")
    assert "are padded to 64 x 50" in notes[0]
