"""Averaged heatmaps of an image, and resampling of the maps of one scale to the grid of another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from simplepose.inference.frame import Frame


@dataclass(frozen=True)
class Heatmaps:
    """The averaged maps of one image."""

    maps: Tensor  # [C, h, w] float32 on the predictor's device: parts, keypoints, and mask and envelope if present
    frame: Frame  # the frame of scale 1; the maps are on its grid

    @property
    def cell_size(self) -> tuple[float, float]:
        """Image pixels between two cells, in x and in y: cell i lies at ``(i + 1/2) cell_size - 1/2`` in the image."""
        return self.frame.cell_size


def resample(maps: Tensor, frame: Frame, grid: Frame) -> Tensor:
    """Resample the maps of one scale to the grid of another (bicubic), without padding.

    Cell i of ``grid`` lies at ``(i + 1/2) r - 1/2`` in cells of ``frame``, where r is the ratio of the resize factors.
    The ratio of the sizes in cells is not exact, since the last cells may extend beyond the image.

    Args:
        maps: ``[C, h, w]``, at least the cells of ``frame``.
        frame: the frame of the input that gave ``maps``.
        grid: the frame of scale 1.

    Returns:
        ``[C, *grid.cells]``.
    """
    height, width = frame.cells
    maps = maps[:, :height, :width]
    if frame == grid:
        return maps
    scale = [g / f for g, f in zip(grid.factor, frame.factor, strict=True)]
    # interpolate gives floor(cells * scale) cells: repeat the last row and column until the result is large enough.
    missing = [math.ceil((g + 1) / s) - n for g, s, n in zip(grid.cells, scale, frame.cells, strict=True)]
    below, right = (max(0, n) for n in missing)
    padded = functional.pad(maps[None], (0, right, 0, below), mode="replicate")
    resized = functional.interpolate(padded, scale_factor=scale, mode="bicubic", recompute_scale_factor=False)
    return resized[0, :, : grid.cells[0], : grid.cells[1]]
