"""Reference of render_targets: draws the training targets, one person and one keypoint or part after the other.

Float32 throughout, in the order of operations written here; csrc/render_maths.h holds the same lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.config import TargetConfig
from simplepose.ops.reference.maths import exp2_minus, f32

LINE_FLOOR = f32(0.01)
"""What ``shape="line"`` writes in a part's box where the Gaussian does not exceed the threshold."""

LINE_EPSILON = f32(1e-6)
"""What ``shape="line"`` adds to a part's length before dividing by it."""

SHORTEST_SQUARED = f32(1e-30)
"""The square of the least length that a part is drawn for; below it float32 squares lose their digits."""


class TargetRules(NamedTuple):
    """The numbers of the op, worked out once in double precision and rounded to float32. Lengths are pixels."""

    line: bool  # whether the shape is "line"
    stride: float
    threshold: float
    keypoint_scale: float  # a keypoint's Gaussian at distance r is 2^-(keypoint_scale r)^2
    keypoint_radius: float  # where a keypoint's Gaussian is surely below the threshold; faster versions stop there
    part_scale: float  # the same across a part
    part_radius: float  # where that Gaussian reaches the threshold: the ellipse's short semi-axis
    part_inside: float  # 1 / (part_scale part_radius)^2
    window: int  # cells on each side of a keypoint that "line" draws: 7 at sigma 9 and stride 4

    @classmethod
    def of(cls, config: TargetConfig) -> TargetRules:
        """The rules that ``config`` means."""
        reach = math.sqrt(-2 * math.log(config.threshold))  # in standard deviations
        part_radius = config.part_sigma * reach
        scale = math.sqrt(math.log2(math.e) / 2)  # of a distance in standard deviations
        return cls(
            line=config.shape == "line",
            stride=float(config.stride),
            threshold=float(f32(config.threshold)),
            keypoint_scale=float(f32(scale / config.keypoint_sigma)),
            keypoint_radius=float(f32(config.keypoint_sigma * (reach + 1 / 64))),
            part_scale=float(f32(scale / config.part_sigma)),
            part_radius=float(f32(part_radius)),
            part_inside=float(f32(1 / (scale * reach) ** 2)),
            window=math.ceil(config.keypoint_sigma * reach / config.stride),
        )


def render_targets(
    keypoints: NDArray[np.float32],
    size: tuple[int, int],
    parts: NDArray[np.int32],
    config: TargetConfig,
    envelope: bool = False,
) -> NDArray[np.float32]:
    """Target maps of one image.

    Args:
        keypoints: ``[P, J, 3]`` float32 x, y in image pixels and COCO visibility.
        size: height and width of the image in pixels, multiples of the stride.
        parts: ``[L, 2]`` the keypoint types that each part joins.
        config: widths, threshold, stride and shape.
        envelope: whether to add a last channel, the maximum over the keypoint channels.

    Returns:
        ``[L + J, H, W]`` float32 (``L + J + 1`` with the envelope), H and W the size over the stride.
    """
    rules = TargetRules.of(config)
    height, width = size[0] // config.stride, size[1] // config.stride
    areas = np.zeros((len(parts), height, width), f32)
    points = np.zeros((keypoints.shape[1], height, width), f32)
    with np.errstate(over="ignore", under="ignore"):
        labeled = (keypoints[..., 2] > 0) & np.isfinite(keypoints[..., :2]).all(-1)
        for kind, channel in enumerate(points):
            for person in np.nonzero(labeled[:, kind])[0]:
                x, y = keypoints[person, kind, :2]
                draw_keypoint(channel, x, y, rules)
        for (a, b), channel in zip(parts, areas, strict=True):
            people = keypoints[labeled[:, a] & labeled[:, b]]
            if rules.line:
                average_lines(channel, people[:, a, :2], people[:, b, :2], rules)
                continue
            for person in people:
                draw_ellipse(channel, person[a, :2], person[b, :2], rules)
    last = [points.max(0, keepdims=True)] if envelope else []
    return np.concatenate([areas, points, *last])


def grid(cells: int, rules: TargetRules) -> NDArray[np.float32]:
    """``[cells]`` image positions of the cells of one axis."""
    stride = f32(rules.stride)
    return np.arange(cells, dtype=f32) * stride + (stride * f32(0.5) - f32(0.5))


def draw_keypoint(channel: NDArray[np.float32], x: np.float32, y: np.float32, rules: TargetRules) -> None:
    """Raise ``channel`` to the Gaussian at (x, y): the threshold bounds the ellipse shape, a window the line's."""
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
    """``[cells]``: within ``rules.window`` cells of position / stride, rounded half to even."""
    center = np.rint(position / f32(rules.stride))
    cell = np.arange(cells, dtype=f32)
    return (cell >= center - f32(rules.window)) & (cell <= center + f32(rules.window))


class Axis(NamedTuple):
    """A part's center, its unit axis and its length, float32."""

    cx: np.float32
    cy: np.float32
    ux: np.float32
    uy: np.float32
    length: np.float32

    def across(self, gx: NDArray[np.float32], gy: NDArray[np.float32], scale: np.float32) -> NDArray[np.float32]:
        """``[H, W]`` signed distance of the cells from the line, in units of 1 / scale pixels."""
        return (gx - self.cx) * (self.uy * scale) - ((gy - self.cy) * (self.ux * scale))[:, None]

    def along(self, gx: NDArray[np.float32], gy: NDArray[np.float32], scale: np.float32) -> NDArray[np.float32]:
        """``[H, W]`` signed distance of the cells from the center, along the line, in the same units."""
        return (gx - self.cx) * (self.ux * scale) + ((gy - self.cy) * (self.uy * scale))[:, None]


def part_axis(a: NDArray[np.float32], b: NDArray[np.float32], rules: TargetRules) -> Axis | None:
    """The axis from ``a`` to ``b``; none if its length is as good as zero or not finite."""
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
    """Raise ``channel`` to the Gaussian of the distance from the part's line, inside or on its ellipse."""
    axis = part_axis(a, b, rules)
    if axis is None:
        return
    half = axis.length * f32(0.5) + f32(rules.stride)
    gy, gx = (grid(cells, rules) for cells in channel.shape)
    t = axis.along(gx, gy, f32(1) / half)
    d = axis.across(gx, gy, f32(rules.part_scale))
    e = d * d
    inside = t * t + e * f32(rules.part_inside) <= 1
    np.maximum(channel, exp2_minus(e), out=channel, where=inside)


def average_lines(
    channel: NDArray[np.float32], starts: NDArray[np.float32], ends: NDArray[np.float32], rules: TargetRules
) -> None:
    """Write the mean, over the parts whose box covers a cell, of the Gaussian of the distance from their lines.

    The box is that of the two keypoints and one stride more; in it values up to the threshold count as LINE_FLOOR.
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
        value = np.where(value <= f32(rules.threshold), LINE_FLOOR, value)
        covered = rows[:, None] & columns
        np.add(channel, value, out=channel, where=covered)
        count += covered
    np.divide(channel, count, out=channel, where=count > 1)


def box(a: np.float32, b: np.float32, cells: int, rules: TargetRules) -> NDArray[np.bool_]:
    """``[cells]``: between the two positions and one stride more, as cells rounded half to even, both ends included."""
    stride = f32(rules.stride)
    low = np.rint((np.minimum(a, b) - stride) / stride)
    high = np.rint((np.maximum(a, b) + stride) / stride)
    cell = np.arange(cells, dtype=f32)
    return (cell >= low) & (cell <= high)


def average_pyramid(maps: NDArray[np.float32], scales: int) -> tuple[NDArray[np.float32], ...]:
    """``scales`` maps, each ``[..., H, W]`` the exact 2 x 2 average pool of the one before: ((a + b) + (c + d)) / 4.

    ``a`` and ``b`` are the upper row, ``c`` and ``d`` the lower.
    """
    pyramid = [maps]
    for _ in range(scales - 1):
        last = pyramid[-1]
        upper, lower = last[..., ::2, :], last[..., 1::2, :]
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
    """`render_targets` of each image of ``[B, P, J, 3]``, and the pyramid; ``threads`` is not used."""
    shape = map_shapes(keypoints.shape, size, len(parts), config.stride, 1, envelope)[0]
    maps = np.empty(shape, f32)
    for image, people in zip(maps, keypoints, strict=True):
        image[:] = render_targets(people, size, parts, config, envelope)
    return list(average_pyramid(maps, scales))


def map_shapes(
    keypoints: Sequence[int], size: tuple[int, int], parts: int, stride: int, scales: int, envelope: bool
) -> list[tuple[int, int, int, int]]:
    """The shape of each scale's maps for keypoints of shape ``[B, P, J, 3]``."""
    channels = parts + keypoints[2] + int(envelope)
    height, width = size[0] // stride, size[1] // stride
    return [(keypoints[0], channels, height >> scale, width >> scale) for scale in range(scales)]
