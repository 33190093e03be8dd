"""The mark of a command in the comment of a PNG or JPEG file."""

from __future__ import annotations

import struct
import zlib

from simplepose.io.outputs import mark_text

PNG_HEADER_BYTES = 33
"""Signature and first chunk of a PNG file."""


def with_mark(data: bytes, program: str) -> bytes:
    """A PNG or JPEG file with the mark of ``program`` as its comment; other files are returned unchanged."""
    text = mark_text(program).encode("latin-1")
    if data.startswith(b"\x89PNG"):
        chunk = b"tEXtComment\0" + text
        comment = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return data[:PNG_HEADER_BYTES] + comment + data[PNG_HEADER_BYTES:]
    if data.startswith(b"\xff\xd8\xff\xe0"):  # the comment goes after the JFIF segment, which must be the first
        start = 4 + int.from_bytes(data[4:6], "big")
        return data[:start] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + data[start:]
    return data
