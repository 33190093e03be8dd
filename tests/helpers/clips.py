"""Small video files that PyAV writes, and faults in them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MILLISECOND = Fraction(1, 1000)

IRREGULAR = [0, 54, 101, 129, 170, 226, 251, 291, 350, 377, 404, 463, 490, 540, 570, 611]
"""Timestamps of a variable frame rate in milliseconds."""

H264 = {"codec": "libx264", "options": {"preset": "ultrafast", "crf": "10", "g": "10"}}
"""An encoder for `make_clip`."""


def patterned(size: tuple[int, int], index: int = 0) -> np.ndarray:
    """A gray frame ``[height, width, 3]`` BGR, with red and green quarters on the left and a white last row and column.

    The right upper quarter changes with the index.
    """
    height, width = size
    frame = np.full((height, width, 3), 60, np.uint8)
    frame[: height // 2, : width // 2] = (0, 0, 220)
    frame[height // 2 :, : width // 2] = (0, 220, 0)
    frame[: height // 2, width // 2 :] = 10 * index % 200
    frame[-1], frame[:, -1] = 255, 255
    return frame


def make_clip(
    path: Path,
    stamps: Sequence[int],
    *,
    size: tuple[int, int] = (48, 64),
    codec: str = "mpeg4",
    pixels: str = "yuv420p",
    tick: Fraction = MILLISECOND,
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    pixel_aspect: Fraction | None = None,
) -> Path:
    """Write a clip of `patterned` frames of ``size`` (height, width) with timestamps in ticks; return ``path``.

    The format is that of the suffix.
    """
    av = pytest.importorskip("av", reason="PyAV is not installed")
    with av.open(str(path), "w", container_options=container or {}) as out:
        stream: Any = out.add_stream(codec, rate=round(1 / tick))
        stream.height, stream.width = size
        stream.pix_fmt, stream.options = pixels, options or {}
        stream.time_base = stream.codec_context.time_base = tick
        if pixel_aspect:
            stream.sample_aspect_ratio = stream.codec_context.sample_aspect_ratio = pixel_aspect
        if not stamps:
            out.start_encoding()
        for index, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(patterned(size, index), "bgr24")
            frame.pts, frame.time_base = stamp, tick
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def even_clip(path: Path, frames: int = 40, **options: Any) -> Path:
    """`make_clip` at 25 frames/s, with a whole number of ticks for formats that need a constant rate."""
    if path.suffix in (".avi", ".mjpeg"):
        return make_clip(path, range(frames), tick=Fraction(1, 25), **options)
    return make_clip(path, [40 * i for i in range(frames)], **options)


def cut_short(path: Path, part: float = 0.5) -> Path:
    """Remove the end of a file, so that ``part`` of it remains."""
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    return path


def patch(path: Path, box: bytes, offset: int, layout: str, *values: int) -> Path:
    """Write numbers into a file, ``offset`` bytes after the first place where ``box`` begins."""
    data = bytearray(path.read_bytes())
    start = data.index(box)
    struct.pack_into(layout, data, start + offset, *values)
    path.write_bytes(data)
    return path


def display_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Set the display matrix in the track header of an MP4 file (ISO/IEC 14496-12, 8.3.2) to ``[[a, b], [c, d]]``."""
    one = 1 << 16
    return patch(path, b"tkhd", 44, ">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)


ROTATED = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}
"""Display matrices of rotations in degrees, clockwise."""
