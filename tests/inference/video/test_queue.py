"""The bounded queue between a stream and a slower consumer."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from simplepose.inference.video.queue import FrameQueue
from simplepose.inference.video.reader import VideoFrame

IMAGE = np.zeros((2, 2, 3), np.uint8)


class Camera:
    """A source of frames that are there at once; ``paused`` stops it before the frame of an index."""

    def __init__(self, frames: int, pause_at: int = -1, error: Exception | None = None) -> None:
        self.frames, self.pause_at, self.error = frames, pause_at, error
        self.paused, self.resume, self.closed = threading.Event(), threading.Event(), threading.Event()

    def __iter__(self) -> Iterator[VideoFrame]:
        try:
            for index in range(self.frames):
                if index == self.pause_at:
                    self.paused.set()
                    assert self.resume.wait(10)
                yield VideoFrame(IMAGE, index / 25, 1 / 25, index)
            if self.error:
                raise self.error
        finally:
            self.closed.set()


def test_a_slow_consumer_gets_the_newest_frames() -> None:
    camera = Camera(50, pause_at=3)
    queue = FrameQueue(camera, 4)
    frames = iter(queue)
    got = [next(frames).index for _ in range(3)]
    assert camera.paused.wait(10)
    camera.resume.set()
    assert camera.closed.wait(10)  # all 47 other frames came while the consumer did something else
    got += [frame.index for frame in frames]
    assert got == [0, 1, 2, 46, 47, 48, 49]
    assert queue.dropped == 43


def test_a_fast_consumer_gets_all_frames() -> None:
    class Slow(Camera):
        def __iter__(self) -> Iterator[VideoFrame]:
            for frame in super().__iter__():
                time.sleep(0.005)
                yield frame

    queue = FrameQueue(Slow(10), 10)
    assert [frame.index for frame in queue] == list(range(10))
    assert queue.dropped == 0


def test_an_error_of_the_stream_comes_after_its_frames() -> None:
    queue = FrameQueue(Camera(3, error=RuntimeError("connection lost")), 5)
    frames = iter(queue)
    assert [next(frames).index for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="connection lost"):
        next(frames)


def test_the_stream_is_closed_when_the_consumer_stops() -> None:
    camera = Camera(1000, pause_at=1)
    frames = iter(FrameQueue(camera, 5))
    next(frames)
    frames.close()
    camera.resume.set()
    assert camera.closed.wait(10)


@pytest.mark.parametrize("size", [0, -1])
def test_a_queue_without_room_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="size: expected 1 to"):
        FrameQueue(Camera(1), size)
