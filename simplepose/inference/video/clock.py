"""Times of frames from their timestamps, which may be missing, repeated or out of order."""

from __future__ import annotations

import math

JITTER = 2.0
"""Periods by which a timestamp may lie before the one of the frame before: a frame in the wrong place."""

SMALL_STEP = 0.1
"""The time after a frame, in periods, of a frame in the wrong place."""

MAX_GAP = 3600.0
"""Seconds between two frames. A greater gap is an error of the timestamps."""


class Clock:
    """Maps timestamps to times that start at 0 and increase.

    - A frame without a timestamp follows the frame before by one period.
    - A single timestamp that does not increase, but lies at most `JITTER` periods before the last time: the frame
      follows by `SMALL_STEP` periods, and the next times are not changed.
    - A timestamp that jumps back further, as in videos that were joined, or for the second time in a row, or forward by
      more than `MAX_GAP`: the frame follows by one period, and the later times are shifted by the same amount.

    Args:
        period: seconds from one frame to the next at the nominal rate.

    Attributes:
        estimated: the number of frames whose time is not that of a timestamp.
    """

    def __init__(self, period: float) -> None:
        self.estimated = 0
        self._period = period
        self._shift: float | None = None
        self._last: float | None = None
        self._late = False  # whether the timestamp of the frame before did not increase

    def time(self, stamp: float | None) -> float:
        """The time of the next frame in seconds.

        Args:
            stamp: its timestamp in seconds; None: it has none.
        """
        due = 0.0 if self._last is None else self._last + self._period
        if stamp is None or not math.isfinite(stamp):
            self.estimated += 1
            self._last = due
            return due
        if self._shift is None:
            self._shift = due - stamp
        time = stamp + self._shift
        wrong = self._last is not None and not 0 < time - self._last <= MAX_GAP
        if self._last is not None and wrong:
            self.estimated += 1
            if not self._late and 0 <= self._last - time <= JITTER * self._period:
                time = self._last + SMALL_STEP * self._period
            else:
                self._shift += due - time
                time = due
        self._last, self._late = time, wrong
        return time
