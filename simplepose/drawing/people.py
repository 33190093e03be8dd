"""Poses drawn on a copy of an image."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_choice, check_count, check_flag, check_instance, check_number
from simplepose.drawing.ellipses import draw_ellipses
from simplepose.drawing.layer import FONT, OUTLINE_COLOR, Image, Layer, check_image, clip_segment
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Color, Skeleton

DrawnColors = Literal["parts", "people"]


MIN_OPACITY = 0.35
"""Factor on the opacity of a keypoint of score 0; it rises linearly to 1 at score 1."""

HUE_STEP = (math.sqrt(5) - 1) / 2
"""Hue difference between two people: golden-ratio steps keep any number of colors apart."""

NO_TRACK_COLOR: Color = (160, 160, 160)
"""RGB of people without a track among tracked people, if each person has one color."""


@dataclass(frozen=True)
class DrawConfig:
    """What `draw_poses` shows. Lengths are image pixels."""

    min_keypoints: int = 3  # people with fewer keypoints are not drawn
    min_score: float = 0.0  # people with a lower score are not drawn
    opacity: float = 0.95  # of keypoints of score 1 and their parts; lower scores are fainter
    thickness: float | None = None  # width of a part; None: chosen from the sizes of the person and the image
    colors: DrawnColors = "parts"  # "parts": the skeleton's colors; "people": one color per person or track
    boxes: bool = False  # draw the bounding box of each person's keypoints
    scores: bool = False  # write each person's score
    names: bool = False  # write the names of the keypoints
    uncertainty: bool = False  # draw the covariance of each keypoint: an ellipse of one standard deviation

    def __post_init__(self) -> None:
        check_count("min_keypoints", self.min_keypoints, 0)
        check_number("min_score", self.min_score)
        check_number("opacity", self.opacity, least=0, most=1)
        if self.thickness is not None:
            check_number("thickness", self.thickness, least=0.5, most=1000)
        check_choice("colors", self.colors, get_args(DrawnColors))
        for name in ("boxes", "scores", "names", "uncertainty"):
            check_flag(name, getattr(self, name))


def draw_poses(image: Image, poses: Poses, config: DrawConfig | None = None) -> Image:
    """A copy of ``image`` with the people drawn on it; people with higher scores are drawn on top.

    A part has the color of its second keypoint and the opacity of its keypoint with the lower score. Missing or
    non-finite keypoints are skipped; parts are clipped to the image.

    Args:
        image: ``[H, W, 3]`` uint8, BGR; it is not modified.
        poses: the people; keypoints in pixels of this image.
        config: what is drawn and how; default: ``DrawConfig()``.

    Returns:
        ``[H, W, 3]`` uint8, BGR.

    Raises:
        TypeError, ValueError: an argument is invalid; the message names it.
    """
    check_image("image", image)
    check_instance("poses", poses, Poses)
    config = DrawConfig() if config is None else config
    check_instance("config", config, DrawConfig)
    if config.uncertainty and poses.covariance is None:
        raise ValueError("poses: expected a covariance with uncertainty=True, got none; see decode(covariance=True)")
    shown = poses.at_least(config.min_keypoints, config.min_score)
    canvas = image.copy()
    people = [_Person(i, shown, canvas.shape, config) for i in reversed(range(len(shown)))]
    for person in people:
        person.draw(canvas)
    text_area = np.zeros(canvas.shape[:2], np.bool_)  # pixels that text covers already
    for person in reversed(people):  # text after all people, so that it stays readable; highest score first
        person.annotate(canvas, text_area)
    return canvas


class _Person:
    """Positions, colors, opacities and widths of one person on the canvas."""

    def __init__(self, index: int, poses: Poses, shape: tuple[int, ...], config: DrawConfig) -> None:
        self.skeleton: Skeleton = poses.skeleton
        self.config = config
        self.score = float(poses.scores[index])
        keypoints = poses.keypoints[index].astype(float)
        self.xy = keypoints[:, :2]  # [J, 2]
        self.present = (keypoints[:, 2] > 0) & np.isfinite(keypoints).all(1)  # [J]
        confidence = np.clip(np.nan_to_num(keypoints[:, 2]), 0, 1)
        self.opacity = config.opacity * (MIN_OPACITY + (1 - MIN_OPACITY) * confidence)  # [J]
        parts = self.skeleton.drawn_index
        self.parts = parts[self.present[parts].all(1)]  # [D, 2]
        self.width = self._width(shape)
        number = index if poses.track_ids is None else int(poses.track_ids[index])
        self.colors = _person_colors(self.skeleton, number, config.colors)
        self.covariance = None if poses.covariance is None else poses.covariance[index].astype(float)  # [J, 2, 2]

    def _width(self, shape: tuple[int, ...]) -> float:
        """The width of parts in pixels: proportional to the person's size, limited by the size of the image."""
        if self.config.thickness is not None:
            return self.config.thickness
        xy = self.xy[self.present]
        diagonal = float(np.hypot(*np.minimum(np.ptp(xy, axis=0), shape[1::-1]))) if len(xy) else 0.0
        side = math.hypot(*shape[:2])
        return min(max(0.024 * diagonal, side / 500, 1.5), max(side / 80, 1.5))

    def draw(self, canvas: Image) -> None:
        """Draw parts and keypoints on one layer, so that overlapping parts do not add up, and blend it."""
        if not self.present.any():
            return
        outline = max(1.0, 0.22 * self.width)
        layer = Layer.around(self.xy[self.present], 2 * self.width + outline + 2, canvas.shape)
        if layer is None:
            return
        lengths = np.linalg.norm(self.xy[self.parts[:, 0]] - self.xy[self.parts[:, 1]], axis=1)
        widths = np.clip(
            0.4 * lengths, min(1.5, self.width), self.width
        )  # short parts, such as those of the face, are thin
        radii = self._radii(lengths)
        opacities = self.opacity[self.parts].min(1)
        segments = [clip_segment(self.xy[a], self.xy[b], canvas.shape, 2 * self.width + outline) for a, b in self.parts]
        drawn = [(s, w, o, p[1]) for s, w, o, p in zip(segments, widths, opacities, self.parts, strict=True) if s]
        inside = self.present & (np.abs(self.xy) < 1e6).all(1)  # larger values overflow OpenCV's coordinates
        for segment, width, opacity, _ in drawn:
            layer.line(*segment, width + 2 * outline, OUTLINE_COLOR, 0.6 * opacity)
        for j in np.flatnonzero(inside).tolist():
            layer.dot(self.xy[j], radii[j] + outline, OUTLINE_COLOR, 0.8 * self.opacity[j])
        for segment, width, opacity, end in drawn:
            layer.line(*segment, width, self.colors[end], opacity)
        for j in np.flatnonzero(inside).tolist():
            layer.dot(self.xy[j], radii[j] + 0.6 * outline, OUTLINE_COLOR, 0.9 * self.opacity[j])
            layer.dot(self.xy[j], radii[j], _lighter(self.colors[j]), self.opacity[j])
        layer.blend_onto(canvas)
        if self.config.uncertainty and self.covariance is not None:
            shown = np.flatnonzero(inside)
            colors = [_lighter(self.colors[j]) for j in shown.tolist()]
            width = 0.35 * self.width
            draw_ellipses(canvas, self.xy[shown], self.covariance[shown], colors, self.opacity[shown], width)

    def _radii(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """``[J]`` radii of the dots: slightly wider than parts, but small enough that neighbors do not touch."""
        shortest = np.full(len(self.xy), np.inf)
        for (a, b), length in zip(self.parts, lengths, strict=True):
            shortest[[a, b]] = np.minimum(shortest[[a, b]], length)
        return np.clip(0.22 * shortest, min(1.0, 0.75 * self.width), 0.75 * self.width)

    def annotate(self, canvas: Image, text_area: NDArray[np.bool_]) -> None:
        """Draw the box and write the score and the keypoint names, as the settings select."""
        config, height, width = self.config, *canvas.shape[:2]
        visible = self.present & (self.xy > -0.5).all(1) & (self.xy < [width - 0.5, height - 0.5]).all(1)
        if not visible.any():
            return
        left, top = np.floor(self.xy[visible].min(0) - self.width).astype(int)
        right, bottom = np.ceil(self.xy[visible].max(0) + self.width).astype(int)
        color = _mean_color(self.colors)
        if config.boxes:
            line = max(1, round(0.5 * self.width))
            for thick, paint in ((line + 2, OUTLINE_COLOR), (line, color)):
                cv2.rectangle(canvas, (left, top), (right, bottom), paint[::-1], thick, cv2.LINE_AA)
        if config.scores:
            _write(canvas, f"{self.score:.2f}", left, top - 4, color, 1.0, text_area)
        if config.names:
            for j in np.flatnonzero(visible).tolist():
                x, y = self.xy[j] + [2 * self.width, 0]
                name = self.skeleton.keypoints[j].replace("_", " ")
                _write(canvas, name, x, y, _lighter(self.colors[j]), 0.75, text_area)


def _person_colors(skeleton: Skeleton, index: int, colors: DrawnColors) -> Sequence[Color]:
    if colors == "parts":
        return skeleton.colors
    if index < 0:
        return (NO_TRACK_COLOR,) * skeleton.num_keypoints
    red, green, blue = colorsys.hsv_to_rgb((0.56 + index * HUE_STEP) % 1, 0.72, 1.0)
    return ((round(255 * red), round(255 * green), round(255 * blue)),) * skeleton.num_keypoints


def _mean_color(colors: Sequence[Color]) -> Color:
    red, green, blue = (round(v) for v in np.mean(colors, axis=0).tolist())
    return (red, green, blue)


def _lighter(color: Color) -> Color:
    red, green, blue = (round(c + 0.35 * (255 - c)) for c in color)
    return (red, green, blue)


def _write(
    canvas: Image, text: str, x: float, y: float, color: Color, size: float, text_area: NDArray[np.bool_]
) -> None:
    """Write text on a dark background from ``x`` on with baseline ``y``, moved into the image; skip it on overlap.

    The background replaces an outline: text of two line widths is not aligned in every version of OpenCV.
    """
    scale = size * max(0.35, min(canvas.shape[:2]) / 1100)
    line = max(1, round(1.5 * scale))
    (wide, tall), below = cv2.getTextSize(text, FONT, scale, line)
    left = round(min(max(x, 2), max(canvas.shape[1] - wide - 3, 2)))
    low = round(min(max(y, tall + 2), max(canvas.shape[0] - below - 1, 2)))
    background = (slice(max(low - tall - 2, 0), low + below), slice(left - 2, left + wide + 2))
    if text_area[background].any():
        return
    text_area[background] = True
    canvas[background] = np.round(0.35 * canvas[background] + 0.65 * np.array(OUTLINE_COLOR[::-1])).astype(np.uint8)
    cv2.putText(canvas, text, (left, low), FONT, scale, color[::-1], line, cv2.LINE_AA)
