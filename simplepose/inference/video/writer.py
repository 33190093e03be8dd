"""Writing of videos as MP4 files that are complete or not there, with frames of one size."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from simplepose.inference.video.libraries import Backend, uses_pyav
from simplepose.inference.video.opencv_writer import OpencvFile
from simplepose.inference.video.pyav_writer import PyavFile
from simplepose.inference.video.reader import Image, Note
from simplepose.io.atomic import atomic_write


class _File(Protocol):
    """An MP4 file that is being written."""

    def write(self, image: Image, time: float, duration: float) -> None: ...

    def close(self) -> None:
        """Complete the file."""

    def abort(self) -> None:
        """Close the file as it is; no exception."""

    def missing(self) -> str:
        """How many frames are in the file, if it lacks some; empty otherwise."""


class VideoWriter:
    """Writes the frames of one MP4 file; see `video_writer`."""

    def __init__(
        self, label: Path, file: Path, rate: float, note: Note, pixel_aspect: Fraction, backend: Backend
    ) -> None:
        self._label, self._target, self._rate, self._note = label, file, rate, note
        self._pixel_aspect = pixel_aspect
        self._pyav = uses_pyav(backend)
        self._file: _File | None = None
        self._size = (0, 0)  # height, width
        self._resized = False
        self._last = float("-inf")

    def write(self, image: Image, time: float, duration: float | None = None) -> None:
        """Append a frame.

        Args:
            image: ``[H, W, 3]`` uint8 BGR. Images of another size than the first are resized to it.
            time: seconds after the start of the video, greater than that of the frame before.
            duration: seconds, of importance for the last frame only; default: one frame of the rate.

        Raises:
            OSError: the file cannot be written.
            ValueError: the time does not increase, or the first one is negative.
        """
        if not max(self._last, -1e-9) < time < float("inf"):
            raise ValueError(f"time: expected one after {max(self._last, 0):g} s, got {time:g} s")
        if self._file is None:
            self._size = image.shape[:2]
            self._file = self._create()
        self._last = time
        if image.shape[:2] != self._size:
            if not self._resized:
                size = f"{self._size[1]} x {self._size[0]}"
                self._note(f"{self._label}: frames of other sizes are resized to the first frame's, {size}")
            self._resized = True
            image = np.asarray(cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        self._file.write(image, time, 1 / self._rate if duration is None else duration)

    def _create(self) -> _File:
        label = str(self._label)
        if self._pyav:
            return PyavFile(label, self._target, self._size, self._rate, self._note, self._pixel_aspect)
        return OpencvFile(label, self._target, self._size, self._rate, self._note)

    def close(self) -> None:
        """Complete the file. Raises OSError if there was no frame, or if the file lacks frames, as on a full disk."""
        if self._file is None:
            raise OSError(f"{self._label}: there was no frame to write")
        self._file.close()
        if missing := self._file.missing():
            raise OSError(f"{self._label}: {missing} frames could be written; the disk may be full")

    def abort(self) -> None:
        """Close the file, which will be removed."""
        if self._file:
            self._file.abort()


def _silent(_: str) -> None:
    """Ignore a message."""


@contextlib.contextmanager
def video_writer(
    path: str | Path,
    rate: float,
    note: Note = _silent,
    *,
    pixel_aspect: Fraction = Fraction(1),
    backend: Backend = "auto",
) -> Iterator[VideoWriter]:
    """A writer of a new MP4 file, which is created at the end of the block.

    With PyAV, frames keep their times and their size: H.264, 4:2:0, or 4:4:4 if a side is odd. With OpenCV, frames are
    repeated and left out to keep their times at a constant rate, and frames with an odd side are padded.

    Args:
        path: the file. Missing folders are created.
        rate: frames per second. With PyAV, it has no effect on times.
        note: called with a message if frames are padded, resized or left out, or if some players cannot show the file.
        pixel_aspect: width of a pixel divided by its height; OpenCV ignores it.
        backend: "pyav", "opencv", or "auto": PyAV if it is installed.

    Raises:
        OSError: the file cannot be written, or there was no frame.
        ValueError, ModuleNotFoundError: see `uses_pyav`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        target = temporary.with_suffix(".mp4")  # OpenCV selects the container by the suffix
        writer = VideoWriter(path, target, rate, note, pixel_aspect, backend)
        try:
            yield writer
            writer.close()
            target.replace(temporary)
        finally:
            writer.abort()
            target.unlink(missing_ok=True)
