"""What an input names: a video file, a stream of the network, or frames on stdin."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

VIDEO_SUFFIXES = frozenset(
    {
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
        *(".mxf", ".ogv", ".ts", ".webm", ".wmv"),
    }
)

STREAM_SCHEMES = frozenset({"http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"})

STDIN = "-"

_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+)://")


@dataclass(frozen=True)
class VideoSource:
    """A video file, a stream or stdin.

    Attributes:
        address: what the library opens: a path, a URL, or `STDIN`.
        label: its name in messages and results. The user and the password of a URL are left out.
        name: a file name for it, with a suffix if it is a file.
        live: whether it is a stream, whose frames are lost if nobody reads them in time.
    """

    address: str
    label: str
    name: str
    live: bool

    @property
    def stdin(self) -> bool:
        """Whether it is stdin."""
        return self.address == STDIN


def file_source(path: str | Path) -> VideoSource:
    """The source of a video file, whatever its suffix."""
    return VideoSource(str(Path(path)), str(Path(path)), Path(path).name, live=False)


def video_source(text: str) -> VideoSource | None:
    """The source that an input names; None if it names no video, as the path of an image.

    Raises:
        ValueError: the input is a URL with another scheme than `STREAM_SCHEMES`.
    """
    if text == STDIN:
        return VideoSource(STDIN, "stdin", "stdin", live=True)
    if os.path.exists(text) or not (url := _URL.match(text)):
        return file_source(text) if Path(text).suffix.lower() in VIDEO_SUFFIXES else None
    if url[1].lower() not in STREAM_SCHEMES:
        raise ValueError(f"expected a URL with one of {', '.join(sorted(STREAM_SCHEMES))}, got {url[1]:.20}://")
    return VideoSource(text, _without_user(text), "stream", live=True)


def _without_user(url: str) -> str:
    """A URL without user, password and query."""
    scheme, rest = url.split("://", 1)
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that do not enclose an IPv6 address
        return f"{scheme}://{rest.rpartition('@')[2]}"
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
