"""Videos through OpenCV: frames in, drawn frames out."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.data.images import ImageError
from simplepose.io.atomic import atomic_write

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm"})

Image = NDArray[np.uint8]


class Frames:
    """The frames of a video file, ``[H, W, 3]`` uint8 BGR, and its ``rate`` in frames a second.

    Raises:
        ImageError: the file is missing or no video; the message names it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ImageError(f"{path}: there is no such file")
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageError(f"{path}: OpenCV cannot read this video")
        self.rate = float(self._capture.get(cv2.CAP_PROP_FPS)) or 25.0
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count = count if count > 0 else None

    def __iter__(self) -> Iterator[Image]:
        try:
            while True:
                read, frame = self._capture.read()
                if not read:
                    return
                yield frame
        finally:
            self._capture.release()


@contextlib.contextmanager
def video_writer(path: Path | None, rate: float) -> Iterator[Callable[[Image], None] | None]:
    """A function that appends a frame to a new MP4 file; the file appears when the block ends. None without a path.

    Raises:
        OSError: OpenCV cannot write the file.
    """
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: cv2.VideoWriter | None = None
    with atomic_write(path) as temporary:
        target = temporary.with_suffix(".mp4")  # OpenCV chooses the container by the name

        def write(frame: Image) -> None:
            nonlocal writer
            if writer is None:
                size = (frame.shape[1], frame.shape[0])
                writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
                if not writer.isOpened():
                    raise OSError(f"{path}: OpenCV cannot write this video")
            writer.write(frame)

        try:
            yield write
            if writer is None:
                raise OSError(f"{path}: there was no frame to write")
            writer.release()
            target.replace(temporary)
        finally:
            target.unlink(missing_ok=True)
