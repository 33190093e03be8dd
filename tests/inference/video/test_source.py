"""What an input names: images, a video file, a stream or stdin."""

from __future__ import annotations

from pathlib import Path

import pytest

from simplepose.inference.video.source import video_source


@pytest.mark.parametrize(
    ("text", "label", "name", "live"),
    [
        ("clips/a.b.MP4", "clips/a.b.MP4", "a.b.MP4", False),
        ("./a.ts", "a.ts", "a.ts", False),
        ("-", "stdin", "stdin", True),
        ("rtsp://camera/live", "rtsp://camera/live", "stream", True),
        ("RTSP://me:secret@10.0.0.1:554/live?token=1", "RTSP://10.0.0.1:554/live", "stream", True),
        ("rtsp://me:p@ss@camera/live", "rtsp://camera/live", "stream", True),
        ("http://[::1]:80/a.mp4", "http://[::1]:80/a.mp4", "stream", True),
        ("udp://me:secret@[::1/x", "udp://[::1/x", "stream", True),
    ],
)
def test_videos_and_streams(text: str, label: str, name: str, live: bool) -> None:
    source = video_source(text)
    assert source is not None
    assert (Path(source.label), source.name, source.live) == (Path(label), name, live)
    assert Path(source.address) == Path(text)
    assert source.stdin == (text == "-")


@pytest.mark.parametrize("text", ["a.jpg", "folder", "*.png", "0", "c:/photos"])
def test_other_inputs_are_no_videos(text: str) -> None:
    assert video_source(text) is None


def test_a_file_is_not_taken_for_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rtsp:" / "x").mkdir(parents=True)
    (tmp_path / "rtsp:" / "x" / "a.mp4").touch()
    monkeypatch.chdir(tmp_path)
    source = video_source("rtsp://x/a.mp4")
    assert source is not None
    assert not source.live


def test_a_scheme_that_is_not_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a URL with one of http, .*udp, got concat://"):
        video_source("concat://a|b")
