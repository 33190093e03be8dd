"""Scenes of synthetic people: placement, occlusion, rendering and COCO annotations."""

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

BACKGROUND = -1
"""The value of background pixels in a map of person numbers."""

# nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles
HIDDEN_LABEL_PROBABILITY = np.array([0.1] * 5 + [0.75] * 2 + [0.4] * 2 + [0.3] * 2 + [0.7] * 2 + [0.4] * 4)
"""Probability that a hidden keypoint is labeled, roughly as in COCO: annotators label covered hips, but not the
eyes of a person who is seen from behind."""

Range = tuple[float, float]


@dataclass(frozen=True)
class SynthConfig:
    """The settings of synthetic scenes. Ranges are (minimum, maximum); lengths are image pixels."""

    size: int | tuple[int, int] = 256  # of the image: the side of a square, or (height, width)
    people: tuple[int, int] = (1, 8)  # number of people without crowds; fewer if the image has no space for them
    person_size: Range = (40.0, 300.0)  # longer side of a person's outline, including the part off the image
    min_visible: float = 0.35  # minimum fraction of a person's outline within the image that is not occluded
    unlabeled: float = 0.06  # fraction of people without keypoint annotations
    crowds: float = 0.08  # fraction of images with a crowd
    shapes: tuple[int, int] = (4, 16)  # number of flat shapes in the background
    rods: tuple[int, int] = (0, 4)  # number of limb-like chains in the background
    blur: Range = (0.0, 1.1)  # standard deviation of the camera blur in pixels
    noise: Range = (0.0, 9.0)  # standard deviation of the camera noise in gray levels (of 255)
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
        """The settings as JSON values by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}


def _are_ints(values: tuple[Any, ...]) -> bool:
    return all(isinstance(v, int) and not isinstance(v, bool) for v in values)


@dataclass(frozen=True)
class Scene:
    """An image with its annotations and its people."""

    jpeg: bytes  # the encoded image file
    height: int
    width: int
    annotations: list[dict[str, Any]]  # COCO annotations without "id" and "image_id", nearest person first
    people: list[Person]  # the people of the annotations that are not crowds, nearest first

    @property
    def image(self) -> NDArray[np.uint8]:
        """``[height, width, 3]`` uint8 BGR, decoded from the file."""
        image: Any = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        return image


@dataclass(frozen=True)
class VisiblePerson:
    """A person with its visible pixels."""

    person: Person
    layer: Layer
    visible: NDArray[np.bool_]  # [h, w] of the layer's patch
    colors: Floats  # [F, 3] of the visible pixels


def render_scene(seed: int, index: int, config: SynthConfig | None = None) -> Scene:
    """Render a scene. It depends only on ``seed``, ``index`` and ``config``.

    Args:
        seed: seed of the data set, 0 or more.
        index: index of the image, 0 or more.
        config: the settings of the scene.

    Returns:
        The scene. The keypoints of its annotations are in COCO order. Visibility is 2 where the person's own surface
        shows the keypoint; 1 where the person's own body or another person occludes it and it is labeled (with the
        probability `HIDDEN_LABEL_PROBABILITY`); 0 otherwise and off the image. Areas count visible pixels.

    Raises:
        TypeError, ValueError: an argument is invalid.
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
    owner = np.full((height, width), BACKGROUND, np.int16)
    visible: list[VisiblePerson] = []
    for person in _place_people(rng, config):
        render_person(person, owner, visible, config.min_visible, light, ambient)
    if not visible:
        _render_fallback_person(rng, config, owner, visible, light, ambient)
    num_people = len(visible)
    if rng.random() < config.crowds:
        for person in _place_crowd(rng, config):
            render_person(person, owner, visible, 0.1, light, ambient)
    for rendered in reversed(visible):
        blend(image, rendered.layer, np.flatnonzero(rendered.visible), rendered.colors)
    annotations = []
    for i, rendered in enumerate(visible[:num_people]):
        unlabeled = rng.random() < config.unlabeled
        label_hidden = rng.random(len(HIDDEN_LABEL_PROBABILITY)) < HIDDEN_LABEL_PROBABILITY
        annotations.append(annotate_person(rendered, owner, i, unlabeled, label_hidden))
    crowd = owner >= num_people
    if crowd.any():
        annotations.append(_region(crowd) | {"iscrowd": 1, "num_keypoints": 0, "keypoints": [0] * 51})
    image = expose(rng, image, float(rng.uniform(*config.blur)), float(rng.uniform(*config.noise)))
    quality = int(rng.integers(config.jpeg_quality[0], config.jpeg_quality[1] + 1))
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    return Scene(jpeg, height, width, annotations, [rendered.person for rendered in visible[:num_people]])


def _count(rng: np.random.Generator, limits: tuple[int, int]) -> int:
    return int(rng.integers(limits[0], limits[1] + 1))


def _place_people(rng: np.random.Generator, config: SynthConfig) -> list[Person]:
    """Random people of similar sizes at places with limited overlap; nearest first."""
    height, width = config.shape
    low, high = config.people
    count = low + int((high - low + 1) * rng.random() ** 1.6)  # small groups are more frequent
    small, large = config.person_size
    large = min(large, max(small, 2.2 * max(height, width) / math.sqrt(count)))
    mean_size = rng.uniform(math.sqrt(small), math.sqrt(large)) ** 2  # medium sizes are more frequent than large ones
    placed: list[tuple[float, Person]] = []
    boxes: list[tuple[float, float, float, float]] = []
    for _ in range(count):
        size = min(max(mean_size * rng.uniform(0.7, 1.45), small), large)
        person = sample_person(rng)
        left, top, right, bottom = person.box
        max_overlap = rng.uniform(0.1, 0.75)
        for _ in range(6):
            x, y = _sample_center(rng, person, size, config)
            box = (x + size * left, y + size * top, x + size * right, y + size * bottom)
            if all(_overlap(box, other) < max_overlap for other in boxes):
                boxes.append(box)
                placed.append((box[3] + float(rng.normal(0, 0.15 * size)), person.moved(size, x, y)))
                break
    return [person for _, person in sorted(placed, key=lambda item: -item[0])]


def _sample_center(rng: np.random.Generator, person: Person, size: float, config: SynthConfig) -> tuple[float, float]:
    """A random center of the box: usually the person is inside the image; if it is cut, rarely at the head."""
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
    """The intersection of two boxes as a fraction of the smaller box."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    return shared / min((a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1]))


def _place_crowd(rng: np.random.Generator, config: SynthConfig) -> list[Person]:
    """Five to eleven small people close together, behind all others."""
    height, width = config.shape
    size = max(16.0, 0.6 * config.person_size[0]) * float(rng.uniform(0.9, 1.5))
    x, y = rng.uniform(0, width), rng.uniform(0.15, 0.6) * height
    spread = [size * rng.uniform(0.8, 2.0), 0.12 * size]
    bodies = [sample_person(rng) for _ in range(4)]  # reused: repetitions do not show at this size
    places = rng.normal([x, y], spread, (int(rng.integers(5, 12)), 2))
    people = [bodies[i % 4].moved(size, *place) for i, place in enumerate(places.tolist())]
    return sorted(people, key=lambda person: -person.box[3])


def _render_fallback_person(
    rng: np.random.Generator,
    config: SynthConfig,
    owner: NDArray[np.int16],
    visible: list[VisiblePerson],
    light: NDArray[np.float64],
    ambient: float,
) -> None:
    """Render one person in the middle of the image, for scenes in which no placed person is visible."""
    height, width = config.shape
    size = min(max(config.person_size[0], 0.7 * min(height, width)), config.person_size[1])
    render_person(sample_person(rng).moved(size, width / 2, height / 2), owner, visible, 0.0, light, ambient)


def render_person(
    person: Person,
    owner: NDArray[np.int16],
    rendered: list[VisiblePerson],
    min_visible: float,
    light: NDArray[np.float64],
    ambient: float,
) -> None:
    """Add a person behind the ``rendered`` ones, unless less than the fraction ``min_visible`` of it is visible."""
    height, width = owner.shape
    points = np.round(person.keypoints[:, :2]).astype(int)
    points = points[(points >= 0).all(1) & (points < [width, height]).all(1)]
    unoccluded = int((owner[points[:, 1], points[:, 0]] == BACKGROUND).sum())
    if unoccluded < max(3, 0.8 * min_visible * len(points)):  # a fast test before the person is rasterized
        return
    layer = cover(person, height, width)
    if layer is None:
        return
    window = owner[layer.window]
    covered = layer.surface >= 0
    visible = covered & (window == BACKGROUND)
    if visible.sum() < max(min_visible * covered.sum(), 16):
        return
    window[visible] = len(rendered)
    rendered.append(VisiblePerson(person, layer, visible, person.paint(layer, np.flatnonzero(visible), light, ambient)))


def annotate_person(
    rendered: VisiblePerson, owner: NDArray[np.int16], number: int, unlabeled: bool, label_hidden: NDArray[np.bool_]
) -> dict[str, Any]:
    """The COCO annotation of a person; ``label_hidden [17]``: which hidden keypoints get a label."""
    keypoints = label_keypoints(rendered.person, rendered.layer, owner, number, BACKGROUND)
    keypoints[unlabeled | ((keypoints[:, 2] == 1) & ~label_hidden)] = 0
    mask = np.zeros(owner.shape, np.bool_)
    mask[rendered.layer.window] = rendered.visible
    return _region(mask) | {
        "iscrowd": 0,
        "num_keypoints": int((keypoints[:, 2] > 0).sum()),
        "keypoints": [int(v) if i % 3 == 2 else float(v) for i, v in enumerate(keypoints.ravel().tolist())],
    }


def _region(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The COCO annotation fields that follow from a mask: category, segmentation, area and box."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    box = [x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1]
    return {"category_id": 1, "segmentation": encode_rle(mask), "area": int(mask.sum()), "bbox": box}


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask ``[height, width]`` in COCO's uncompressed RLE: run lengths by columns, starting with zeros."""
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if flat[0] else runs}
