"""The standard input as a file for PyAV, which Ctrl-C can end."""

from __future__ import annotations

import io


class StdinFile:
    """Reads what has arrived on file descriptor 0.

    FFmpeg repeats a read that a signal interrupts, so that Ctrl-C would have no effect while a stream is silent. Here
    it ends the file; `check` then raises it.

    Attributes:
        interrupted: whether Ctrl-C ended the file.
    """

    def __init__(self) -> None:
        self._file = io.FileIO(0, closefd=False)
        self.interrupted = False

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes; none at the end."""
        if self.interrupted:
            return b""
        try:
            return self._file.read(size) or b""
        except KeyboardInterrupt:
            self.interrupted = True
            return b""

    def check(self) -> None:
        """KeyboardInterrupt if it ended the file."""
        if self.interrupted:
            raise KeyboardInterrupt
