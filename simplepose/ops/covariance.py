"""The covariance of decoded keypoints: one implementation, which reads the maps of every backend at the found peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import is_tensor
from simplepose.ops.config import DecodeConfig
from simplepose.ops.inputs import Grid, all_maps, device_maps, image_maps, keypoint_maps
from simplepose.ops.reference.covariance import PATCH, log_covariance, peak_values
from simplepose.ops.reference.maths import finite
from simplepose.poses import Poses

if TYPE_CHECKING:
    from simplepose.ops.candidates import Maps


def add_covariance(
    people: list[Poses], heatmaps: Maps, config: DecodeConfig, grid: Grid, keypoints_only: bool = False
) -> None:
    """Set the covariance of the people that were decoded from maps (docs/design.md, Covariance).

    Args:
        people: the `Poses` of each image, in pixels as `decode` gives them.
        heatmaps: the maps, as for `decode`. Of tensors, the few cells around the peaks are copied from their device.
        config: the settings with which the maps were decoded.
        grid: that of the keypoint maps, in image pixels.
        keypoints_only: whether ``heatmaps`` holds the keypoint maps only.
    """
    if not people:
        return
    skeleton = people[0].skeleton
    read = device_maps if is_tensor(heatmaps) else image_maps
    if keypoints_only:
        maps: Any = read("heatmaps", heatmaps, {skeleton.num_keypoints: "keypoints only"})
    else:
        maps = keypoint_maps(read("heatmaps", heatmaps, all_maps(skeleton, config)), skeleton, config)
    for poses, image in zip(people, maps, strict=True):
        poses.covariance = _covariance(poses, image, grid)


def _covariance(poses: Poses, maps: Any, grid: Grid) -> NDArray[np.float32]:
    """``[N, J, 2, 2]`` in pixels^2 of the poses that were found in the keypoint maps ``[J, H, W]``."""
    scale, shift = grid
    found = poses.visible & np.isfinite(poses.keypoints).all(-1)
    result = np.full((*found.shape, 2, 2), np.nan, np.float32)
    cells = (poses.keypoints[found][:, :2].astype(np.float64) - shift) / scale
    corner = np.floor(cells + 2**-20)  # a whole cell stays one, whatever float32 made of the position
    patches = _patches(maps, np.nonzero(found)[1], corner.astype(np.int64))
    result[found] = log_covariance(peak_values(patches, cells - corner)) * scale**2
    return result


def _patches(maps: Any, types: NDArray[np.int64], corner: NDArray[np.int64]) -> NDArray[np.float32]:
    """``[M, 4, 4]`` float32 on the host: the cells of ``maps [J, H, W]`` from (x, y) ``corner - 1`` on.

    Cells outside of the map are -inf; values that are not finite are 0.
    """
    rows = corner[:, 1, None] + np.arange(PATCH) - 1  # [M, 4]
    columns = corner[:, 0, None] + np.arange(PATCH) - 1
    height, width = maps.shape[1:]
    index = (types[:, None, None], rows.clip(0, height - 1)[:, :, None], columns.clip(0, width - 1)[:, None, :])
    if is_tensor(maps):
        import torch

        values = maps[tuple(torch.from_numpy(i).to(maps.device) for i in index)].float().cpu().numpy()
    else:
        values = maps[index]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    return np.where(inside, finite(values), np.float32(-np.inf))
