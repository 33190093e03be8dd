"""A bounded queue between a stream and a slower consumer: it drops old frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from simplepose.checks import check_count
from simplepose.inference.video.reader import VideoFrame


class FrameQueue:
    """Iterates over the frames of a stream; a thread reads them. If the queue is full, its oldest frame is dropped.

    Args:
        frames: the frames of a stream, such as a `VideoReader`.
        size: maximum number of frames that wait.

    Attributes:
        dropped: the number of frames dropped so far.

    Raises:
        TypeError, ValueError: ``size`` is not a positive integer.
    """

    def __init__(self, frames: Iterable[VideoFrame], size: int) -> None:
        self._size = check_count("size", size)
        self.dropped = 0
        self._frames = frames
        self._waiting: deque[VideoFrame] = deque()
        self._changed = threading.Condition()
        self._stopped = self._ended = False
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[VideoFrame]:
        """The frames, in order. An exception of the stream is raised after the frames that came before it."""
        thread = threading.Thread(target=self._read, name="simplepose-stream", daemon=True)
        thread.start()
        try:
            while (frame := self._next()) is not None:
                yield frame
        finally:
            self._stopped = True  # the thread may wait for the stream: it ends at the next frame, or with the process

    def _next(self) -> VideoFrame | None:
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait(1.0)  # a wait without limit cannot be interrupted on Windows
            if self._waiting:
                return self._waiting.popleft()
        if self._error:
            raise self._error
        return None

    def _read(self) -> None:
        try:
            with closing(_generate(self._frames)) as frames:
                for frame in frames:
                    with self._changed:
                        if self._stopped:
                            return
                        if len(self._waiting) == self._size:
                            self._waiting.popleft()
                            self.dropped += 1
                        self._waiting.append(frame)
                        self._changed.notify()
        except BaseException as error:  # raised by the thread that iterates
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify()


def _generate(frames: Iterable[VideoFrame]) -> Generator[VideoFrame, None, None]:
    """``frames`` as a generator, which can be closed."""
    yield from frames
