"""Pictures of people, drawn on copies of images."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_choice, check_count, check_instance, check_number
from simplepose.drawing.layer import FONT, RIM, Image, Layer, check_image, clip_segment
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Color, Skeleton

DrawnColors = Literal["parts", "people"]


FAINTEST = 0.35
"""The share of the opacity that a keypoint of score 0 has; score 1 and above have all of it."""

GOLDEN = (math.sqrt(5) - 1) / 2
"""Steps of this share of the hue circle keep the colors of any number of people apart."""


@dataclass(frozen=True)
class DrawConfig:
    """What pictures of people show. Lengths are image pixels."""

    min_keypoints: int = 3  # people with fewer are left out
    min_score: float = 0.0  # people with a lower score are left out
    opacity: float = 0.95  # of a sure keypoint and its parts; unsure ones are fainter
    thickness: float | None = None  # width of a part; None: from the size of the person and of the image
    colors: DrawnColors = "parts"  # the skeleton's colors, or one color for each person
    boxes: bool = False  # the box around each person's keypoints
    scores: bool = False  # each person's score
    names: bool = False  # the keypoints' names

    def __post_init__(self) -> None:
        check_count("min_keypoints", self.min_keypoints, 0)
        check_number("min_score", self.min_score)
        check_number("opacity", self.opacity, least=0, most=1)
        if self.thickness is not None:
            check_number("thickness", self.thickness, least=0.5, most=1000)
        check_choice("colors", self.colors, get_args(DrawnColors))


def draw_poses(image: Image, poses: Poses, config: DrawConfig | None = None) -> Image:
    """A copy of ``image`` with the people drawn on it, the best on top.

    A part has the color of its second keypoint and the opacity of its less sure keypoint. Keypoints that are missing,
    not finite or off the image are left out; of a part that leaves the image the inner piece is drawn.

    Args:
        image: ``[H, W, 3]`` uint8, BGR; it stays as it is.
        poses: the people, keypoints in pixels of this image.
        config: what is shown and how; default: ``DrawConfig()``.

    Raises:
        TypeError, ValueError: an argument is not as said above; the message names it.
    """
    check_image("image", image)
    check_instance("poses", poses, Poses)
    config = DrawConfig() if config is None else config
    check_instance("config", config, DrawConfig)
    shown = poses.at_least(config.min_keypoints, config.min_score)
    canvas = image.copy()
    people = [_Person(i, shown, canvas.shape, config) for i in reversed(range(len(shown)))]
    for person in people:
        person.draw(canvas)
    taken = np.zeros(canvas.shape[:2], np.bool_)  # by letters
    for person in reversed(people):  # after all people, so that no one covers letters; the best have the first choice
        person.annotate(canvas, taken)
    return canvas


class _Person:
    """One person on the canvas: what is drawn where, in which color and width."""

    def __init__(self, index: int, poses: Poses, shape: tuple[int, ...], config: DrawConfig) -> None:
        self.skeleton: Skeleton = poses.skeleton
        self.config = config
        self.score = float(poses.scores[index])
        keypoints = poses.keypoints[index].astype(float)
        self.xy = keypoints[:, :2]  # [J, 2]
        self.found = (keypoints[:, 2] > 0) & np.isfinite(keypoints).all(1)  # [J]
        sure = np.clip(np.nan_to_num(keypoints[:, 2]), 0, 1)
        self.opacity = config.opacity * (FAINTEST + (1 - FAINTEST) * sure)  # [J]
        parts = self.skeleton.drawn_index
        self.parts = parts[self.found[parts].all(1)]  # [D, 2]
        self.width = self._width(shape)
        self.colors = _person_colors(self.skeleton, index, config.colors)

    def _width(self, shape: tuple[int, ...]) -> float:
        """A part's width: about that of a bone, but neither too thin for this image nor a blot on it."""
        if self.config.thickness is not None:
            return self.config.thickness
        xy = self.xy[self.found]
        diagonal = float(np.hypot(*np.minimum(np.ptp(xy, axis=0), shape[1::-1]))) if len(xy) else 0.0
        side = math.hypot(*shape[:2])
        return min(max(0.024 * diagonal, side / 500, 1.5), max(side / 80, 1.5))

    def draw(self, canvas: Image) -> None:
        """Parts and dots go onto a layer of their own first, so that overlapping parts do not add up."""
        if not self.found.any():
            return
        rim = max(1.0, 0.22 * self.width)
        layer = Layer.around(self.xy[self.found], 2 * self.width + rim + 2, canvas.shape)
        if layer is None:
            return
        lengths = np.linalg.norm(self.xy[self.parts[:, 0]] - self.xy[self.parts[:, 1]], axis=1)
        widths = np.clip(0.4 * lengths, min(1.5, self.width), self.width)  # short parts, as in a face, are thin
        radii = self._radii(lengths)
        opacities = self.opacity[self.parts].min(1)
        segments = [clip_segment(self.xy[a], self.xy[b], canvas.shape, 2 * self.width + rim) for a, b in self.parts]
        drawn = [(s, w, o, p[1]) for s, w, o, p in zip(segments, widths, opacities, self.parts, strict=True) if s]
        inside = self.found & (np.abs(self.xy) < 1e6).all(1)  # the rest overflows OpenCV's coordinates
        for segment, width, opacity, _ in drawn:
            layer.line(*segment, width + 2 * rim, RIM, 0.6 * opacity)
        for j in np.flatnonzero(inside).tolist():
            layer.dot(self.xy[j], radii[j] + rim, RIM, 0.8 * self.opacity[j])
        for segment, width, opacity, end in drawn:
            layer.line(*segment, width, self.colors[end], opacity)
        for j in np.flatnonzero(inside).tolist():
            layer.dot(self.xy[j], radii[j] + 0.6 * rim, RIM, 0.9 * self.opacity[j])
            layer.dot(self.xy[j], radii[j], _lighter(self.colors[j]), self.opacity[j])
        layer.blend_onto(canvas)

    def _radii(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        """``[J]``: dots a little wider than parts, but those of a face must not touch."""
        shortest = np.full(len(self.xy), np.inf)
        for (a, b), length in zip(self.parts, lengths, strict=True):
            shortest[[a, b]] = np.minimum(shortest[[a, b]], length)
        return np.clip(0.22 * shortest, min(1.0, 0.75 * self.width), 0.75 * self.width)

    def annotate(self, canvas: Image, taken: NDArray[np.bool_]) -> None:
        """The box, the score and the names, as far as the settings ask for them."""
        config, height, width = self.config, *canvas.shape[:2]
        seen = self.found & (self.xy > -0.5).all(1) & (self.xy < [width - 0.5, height - 0.5]).all(1)
        if not seen.any():
            return
        left, top = np.floor(self.xy[seen].min(0) - self.width).astype(int)
        right, bottom = np.ceil(self.xy[seen].max(0) + self.width).astype(int)
        color = _mean_color(self.colors)
        if config.boxes:
            line = max(1, round(0.5 * self.width))
            for thick, paint in ((line + 2, RIM), (line, color)):
                cv2.rectangle(canvas, (left, top), (right, bottom), paint[::-1], thick, cv2.LINE_AA)
        if config.scores:
            _write(canvas, f"{self.score:.2f}", left, top - 4, color, 1.0, taken)
        if config.names:
            for j in np.flatnonzero(seen).tolist():
                x, y = self.xy[j] + [2 * self.width, 0]
                name = self.skeleton.keypoints[j].replace("_", " ")
                _write(canvas, name, x, y, _lighter(self.colors[j]), 0.75, taken)


def _person_colors(skeleton: Skeleton, index: int, colors: DrawnColors) -> Sequence[Color]:
    if colors == "parts":
        return skeleton.colors
    red, green, blue = colorsys.hsv_to_rgb((0.56 + index * GOLDEN) % 1, 0.72, 1.0)
    return ((round(255 * red), round(255 * green), round(255 * blue)),) * skeleton.num_keypoints


def _mean_color(colors: Sequence[Color]) -> Color:
    red, green, blue = (round(v) for v in np.mean(colors, axis=0).tolist())
    return (red, green, blue)


def _lighter(color: Color) -> Color:
    red, green, blue = (round(c + 0.35 * (255 - c)) for c in color)
    return (red, green, blue)


def _write(canvas: Image, text: str, x: float, y: float, color: Color, size: float, taken: NDArray[np.bool_]) -> None:
    """Letters on a dark plate, left at ``x`` on the line ``y``, moved onto the canvas; none where others are.

    A plate, since letters of two widths, for a rim, do not lie on one another in every version of OpenCV.
    """
    scale = size * max(0.35, min(canvas.shape[:2]) / 1100)
    line = max(1, round(1.5 * scale))
    (wide, tall), below = cv2.getTextSize(text, FONT, scale, line)
    left = round(min(max(x, 2), max(canvas.shape[1] - wide - 3, 2)))
    low = round(min(max(y, tall + 2), max(canvas.shape[0] - below - 1, 2)))
    plate = (slice(max(low - tall - 2, 0), low + below), slice(left - 2, left + wide + 2))
    if taken[plate].any():
        return
    taken[plate] = True
    canvas[plate] = np.round(0.35 * canvas[plate] + 0.65 * np.array(RIM[::-1])).astype(np.uint8)
    cv2.putText(canvas, text, (left, low), FONT, scale, color[::-1], line, cv2.LINE_AA)
