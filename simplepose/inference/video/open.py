"""Opening of videos: PyAV where it is installed, otherwise OpenCV."""

from __future__ import annotations

from pathlib import Path

from simplepose.data.images import ImageError
from simplepose.inference.video.libraries import NEEDS_PYAV, Backend, uses_pyav
from simplepose.inference.video.opencv_reader import OpencvReader
from simplepose.inference.video.pyav_reader import PyavReader
from simplepose.inference.video.reader import Note, VideoReader
from simplepose.inference.video.source import VideoSource, file_source


def _silent(_: str) -> None:
    """Ignore a message."""


def open_video(source: str | Path | VideoSource, note: Note = _silent, backend: Backend = "auto") -> VideoReader:
    """A reader of a video: iterate over it once for its frames (`VideoFrame`), then call ``problems()``.

    Args:
        source: the path of a video file, or what `video_source` returns for a stream or for stdin.
        note: called with a message about each oddity of the video that needs attention.
        backend: "pyav", "opencv", or "auto": PyAV if it is installed.

    Raises:
        ImageError: the file is missing or contains no video; the message names it.
        ModuleNotFoundError: PyAV is not installed, and ``source`` is not a file or ``backend`` is "pyav".
        ValueError: there is no such backend.
    """
    source = source if isinstance(source, VideoSource) else file_source(source)
    pyav = uses_pyav(backend)
    if source.live and not pyav:
        raise ModuleNotFoundError(f"{source.label}: streams and frames on stdin need {NEEDS_PYAV}")
    if not source.live and not Path(source.address).is_file():
        raise ImageError(f"{source.label}: there is no such file")
    return PyavReader(source, note) if pyav else OpencvReader(source, note)
