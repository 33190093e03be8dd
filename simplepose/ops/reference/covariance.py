"""The covariance of a peak from the curvature of the log-parabola, in NumPy (docs/design.md, Covariance).

The logarithm of a Gaussian ``p exp(-(x - m)^T C^-1 (x - m) / 2)`` is a quadratic function with the Hessian ``-C^-1``.
With l[dy, dx] the logarithms of the 3 x 3 values around the peak's cell, second differences give the Hessian exactly::

    h_xx = l[0, -1] - 2 l[0, 0] + l[0, 1]
    h_yy = l[-1, 0] - 2 l[0, 0] + l[1, 0]
    h_xy = (l[1, 1] - l[1, -1] - l[-1, 1] + l[-1, -1]) / 4
    C = -[[h_xx, h_xy], [h_xy, h_yy]]^-1

h_xx and h_yy are the second differences with which `find_peaks` computes sub-pixel positions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TIE = 1 / 1024
"""Cells: two distances from a position are equal if they differ by less. Positions are multiples of 1/256 cell."""

PATCH = 4
"""Rows and columns of the patch of a position: its cell, rounded down, the cell before and the two cells after."""


def peak_values(patches: NDArray[np.float32], fraction: NDArray[np.float64]) -> NDArray[np.float32]:
    """``[M, 3, 3]`` the values around the peak to which each position belongs.

    A position is at most half a cell from the cell of its peak. Among the cells for which this holds, the peak is the
    first maximum in raster order, because it exceeds its earlier neighbors and is not less than its later ones.

    Args:
        patches: ``[M, 4, 4]`` the cells floor(position) - 1 to floor(position) + 2, -inf outside of the map.
        fraction: ``[M, 2]`` (x, y): position - floor(position).
    """
    near = np.stack([fraction <= 0.5 + TIE, fraction >= 0.5 - TIE], 1)  # [M, 2 (cell), 2 (axis)]
    allowed = near[:, :, None, 1] & near[:, None, :, 0]  # [M, 2 (y), 2 (x)]
    first = np.where(allowed, patches[:, 1:3, 1:3], -np.inf).reshape(-1, 4).argmax(1)
    rows = (first // 2)[:, None, None] + np.arange(3)[:, None]
    columns = (first % 2)[:, None, None] + np.arange(3)
    return patches[np.arange(len(patches))[:, None, None], rows, columns]


def log_covariance(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[M, 2, 2]`` covariances in cells^2 (x, y) of the 3 x 3 values ``[M, 3, 3]`` around each peak.

    NaN where a value is not positive, such as outside of the map, and where the Hessian is not negative definite.
    """
    wide = values.astype(np.float64)
    positive: NDArray[np.bool_] = np.all(wide > 0, axis=(1, 2))
    logs = np.log(np.where(positive[:, None, None], wide, 1.0))
    center = logs[:, 1, 1]
    a = -((logs[:, 1, 0] - center) + (logs[:, 1, 2] - center))  # -h_xx
    c = -((logs[:, 0, 1] - center) + (logs[:, 2, 1] - center))  # -h_yy
    b = (logs[:, 2, 0] + logs[:, 0, 2] - logs[:, 2, 2] - logs[:, 0, 0]) / 4  # -h_xy
    determinant = a * c - b * b
    valid = positive & (a > 0) & (c > 0) & (determinant > 0)
    rows = np.stack([np.stack([c, -b], 1), np.stack([-b, a], 1)], 1)
    result: NDArray[np.float64] = np.full((len(values), 2, 2), np.nan)
    result[valid] = rows[valid] / determinant[valid, None, None]
    return result
