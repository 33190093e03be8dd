"""Scenes of synthetic people with COCO annotations: who stands where, who hides whom, and what is labeled."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_number, check_range
from simplepose.synth.background import blend, expose, paint_background, sample_light
from simplepose.synth.person import Person, cover, label_keypoints, sample_person
from simplepose.synth.renderer import Floats, Layer

NOBODY = -1
"""The number of the background in a map of owners."""

# nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles
GUESSED = np.array([0.1] * 5 + [0.75] * 2 + [0.4] * 2 + [0.3] * 2 + [0.7] * 2 + [0.4] * 4)
"""How often an annotator labels a keypoint that is hidden, about as often as COCO's do: a hip hardly ever shows and is
labeled, an eye at the back of a head is not."""

Range = tuple[float, float]


@dataclass(frozen=True)
class SynthConfig:
    """What synthetic scenes are like. Ranges are (least, greatest); lengths are image pixels."""

    size: int | tuple[int, int] = 256  # of the image: a square's side, or (height, width)
    people: tuple[int, int] = (1, 8)  # people in an image besides crowds; fewer where there is no room for them
    person_size: Range = (40.0, 300.0)  # the longer side of a person's whole outline, also where the image cuts it
    min_visible: float = 0.35  # the least share of a person's outline in the image that no one hides
    unlabeled: float = 0.06  # the share of people without keypoints
    crowds: float = 0.08  # the share of images with a crowd
    shapes: tuple[int, int] = (4, 16)  # flat shapes in the background
    rods: tuple[int, int] = (0, 4)  # chains in the background that look like arms and legs
    blur: Range = (0.0, 1.1)  # standard deviation of the camera's blur
    noise: Range = (0.0, 9.0)  # standard deviation of the camera's noise, of 255 levels
    jpeg_quality: tuple[int, int] = (55, 95)

    def __post_init__(self) -> None:
        for name in ("people", "shapes", "rods", "jpeg_quality"):
            check_range(name, getattr(self, name), int)
        for name in ("person_size", "blur", "noise"):
            check_range(name, getattr(self, name), float)
        size = self.size if isinstance(self.size, tuple) else (self.size, self.size)
        check_range("size", tuple(sorted(size)) if _are_ints(size) else self.size, int, 32, 8192)
        check_range("people", self.people, int, 1, 64)
        check_range("person_size", self.person_size, float, 16, 4096)
        check_range("jpeg_quality", self.jpeg_quality, int, 1, 100)
        for name in ("min_visible", "unlabeled", "crowds"):
            check_number(name, getattr(self, name), least=0, most=1)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.size if isinstance(self.size, tuple) else (self.size, self.size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as JSON holds them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _are_ints(values: tuple[Any, ...]) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) for v in values)


@dataclass(frozen=True)
class Scene:
    """A picture and what is known about it."""

    jpeg: bytes  # the picture's file
    height: int
    width: int
    annotations: list[dict[str, Any]]  # COCO annotations without "id" and "image_id", the nearest person first
    people: list[Person]  # who is in the picture, the nearest first, one for each annotation that is no crowd

    @property
    def image(self) -> NDArray[np.uint8]:
        """``[height, width, 3]`` uint8 BGR, as read from the file."""
        image: Any = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        return image


@dataclass(frozen=True)
class _Drawn:
    """A person as far as others leave it visible."""

    person: Person
    layer: Layer
    visible: NDArray[np.bool_]  # of the layer's pixels
    colors: Floats  # [F, 3] of the visible pixels


def render_scene(seed: int, index: int, config: SynthConfig | None = None) -> Scene:
    """Make scene ``index`` of the dataset of ``seed``, which depends on nothing else.

    Args:
        seed: of the dataset, 0 or more.
        index: of the image, 0 or more.
        config: what scenes are like.

    Returns:
        The scene. Keypoints of its annotations are in COCO order; visibility is 2 where the person's own surface shows
        the keypoint, 1 where its own body or another person hides it and an annotator would guess it all the same
        (`GUESSED`), 0 elsewhere and off the image. Areas count visible pixels.
    """
    for name, value in (("seed", seed), ("index", index)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name}: expected an integer, got {value!r}")
        if value < 0:
            raise ValueError(f"{name}: expected 0 or more, got {value}")
    config = config or SynthConfig()
    rng = np.random.default_rng([seed, index])
    height, width = config.shape
    image = paint_background(rng, height, width, _count(rng, config.shapes), _count(rng, config.rods))
    light, ambient = sample_light(rng), float(rng.uniform(0.35, 0.7))
    owner = np.full((height, width), NOBODY, np.int16)
    drawn: list[_Drawn] = []
    for person in _place_people(rng, config):
        _draw(person, owner, drawn, config.min_visible, light, ambient)
    if not drawn:
        _draw_someone(rng, config, owner, drawn, light, ambient)
    people = len(drawn)
    if rng.random() < config.crowds:
        for person in _place_crowd(rng, config):
            _draw(person, owner, drawn, 0.1, light, ambient)
    for one in reversed(drawn):
        blend(image, one.layer, np.flatnonzero(one.visible), one.colors)
    annotations = []
    for i, one in enumerate(drawn[:people]):
        unlabeled, guessed = rng.random() < config.unlabeled, rng.random(len(GUESSED)) < GUESSED
        annotations.append(_annotate(one, owner, i, unlabeled, guessed))
    crowd = owner >= people
    if crowd.any():
        annotations.append(_region(crowd) | {"iscrowd": 1, "num_keypoints": 0, "keypoints": [0] * 51})
    image = expose(rng, image, float(rng.uniform(*config.blur)), float(rng.uniform(*config.noise)))
    quality = int(rng.integers(config.jpeg_quality[0], config.jpeg_quality[1] + 1))
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return Scene(jpeg, height, width, annotations, [one.person for one in drawn[:people]])


def _count(rng: np.random.Generator, limits: tuple[int, int]) -> int:
    return int(rng.integers(limits[0], limits[1] + 1))


def _place_people(rng: np.random.Generator, config: SynthConfig) -> list[Person]:
    """Draw people of similar sizes at places that others leave free for the most part; the nearest first."""
    height, width = config.shape
    fewest, most = config.people
    count = fewest + int((most - fewest + 1) * rng.random() ** 1.6)  # few people more often than many
    small, large = config.person_size
    large = min(large, max(small, 2.2 * max(height, width) / math.sqrt(count)))
    common = rng.uniform(math.sqrt(small), math.sqrt(large)) ** 2  # medium sizes more often than large ones
    placed: list[tuple[float, Person]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for _ in range(count):
        size = min(max(common * rng.uniform(0.7, 1.45), small), large)
        person = sample_person(rng)
        left, top, right, bottom = person.box
        patience = rng.uniform(0.1, 0.75)
        for _ in range(6):
            x, y = _sample_center(rng, person, size, config)
            box = (x + size * left, y + size * top, x + size * right, y + size * bottom)
            if all(_overlap(box, other) < patience for other in boxes):
                boxes.append(box)
                placed.append((box[3] + float(rng.normal(0, 0.15 * size)), person.moved(size, x, y)))
                break
    return [person for _, person in sorted(placed, key=lambda item: -item[0])]


def _sample_center(rng: np.random.Generator, person: Person, size: float, config: SynthConfig) -> tuple[float, float]:
    """The box's center: mostly with the whole person in the image, else cut by a border, heads kept more often."""
    height, width = config.shape
    left, top, right, bottom = (size * side for side in person.box)
    half_width, half_height = (right - left) / 2, (bottom - top) / 2
    cut = 0.8 if rng.random() < 0.3 else 0.05
    x_low, x_high = (1 - cut) * half_width, width - (1 - cut) * half_width
    x = rng.uniform(min(x_low, x_high), max(x_low, x_high))
    if 2 * half_height > height:
        return x, half_height + rng.uniform(-0.1, 0.25) * height
    y_low, y_high = (1 - 0.3 * cut) * half_height, height - (1 - 1.1 * cut) * half_height
    return x, min(y_low, y_high) + abs(y_high - y_low) * rng.beta(1.5, 1.0)


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """The share of the smaller box that lies in the other."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _place_crowd(rng: np.random.Generator, config: SynthConfig) -> list[Person]:
    """A dozen small people close together, behind all others."""
    height, width = config.shape
    size = max(16.0, 0.6 * config.person_size[0]) * float(rng.uniform(0.9, 1.5))
    x, y = rng.uniform(0, width), rng.uniform(0.15, 0.6) * height
    spread = [size * rng.uniform(0.8, 2.0), 0.12 * size]
    bodies = [sample_person(rng) for _ in range(4)]  # so small that some may stand there twice
    places = rng.normal([x, y], spread, (int(rng.integers(5, 12)), 2))
    people = [bodies[i % 4].moved(size, *place) for i, place in enumerate(places.tolist())]
    return sorted(people, key=lambda person: -person.box[3])


def _draw_someone(
    rng: np.random.Generator,
    config: SynthConfig,
    owner: NDArray[np.int16],
    drawn: list[_Drawn],
    light: NDArray[np.float64],
    ambient: float,
) -> None:
    """Draw one person in the middle of the image."""
    height, width = config.shape
    size = min(max(config.person_size[0], 0.7 * min(height, width)), config.person_size[1])
    _draw(sample_person(rng).moved(size, width / 2, height / 2), owner, drawn, 0.0, light, ambient)


def _draw(
    person: Person,
    owner: NDArray[np.int16],
    drawn: list[_Drawn],
    least: float,
    light: NDArray[np.float64],
    ambient: float,
) -> None:
    """Draw a person behind those drawn so far, unless they leave less than the share ``least`` of it visible."""
    height, width = owner.shape
    points = np.round(person.keypoints[:, :2]).astype(int)
    points = points[(points >= 0).all(1) & (points < [width, height]).all(1)]
    free = int((owner[points[:, 1], points[:, 0]] == NOBODY).sum())
    if free < max(3, 0.8 * least * len(points)):
        return
    layer = cover(person, height, width)
    if layer is None:
        return
    window = owner[layer.window]
    covered = layer.surface >= 0
    visible = covered & (window == NOBODY)
    if visible.sum() < max(least * covered.sum(), 16):
        return
    window[visible] = len(drawn)
    drawn.append(_Drawn(person, layer, visible, person.paint(layer, np.flatnonzero(visible), light, ambient)))


def _annotate(
    one: _Drawn, owner: NDArray[np.int16], number: int, unlabeled: bool, guessed: NDArray[np.bool_]
) -> dict[str, Any]:
    keypoints = label_keypoints(one.person, one.layer, owner, number, NOBODY)
    keypoints[unlabeled | ((keypoints[:, 2] == 1) & ~guessed)] = 0
    mask = np.zeros(owner.shape, np.bool_)
    mask[one.layer.window] = one.visible
    return _region(mask) | {
        "iscrowd": 0,
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "keypoints": [int(v) if i % 3 == 2 else float(v) for i, v in enumerate(keypoints.ravel().tolist())],
    }


def _region(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The fields of a COCO annotation that a mask gives."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    box = [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
    return {"category_id": 1, "segmentation": encode_rle(mask), "area": int(mask.sum()), "bbox": box}


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask ``[height, width]`` as COCO's uncompressed run lengths: column by column, beginning with zeros."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}
