"""Reading of video files with OpenCV, where PyAV is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from simplepose.data.images import ImageError
from simplepose.inference.video.clock import Clock
from simplepose.inference.video.libraries import NEEDS_PYAV
from simplepose.inference.video.reader import (
    DEFAULT_RATE,
    TIMED_FRAMES,
    Image,
    Note,
    VideoReader,
    check_frame_size,
    mean_rate,
    plausible,
)
from simplepose.inference.video.source import VideoSource

COUNTED_SUFFIXES = frozenset({".avi", ".m4v", ".mov", ".mp4"})
"""Files that contain their number of frames. In others, OpenCV computes it from the duration and the rate."""

ESTIMATE = 0.1
"""Error of a computed number of frames, as a fraction of it: the rate of such files may vary."""


class OpencvReader(VideoReader):
    """Reads a video file with OpenCV.

    A rate that is not plausible is replaced by the rate of the timestamps of the first `TIMED_FRAMES` frames, or by
    `DEFAULT_RATE` if these do not increase.

    Args:
        source: a file.
        note: called with messages.

    Raises:
        ImageError: the file is not a video; the message names it.
    """

    library = f"OpenCV {cv2.__version__}"
    unknown = (
        "OpenCV does not tell which frames are damaged, mirrored or trimmed away, nor, except in AVI and MP4 files, "
        f"how many there should be; a drawn video has a constant frame rate. This needs {NEEDS_PYAV}"
    )

    def __init__(self, source: VideoSource, note: Note) -> None:
        super().__init__(source.label, note)
        self._capture = cv2.VideoCapture(source.address)
        if not self._capture.isOpened():
            raise ImageError(f"{source.label}: OpenCV cannot read this video")
        try:
            sides = [self._capture.get(side) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)]
            check_frame_size(source.label, sides[0], sides[1])
        except ImageError:
            self.close()
            raise
        given = float(self._capture.get(cv2.CAP_PROP_FPS))
        self.rate = given
        if not plausible(given):
            timed = mean_rate(_timestamps(source.address))
            self.rate = timed or DEFAULT_RATE
            origin = (
                "computed from the timestamps of the frames"
                if timed
                else "the default, since the frames have no timestamps"
            )
            note(f"{self.label}: frame rate {given:g} is not plausible; {self.rate:.4g} frames/s is {origin}")
        exact = Path(source.address).suffix.lower() in COUNTED_SUFFIXES
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._computed = int(count) if (exact or plausible(given)) and 0 < count < 1e9 else None
        self.announced = self._computed if exact else None

    @property
    def expected(self) -> int | None:
        return self._computed

    def close(self) -> None:
        self._capture.release()

    def _decode(self) -> Iterator[tuple[Image, float, float]]:
        clock = Clock(1 / self.rate)
        while True:
            read, image = self._capture.read()
            if not read:
                return
            stamp = float(self._capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000
            yield np.asarray(image, np.uint8), clock.time(stamp), 1 / self.rate

    def _shortage(self) -> str:
        if self.announced is None and self._computed and self.read < (1 - ESTIMATE) * self._computed - 1:
            return f"about {self._computed} frames expected from the duration, {self.read} could be read"
        return super()._shortage()


def _timestamps(address: str) -> list[float]:
    """The timestamps of the first frames in seconds; none unless they increase from the first to the last."""
    capture = cv2.VideoCapture(address)
    times: list[float] = []
    try:
        while len(times) < TIMED_FRAMES and capture.grab():
            times.append(float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000)
    finally:
        capture.release()
    return times if times and times[0] < times[-1] < float("inf") else []
