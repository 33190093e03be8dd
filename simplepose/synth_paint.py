"""A small software renderer: quadric surfaces to a depth buffer, then one shading pass over the pixels they cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simplepose.synth_body import Surfaces

Floats = NDArray[np.float32]
Albedo = Callable[[NDArray[np.intp], Floats], Floats]
"""Colours [F, 3] BGR from the surface index [F] and the local position [F, 3] of each pixel."""

BEHIND = np.float32(-1e6)
"""The depth of a pixel that nothing covers."""


@dataclass(frozen=True)
class Quadrics:
    """Surfaces in camera space: x right and y down in pixels, z in pixels towards the camera.

    With ``p`` the position relative to ``centre``, a surface is ``p' A p + 2 g' p + d = 0`` where its local second
    coordinate lies in 0..1 (cones) or anywhere (ellipsoids).
    """

    centre: NDArray[np.float64]  # [N, 3]
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
            centre=self.centre * scale + shift,
            local=self.local / scale,
            matrix=self.matrix / scale**2,
            vector=self.vector / scale,
            low=self.low * scale + shift[:2],
            high=self.high * scale + shift[:2],
        )


@dataclass(frozen=True)
class Camera:
    """Perspective on the body frame: ``view`` turns it, then points are scaled by their nearness."""

    view: NDArray[np.float64]  # [3, 3] from the body frame to x right, y up, z towards the camera
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
    """The surfaces as the camera sees them."""
    count = len(surfaces.part)
    cone = np.array(surfaces.cone)
    ends, magnification = camera.project(np.array(surfaces.start + surfaces.end))
    start, end = ends[:count], ends[count:]
    first, last = magnification[:count], magnification[count:]
    forward = np.array([[1.0], [-1.0], [1.0]]) * (camera.view @ np.array(surfaces.axes))
    forward *= np.where(cone, 1.0, first)[:, None, None]
    forward[cone, :, 1] = (end - start)[cone]
    radii = np.array(surfaces.radii)
    wide = np.where(cone, radii[:, 0] * first, 1.0)
    slope = np.where(cone, radii[:, 1] * last, 1.0) - wide

    # In local coordinates: x^2 + y^2 + z^2 - 1, or x^2 + z^2 - (wide + slope y)^2.
    diagonal = np.ones((count, 3))
    diagonal[:, 1] = np.where(cone, -(slope**2), 1.0)
    local = np.linalg.inv(forward)
    matrix = np.einsum("nki,nk,nkj->nij", local, diagonal, local)
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
    """What the surfaces cover of an image, as a patch of it."""

    left: int
    top: int
    depth: Floats  # [h, w] towards the camera, BEHIND where nothing is
    surface: NDArray[np.int16]  # [h, w] index of the surface in front, -1 where nothing is

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the patch covers."""
        height, width = self.depth.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def rasterise(quadrics: Quadrics, height: int, width: int) -> Layer | None:
    """Find the front surface of every pixel of an image of ``height`` x ``width``; None if all lies off the image."""
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
    columns = np.arange(left, right, dtype=np.float32)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None]
    coefficients = _ray_coefficients(quadrics)[seen].tolist()
    boxes = np.concatenate([low[seen] - [left, top], high[seen] - [left, top]], 1).tolist()
    centres, cones = quadrics.centre[seen].tolist(), quadrics.cone[seen].tolist()
    for index, values, (x0, y0, x1, y1), (cx, cy, cz), cone in zip(
        seen.tolist(), coefficients, boxes, centres, cones, strict=True
    ):
        x, y = columns[x0:x1] - np.float32(cx), rows[y0:y1] - np.float32(cy)
        view = depth[y0:y1, x0:x1]
        hit, z = _front(values, x, y, cone)
        z += np.float32(cz)
        hit &= z > view
        np.copyto(view, z, where=hit)
        surface[y0:y1, x0:x1][hit] = index
    return Layer(left, top, depth, surface)


def _ray_coefficients(quadrics: Quadrics) -> NDArray[np.float64]:
    """[N, 12]: the quadratic under the root (6), the linear part of z (3), the local second coordinate (3).

    Along a ray the surface is ``a z^2 + 2 b z + c = 0`` with ``b`` linear and ``c`` quadratic in x and y, so that
    ``z = -b / a + sqrt((b^2 - a c) / a^2)``; both terms are polynomials whose coefficients are found here.
    """
    matrix, vector, constant = quadrics.matrix, quadrics.vector, quadrics.constant
    a = matrix[:, 2, 2]
    a = np.where(np.abs(a) < 1e-9, 1e-9, a)
    bx, by, b0 = matrix[:, 0, 2] / a, matrix[:, 1, 2] / a, vector[:, 2] / a
    return np.stack(
        [
            bx * bx - matrix[:, 0, 0] / a,
            2 * (bx * by - matrix[:, 0, 1] / a),
            by * by - matrix[:, 1, 1] / a,
            2 * (bx * b0 - vector[:, 0] / a),
            2 * (by * b0 - vector[:, 1] / a),
            b0 * b0 - constant / a,
            -bx,
            -by,
            -b0,
            quadrics.local[:, 1, 0],
            quadrics.local[:, 1, 1],
            quadrics.local[:, 1, 2],
        ],
        1,
    )


def _front(values: list[float], x: Floats, y: Floats, cone: bool) -> tuple[NDArray[np.bool_], Floats]:
    """Where rays at columns ``x`` and rows ``y`` (relative to the centre) hit the surface, and at which depth."""
    xx, xy, yy, x1, y1, one, zx, zy, z1, lx, ly, lz = values
    z = (np.float32(xy) * y) * x
    z += (np.float32(xx) * x + np.float32(x1)) * x + np.float32(one)
    z += (np.float32(yy) * y + np.float32(y1)) * y
    hit = z > 0
    np.maximum(z, 0, out=z)
    np.sqrt(z, out=z)
    z += np.float32(zx) * x + np.float32(z1)
    z += np.float32(zy) * y
    if cone:
        along = np.float32(lz) * z
        along += np.float32(lx) * x
        along += np.float32(ly) * y
        hit &= along >= 0
        hit &= along <= 1
    return hit, z


def shade(layer: Layer, quadrics: Quadrics, albedo: Albedo, light: NDArray[np.float64], ambient: float) -> Floats:
    """The colours of a layer's covered pixels, row by row.

    Args:
        layer: from `rasterise`, of the same ``quadrics``.
        quadrics: the surfaces.
        albedo: the colour of a surface at a local position.
        light: unit vector towards the light in camera space.
        ambient: the share of light that comes from everywhere, 0 to 1.

    Returns:
        ``[F, 3]`` float32 BGR, not clipped, for the ``F`` pixels with a surface in raster order.
    """
    rows, columns = np.nonzero(layer.surface >= 0)
    index = layer.surface[rows, columns].astype(np.intp)
    centre = quadrics.centre.astype(np.float32)
    x = (columns + np.float32(layer.left)).astype(np.float32) - centre[index, 0]
    y = (rows + np.float32(layer.top)).astype(np.float32) - centre[index, 1]
    z = layer.depth[rows, columns] - centre[index, 2]
    normal = [_affine(quadrics.matrix[:, i], quadrics.vector[:, i], index, x, y, z) for i in range(3)]
    length = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + np.float32(1e-12)
    facing = sum(np.float32(light[i]) * normal[i] for i in range(3)) / length
    brightness = np.float32(ambient) + np.float32(1 - ambient) * np.maximum(facing, 0)
    none = np.zeros(len(quadrics.centre))
    local = np.stack([_affine(quadrics.local[:, i], none, index, x, y, z) for i in range(3)], 1)
    return albedo(index, local) * brightness[:, None]


def _affine(
    rows: NDArray[np.float64], offset: NDArray[np.float64], index: NDArray[np.intp], x: Floats, y: Floats, z: Floats
) -> Floats:
    table = rows.astype(np.float32)
    out = table[:, 0][index] * x
    out += table[:, 1][index] * y
    out += table[:, 2][index] * z
    out += offset.astype(np.float32)[index]
    return out
