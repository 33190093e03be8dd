"""What a writer of results is told: the inputs of a run, and the image or frame to which people belong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton


class Inputs(NamedTuple):
    """The inputs of a run."""

    paths: tuple[Path, ...]  # images, or one video
    video: bool


class Content(NamedTuple):
    """What the people of a run have."""

    skeleton: Skeleton
    tracked: bool  # whether they have identities
    covariance: bool  # whether their keypoints have covariances


class Source(NamedTuple):
    """An image, or a frame of a video."""

    path: Path  # of the image or the video, as the user named it
    size: tuple[int, int] = (0, 0)  # height and width in pixels; (0, 0) if the image could not be read
    frame: int | None = None  # index of the frame in the video, from 0
    time: float | None = None  # seconds from the start of the video

    @property
    def name(self) -> str:
        """The path; of a frame, the path of the video with the index of the frame."""
        return str(self.path) if self.frame is None else f"{self.path}#{self.frame}"

    @property
    def entry(self) -> dict[str, Any]:
        """JSON fields: ``file_name``, and of a frame also ``frame_id`` and ``time`` in seconds."""
        place = {} if self.frame is None else {"frame_id": self.frame, "time": self.time}
        return {"file_name": self.name, **place}


Write: TypeAlias = Callable[[Source, Poses | None, str], None]
"""Adds an image: its source, its people or None if it could not be read, and the reason, otherwise empty."""
