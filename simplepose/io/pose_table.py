"""People as a table with one row for each person: the columns of `Poses.to_dataframe` and of CSV files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from simplepose.poses import Poses
    from simplepose.skeleton.skeleton import Skeleton

SIDES = ("left", "top", "right", "bottom")
ENTRIES = (("var_x", 0, 0), ("cov_xy", 0, 1), ("var_y", 1, 1))
"""Entries of a covariance: the name in a column, row and column of the matrix."""


def column_names(skeleton: Skeleton, covariance: bool) -> list[str]:
    """The names of the columns; the unit is at the end: ``_px`` pixels, ``_px2`` pixels^2, otherwise none."""
    names = ["person", "track_id", "score", "truncated", *(f"box_{side}_px" for side in SIDES)]
    for keypoint in skeleton.keypoints:
        names += [f"{keypoint}_x_px", f"{keypoint}_y_px", f"{keypoint}_score"]
        names += [f"{keypoint}_{entry}_px2" for entry, _, _ in ENTRIES] if covariance else []
    return names


def columns(poses: Poses) -> dict[str, NDArray[Any]]:
    """The columns ``[N]`` by name.

    ``person`` counts from 0, and ``track_id`` is -1 without a track. Positions of missing keypoints are NaN, and their
    score is 0. Covariances are there if the poses have some.
    """
    count = len(poses)
    ids = np.full(count, -1, np.int64) if poses.track_ids is None else poses.track_ids
    values: list[NDArray[Any]] = [np.arange(count), ids, poses.scores, np.full(count, poses.truncated)]
    values += list(poses.boxes.T)
    for j in range(poses.skeleton.num_keypoints):
        values += list(poses.keypoints[:, j].T)
        if poses.covariance is not None:
            values += [poses.covariance[:, j, row, column] for _, row, column in ENTRIES]
    return dict(zip(column_names(poses.skeleton, poses.covariance is not None), values, strict=True))
