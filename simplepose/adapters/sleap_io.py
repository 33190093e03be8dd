"""Poses as labels of SLEAP, through sleap-io (``pip install 'simplepose[animals]'``): https://io.sleap.ai.

Both packages count pixels alike: the center of the first pixel is (0, 0). A missing keypoint is NaN in both.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simplepose.checks import brief, check_count
from simplepose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from simplepose.poses import Poses


def sleap_labels(frames: Iterable[tuple[str | Path, int, Poses]]) -> Any:
    """A `sleap_io.Labels` of the poses of frames; ``labels.save("poses.slp")`` writes it for SLEAP's programs.

    People with a track id become instances of the track of that name; the others have no track. A person's score and
    those of the keypoints are kept. The edges are the drawn parts of the skeleton.

    Args:
        frames: the video or image file, the number of the frame in it (0 for an image), and its poses. All poses have
            one skeleton. Files need not exist; SLEAP shows them if they do.

    Raises:
        TypeError, ValueError: a frame is not as described, or two skeletons differ; the message names the frame.
        ModuleNotFoundError: sleap-io is missing.
    """
    sio = _sleap_io()
    videos: dict[str, Any] = {}
    tracks: dict[int, Any] = {}
    skeleton, target = None, None
    labeled = []
    for number, (source, index, poses) in enumerate(frames):
        if not isinstance(source, str | Path):
            raise TypeError(f"frames[{number}]: expected the path of a video or image, got {brief(source)}")
        index = check_count(f"frames[{number}]: its number", index, 0)
        if skeleton is None:
            skeleton, target = poses.skeleton, sleap_skeleton(poses.skeleton)
        elif poses.skeleton != skeleton:
            raise ValueError(
                f"frames[{number}]: expected poses of skeleton {skeleton.name!r}, got {poses.skeleton.name!r}"
            )
        path = str(source)
        if path not in videos:
            videos[path] = sio.Video(path, open_backend=False)
        instances = [_instance(sio, poses, person, target, tracks) for person in range(len(poses))]
        labeled.append(sio.LabeledFrame(video=videos[path], frame_idx=index, instances=instances))
    return sio.Labels(
        labeled, list(videos.values()), [] if target is None else [target], [tracks[i] for i in sorted(tracks)]
    )


def sleap_skeleton(skeleton: Skeleton) -> Any:
    """The `sleap_io.Skeleton` with the keypoints, the drawn parts and the left-right pairs of a skeleton."""
    return _sleap_io().Skeleton(
        list(skeleton.keypoints),
        edges=list(skeleton.drawn_parts),
        symmetries=list(skeleton.left_right),
        name=skeleton.name,
    )


def _instance(sio: Any, poses: Poses, person: int, skeleton: Any, tracks: dict[int, Any]) -> Any:
    """The `sleap_io.PredictedInstance` of a person; ``tracks`` gets the tracks that are new."""
    track = None
    if poses.track_ids is not None and poses.track_ids[person] > 0:
        number = int(poses.track_ids[person])
        track = tracks.setdefault(number, sio.Track(str(number)))
    rows = poses.keypoints[person].astype(np.float64)
    points = np.where(rows[:, 2:] > 0, rows[:, :2], np.nan)
    return sio.PredictedInstance.from_numpy(
        points, skeleton, point_scores=rows[:, 2], score=float(poses.scores[person]), track=track
    )


def _sleap_io() -> Any:
    try:
        import sleap_io
    except ModuleNotFoundError as error:
        if error.name != "sleap_io":
            raise
        raise ModuleNotFoundError("labels of SLEAP need sleap-io: pip install 'simplepose[animals]'") from None
    return sleap_io
