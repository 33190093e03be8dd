"""Reference implementation of render_targets: the training targets, one keypoint or part of one person at a time.

The targets of the paper (widths: section 4.1; docs/design.md, Operations). ``r`` is the distance of a cell from the
keypoint. A part has the keypoints ``a`` and ``b``; ``t`` is the distance of a cell from their midpoint along the line
through them, ``d`` its distance from that line; all in image pixels::

    keypoint     exp(-r^2 / (2 sigma_k^2))       0 where the value is below the threshold
    part         exp(-d^2 / (2 sigma_p^2))       inside the ellipse t^2 / A^2 + d^2 / B^2 <= 1, else 0
                 A = |b - a| / 2 + stride        B = sigma_p sqrt(-2 ln threshold)

``B`` is the distance at which the part's Gaussian falls to the threshold. Overlapping people: the maximum.

With encoding="paf" a part has two channels, the components of the unit vector from ``a`` to ``b``::

    (b - a) / |b - a|                            where |t| <= |b - a| / 2 and |d| <= paf_width, else 0

Overlapping people: the mean over the people that cover the cell.

The Gaussians are computed as powers of two::

    exp(-r^2 / (2 sigma^2)) = 2^-(scale r)^2     scale = sqrt(log2(e) / 2) / sigma

This is the same function, because exp(x) = 2^(x log2(e)); `exp2_minus` rounds it identically in every backend.
All operations are float32, in the order written here; csrc/render_targets/shapes.h performs the same operations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.config import TargetConfig
from simplepose.ops.reference.maths import exp2_minus, f32
from simplepose.skeleton.channels import PER_PART

LINE_BACKGROUND = f32(0.01)
"""shape="line": the value inside a part's box where the Gaussian does not exceed the threshold (released code)."""

LINE_EPSILON = f32(1e-6)
"""shape="line": added to a part's length before the division by it (released code)."""

SHORTEST_SQUARED = f32(1e-30)
"""Lower bound of a part's squared length; shorter parts are skipped, since float32 squares lose precision there."""


class TargetRules(NamedTuple):
    """The constants of the op, computed once in double precision and rounded to float32. Lengths are image pixels."""

    line: bool  # whether the shape is "line"
    stride: float
    threshold: float
    keypoint_scale: float  # sqrt(log2(e) / 2) / sigma_k: the Gaussian at distance r is 2^-(keypoint_scale r)^2
    keypoint_radius: float  # beyond it the Gaussian is below the threshold; faster implementations stop there
    part_scale: float  # sqrt(log2(e) / 2) / sigma_p
    part_radius: float  # B, the ellipse's semi-axis across the part
    part_inside: float  # 1 / (part_scale B)^2: converts (part_scale d)^2 to d^2 / B^2
    window: int  # shape="line": cells on each side of a keypoint; 7 at sigma 9 and stride 4
    paf: bool = False  # whether parts are affinity fields; `part_radius` is their width then

    @classmethod
    def of(cls, config: TargetConfig) -> TargetRules:
        """The constants for ``config``."""
        extent = math.sqrt(-2 * math.log(config.threshold))  # where a Gaussian of sigma 1 falls to the threshold
        part_radius = config.part_sigma * extent
        scale = math.sqrt(math.log2(math.e) / 2)  # exp(-x^2 / 2) = 2^-(scale x)^2
        return cls(
            line=config.shape == "line",
            stride=float(config.stride),
            threshold=float(f32(config.threshold)),
            keypoint_scale=float(f32(scale / config.keypoint_sigma)),
            keypoint_radius=float(f32(config.keypoint_sigma * (extent + 1 / 64))),
            part_scale=float(f32(scale / config.part_sigma)),
            part_radius=float(f32(config.paf_width if config.encoding == "paf" else part_radius)),
            part_inside=float(f32(1 / (scale * extent) ** 2)),
            window=math.ceil(config.keypoint_sigma * extent / config.stride),
            paf=config.encoding == "paf",
        )


def render_targets(
    keypoints: NDArray[np.float32],
    size: tuple[int, int],
    parts: NDArray[np.int32],
    config: TargetConfig,
    envelope: bool = False,
) -> NDArray[np.float32]:
    """The target maps of one image.

    Args:
        keypoints: ``[P, J, 3]`` float32 x, y in image pixels and COCO visibility.
        size: height and width of the image in pixels, multiples of the stride.
        parts: ``[L, 2]`` keypoint types (from, to) of each part.
        config: widths, threshold, stride and shape.
        envelope: whether to append the maximum over the keypoint channels as the last channel.

    Returns:
        ``[L + J, H, W]`` float32 (``[2 L + J, H, W]`` with encoding "paf"), one more channel with the envelope; H and W
        are the size divided by the stride.
    """
    rules = TargetRules.of(config)
    height, width = size[0] // config.stride, size[1] // config.stride
    part_maps = np.zeros((PER_PART[config.encoding] * len(parts), height, width), f32)
    keypoint_maps = np.zeros((keypoints.shape[1], height, width), f32)
    with np.errstate(over="ignore", under="ignore"):
        labeled = (keypoints[..., 2] > 0) & np.isfinite(keypoints[..., :2]).all(-1)
        for kind, channel in enumerate(keypoint_maps):
            for person in np.nonzero(labeled[:, kind])[0]:
                x, y = keypoints[person, kind, :2]
                draw_keypoint(channel, x, y, rules)
        for (a, b), part in zip(parts, part_maps.reshape(len(parts), -1, height, width), strict=True):
            people = keypoints[labeled[:, a] & labeled[:, b]]
            if rules.paf:
                average_fields(part, people[:, a, :2], people[:, b, :2], rules)
                continue
            (channel,) = part
            if rules.line:
                average_lines(channel, people[:, a, :2], people[:, b, :2], rules)
                continue
            for person in people:
                draw_ellipse(channel, person[a, :2], person[b, :2], rules)
    extra = [keypoint_maps.max(0, keepdims=True)] if envelope else []
    return np.concatenate([part_maps, keypoint_maps, *extra])


def grid(cells: int, rules: TargetRules) -> NDArray[np.float32]:
    """``[cells]`` image positions of the cell centers along one axis: i stride + stride / 2 - 1/2."""
    stride = f32(rules.stride)
    return np.arange(cells, dtype=f32) * stride + (stride * f32(0.5) - f32(0.5))


def draw_keypoint(channel: NDArray[np.float32], x: np.float32, y: np.float32, rules: TargetRules) -> None:
    """Take the maximum of ``channel [H, W]`` and the keypoint's Gaussian, exp(-r^2 / (2 sigma_k^2)).

    The Gaussian is separable: 2^-(scale dy)^2 2^-(scale dx)^2. With shape="ellipse" values below the threshold are 0;
    with shape="line" a window of cells limits the Gaussian instead.
    """
    height, width = channel.shape
    scale = f32(rules.keypoint_scale)
    dx, dy = (grid(width, rules) - x) * scale, (grid(height, rules) - y) * scale
    value = exp2_minus(dy * dy)[:, None] * exp2_minus(dx * dx)
    if rules.line:
        value *= window(y, height, rules)[:, None] & window(x, width, rules)
    else:
        value[value < f32(rules.threshold)] = 0
    np.maximum(channel, value, out=channel)


def window(position: np.float32, cells: int, rules: TargetRules) -> NDArray[np.bool_]:
    """``[cells]`` bool: within ``rules.window`` cells of position / stride, which is rounded half to even."""
    center = np.rint(position / f32(rules.stride))
    cell = np.arange(cells, dtype=f32)
    return (cell >= center - f32(rules.window)) & (cell <= center + f32(rules.window))


class Axis(NamedTuple):
    """The midpoint (cx, cy), the unit direction (ux, uy) and the length of a part; float32."""

    cx: np.float32
    cy: np.float32
    ux: np.float32
    uy: np.float32
    length: np.float32

    def across(self, gx: NDArray[np.float32], gy: NDArray[np.float32], scale: np.float32) -> NDArray[np.float32]:
        """``[H, W]`` scale * d: the signed distance of the cells from the part's line, times ``scale``."""
        return (gx - self.cx) * (self.uy * scale) - ((gy - self.cy) * (self.ux * scale))[:, None]

    def along(self, gx: NDArray[np.float32], gy: NDArray[np.float32], scale: np.float32) -> NDArray[np.float32]:
        """``[H, W]`` scale * t: the signed distance of the cells from the midpoint along the line, times ``scale``."""
        return (gx - self.cx) * (self.ux * scale) + ((gy - self.cy) * (self.uy * scale))[:, None]


def part_axis(a: NDArray[np.float32], b: NDArray[np.float32], rules: TargetRules) -> Axis | None:
    """The axis from ``a`` to ``b``; None if the length is zero, too small for float32 or not finite."""
    dx, dy = b - a
    squared = dx * dx + dy * dy
    if not SHORTEST_SQUARED <= squared < np.inf:
        return None
    length = np.sqrt(squared)
    cx, cy = (a + b) * f32(0.5)
    inverse = f32(1) / (length + LINE_EPSILON if rules.line else length)
    return Axis(cx, cy, dx * inverse, dy * inverse, length)


def draw_ellipse(
    channel: NDArray[np.float32], a: NDArray[np.float32], b: NDArray[np.float32], rules: TargetRules
) -> None:
    """Take the maximum of ``channel [H, W]`` and exp(-d^2 / (2 sigma_p^2)) where t^2 / A^2 + d^2 / B^2 <= 1.

    ``t`` below is t / A and ``d`` is part_scale d, so that ``e = d * d`` is the exponent of the power of two and
    ``e * part_inside`` is d^2 / B^2.
    """
    axis = part_axis(a, b, rules)
    if axis is None:
        return
    semi_axis = axis.length * f32(0.5) + f32(rules.stride)  # A
    gy, gx = (grid(cells, rules) for cells in channel.shape)
    t = axis.along(gx, gy, f32(1) / semi_axis)
    d = axis.across(gx, gy, f32(rules.part_scale))
    e = d * d
    inside = t * t + e * f32(rules.part_inside) <= 1
    np.maximum(channel, exp2_minus(e), out=channel, where=inside)


def average_lines(
    channel: NDArray[np.float32], starts: NDArray[np.float32], ends: NDArray[np.float32], rules: TargetRules
) -> None:
    """shape="line", the released code's target: the mean of exp(-d^2 / (2 sigma_p^2)) over the parts of all people.

    A part covers the bounding box of its keypoints plus one stride on each side. Within the box, values not above the
    threshold become LINE_BACKGROUND. The mean of a cell is taken over the parts whose box covers it.
    """
    gy, gx = (grid(cells, rules) for cells in channel.shape)
    count = np.zeros_like(channel)
    for a, b in zip(starts, ends, strict=True):
        axis = part_axis(a, b, rules)
        if axis is None:
            continue
        columns, rows = (box(a[i], b[i], channel.shape[1 - i], rules) for i in (0, 1))
        d = axis.across(gx, gy, f32(rules.part_scale))
        value = exp2_minus(d * d)
        value = np.where(value <= f32(rules.threshold), LINE_BACKGROUND, value)
        covered = rows[:, None] & columns
        np.add(channel, value, out=channel, where=covered)
        count += covered
    np.divide(channel, count, out=channel, where=count > 1)


def average_fields(
    field: NDArray[np.float32], starts: NDArray[np.float32], ends: NDArray[np.float32], rules: TargetRules
) -> None:
    """encoding="paf": the mean of the unit vectors of the people whose part covers a cell, into ``field [2, H, W]``."""
    gy, gx = (grid(cells, rules) for cells in field.shape[1:])
    count = np.zeros_like(field[0])
    for a, b in zip(starts, ends, strict=True):
        axis = part_axis(a, b, rules)
        if axis is None:
            continue
        t, d = axis.along(gx, gy, f32(1)), axis.across(gx, gy, f32(1))
        covered = (np.abs(t) <= axis.length * f32(0.5)) & (np.abs(d) <= f32(rules.part_radius))
        for component, value in zip(field, (axis.ux, axis.uy), strict=True):
            np.add(component, value, out=component, where=covered)
        count += covered
    np.divide(field, count, out=field, where=count > 1)


def box(a: np.float32, b: np.float32, cells: int, rules: TargetRules) -> NDArray[np.bool_]:
    """``[cells]`` bool: from min(a, b) - stride to max(a, b) + stride, both rounded (half to even) to cells."""
    stride = f32(rules.stride)
    low = np.rint((np.minimum(a, b) - stride) / stride)
    high = np.rint((np.maximum(a, b) + stride) / stride)
    cell = np.arange(cells, dtype=f32)
    return (cell >= low) & (cell <= high)


def average_pyramid(maps: NDArray[np.float32], scales: int) -> tuple[NDArray[np.float32], ...]:
    """A pyramid of ``scales`` maps: the first is ``maps [..., H, W]``, each further one halves H and W.

    A cell is the average ((a + b) + (c + d)) / 4 of a 2 x 2 block with the upper row a, b and the lower row c, d.
    """
    pyramid = [maps]
    for _ in range(scales - 1):
        previous = pyramid[-1]
        upper, lower = previous[..., ::2, :], previous[..., 1::2, :]
        total = (upper[..., ::2] + upper[..., 1::2]) + (lower[..., ::2] + lower[..., 1::2])
        pyramid.append(total * f32(0.25))
    return tuple(pyramid)


def render_batch(
    keypoints: NDArray[np.float32],
    size: tuple[int, int],
    parts: NDArray[np.int32],
    config: TargetConfig,
    scales: int,
    envelope: bool,
    threads: int | None = None,
) -> list[NDArray[np.float32]]:
    """The pyramid of `render_targets` of each image of ``keypoints [B, P, J, 3]``; ``threads`` is ignored."""
    shape = map_shapes(keypoints.shape, size, len(parts), config, 1, envelope)[0]
    maps = np.empty(shape, f32)
    for image, people in zip(maps, keypoints, strict=True):
        image[:] = render_targets(people, size, parts, config, envelope)
    return list(average_pyramid(maps, scales))


def map_shapes(
    keypoints: Sequence[int], size: tuple[int, int], parts: int, config: TargetConfig, scales: int, envelope: bool
) -> list[tuple[int, int, int, int]]:
    """The shape ``(B, channels, h, w)`` of the maps of each scale, for keypoints of shape ``[B, P, J, 3]``."""
    channels = PER_PART[config.encoding] * parts + keypoints[2] + int(envelope)
    height, width = size[0] // config.stride, size[1] // config.stride
    return [(keypoints[0], channels, height >> scale, width >> scale) for scale in range(scales)]
