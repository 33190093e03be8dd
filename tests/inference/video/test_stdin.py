"""Videos on stdin, in formats that need no jumps in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.clips import H264, cut_short, even_clip
from helpers.processes import run_python

READ = """
import json
from simplepose.inference.video.open import open_video
from simplepose.inference.video.source import video_source
video = open_video(video_source("-"))
print(json.dumps({"times": [frame.time for frame in video], "problems": video.problems(), **video.report()}))
"""


def read(data: bytes) -> dict[str, Any]:
    """What a process reads on stdin."""
    done = run_python("-c", READ, input=data, text=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "encoder"), [("a.mkv", H264), ("a.ts", H264), ("a.mjpeg", {"codec": "mjpeg", "pixels": "yuvj420p"})]
)
def test_all_frames_are_read(name: str, encoder: dict, tmp_path: Path) -> None:
    found = read(even_clip(tmp_path / name, 12, **encoder).read_bytes())
    assert found["times"] == pytest.approx([0.04 * i for i in range(12)])
    assert found["problems"] == []


def test_a_video_that_ends_early_is_reported(tmp_path: Path) -> None:
    found = read(cut_short(even_clip(tmp_path / "a.mkv", **H264)).read_bytes())
    assert 0 < found["frames"] < 40
    assert found["problems"][0].startswith(f"stdin: 1.561 s announced, {found['frames']} frames to ")


def test_something_else_on_stdin_is_an_error() -> None:
    done = run_python("-c", READ, input=b"no video", text=False)
    assert done.returncode == 1
    assert b"ImageError: stdin: PyAV cannot read this video (" in done.stderr
