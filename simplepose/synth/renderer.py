"""A small software renderer: quadric surfaces to a depth buffer, then one shading pass over the covered pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.synth.body import Surfaces

Floats = NDArray[np.float32]
Albedo = Callable[[NDArray[np.intp], Floats], Floats]
"""A function from surface indices ``[F]`` and local positions ``[3, F]`` of pixels to BGR colors ``[F, 3]``."""

BEHIND = np.float32(-1e6)
"""The depth of a pixel that no surface covers."""


@dataclass(frozen=True)
class Quadrics:
    """Surfaces in camera space: x right and y down in pixels, z in pixels toward the camera.

    With ``p`` the position relative to ``center``, a surface is ``p' A p + 2 g' p + d = 0`` where its local second
    coordinate lies in 0..1 (cones) or anywhere (ellipsoids).
    """

    center: NDArray[np.float64]  # [N, 3]
    local: NDArray[np.float64]  # [N, 3, 3] from p to local coordinates
    matrix: NDArray[np.float64]  # [N, 3, 3], A
    vector: NDArray[np.float64]  # [N, 3], g
    constant: NDArray[np.float64]  # [N], d
    cone: NDArray[np.bool_]  # [N]
    low: NDArray[np.float64]  # [N, 2] least x and y of the outline's box
    high: NDArray[np.float64]  # [N, 2] greatest x and y

    def moved(self, scale: float, shift: NDArray[np.float64]) -> Quadrics:
        """The surfaces at ``scale * position + shift``."""
        return replace(
            self,
            center=self.center * scale + shift,
            local=self.local / scale,
            matrix=self.matrix / scale**2,
            vector=self.vector / scale,
            low=self.low * scale + shift[:2],
            high=self.high * scale + shift[:2],
        )


@dataclass(frozen=True)
class Camera:
    """Perspective on the body frame: ``view`` turns it, then points are scaled by their nearness."""

    view: NDArray[np.float64]  # [3, 3] from the body frame to x right, y up, z toward the camera
    distance: float  # from the body's origin, in statures
    scale: float = 1.0  # pixels per stature at the origin
    shift: tuple[float, float] = (0.0, 0.0)  # image position of the origin

    def project(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points ``[N, 3]`` of the body frame to camera space (pixels), and their magnification ``[N]``."""
        turned = points @ self.view.T
        magnification = self.scale * self.distance / (self.distance - turned[:, 2])
        flat = turned * magnification[:, None] * [1.0, -1.0, 1.0]
        flat[:, :2] += self.shift
        return flat, magnification


def place(surfaces: Surfaces, camera: Camera) -> Quadrics:
    """Project the surfaces into camera space."""
    count, cone, size = len(surfaces.part), surfaces.cone, surfaces.size
    ends, magnification = camera.project(np.concatenate([surfaces.start, surfaces.end]))
    start, end = ends[:count], ends[count:]
    first, last = magnification[:count], magnification[count:]
    forward = np.array([[1.0], [-1.0], [1.0]]) * (camera.view @ surfaces.axes)
    forward *= np.where(cone, 1.0, first)[:, None, None]
    forward[cone, :, 1] = (end - start)[cone]
    wide = np.where(cone, size[:, 0] * first, 1.0)
    slope = np.where(cone, size[:, 1] * last, 1.0) - wide

    # In local coordinates: x^2 + y^2 + z^2 - 1, or x^2 + z^2 - (wide + slope y)^2.
    diagonal = np.ones((count, 3))
    diagonal[:, 1] = np.where(cone, -(slope**2), 1.0)
    local: Any = np.linalg.inv(forward)
    matrix = local.transpose(0, 2, 1) @ (diagonal[:, :, None] * local)
    vector = np.where(cone, -wide * slope, 0.0)[:, None] * local[:, 1]
    constant = -(wide**2)

    # The outline's box: of an ellipsoid from its semi-axes, of a cone from the discs at both ends.
    across = np.hypot(forward[:, :2, 0], forward[:, :2, 2])
    reach = np.where(cone[:, None], across * wide[:, None], np.hypot(across, forward[:, :2, 1]))
    other = np.where(cone[:, None], across * (wide + slope)[:, None], 0.0)
    tip = np.where(cone[:, None], end, start)[:, :2]
    low = np.minimum(start[:, :2] - reach, tip - other)
    high = np.maximum(start[:, :2] + reach, tip + other)
    return Quadrics(start, local, matrix, vector, constant, cone, low, high)


@dataclass(frozen=True)
class Layer:
    """The pixels that surfaces cover, as a patch of the image."""

    left: int
    top: int
    depth: Floats  # [h, w] in pixels toward the camera, BEHIND where no surface is
    surface: NDArray[np.int16]  # [h, w] index of the frontmost surface, -1 where none is

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the patch covers."""
        height, width = self.depth.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def rasterize(quadrics: Quadrics, height: int, width: int) -> Layer | None:
    """The frontmost surface of each pixel of a ``height`` x ``width`` image; None if all surfaces are off the image."""
    limit = np.array([width, height])
    low = np.clip(np.ceil(quadrics.low), 0, limit).astype(int)
    high = np.clip(np.floor(quadrics.high) + 1, 0, limit).astype(int)
    seen = np.flatnonzero((high > low).all(1))
    if not len(seen):
        return None
    left, top = low[seen].min(0).tolist()
    right, bottom = high[seen].max(0).tolist()
    depth = np.full((bottom - top, right - left), BEHIND, np.float32)
    surface = np.full(depth.shape, -1, np.int16)
    x = np.arange(left, right) - quadrics.center[seen, 0, None]
    y = np.arange(top, bottom) - quadrics.center[seen, 1, None]
    rays = _Rays.of(quadrics, seen, x, y)
    boxes = np.concatenate([low[seen] - [left, top], high[seen] - [left, top]], 1).tolist()
    cones = quadrics.cone[seen].tolist()
    slope = quadrics.local[seen, 1, 2].astype(np.float32)
    with np.errstate(invalid="ignore"):  # the root is NaN where a ray misses; comparisons with NaN are false
        for k, (index, (x0, y0, x1, y1)) in enumerate(zip(seen.tolist(), boxes, strict=True)):
            columns, rows = slice(x0, x1), slice(y0, y1)
            z = rays.root_y[k, rows] @ rays.root_x[k, :, columns]
            np.sqrt(z, out=z)
            z += rays.depth_x[k, columns]
            z += rays.depth_y[k, rows, None]
            hit = z > depth[rows, columns]
            if cones[k]:
                along = slope[k] * z
                along += rays.along_x[k, columns]
                along += rays.along_y[k, rows, None]
                hit &= np.abs(along, out=along) <= _HALF
            np.copyto(depth[rows, columns], z, where=hit)
            np.copyto(surface[rows, columns], index, where=hit)
    return Layer(left, top, depth, surface)


_HALF = np.float32(0.5)


class _Rays(NamedTuple):
    """The terms of the depth and of the local second coordinate that depend on the column or the row only.

    Along a ray a surface is ``a z^2 + 2 b z + c = 0`` with ``b`` linear and ``c`` quadratic in x and y, so that
    ``z = -b / a + sqrt((b^2 - a c) / a^2)``. The argument of the root is a matrix product of row and column terms. The
    second coordinate is measured from the middle of a cone.
    """

    root_x: Floats  # [N, 3, w]
    root_y: Floats  # [N, h, 3]
    depth_x: Floats  # [N, w], and so on
    depth_y: Floats
    along_x: Floats
    along_y: Floats

    @classmethod
    def of(cls, quadrics: Quadrics, seen: NDArray[np.intp], x: NDArray[np.float64], y: NDArray[np.float64]) -> _Rays:
        """The terms of the surfaces ``seen`` at columns ``x`` and rows ``y``, relative to their centers."""
        matrix, vector, constant = quadrics.matrix[seen], quadrics.vector[seen], quadrics.constant[seen]
        near, local = quadrics.center[seen, 2], quadrics.local[seen, 1].T
        a = matrix[:, 2, 2]
        a = np.where(np.abs(a) < 1e-9, 1e-9, a)
        b = (matrix[:, 2, :].T / a)[:2]
        b0 = vector[:, 2] / a
        square = b * b - np.stack([matrix[:, 0, 0], matrix[:, 1, 1]]) / a
        linear = 2 * (b * b0 - vector[:, :2].T / a)
        mixed = 2 * (b[0] * b[1] - matrix[:, 0, 1] / a)
        level = b0 * b0 - constant / a
        rows = [mixed, *square, *linear, level, *b, near - b0, *local[:2], local[2] * near + 0.5]
        xy, xx, yy, x1, y1, one, bx, by, z1, lx, ly, l1 = np.array(rows, np.float32)[:, :, None]
        x, y = x.astype(np.float32), y.astype(np.float32)
        root_x, root_y = np.ones((len(x), 3, x.shape[1]), np.float32), np.ones((*y.shape, 3), np.float32)
        root_x[:, 0], root_x[:, 1] = xy * x, (xx * x + x1) * x + one
        root_y[:, :, 0], root_y[:, :, 2] = y, (yy * y + y1) * y
        return cls(root_x, root_y, z1 - bx * x, -by * y, lx * x - l1, ly * y)


def shade(
    layer: Layer,
    pixels: NDArray[np.intp],
    quadrics: Quadrics,
    albedo: Albedo,
    light: NDArray[np.float64],
    ambient: float,
) -> Floats:
    """Diffuse shading of covered pixels of a layer.

    Args:
        layer: from `rasterize`, of the same ``quadrics``.
        pixels: ``[F]`` raster indices into the layer's patch, all covered.
        quadrics: the surfaces.
        albedo: the color of a surface at a local position.
        light: unit vector toward the light in camera space.
        ambient: the fraction of ambient light, 0 to 1.

    Returns:
        ``[F, 3]`` float32 BGR, not clipped.
    """
    table = np.empty((len(quadrics.center), 6, 4), np.float32)  # rows: normal, local position; columns: x, y, z, 1
    rows = np.concatenate([quadrics.matrix, quadrics.local], 1)
    table[:, :, :3] = rows
    table[:, :, 3] = -(rows @ quadrics.center[:, :, None])[:, :, 0]
    table[:, :3, 3] += quadrics.vector
    plane = np.ascontiguousarray(table.transpose(1, 2, 0))
    index = layer.surface.ravel().take(pixels).astype(np.intp)
    down, right = np.divmod(pixels, layer.surface.shape[1])
    x = (right + layer.left).astype(np.float32)
    y = (down + layer.top).astype(np.float32)
    z = layer.depth.ravel().take(pixels)
    values = np.empty((6, len(pixels)), np.float32)
    for i, out in enumerate(values):  # gathering single coefficients is the fastest variant measured
        np.multiply(plane[i, 0].take(index), x, out=out)
        out += plane[i, 1].take(index) * y
        out += plane[i, 2].take(index) * z
        out += plane[i, 3].take(index)
    normal = values[:3]
    facing = (light.astype(np.float32) @ normal) / np.sqrt(np.einsum("if,if->f", normal, normal) + np.float32(1e-12))
    brightness = np.float32(ambient) + np.float32(1 - ambient) * np.maximum(facing, 0)
    colors = albedo(index, values[3:])
    colors *= brightness[:, None]
    return colors
