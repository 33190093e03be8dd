"""Readers of videos: timestamps, orientation, sizes, and what is missing or damaged."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.clips import H264, IRREGULAR, ROTATED, cut_short, display_matrix, even_clip, make_clip, patch, patterned
from helpers.shared_data import shared

from simplepose.data.images import ImageError
from simplepose.inference.video import reader
from simplepose.inference.video.open import open_video
from simplepose.inference.video.reader import VideoFrame, VideoReader

BACKENDS = ["pyav", "opencv"]


def read(path: Path, backend: Any = "pyav") -> tuple[VideoReader, list[VideoFrame], list[str]]:
    """The reader, the frames and the messages."""
    notes: list[str] = []
    video = open_video(path, notes.append, backend)
    return video, list(video), notes


def close(image: np.ndarray, expected: np.ndarray) -> bool:
    """Whether two images are alike but for the loss of the encoder."""
    return image.shape == expected.shape and np.abs(image.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("a.mp4", {}),
        ("a.mov", H264),
        ("a.mkv", H264),
        ("a.webm", {"codec": "libvpx"}),
        ("a.ts", H264),
        ("a.flv", H264),
        ("b_frames.mp4", {"codec": "libx264", "options": {"bf": "2"}}),
    ],
)
def test_the_times_are_those_of_the_file(name: str, encoder: dict, backend: str, tmp_path: Path) -> None:
    video, frames, _ = read(make_clip(tmp_path / name, IRREGULAR, **encoder), backend)
    assert [frame.time for frame in frames] == pytest.approx([stamp / 1000 for stamp in IRREGULAR], abs=0.002)
    assert [frame.index for frame in frames] == list(range(len(IRREGULAR)))
    assert video.rate == pytest.approx((len(IRREGULAR) - 1) / IRREGULAR[-1] * 1000, rel=0.08)
    assert video.problems() == []
    assert video.read == len(IRREGULAR)
    assert 0 < video.seconds - IRREGULAR[-1] / 1000 < 0.06


def test_the_last_frame_is_as_long_as_the_file_says(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", [0, 100, 1300], **H264)
    data = path.read_bytes()
    start = data.index(b"stts") + 8
    entries = int.from_bytes(data[start : start + 4], "big")
    ticks = int.from_bytes(data[start + 8 : start + 12], "big")  # of the first frame: 100 ms
    patch(path, b"stts", 8 + 4 + 8 * entries - 4, ">I", 7 * ticks)
    _, frames, _ = read(path)
    assert frames[-1].duration == pytest.approx(0.7)


def test_avi_files_have_times_although_frames_are_reordered(tmp_path: Path) -> None:
    _, frames, notes = read(even_clip(tmp_path / "a.avi", 20, codec="libx264", options={"bf": "3"}))
    assert [frame.time for frame in frames] == pytest.approx([0.04 * i for i in range(20)])
    assert notes == []


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("degrees", ROTATED)
def test_rotated_videos_are_upright(degrees: int, backend: str, tmp_path: Path) -> None:
    path = display_matrix(make_clip(tmp_path / "a.mp4", [0, 40], **H264), *ROTATED[degrees])
    _, frames, _ = read(path, backend)
    assert close(frames[1].image, np.rot90(patterned((48, 64), 1), -degrees // 90))


def test_mirrored_videos_are_upright(tmp_path: Path) -> None:
    _, frames, notes = read(display_matrix(make_clip(tmp_path / "a.mp4", [0, 40], **H264), -1, 0, 0, 1))
    assert close(frames[1].image, patterned((48, 64), 1)[:, ::-1])
    assert notes == []


def test_another_angle_is_not_applied_and_reported(tmp_path: Path) -> None:
    path = display_matrix(make_clip(tmp_path / "a.mp4", [0, 40], **H264), 1, 1, -1, 1)
    _, frames, notes = read(path)
    assert close(frames[1].image, patterned((48, 64), 1))
    assert notes == [f"{path}: the file rotates its frames by -45 degrees; this is not applied"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(49, 65), (48, 65), (49, 64)])
@pytest.mark.parametrize(
    ("name", "encoder"),
    [("a.mkv", {"codec": "ffv1", "pixels": "bgr0"}), ("a.mp4", {**H264, "pixels": "yuv444p"}), ("a.avi", {})],
)
def test_odd_sizes_are_complete(name: str, encoder: dict, size: tuple[int, int], backend: str, tmp_path: Path) -> None:
    _, frames, _ = read(even_clip(tmp_path / name, 2, size=size, **encoder), backend)
    assert close(frames[0].image, patterned(size))
    assert frames[0].image[-1].mean() > 200, "the white last row"
    assert frames[0].image[:, -1].mean() > 200, "the white last column"


FASTSTART = {"container": {"movflags": "faststart"}}


@pytest.mark.parametrize(
    ("name", "options", "announced"),
    [
        ("a.mp4", {**H264, **FASTSTART}, "40 frames announced, {} could be read"),
        ("a.avi", {"codec": "mjpeg", "pixels": "yuvj420p"}, "40 frames announced, {} could be read"),
        ("a.mkv", H264, "1.561 s announced, {} frames to "),
        ("a.webm", {"codec": "libvpx"}, "1.561 s announced, {} frames to "),
        ("a.flv", H264, "1.561 s announced, {} frames to "),
    ],
)
@pytest.mark.parametrize("part", [0.5, 0.85])
def test_files_that_were_cut_short_are_reported(
    name: str, options: dict, announced: str, part: float, tmp_path: Path
) -> None:
    path = even_clip(tmp_path / name, **options)
    assert read(path)[0].problems() == []
    video, frames, _ = read(cut_short(path, part))
    assert 0 < len(frames) < 40
    assert [frame.time for frame in frames] == pytest.approx([0.04 * i for i in range(len(frames))], abs=0.001)
    message = video.problems()[0]
    assert message.startswith(f"{path}: {announced.format(len(frames))}")
    assert message.endswith("; the file may be cut short or its header wrong")
    if "to " in announced:
        assert frames[-1].time <= float(message.split(" to ")[1].split(" s ")[0]) < frames[-1].time + 0.1
    assert video.report()["frames"] == len(frames)
    assert open_video(path).problems() == [], "nothing is missing before the end"


def test_a_cut_file_without_a_length_has_damaged_frames(tmp_path: Path) -> None:
    path = cut_short(even_clip(tmp_path / "a.mp4", **H264, container={"movflags": "frag_keyframe+empty_moov"}), 0.4)
    video, frames, _ = read(path)
    assert 0 < len(frames) < 40
    assert video.damaged in (1, 2), "it depends on the version of FFmpeg"
    assert video.problems() == [f"{path}: damaged frames: {video.damaged}"]


def test_an_mp4_file_without_its_index_is_reported(tmp_path: Path) -> None:
    path = cut_short(even_clip(tmp_path / "a.mp4", **H264))
    with pytest.raises(ImageError, match=r"a\.mp4: PyAV cannot read .*an MP4 file that was cut short lacks its index"):
        read(path)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("announced", [25, 70])
def test_a_wrong_number_of_frames_in_the_header(announced: int, backend: str, tmp_path: Path) -> None:
    path = even_clip(tmp_path / "a.avi")
    patch(path, b"avih", 24, "<I", announced)
    patch(path, b"strh", 40, "<I", announced)
    video, frames, notes = read(path, backend)
    assert len(frames) == 40
    assert video.report()["announced_frames"] == announced
    if announced > 40:
        (problem,) = video.problems()
        assert problem.startswith(f"{path}: 70 frames announced, 40 could be read; ")
    else:
        assert video.problems() == []
        assert notes == ([f"{path}: 25 frames announced, 40 found; the header is wrong"] if backend == "pyav" else [])


def test_damage_in_the_middle_is_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    path = even_clip(tmp_path / "a.mp4", **H264)
    data = path.read_bytes()
    middle = data.index(b"mdat") + 4 + int.from_bytes(data[data.index(b"mdat") - 4 : data.index(b"mdat")], "big") // 2
    path.write_bytes(data[:middle] + bytes(range(200)) + data[middle + 200 :])
    video, frames, _ = read(path)
    assert video.damaged
    assert f"{path}: damaged frames: {video.damaged}" in video.problems()
    assert frames[-1].time == pytest.approx(39 * 0.04), "frames after the damage have their times"
    assert f", {video.damaged} damaged, " in video.summary()


def test_frames_outside_of_an_edit_list_are_not_missing(tmp_path: Path) -> None:
    path = even_clip(tmp_path / "a.mp4", **{**H264, "codec": "libx264", "options": {"bf": "2", "g": "10"}})
    data = path.read_bytes()
    media_time = int.from_bytes(data[data.index(b"elst") + 16 : data.index(b"elst") + 20], "big")
    ticks = int.from_bytes(data[data.index(b"mdhd") + 16 : data.index(b"mdhd") + 20], "big")
    patch(path, b"elst", 16, ">I", media_time + ticks * 15 // 25)  # starts at frame 15, in the middle of a group
    video, frames, _ = read(path)
    assert len(frames) == 25
    assert video.problems() == []
    assert video.report()["announced_frames"] == 25


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_video_without_frames(backend: str, tmp_path: Path) -> None:
    video, frames, _ = read(make_clip(tmp_path / "a.avi", [], tick=Fraction(1, 25)), backend)
    assert frames == []
    assert video.report()["frames"] == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_error_for_an_unreadable_video_names_it(backend: str, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    library = "PyAV" if backend == "pyav" else "OpenCV"
    with pytest.raises(ImageError, match=rf"a\.mp4: {library} cannot read this video"):
        read(tmp_path / "a.mp4", backend)
    with pytest.raises(ImageError, match=r"b\.mp4: there is no such file"):
        read(tmp_path / "b.mp4", backend)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        for index in range(5):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, 1024 * index
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with pytest.raises(ImageError, match=r"a\.mp4: PyAV cannot read this video \(it contains no video stream\)"):
        read(tmp_path / "a.mp4")


def test_huge_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = even_clip(tmp_path / "a.mp4", 2)
    monkeypatch.setattr(reader, "MOST_PIXELS", 3000)
    with pytest.raises(ImageError, match=r"a.mp4: expected frames of at most 0.003 megapixels, got 64 x 48"):
        read(path)


def test_frames_without_timestamps_have_the_default_rate(tmp_path: Path) -> None:
    path = even_clip(tmp_path / "a.mjpeg", 5, codec="mjpeg", pixels="yuvj420p")
    _, frames, notes = read(path)
    assert [frame.time for frame in frames] == pytest.approx([0.04 * i for i in range(5)])
    assert notes == [f"{path}: the frames have no timestamps; 25 frames/s is assumed"]


@pytest.mark.parametrize(("rotation", "shown"), [(0, Fraction(16, 11)), (90, Fraction(11, 16))])
def test_the_shape_of_pixels(rotation: int, shown: Fraction, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", [0, 40], **H264, pixel_aspect=Fraction(16, 11))
    if rotation:
        display_matrix(path, *ROTATED[rotation])
    assert read(path)[0].pixel_aspect == shown


def test_the_rate_of_a_browser_recording_is_that_of_its_timestamps() -> None:
    path = shared("cases/09_webm_frame_rate/recorded.webm")
    for backend in BACKENDS:
        video, frames, _ = read(path, backend)
        assert (len(frames), video.rate) == (40, pytest.approx(24.18, abs=0.01))


def test_without_pyav_opencv_reads_and_says_what_it_cannot_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = even_clip(tmp_path / "a.mp4", 3)
    monkeypatch.setitem(sys.modules, "av", None)
    video, frames, _ = read(path, "auto")
    assert len(frames) == 3
    report = video.report()
    assert report["reader"].startswith("OpenCV ")
    assert report["damaged_frames"] is None
    assert "does not tell which frames are damaged" in report["unknown"]
    assert video.summary().endswith(f"{video.library}. {report['unknown']}")
    with pytest.raises(ModuleNotFoundError, match=r'backend="pyav" needs PyAV: pip install'):
        open_video(path, backend="pyav")


def test_a_backend_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match='backend: expected "auto", "pyav" or "opencv", got \'ffmpeg\''):
        open_video(tmp_path / "a.mp4", backend="ffmpeg")  # type: ignore[arg-type]
