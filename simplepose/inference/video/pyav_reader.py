"""Reading of videos and streams with PyAV: timestamps of the container, orientation, damage."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from simplepose.data.images import MOST_PIXELS, ImageError
from simplepose.inference.video.clock import MAX_GAP, Clock
from simplepose.inference.video.libraries import load_pyav
from simplepose.inference.video.orientation import is_right_angle, swaps_sides, upright
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
from simplepose.inference.video.stdin import StdinFile

TIMEOUT = 10.0
"""Seconds without data after which a stream of the network ends."""

STORED_DURATION = frozenset({"asf", "flv", "matroska"})
"""Formats whose header contains the duration, but not the number of frames. Others compute it from what is there."""

SLACK = 0.05
"""Seconds, beside one frame, by which a file may be shorter than its header says: muxers round differently."""

NO_TIMESTAMPS = 0x80
"""FFmpeg's AVFMT_NOTIMESTAMPS: the format is a bare sequence of frames."""

STREAM_OPTIONS = {"rtsp": {"rtsp_flags": "prefer_tcp"}}  # UDP loses packets


class PyavReader(VideoReader):
    """Reads a video with PyAV.

    Args:
        source: a file, a stream or stdin, in any format that FFmpeg detects.
        note: called with messages.

    Raises:
        ImageError: there is no video that can be decoded; the message names the source.
    """

    def __init__(self, source: VideoSource, note: Note) -> None:
        super().__init__(source.label, note)
        self._av = load_pyav()
        self.library = f"PyAV {self._av.__version__}"
        self.damaged = 0
        self._source = source
        self._stdin = StdinFile() if source.stdin else None
        self._container = self._open()
        try:
            self._stream = self._video_stream()
            context = self._stream.codec_context
            check_frame_size(source.label, context.width, context.height)
        except BaseException:
            self.close()
            raise
        self._stream.thread_type = "SLICE" if source.live else "AUTO"  # frame threads delay the frames of a stream
        names = self._container.format.name.split(",")
        self._decoding_times = "avi" in names  # the only ones that these files contain
        self._untimed = bool(int(self._container.format.flags) & NO_TIMESTAMPS)
        self.announced = self._announced("mp4" in names)
        if self.announced is None and STORED_DURATION.intersection(names) and self._container.duration:
            self.announced_seconds = self._container.duration / 1e6
        self.rate = self._mean_rate()
        self._time_base = self._stream.time_base  # that of a frame is missing where the decoder is flushed
        self.lossy = source.live and not source.stdin
        self._aspect = Fraction(self._stream.sample_aspect_ratio or 1)
        self._end = 0.0  # of the packets of all streams in the file, by their timestamps
        self._longest = 0.0  # distance of two frames
        self._discarded = self._bad_packets = self._bad_frames = 0
        self._broken = ""
        self._angle_noted = False

    def close(self) -> None:
        self._container.close()

    def _open(self) -> Any:
        source = self._source
        timeout = TIMEOUT if source.live and not source.stdin else None
        options = STREAM_OPTIONS.get(source.address.partition("://")[0].lower(), {}) if timeout else {}
        address = self._stdin or (source.address if source.live else f"file:{source.address}")
        try:
            return self._av.open(address, options=dict(options), timeout=timeout, metadata_errors="replace")
        except (self._av.error.FFmpegError, OSError) as error:
            if self._stdin:
                self._stdin.check()
            reason = self._reason(error)
            if isinstance(error, self._av.error.InvalidDataError) and _is_mp4(source):
                reason += "; an MP4 file that was cut short lacks its index"
            raise ImageError(f"{source.label}: PyAV cannot read this video ({reason})") from None

    def _reason(self, error: Exception) -> str:
        if isinstance(error, self._av.error.ExitError):
            return f"no data for {TIMEOUT:g} s"
        return str(getattr(error, "strerror", None) or error)

    def _video_stream(self) -> Any:
        """The best video stream that is not the cover picture of a sound file."""
        cover = self._av.stream.Disposition.attached_pic
        streams = [stream for stream in self._container.streams.video if not stream.disposition & cover]
        best = self._container.streams.best("video")
        stream = best if best in streams else next(iter(streams), None)
        if stream is None:
            raise ImageError(f"{self.label}: PyAV cannot read this video (it contains no video stream)")
        if stream.codec_context is None:
            raise ImageError(f"{self.label}: PyAV cannot read this video (there is no decoder for it)")
        return stream

    def _announced(self, mp4: bool) -> int | None:
        """The number of frames in the header. An edit list of MP4 can remove frames from the index of what is shown."""
        frames = self._stream.frames
        return (min(frames, len(self._stream.index_entries)) if mp4 else frames) or None

    def _mean_rate(self) -> float:
        """Frames per second: of the whole file where it contains the number of frames, or of the first timestamps."""
        given = float(self._stream.average_rate or 0) if self.announced else 0.0
        if plausible(given):
            return given
        timed = None if self._source.live or self._untimed else self._timed_rate()
        guessed = float(self._stream.guessed_rate or 0)
        return timed or (guessed if plausible(guessed) else DEFAULT_RATE)

    def _timed_rate(self) -> float | None:
        """Frames per second of the timestamps of the first packets, from the file opened a second time."""
        times: list[float] = []
        with self._open() as container:
            try:
                for packet in container.demux(container.streams[self._stream.index]):
                    if packet.pts is not None:
                        times.append(float(packet.pts * packet.time_base))
                    if len(times) == TIMED_FRAMES:
                        break
            except self._av.error.FFmpegError:
                pass  # the error is reported when the frames are read
        return mean_rate(times)

    def _decode(self) -> Iterator[tuple[Image, float, float]]:
        clock, last = Clock(1 / self.rate), 0.0
        for frame in self._frames():
            stamp = frame.dts if self._decoding_times or frame.pts is None else frame.pts
            time = clock.time(None if stamp is None else float(stamp * self._time_base))
            self._longest, last = max(self._longest, time - last), time
            yield self._pixels(frame), time, self._duration(frame)
        if self.announced is not None:
            self.announced -= self._discarded
            if self.announced < self.read:
                self.note(f"{self.label}: {self.announced} frames announced, {self.read} found; the header is wrong")
        if self._untimed or (clock.estimated and clock.estimated == self.read):
            self.note(f"{self.label}: the frames have no timestamps; {self.rate:.4g} frames/s is assumed")
        elif clock.estimated and not self._decoding_times:  # the last frames of these have none
            self.note(f"{self.label}: {clock.estimated} timestamps are missing or do not increase; they were replaced")

    def _duration(self, frame: Any) -> float:
        """Seconds. Formats without durations of frames state their clock's period."""
        given = float(frame.duration * self._time_base) if frame.duration else 0.0
        return max(1 / self.rate, given if given <= MAX_GAP else 0.0)

    def _frames(self) -> Iterator[Any]:
        """The decoded frames; counts what is damaged."""
        for packet in self._read_packets():
            damaged = bool(packet is not None and packet.is_corrupt)
            try:
                frames = self._stream.decode(packet)
            except self._av.error.EOFError:  # flushed before
                frames = []
            except self._av.error.FFmpegError:
                frames, damaged = [], True
            self._bad_packets += damaged
            for frame in frames:
                if 0 < frame.width * frame.height <= MOST_PIXELS:
                    self._bad_frames += frame.is_corrupt
                    yield frame
                else:
                    self._bad_frames += 1
            # one fault can mark the packet and the frame
            self.damaged = max(self._bad_packets, self._bad_frames)

    def _read_packets(self) -> Iterator[Any]:
        """The packets of the video stream, then None, which makes the decoder return its last frames."""
        try:
            for packet in self._container.demux():
                if not packet.size:
                    continue
                if packet.pts is not None:
                    end = packet.pts + (packet.duration or 0)
                    self._end = max(self._end, float(end * packet.time_base))
                if packet.stream_index == self._stream.index:
                    self._discarded += packet.is_discard  # outside of the part that an edit list shows
                    yield packet
        except (self._av.error.FFmpegError, OSError) as error:
            self._broken = self._reason(error)
        yield None
        if self._stdin:
            self._stdin.check()

    def _pixels(self, frame: Any) -> Image:
        """``[H, W, 3]`` BGR, upright."""
        image = np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
        side_data = frame.side_data.get("DISPLAYMATRIX")
        if side_data is None:
            self.pixel_aspect = self._aspect
            return image
        matrix = bytes(side_data)
        if not is_right_angle(matrix) and not self._angle_noted:
            self._angle_noted = True
            self.note(f"{self.label}: the file rotates its frames by {frame.rotation} degrees; this is not applied")
        self.pixel_aspect = 1 / self._aspect if swaps_sides(matrix) else self._aspect
        return upright(image, matrix)

    def _shortage(self) -> str:
        found = super()._shortage()
        slack = SLACK + max(self._longest, 1 / self.rate)
        if self.announced_seconds is not None and self._end < self.announced_seconds - slack:
            found = f"{self.announced_seconds:.3f} s announced, {self.read} frames to {self._end:.3f} s could be read"
        return f"{found}; reading ended with an error ({self._broken})".removeprefix("; ") if self._broken else found


def _is_mp4(source: VideoSource) -> bool:
    """Whether a file begins as an MP4 file does."""
    if source.live:
        return False
    try:
        with Path(source.address).open("rb") as file:
            return file.read(8)[4:] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
    except OSError:
        return False
