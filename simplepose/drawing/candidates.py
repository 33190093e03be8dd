"""Candidate parts drawn over an image: the scored pairs of peaks that grouping chooses from."""

from __future__ import annotations

import numpy as np

from simplepose.checks import check_count, check_instance, check_number
from simplepose.drawing.layer import OUTLINE_COLOR, Image, Layer, check_image
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.skeleton.skeleton import Skeleton

MIN_OPACITY = 0.2
"""Factor on the opacity of a candidate of response 0; it rises linearly to 1 at response 1."""

MOST_DRAWN = 2000
"""Maximum number of candidates that are drawn; those of highest response are kept."""


def draw_candidates(
    image: Image,
    peaks: Peaks,
    parts: CandidateParts,
    skeleton: Skeleton,
    *,
    cell_size: tuple[float, float],
    part: int | None = None,
    opacity: float = 0.9,
) -> Image:
    """A copy of ``image`` with the candidate parts as lines and the peaks as dots.

    A line has the color of the part's second keypoint. Its opacity grows with the response; lines of higher response
    are drawn on top.

    Args:
        image: ``[H, W, 3]`` uint8, BGR; it is not modified.
        peaks: of the image, by `find_peaks`; positions in cells of the maps.
        parts: of the image, by `match_parts`.
        skeleton: the keypoint types and parts.
        cell_size: width and height of a cell in image pixels. The upper left corners of maps and image coincide.
        part: index of the part type to draw, with the peaks of its two keypoints; None: all.
        opacity: of a candidate of response 1, from 0 to 1.

    Returns:
        ``[H, W, 3]`` uint8, BGR.

    Raises:
        TypeError, ValueError: an argument is invalid; the message names it.
    """
    check_image("image", image)
    check_instance("skeleton", skeleton, Skeleton)
    check_number("opacity", opacity, least=0, most=1)
    if part is not None:
        check_count("part", part, 0, skeleton.num_parts - 1)
    canvas = image.copy()
    xy = (peaks.xy.astype(float) + 0.5) * cell_size - 0.5
    types = np.arange(skeleton.num_keypoints) if part is None else skeleton.part_index[part]
    dots = np.flatnonzero(np.isin(peaks.type, types))
    layer = Layer.around(xy[dots], 8, canvas.shape) if len(dots) else None
    if layer is None:
        return canvas
    width = max(1.0, float(np.hypot(*canvas.shape[:2])) / 500)
    drawn = np.arange(len(parts.type)) if part is None else np.flatnonzero(parts.type == part)
    drawn = drawn[np.argsort(parts.response[drawn], kind="stable")][-MOST_DRAWN:]
    strength = MIN_OPACITY + (1 - MIN_OPACITY) * np.clip(np.nan_to_num(parts.response), 0, 1)
    for index in drawn.tolist():
        a, b = xy[parts.from_peak[index]], xy[parts.to_peak[index]]
        color = skeleton.colors[peaks.type[parts.to_peak[index]]]
        layer.line(a, b, width, color, opacity * float(strength[index]))
    for index in dots.tolist():
        layer.dot(xy[index], 1.5 * width, OUTLINE_COLOR, opacity)
        layer.dot(xy[index], width, skeleton.colors[peaks.type[index]], opacity)
    layer.blend_onto(canvas)
    return canvas
