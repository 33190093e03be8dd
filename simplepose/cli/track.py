"""The options --track, --max-gap and --smooth of `simplepose predict`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from simplepose.cli.options import UsageError

if TYPE_CHECKING:
    from simplepose.drawing.people import DrawConfig
    from simplepose.poses import Poses
    from simplepose.skeleton.skeleton import Skeleton

MAX_GAP = 100_000
"""Upper bound of --max-gap in frames."""


def add_track_options(parser: argparse.ArgumentParser) -> None:
    """Add --track, --max-gap and --smooth."""
    parser.add_argument(
        "--track",
        action="store_true",
        help="follow the people of a video: track_id in the results, and one color for each person in the drawn video; "
        "needs the extra: pip install 'simplepose[track]'",
    )
    parser.add_argument(
        "--max-gap", type=int, metavar="FRAMES", help="frames that a person may be missing; default: those of 2 seconds"
    )
    parser.add_argument("--smooth", action="store_true", help="smooth the keypoints over time; needs --track")


def check_track_options(options: argparse.Namespace, video: bool) -> None:
    """UsageError if the options do not fit each other or the input."""
    for name in ("max_gap", "smooth"):
        if getattr(options, name) not in (None, False) and not options.track:
            raise UsageError(f"--{name.replace('_', '-')} needs --track")
    if options.track and not video:
        raise UsageError("--track needs a video")
    if options.track and find_spec("scipy") is None:
        raise UsageError("--track needs scipy: pip install 'simplepose[track]'")
    if options.max_gap is not None and not 0 <= options.max_gap <= MAX_GAP:
        raise UsageError(f"--max-gap: expected 0 to {MAX_GAP} frames, got {options.max_gap}")


def track_colors(options: argparse.Namespace, drawing: DrawConfig) -> DrawConfig:
    """The settings of drawing: with --track, each person has one color."""
    return replace(drawing, colors="people") if options.track else drawing


def make_tracking(options: argparse.Namespace, skeleton: Skeleton, rate: float) -> Callable[[Poses, float], Poses]:
    """A function from the poses and the time in seconds of each frame to poses with ``track_ids``, smoothed if chosen.

    Without --track it returns the poses as they are.

    Args:
        options: of the command.
        skeleton: of the poses.
        rate: frames per second.
    """
    if not options.track:
        return lambda poses, time: poses
    from simplepose.inference.smoothing import Smoother
    from simplepose.inference.tracker import Tracker, TrackerConfig

    gap = TrackerConfig.max_gap if options.max_gap is None else (options.max_gap + 1.5) / rate
    tracker = Tracker(skeleton, TrackerConfig(max_gap=gap))
    smoother = Smoother()

    def follow(poses: Poses, time: float) -> Poses:
        tracked = poses.with_tracks(tracker.update(poses, time))
        return smoother.update(tracked, time) if options.smooth else tracked

    return follow
