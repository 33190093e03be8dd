"""Clips of synthetic people with identities.

People walk, cross, cover each other, leave and come back, and the camera moves.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_choice, check_count, check_number, check_range
from simplepose.synth.background import blend, expose, paint_background, sample_light
from simplepose.synth.body import rotation
from simplepose.synth.looks import Look, sample_look
from simplepose.synth.person import Person, make_person
from simplepose.synth.pose import LIMITS, PAIRED, gait
from simplepose.synth.scene import BACKGROUND, Range, Scene, VisiblePerson, annotate_person, render_person

SIDE_YAW = 75.0
"""Degrees that a walking person is turned from the camera."""

TURN_SECONDS = 0.3
"""Time from the side view to the front view while a person turns around."""

AWAY_SECONDS = 1.0
"""Time that a person who leaves spends outside the image, without movement of the camera."""


ROLES = ("right", "left", "leaves", "stands")
"""What a person does first: walk right, walk left, leave the image on the right and come back, or stand."""


@dataclass(frozen=True)
class ClipConfig:
    """The settings of a clip."""

    size: tuple[int, int] = (256, 456)  # (height, width) of the frames in pixels
    people: int = 4
    roles: tuple[str, ...] = ROLES  # of the people, in turn
    rate: float = 25.0  # frames per second
    stature: Range = (0.45, 0.6)  # height of the people as a fraction of the frame's height
    speed: Range = (0.6, 1.0)  # of the walking people, in statures per second
    pan: float = 0.05  # amplitude of the camera's movement as a fraction of the frame's width
    shake: float = 0.6  # standard deviation of the camera's shake in pixels
    blur: float = 0.4  # standard deviation of the camera blur in pixels
    noise: float = 4.0  # standard deviation of the camera noise in gray levels (of 255)
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        if not isinstance(self.size, tuple) or len(self.size) != 2:
            raise TypeError(f"size: expected (height, width), got {self.size!r}")
        for name, side in zip(("height", "width"), self.size, strict=True):
            check_count(f"size: {name}", side, 32, 8192)
        check_count("people", self.people, 1, 64)
        if not isinstance(self.roles, tuple) or not self.roles:
            raise TypeError(f"roles: expected a tuple of one of {', '.join(ROLES)} or more, got {self.roles!r}")
        for role in self.roles:
            check_choice("roles", role, ROLES)
        check_number("rate", self.rate, least=1, most=240)
        check_range("stature", self.stature, float, 0.05, 2)
        check_range("speed", self.speed, float, 0, 10)
        check_number("pan", self.pan, least=0, most=1)
        for name in ("shake", "blur", "noise"):
            check_number(name, getattr(self, name), least=0, most=100)
        check_count("jpeg_quality", self.jpeg_quality, 1, 100)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values by name."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def render_clip(frames: int, seed: int, config: ClipConfig | None = None) -> Iterator[Scene]:
    """Render the frames of a clip. Frame ``i`` depends only on ``i``, ``seed`` and ``config``.

    The people take the roles of ``config`` in turn. Those who walk turn around at two places near the borders of the
    image. Those who leave stay away for about a second and come back. Nearer people cover others.

    Args:
        frames: number of frames.
        seed: 0 or more.
        config: the settings.

    Yields:
        Scenes with the annotations of the visible people. An annotation has the field ``track_id``, 1 to the number of
        people, which is the same in all frames. All keypoints in the image are labeled: visibility is 2 or 1.

    Raises:
        TypeError, ValueError: an argument is invalid.
    """
    check_count("frames", frames, 1, 10_000_000)
    check_count("seed", seed, 0, 2**63 - 1)
    config = config or ClipConfig()
    rng = np.random.default_rng([seed, 0, 1])
    height, width = config.size
    margin = math.ceil(config.pan * width + 4 * config.shake) + 1
    background = paint_background(rng, height, width + 2 * margin, 10, 2)
    light, ambient = sample_light(rng), float(rng.uniform(0.4, 0.7))
    start, period = rng.uniform(0, 2 * math.pi), rng.uniform(4, 7)
    walkers = [_Walker.sample(rng, number, config) for number in range(config.people)]
    walkers.sort(key=lambda walker: -walker.ground)  # nearest first
    for index in range(frames):
        time, frame_rng = index / config.rate, np.random.default_rng([seed, index, 2])
        shake = float(np.clip(frame_rng.normal(), -4, 4)) * config.shake
        camera = round(config.pan * width * math.sin(start + 2 * math.pi * time / period) + shake)
        image = background[:, margin + camera : margin + camera + width].copy()
        people = {walker.number: walker.at(time, camera) for walker in walkers}
        yield _render(image, people, config, frame_rng, light, ambient)


def _render(
    image: NDArray[np.uint8],
    people: dict[int, Person],
    config: ClipConfig,
    rng: np.random.Generator,
    light: NDArray[np.float64],
    ambient: float,
) -> Scene:
    """Render the people, nearest first, on the background."""
    height, width = config.size
    owner = np.full((height, width), BACKGROUND, np.int16)
    visible: list[VisiblePerson] = []
    tracks: list[int] = []
    for number, person in people.items():
        render_person(person, owner, visible, 0.0, light, ambient)
        tracks += [number] * (len(visible) - len(tracks))  # a person without visible pixels is not added
    for rendered in reversed(visible):
        blend(image, rendered.layer, np.flatnonzero(rendered.visible), rendered.colors)
    labels = np.ones(17, np.bool_)
    annotations = [
        annotate_person(rendered, owner, i, False, labels) | {"track_id": number}
        for i, (rendered, number) in enumerate(zip(visible, tracks, strict=True))
    ]
    image = expose(rng, image, config.blur, config.noise)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, config.jpeg_quality])[1].tobytes()
    return Scene(jpeg, height, width, annotations, [rendered.person for rendered in visible])


@dataclass(frozen=True)
class _Walker:
    """A person who walks between two places and turns at each; the places of one who stands are equal."""

    number: int  # 1 to the number of people
    look: Look
    stature: float  # pixels
    ground: float  # y of the feet in pixels; the nearest person has the greatest
    low: float  # x of the two places in pixels, for a camera that does not move
    high: float
    speed: float  # pixels/s
    start: float  # pixels walked at time 0, from the left place on
    phase: float  # of the gait at time 0
    swing: tuple[float, float, float]  # reach, lift and elbow of `gait`, in degrees
    pitch: float  # degrees
    yaw: float  # degrees, of one who stands

    @classmethod
    def sample(cls, rng: np.random.Generator, index: int, config: ClipConfig) -> _Walker:
        """The person of the given index; its role follows from the index."""
        height, width = config.size
        role = config.roles[index % len(config.roles)]
        stature = height * rng.uniform(*config.stature)
        depth = rng.uniform(0, 1)
        speed = stature * rng.uniform(*config.speed)
        low, high = width * rng.uniform(0.1, 0.2), width * rng.uniform(0.8, 0.9)
        start = rng.uniform(0, 0.3) * (high - low)
        if role == "left":
            start += high - low
        elif role == "leaves":
            high = width + 0.25 * stature + speed * AWAY_SECONDS / 2
            low = width * rng.uniform(0.3, 0.5)
            start = max(0.0, high - low - speed * rng.uniform(1.5, 2.2))
        elif role == "stands":
            low = high = width * rng.uniform(0.35, 0.65)
        swing = (rng.uniform(18, 26), rng.uniform(30, 50), rng.uniform(10, 30))
        if role == "stands":
            swing = (3.0, 0.0, swing[2])
        return cls(
            number=index + 1,
            look=sample_look(rng),
            stature=stature,
            ground=height * (0.8 + 0.15 * depth),
            low=low,
            high=high,
            speed=speed,
            start=start,
            phase=rng.uniform(0, 2 * math.pi),
            swing=swing,
            pitch=rng.uniform(2, 10),
            yaw=rng.uniform(-60, 60),
        )

    def at(self, time: float, camera: float) -> Person:
        """The person at a time in seconds, seen by a camera that has moved right by ``camera`` pixels."""
        walked = self.start + self.speed * time
        length = self.high - self.low
        x, yaw = self.low, self.yaw
        if length > 0:
            back = walked % (2 * length)
            x += min(back, 2 * length - back)
            to_turn = min(back % length, length - back % length) / max(self.speed, 1e-9)
            yaw = SIDE_YAW * min(to_turn / TURN_SECONDS, 1.0) * (1 if back < length else -1)
        phase = self.phase + 2 * math.pi * walked / (0.8 * self.stature)
        angles = {name: 0.0 for name in LIMITS if name not in PAIRED}
        angles.update({f"{side}_{name}": 0.0 for side in ("left", "right") for name in PAIRED})
        angles.update(gait(phase, *self.swing))
        person = make_person("walk", angles, self.look, rotation(yaw, self.pitch, 0), 6.0, yaw)
        person = person.moved(self.stature / person.stature, 0.0, 0.0)  # its box is at the origin
        hips = person.keypoints[11:13, 0].mean()
        return person.moved(1.0, x - camera - float(hips), self.ground - person.box[3])
