"""Reading and writing of videos with OpenCV.

Implausible frame rates are replaced and frames with odd sides are padded; a message reports each.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.data.images import MOST_PIXELS, ImageError
from simplepose.io.atomic import atomic_write

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm"})

COUNTED_SUFFIXES = frozenset({".avi", ".m4v", ".mov", ".mp4"})
"""Files that contain their number of frames. In others, OpenCV computes it from the duration and the rate."""

ESTIMATE = 0.1
"""Error of a computed number of frames, as a fraction of it: the rate of such files may vary."""

PLAUSIBLE_RATE = (1.0, 240.0)
"""Frames per second. OpenCV returns the clock rate, 1000, for files without frame durations, as browsers record."""

DEFAULT_RATE = 25.0
"""Frames per second of a file without a plausible rate and without timestamps."""

TIMED_FRAMES = 1000
"""Maximum number of frames whose timestamps are read to compute the rate."""

Image = NDArray[np.uint8]


class Frames:
    """The frames of a video file, ``[H, W, 3]`` uint8 BGR, in the order in which they are shown.

    Attributes:
        rate: frames per second. A rate outside `PLAUSIBLE_RATE` is replaced by the rate of the timestamps of the first
            `TIMED_FRAMES` frames, or by `DEFAULT_RATE` if there are no timestamps.
        count: the number of frames according to the file; None if it is not known.
        notes: a message if the rate was replaced.
        read: the number of frames that were read so far.

    Raises:
        ImageError: the file is missing or is not a video; the message names it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ImageError(f"{path}: there is no such file")
        self.path = path
        self._capture = cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise ImageError(f"{path}: OpenCV cannot read this video")
        self.notes: list[str] = []
        self.rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        exact, plausible = path.suffix.lower() in COUNTED_SUFFIXES, True
        if not PLAUSIBLE_RATE[0] <= self.rate <= PLAUSIBLE_RATE[1]:  # also NaN
            given, timed = self.rate, _timed_rate(path)
            self.rate = timed or DEFAULT_RATE
            source = (
                "computed from the timestamps of the frames"
                if timed
                else "the default, since the frames have no timestamps"
            )
            plausible = False
            self.notes.append(f"{path}: frame rate {given:g} is not plausible; {self.rate:.4g} frames/s is {source}")
        sides = [self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
        if sides[0] * sides[1] > MOST_PIXELS:
            self._capture.release()
            raise ImageError(
                f"{path}: expected frames of at most {MOST_PIXELS / 1e6:g} megapixels, got {sides[0]:g} x {sides[1]:g}"
            )
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.count = int(count) if (exact or plausible) and 0 < count < 1e9 else None
        self._slack = 0 if exact else max(1, int(ESTIMATE * (self.count or 0)))
        self.read = 0
        self._ended = False

    def __iter__(self) -> Iterator[Image]:
        try:
            while True:
                read, frame = self._capture.read()
                if not read:
                    self._ended = True
                    return
                self.read += 1
                yield frame
        finally:
            self._capture.release()

    def missing(self) -> str:
        """A message if fewer frames were read than the file announces; empty otherwise, and before the end.

        A number of frames that OpenCV computes may be too large by `ESTIMATE`.
        """
        if not self._ended or self.count is None or self.read >= self.count - self._slack:
            return ""
        return f"{self.path}: {self.count} frames announced, {self.read} could be read; the file may be cut short"


def _timed_rate(path: Path) -> float | None:
    """Frames per second from the timestamps of the first frames; None unless the timestamps increase."""
    capture = cv2.VideoCapture(str(path))
    times: list[float] = []
    try:
        while len(times) < TIMED_FRAMES and capture.grab():
            times.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)))
    finally:
        capture.release()
    seconds = (times[-1] - times[0]) / 1000 if len(times) > 1 else 0.0
    return (len(times) - 1) / seconds if seconds > 0 and math.isfinite(seconds) else None


def even_sides(frame: Image) -> Image:
    """``frame [H, W, 3]`` with even sides, which MP4 needs: the last row or column is repeated if a side is odd."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.asarray(cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)


def _check_written(path: Path, written: Path, frames: int) -> None:
    """OSError if a video file is not complete: OpenCV reports no error when it cannot write, as on a full disk."""
    capture = cv2.VideoCapture(str(written))
    found = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    if found != frames:
        raise OSError(f"{path}: {found} of {frames} frames could be written; the disk may be full")


@contextlib.contextmanager
def video_writer(
    path: Path | None, rate: float, note: Callable[[str], None] = lambda _: None
) -> Iterator[Callable[[Image], None] | None]:
    """A function that appends a frame to a new MP4 file, which is created at the end of the block; None without a path.

    Args:
        path: the file.
        rate: frames per second.
        note: called with a message if frames are padded (`even_sides`), and once if frames are resized.

    Raises:
        OSError: OpenCV cannot write the file.
    """
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    writer: cv2.VideoWriter | None = None
    size, resized, written = (0, 0), False, 0
    with atomic_write(path) as temporary:
        target = temporary.with_suffix(".mp4")  # OpenCV selects the container by the suffix

        def write(frame: Image) -> None:
            nonlocal writer, size, resized, written
            given, frame = frame.shape, even_sides(frame)
            if writer is None:
                size = (frame.shape[1], frame.shape[0])
                if given != frame.shape:
                    note(
                        f"{path}: frames of odd size {given[1]} x {given[0]} are padded to {size[0]} x {size[1]}; "
                        "MP4 needs even sides"
                    )
                writer = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), rate, size)
                if not writer.isOpened():
                    raise OSError(f"{path}: OpenCV cannot write this video")
            if frame.shape[:2] != size[::-1]:  # OpenCV would skip the frame
                if not resized:
                    note(f"{path}: frames of other sizes are resized to the first frame's, {size[0]} x {size[1]}")
                resized, frame = True, np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
            writer.write(frame)
            written += 1

        try:
            yield write
            if writer is None:
                raise OSError(f"{path}: there was no frame to write")
            writer.release()
            _check_written(path, target, written)
            target.replace(temporary)
        finally:
            target.unlink(missing_ok=True)
