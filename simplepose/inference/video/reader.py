"""The common part of the readers of videos: frames with times, and what a file announces against what was found."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.data.images import MOST_PIXELS, ImageError

Image = NDArray[np.uint8]
Note = Callable[[str], None]

PLAUSIBLE_RATE = (1.0, 240.0)
"""Frames per second. Headers of files without frame durations contain the rate of their clock, such as 1000."""

DEFAULT_RATE = 25.0
"""Frames per second of a video without a plausible rate and without timestamps."""

TIMED_FRAMES = 1000
"""Maximum number of frames whose timestamps are read to compute the rate."""


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a video."""

    image: Image  # [H, W, 3] uint8 BGR, upright
    time: float  # seconds after the first frame; greater than that of the frame before
    duration: float  # seconds
    index: int  # of the frame in the video, from 0


class VideoReader(ABC):
    """Iterates over the frames of a video once, in the order in which they are shown.

    Args:
        label: the name of the video in messages.
        note: called with a message about each oddity of the video that needs attention.

    Attributes:
        rate: frames per second: the mean, as far as it is known before the video is read.
        announced: the number of frames according to the file; None if the file does not contain it.
        expected: an estimate of the number of frames; None if there is none.
        announced_seconds: the duration according to the file, for kinds of files without a number of frames.
        read: the number of frames that were read so far.
        seconds: the time until the end of the last frame that was read.
        damaged: the number of damaged frames so far; None if the library does not report them.
        lossy: whether damaged frames are to be expected, as in streams of the network.
        pixel_aspect: the width of a pixel of the last frame divided by its height.
    """

    library: str
    """The name and the version of the library that reads."""

    unknown: str = ""
    """What the library cannot know, as a sentence."""

    def __init__(self, label: str, note: Note) -> None:
        self.label = label
        self.note = note
        self.rate = DEFAULT_RATE
        self.announced: int | None = None
        self.announced_seconds: float | None = None
        self.read = 0
        self.seconds = 0.0
        self.damaged: int | None = None
        self.lossy = False
        self.pixel_aspect = Fraction(1)
        self._ended = False

    def __iter__(self) -> Iterator[VideoFrame]:
        try:
            for image, time, duration in self._decode():
                index, self.read, self.seconds = self.read, self.read + 1, time + duration
                yield VideoFrame(image, time, duration, index)
            self._ended = True
        finally:
            self.close()

    @abstractmethod
    def _decode(self) -> Iterator[tuple[Image, float, float]]:
        """The image, the time and the duration of each frame."""

    @property
    def expected(self) -> int | None:
        if self.announced is None and self.announced_seconds is not None:
            return round(self.announced_seconds * self.rate)
        return self.announced

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def _shortage(self) -> str:
        """What was announced and what was found, if frames are missing; empty otherwise."""
        if self.announced is None or self.read >= self.announced:
            return ""
        return f"{self.announced} frames announced, {self.read} could be read"

    def problems(self) -> list[str]:
        """Messages about frames that are missing or damaged; empty before the end of the video."""
        if not self._ended:
            return []
        shortage = self._shortage()
        found = [f"{self.label}: {shortage}; the file may be cut short or its header wrong"] if shortage else []
        damaged = self.damaged and not self.lossy
        return found + ([f"{self.label}: damaged frames: {self.damaged}"] if damaged else [])

    def report(self) -> dict[str, Any]:
        """The facts about the video that was read, as JSON values."""
        return {
            "reader": self.library,
            "frames": self.read,
            "announced_frames": self.announced,
            "seconds": self.seconds,
            "announced_seconds": self.announced_seconds,
            "damaged_frames": self.damaged,
            "unknown": self.unknown,
        }

    def summary(self) -> str:
        """One line about the video that was read."""
        announced = "number not announced"
        if self.announced is not None:
            announced = f"{self.announced} announced"
        elif self.announced_seconds is not None:
            announced = f"{self.announced_seconds:.3f} s announced"
        damaged = f", {self.damaged} damaged" if self.damaged else ""
        line = f"{self.label}: {self.read} frames{damaged}, {self.seconds:.3f} s ({announced}), read by {self.library}"
        return f"{line}. {self.unknown}" if self.unknown else line


def check_frame_size(label: str, width: float, height: float) -> None:
    """ImageError if frames have more than `MOST_PIXELS` pixels."""
    if width * height > MOST_PIXELS:
        raise ImageError(
            f"{label}: expected frames of at most {MOST_PIXELS / 1e6:g} megapixels, got {width:g} x {height:g}"
        )


def plausible(rate: float) -> bool:
    """Whether a number of frames per second lies in `PLAUSIBLE_RATE`; False for NaN."""
    return PLAUSIBLE_RATE[0] <= rate <= PLAUSIBLE_RATE[1]


def mean_rate(times: list[float]) -> float | None:
    """Frames per second of timestamps in seconds, in any order; None unless the range is positive and finite."""
    span = max(times) - min(times) if len(times) > 1 else 0.0
    return (len(times) - 1) / span if 0 < span < float("inf") else None
