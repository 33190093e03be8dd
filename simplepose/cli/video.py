"""Videos and streams in `simplepose predict`."""

from __future__ import annotations

import argparse
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from simplepose.cli.options import UsageError
from simplepose.cli.track import make_tracking
from simplepose.inference.video.libraries import NEEDS_PYAV, load_pyav
from simplepose.inference.video.open import open_video
from simplepose.inference.video.queue import FrameQueue
from simplepose.inference.video.reader import Image, VideoReader
from simplepose.inference.video.source import VideoSource, video_source
from simplepose.inference.video.writer import video_writer
from simplepose.io.formats.source import Source

if TYPE_CHECKING:
    from simplepose.cli.predict import _Job

QUEUE = 8
"""Default of --queue."""

MAX_QUEUE = 10_000


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add --queue."""
    parser.add_argument(
        "--queue",
        type=int,
        metavar="FRAMES",
        help=f"frames of a stream that wait at most, default {QUEUE}; older ones are dropped; 0: the stream waits",
    )


def find_video(options: argparse.Namespace) -> VideoSource | None:
    """The video or stream among the inputs; None if they are images.

    Raises:
        UsageError: there are other inputs beside it, --queue does not fit it, or it cannot be read here.
    """
    try:
        sources = [source for source in map(video_source, options.inputs) if source]
    except ValueError as error:
        raise UsageError(f"inputs: {error}") from None
    if sources and len(options.inputs) > 1:
        raise UsageError("inputs: expected one video or one camera, or any number of images")
    source = sources[0] if sources else None
    live = source is not None and source.live
    if options.queue is not None:
        if not live:
            raise UsageError("--queue needs a stream or - (stdin)")
        if not 0 <= options.queue <= MAX_QUEUE:
            raise UsageError(f"--queue: expected 0 to {MAX_QUEUE} frames, got {options.queue}")
    if source is not None and live and load_pyav() is None:
        raise UsageError(f"{source.label}: streams and frames on stdin need {NEEDS_PYAV}")
    if source is not None and source.stdin and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError("stdin: expected a video, got a terminal; write COMMAND | simplepose predict -")
    return source


def run_video(source: VideoSource, path: Path, target: Path | None, job: _Job) -> None:
    """Detect the people of a video, and write the drawn video to ``target`` if there is one.

    Args:
        source: the video.
        path: its name for the result files.
        target: the drawn video.
        job: the run.
    """
    job.inputs = 1
    reader = open_video(source, job.warn)
    waiting = QUEUE if job.options.queue is None else job.options.queue
    queue = FrameQueue(reader, waiting) if source.live and waiting else None
    times: deque[tuple[int, float, float]] = deque()  # index, time and duration of the frames in the pipeline

    def images() -> Iterator[Image]:
        for frame in queue or reader:
            times.append((frame.index, frame.time, frame.duration))
            yield frame.image

    follow = make_tracking(job.options, job.predictor.skeleton, reader.rate)
    predictions = iter(job.progress(job.predictions(images()), reader.expected, "frame"))
    first = next(predictions, None)
    if first is None:
        job.fail(Source(path, label=source.label), f"{source.label}: no frame of the video can be read")
    else:
        writing = video_writer(target, reader.rate, job.warn, pixel_aspect=reader.pixel_aspect) if target else None
        with writing or nullcontext() as writer:
            try:
                for prediction in chain([first], predictions):
                    index, time, duration = times.popleft()
                    prediction = prediction.with_poses(follow(prediction.poses, time))
                    assert prediction.image is not None
                    size = prediction.image.shape[0], prediction.image.shape[1]
                    job.add(Source(path, size, index, time, source.label), prediction.poses)
                    if writer:
                        writer.write(job.picture(prediction), time, duration)
            except KeyboardInterrupt:
                if not source.live:
                    raise
                job.warn(f"{source.label}: interrupted; the results until then are complete")
    _finish(reader, queue, job)


def _finish(reader: VideoReader, queue: FrameQueue | None, job: _Job) -> None:
    """Report what was read, what is missing and what was dropped."""
    dropped = queue.dropped if queue else 0
    job.video = {**reader.report(), "dropped_frames": dropped}
    job.summary.append(reader.summary())
    if dropped:
        job.warn(
            f"{reader.label}: {dropped} of {reader.read} frames were dropped, since they came faster than people are "
            "detected; --queue 0 drops none"
        )
    for problem in reader.problems():
        job.warn(problem)
        job.incomplete = True
