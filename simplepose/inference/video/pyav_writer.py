"""Writing of MP4 files with PyAV: variable frame rates and odd sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from simplepose.inference.video.libraries import load_pyav
from simplepose.inference.video.reader import Image, Note

TICKS = 60000
"""Ticks of the clock of the file in a second: the usual rates are exact. MPEG-4 Part 2 allows at most 65535."""

H264, MPEG4 = "libx264", "mpeg4"

OPTIONS = {H264: {"preset": "ultrafast", "crf": "18"}, MPEG4: {"qmin": "2", "qmax": "4", "b": "100M"}}
"""Settings of the encoders: little loss, little time."""

BT601, LIMITED_RANGE = 5, 1
"""FFmpeg's numbers of the color matrix and the range to which frames are converted."""


class PyavFile:
    """An MP4 file with H.264 video; with MPEG-4 Part 2 if FFmpeg was built without x264.

    Args:
        label: the name of the file in messages.
        file: the file.
        size: height and width of the frames.
        rate: frames per second, for the header.
        note: called with messages.
        pixel_aspect: width of a pixel divided by its height.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(
        self, label: str, file: Path, size: tuple[int, int], rate: float, note: Note, pixel_aspect: Fraction
    ) -> None:
        self._av = load_pyav()
        self._label, self._path = label, file
        self._written, self._tick = 0, -1
        self._durations: dict[int, int] = {}  # of frames that the encoder holds, by their ticks
        encoder = H264 if H264 in self._av.codecs_available else MPEG4
        odd = encoder == H264 and bool(size[0] % 2 or size[1] % 2)  # 4:2:0 of H.264 needs even sides
        if odd:
            note(f"{label}: frames of odd size {size[1]} x {size[0]} need H.264 4:4:4, which some players do not show")
        with self._errors():
            self._container = self._av.open(f"file:{file}", "w", format="mp4")
        with self._errors():
            stream = self._container.add_stream(encoder, rate=Fraction(rate).limit_denominator(1001))
            stream.height, stream.width = size
            stream.pix_fmt = "yuv444p" if odd else "yuv420p"
            stream.options = OPTIONS[encoder]
            stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = pixel_aspect
            stream.codec_context.colorspace, stream.codec_context.color_range = BT601, LIMITED_RANGE
            self._stream = stream

    def write(self, image: Image, time: float, duration: float) -> None:
        """Append a frame; the argument are those of `VideoWriter.write`."""
        frame = self._av.VideoFrame.from_ndarray(image, format="bgr24")
        self._tick = max(round(time * TICKS), self._tick + 1)
        frame.pts, frame.time_base = self._tick, Fraction(1, TICKS)
        self._durations[self._tick] = max(round(duration * TICKS), 1)
        with self._errors():
            self._mux(self._stream.encode(frame))
        self._written += 1

    def close(self) -> None:
        """Complete the file."""
        with self._errors():
            self._mux(self._stream.encode())
            self._container.close()

    def abort(self) -> None:
        """Close the file as it is."""
        with contextlib.suppress(self._av.error.FFmpegError, OSError):
            self._container.close()

    def missing(self) -> str:
        """How many of the frames the file contains, if it lacks some; empty otherwise."""
        try:
            with self._av.open(f"file:{self._path}") as container:
                found = container.streams.video[0].frames
        except (self._av.error.FFmpegError, IndexError):
            found = 0
        return "" if found == self._written else f"{found} of {self._written}"

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts, 0)
            self._container.mux(packet)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Name the file in the errors of PyAV."""
        try:
            yield
        except self._av.error.FFmpegError as error:
            raise OSError(f"{self._label}: PyAV cannot write this video ({error.strerror})") from None
