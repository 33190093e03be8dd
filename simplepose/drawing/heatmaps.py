"""Heatmaps drawn over an image, and images placed side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_count, check_number, check_readable, describe, is_tensor
from simplepose.drawing.layer import FONT, OUTLINE_COLOR, Image, check_image
from simplepose.skeleton.channels import Encoding

if TYPE_CHECKING:
    from torch import Tensor


def draw_heatmaps(
    image: Image,
    maps: NDArray[np.floating[Any]] | Tensor,
    *,
    cell_size: tuple[float, float] | None = None,
    opacity: float = 0.75,
) -> Image:
    """A copy of ``image`` blended with the colored maximum of ``maps``: dark at 0, bright yellow at 1.

    Args:
        image: ``[H, W, 3]`` uint8, BGR.
        maps: ``[K, h, w]`` or ``[h, w]`` floats, NumPy or torch: the channels to show, such as
            ``heatmaps.maps[skeleton.num_parts:]``. Their maximum is shown, clipped to [0, 1]; NaN counts as 0.
        cell_size: width and height of a cell in image pixels, as in `simplepose.inference.heatmaps.Heatmaps`. The
            upper left corners of maps and image coincide. Default: the maps cover the image exactly.
        opacity: of the colors where the maps are 1, from 0 to 1.

    Returns:
        ``[H, W, 3]`` uint8, BGR.

    Raises:
        TypeError, ValueError: an argument is invalid; the message names it.
    """
    check_image("image", image)
    check_number("opacity", opacity, least=0, most=1)
    check_readable("maps", maps)
    array = cast("Tensor", maps).float().numpy(force=True) if is_tensor(maps) else maps
    if not isinstance(array, np.ndarray) or array.ndim not in (2, 3) or array.dtype.kind != "f" or not array.size:
        raise TypeError(f"maps: expected floats [K, h, w] or [h, w], got {describe(maps)}")
    maximum = array if array.ndim == 2 else array.max(0)
    maximum = np.clip(np.nan_to_num(maximum.astype(np.float32)), 0, 1)
    height, width = image.shape[:2]
    x, y = cell_size or (width / maximum.shape[1], height / maximum.shape[0])
    # The center of cell i lies at (i + 1/2) * cell - 1/2 (docs/design.md, Conventions); the matrix is the inverse.
    image_to_map = np.array([[1 / x, 0, 0.5 / x - 0.5], [0, 1 / y, 0.5 / y - 0.5]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    values = cv2.warpAffine(maximum, image_to_map, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    colors = cv2.applyColorMap(np.round(values * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = (opacity * (0.55 + 0.45 * values))[..., None]  # above 0 everywhere: weak responses need a dark image
    return np.round(image * (1 - alpha) + colors * alpha).astype(np.uint8)


def part_strength(maps: NDArray[np.floating[Any]], encoding: Encoding) -> NDArray[np.floating[Any]]:
    """``[L, h, w]``, to show part maps: the maps themselves, or the lengths of the vectors of affinity fields.

    Args:
        maps: ``[L, h, w]``, or ``[2 L, h, w]`` with encoding "paf".
        encoding: of the maps.
    """
    return maps if encoding == "parts" else np.hypot(maps[::2], maps[1::2])


def side_by_side(panels: Sequence[Image], titles: Sequence[str] = (), *, height: int | None = None) -> Image:
    """One image that shows ``panels`` in a row, scaled to the same height, each below its title.

    Args:
        panels: at least one ``[H, W, 3]`` uint8 BGR image.
        titles: one per panel, or none at all.
        height: of the panels, in pixels; default: the height of the tallest.

    Returns:
        ``[height, width, 3]`` uint8, BGR.

    Raises:
        TypeError, ValueError: an argument is invalid; the message names it.
    """
    if not panels:
        raise ValueError("panels: expected at least one picture, got none")
    for i, panel in enumerate(panels):
        check_image(f"panels[{i}]", panel)
    if titles and len(titles) != len(panels):
        raise ValueError(f"titles: expected one for each of {len(panels)} panels, got {len(titles)}")
    rows = max(p.shape[0] for p in panels) if height is None else check_count("height", height)
    gap = max(2, rows // 100)
    bar = max(18, rows // 14) if titles else 0
    columns = []
    for i, panel in enumerate(panels):
        width = max(1, round(panel.shape[1] * rows / panel.shape[0]))
        shrinks = rows < panel.shape[0]
        scaled = cv2.resize(panel, (width, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
        column = np.full((bar + rows, width, 3), 255, np.uint8)
        column[bar:] = scaled
        if titles:
            _write_title(column, titles[i], bar)
        columns += [column, np.full((bar + rows, gap, 3), 255, np.uint8)]
    return np.concatenate(columns[:-1], axis=1)


def _write_title(column: Image, title: str, bar: int) -> None:
    """Write ``title`` into the white bar at the top, in a smaller font if it is too wide."""
    (wide, tall), _ = cv2.getTextSize(title, FONT, 1.0, 1)
    scale = min(0.55 * bar / max(tall, 1), (column.shape[1] - 8) / max(wide, 1))
    if scale > 0:
        line = max(1, round(1.5 * scale))
        place = (4, round((bar + scale * tall) / 2))
        cv2.putText(column, title, place, FONT, scale, OUTLINE_COLOR[::-1], line, cv2.LINE_AA)
