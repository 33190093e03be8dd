"""Averaged heatmaps of an image, and the maps of one scale on the grid of another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from simplepose.inference.frame import Frame


@dataclass(frozen=True)
class Heatmaps:
    """The averaged maps of one image."""

    maps: Tensor  # [C, h, w] float32 on the predictor's device: parts, keypoints and, if the model has them, 2 more
    frame: Frame  # where the image lies in the input of scale 1, whose grid the maps have

    @property
    def cell_size(self) -> tuple[float, float]:
        """Image pixels to one cell, in x and in y: cell i lies at ``(i + 1/2) cell_size - 1/2`` in the image."""
        return self.frame.cell_size


def resample(maps: Tensor, frame: Frame, grid: Frame) -> Tensor:
    """Maps of one scale on the grid of another (bicubic), both without padding.

    Cell i of ``grid`` lies at ``(i + 1/2) r - 1/2`` in cells of ``frame``, r the ratio of their factors; that of their
    sizes in cells would be a little off, since last cells may reach out of the image.

    Args:
        maps: ``[C, h, w]``, at least the cells of ``frame``.
        frame: where the image lies in the input that gave ``maps``.
        grid: where it lies in that of scale 1.

    Returns:
        ``[C, *grid.cells]``.
    """
    height, width = frame.cells
    maps = maps[:, :height, :width]
    if frame == grid:
        return maps
    scale = [g / f for g, f in zip(grid.factor, frame.factor, strict=True)]
    # interpolate gives floor(cells * scale) cells: repeat the last ones until those are enough.
    short = [math.ceil((g + 1) / s) - n for g, s, n in zip(grid.cells, scale, frame.cells, strict=True)]
    below, right = (max(0, n) for n in short)
    padded = functional.pad(maps[None], (0, right, 0, below), mode="replicate")
    resized = functional.interpolate(padded, scale_factor=scale, mode="bicubic", recompute_scale_factor=False)
    return resized[0, :, : grid.cells[0], : grid.cells[1]]
