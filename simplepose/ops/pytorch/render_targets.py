"""render_targets in vectorized PyTorch, for any device: all keypoint types and parts of a person at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from simplepose.ops.config import TargetConfig
from simplepose.ops.reference.maths import f32
from simplepose.ops.reference.render_targets import LINE_BACKGROUND, LINE_EPSILON, SHORTEST_SQUARED, TargetRules
from simplepose.skeleton.channels import PER_PART


def render_targets(
    keypoints: Tensor,
    size: tuple[int, int],
    parts: Sequence[tuple[int, int]],
    config: TargetConfig,
    scales: int = 1,
    envelope: bool = False,
) -> list[Tensor]:
    """Target maps as `simplepose.render_targets` defines them, within 2e-6 except at cells on the edge of a shape.

    Args:
        keypoints: ``[B, P, J, 3]`` float32: x, y in image pixels and visibility.
        size: height and width of the image in pixels.
        parts: the two keypoint types of each of the ``L`` parts.
        config: widths, threshold, stride and shape.
        scales: number of levels of the pyramid.
        envelope: whether to add the maximum over the keypoint channels.

    Returns:
        One ``[B, L + J (+ 1), H, W]`` float32 tensor for each scale; 2 L with encoding "paf".
    """
    rules = TargetRules.of(config)
    images, _, types, _ = keypoints.shape
    height, width = size[0] // config.stride, size[1] // config.stride
    count = PER_PART[config.encoding] * len(parts)
    maps = keypoints.new_zeros((images, count + types + envelope, height, width))
    boxes = torch.zeros_like(maps[:, : len(parts)]) if rules.line or rules.paf else None
    xy = keypoints[..., :2]
    labeled = (keypoints[..., 2:] > 0) & xy.isfinite().all(-1, keepdim=True)
    xy = torch.where(labeled, xy, math.nan)  # comparisons with NaN are false, so nothing is drawn
    index = torch.tensor(parts, device=keypoints.device).reshape(-1, 2)
    offset = rules.stride * 0.5 - 0.5
    gx, gy = (torch.arange(n, device=keypoints.device) * rules.stride + offset for n in (width, height))
    for image, person, rows, columns in _areas(xy, height, width, rules):
        points = xy[image, person]
        area = maps[image, :, rows, columns]
        _draw_keypoints(area[..., count : count + types, :, :], points, gx[columns], gy[rows], rules)
        a, b = points[..., index[:, 0], :], points[..., index[:, 1], :]
        if rules.paf and boxes is not None:
            _add_fields(area[..., :count, :, :], boxes[image, :, rows, columns], a, b, gx[columns], gy[rows], rules)
        elif boxes is None:
            _draw_ellipses(area[..., :count, :, :], a, b, gx[columns], gy[rows], rules)
        else:
            _add_lines(area[..., :count, :, :], boxes[image, :, rows, columns], a, b, gx[columns], gy[rows], rules)
    if boxes is not None:
        maps[:, :count] /= boxes.clamp_(min=1).repeat_interleave(PER_PART[config.encoding], 1)
    if envelope and types:
        torch.amax(maps[:, count : count + types], 1, out=maps[:, -1])
    pyramid = [maps]
    for _ in range(scales - 1):
        pyramid.append(torch.nn.functional.avg_pool2d(pyramid[-1], 2))
    return pyramid


Area = tuple[int | slice, int, slice, slice]


def _areas(xy: Tensor, height: int, width: int, rules: TargetRules) -> Iterator[Area]:
    """The areas that are drawn in one step: image or images, person, rows, columns.

    On the CPU an area is the box of one person in one image. On other devices it is the whole maps of the batch,
    because reading boxes back to the host would synchronize.
    """
    everything = slice(None)
    if xy.device.type != "cpu":
        yield from ((everything, person, everything, everything) for person in range(xy.shape[1]))
        return
    margin = max(rules.keypoint_radius, rules.part_radius) + 2 * rules.stride
    low = ((xy.nan_to_num(math.inf).amin(2) - margin) / rules.stride).tolist()
    high = ((xy.nan_to_num(-math.inf).amax(2) + margin) / rules.stride).tolist()
    for image in range(xy.shape[0]):
        for person in range(xy.shape[1]):
            (x0, y0), (x1, y1) = low[image][person], high[image][person]
            if x0 < width and y0 < height and x1 >= 0 and y1 >= 0:
                yield image, person, _cells(y0, y1, height), _cells(x0, x1, width)


def _cells(low: float, high: float, count: int) -> slice:
    return slice(max(0, math.floor(max(low, 0))), math.ceil(min(high, count - 1)) + 1)


def _draw_keypoints(area: Tensor, points: Tensor, gx: Tensor, gy: Tensor, rules: TargetRules) -> None:
    """Draw the keypoints ``points`` ``[..., J, 2]`` into ``area`` ``[..., J, h, w]`` by maximum."""
    x, y = points[..., :1], points[..., 1:]
    along_x = ((gx - x) * rules.keypoint_scale).square_().neg_().exp2_().nan_to_num_(0)
    along_y = ((gy - y) * rules.keypoint_scale).square_().neg_().exp2_().nan_to_num_(0)
    if rules.line:
        along_x = torch.where(_window(gx, x, rules), along_x, 0)
        along_y = torch.where(_window(gy, y, rules), along_y, 0)
        limit = 0.0
    else:
        limit = float(np.nextafter(f32(rules.threshold), f32(0)))  # values above it reach the threshold
    value = along_y[..., :, None] * along_x[..., None, :]
    torch.maximum(area, torch.nn.functional.threshold(value, limit, 0, inplace=True), out=area)


def _window(grid: Tensor, position: Tensor, rules: TargetRules) -> Tensor:
    cell = (grid - (rules.stride * 0.5 - 0.5)) / rules.stride
    return (cell - torch.round(position / rules.stride)).abs() <= rules.window


def _axes(a: Tensor, b: Tensor, rules: TargetRules) -> tuple[Tensor, Tensor, Tensor]:
    """Center ``[..., L, 2]`` (NaN where there is no part), unit axis ``[..., L, 2]`` and length ``[..., L, 1]``."""
    delta = b - a
    squared = delta.square().sum(-1, keepdim=True)
    length = squared.sqrt()
    axis = delta / (length + float(LINE_EPSILON) if rules.line else length)
    drawn = (squared >= float(SHORTEST_SQUARED)) & squared.isfinite()
    center = torch.where(drawn, (a + b) * 0.5, math.nan)
    return center, axis, length


def _draw_ellipses(area: Tensor, a: Tensor, b: Tensor, gx: Tensor, gy: Tensor, rules: TargetRules) -> None:
    """Draw the parts from ``a`` to ``b`` (``[..., L, 2]``) into ``area`` ``[..., L, h, w]`` by maximum."""
    center, axis, length = _axes(a, b, rules)
    px, py = gx - center[..., :1], gy - center[..., 1:]
    along = axis / (length * 0.5 + rules.stride)  # in units of the semi-axes
    across = axis * rules.part_scale
    t = (px * along[..., :1])[..., None, :] + (py * along[..., 1:])[..., :, None]
    d = (px * across[..., 1:])[..., None, :] - (py * across[..., :1])[..., :, None]
    d.square_()
    inside = t.square_().add_(d, alpha=rules.part_inside) <= 1
    torch.maximum(area, torch.where(inside, d.neg_().exp2_(), 0), out=area)


def _add_lines(area: Tensor, boxes: Tensor, a: Tensor, b: Tensor, gx: Tensor, gy: Tensor, rules: TargetRules) -> None:
    """Add the parts of shape "line" to ``area`` and count their boxes in ``boxes``, both ``[..., L, h, w]``."""
    center, axis, _ = _axes(a, b, rules)
    px, py = gx - center[..., :1], gy - center[..., 1:]
    across = axis * rules.part_scale
    d = (px * across[..., 1:])[..., None, :] - (py * across[..., :1])[..., :, None]
    value = d.square().neg_().exp2_()
    value.masked_fill_(value <= rules.threshold, float(LINE_BACKGROUND))
    columns = _box(gx, a[..., :1], b[..., :1], rules)
    rows = _box(gy, a[..., 1:], b[..., 1:], rules)
    covered = rows[..., :, None] & columns[..., None, :] & d.isfinite()
    area += torch.where(covered, value, 0)
    boxes += covered


def _add_fields(area: Tensor, boxes: Tensor, a: Tensor, b: Tensor, gx: Tensor, gy: Tensor, rules: TargetRules) -> None:
    """Add the unit vectors of parts to ``area`` ``[..., 2 L, h, w]`` and count people in ``boxes [..., L, h, w]``."""
    center, axis, length = _axes(a, b, rules)
    px, py = gx - center[..., :1], gy - center[..., 1:]
    ux, uy = axis[..., :1], axis[..., 1:]
    t = (px * ux)[..., None, :] + (py * uy)[..., :, None]
    d = (px * uy)[..., None, :] - (py * ux)[..., :, None]
    covered = (t.abs() <= (length * 0.5)[..., None]) & (d.abs() <= rules.part_radius)
    area[..., ::2, :, :] += torch.where(covered, ux[..., None], 0)
    area[..., 1::2, :, :] += torch.where(covered, uy[..., None], 0)
    boxes += covered


def _box(grid: Tensor, a: Tensor, b: Tensor, rules: TargetRules) -> Tensor:
    cell = (grid - (rules.stride * 0.5 - 0.5)) / rules.stride
    low = torch.round((torch.minimum(a, b) - rules.stride) / rules.stride)
    high = torch.round((torch.maximum(a, b) + rules.stride) / rules.stride)
    return (cell >= low) & (cell <= high)
