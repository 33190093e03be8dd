"""One synthetic person in an image: surfaces in camera space, keypoints and their visibility."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simplepose.skeleton.skeleton import COCO
from simplepose.synth.body import HEAD_SEMI, PART_ID, Bones, Build, Surfaces, body_surfaces, pose_bones, rotation
from simplepose.synth.looks import EYE, Look, Painter, sample_look
from simplepose.synth.pose import Angles, sample_pose
from simplepose.synth.renderer import Camera, Floats, Layer, Quadrics, place, rasterize, shade

_DEPTHS = {"nose": 0.022, "eye": 0.022, "ear": 0.022, "shoulder": 0.09, "elbow": 0.055, "wrist": 0.045, "hip": 0.12,
           "knee": 0.07, "ankle": 0.06}  # fmt: skip
"""Maximum depth below the visible surface of a visible keypoint, in statures: slightly more than the body's radius."""

_SHOWING_PIECES = {
    "nose": ("nose", "head"),
    "eye": ("head", "nose"),
    "ear": ("*_ear", "head"),
    "shoulder": ("*_upper_arm", "torso"),
    "elbow": ("*_upper_arm", "*_forearm"),
    "wrist": ("*_forearm", "*_hand"),
    "hip": ("pelvis", "torso", "skirt", "*_thigh"),
    "knee": ("*_thigh", "*_shank"),
    "ankle": ("*_shank", "*_foot"),
}
"""The body pieces on which a keypoint counts as visible; others occlude it. ``*`` stands for its side."""


@dataclass(frozen=True)
class Person:
    """A posed and dressed person in front of the camera, before rendering."""

    kind: str  # kind of pose, a key of `simplepose.synth.pose.POSES`
    angles: Angles
    yaw: float  # degrees that the person is turned to its left; 0 faces the camera
    look: Look
    surfaces: Surfaces
    quadrics: Quadrics
    keypoints: NDArray[np.float64]  # [17, 3] in COCO order: x, y in pixels, z in pixels toward the camera
    stature: float  # pixels

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the whole outline in pixels; it may exceed the image."""
        left, top = self.quadrics.low.min(0).tolist()
        right, bottom = self.quadrics.high.max(0).tolist()
        return left, top, right, bottom

    def moved(self, scale: float, x: float, y: float) -> Person:
        """The person scaled by ``scale``, with the center of its box at (x, y)."""
        left, top, right, bottom = self.box
        shift = np.array([x - scale * (left + right) / 2, y - scale * (top + bottom) / 2, 0.0])
        return replace(
            self,
            quadrics=self.quadrics.moved(scale, shift),
            keypoints=self.keypoints * scale + shift,
            stature=self.stature * scale,
        )

    def paint(self, layer: Layer, pixels: NDArray[np.intp], light: NDArray[np.float64], ambient: float) -> Floats:
        """The colors of covered pixels of the person's layer; arguments and result as `renderer.shade`."""
        painter = Painter(self.surfaces, self.look.materials, self.look.face)
        return shade(layer, pixels, self.quadrics, painter, light, ambient)


def sample_person(rng: np.random.Generator) -> Person:
    """A random person with its box at the origin and a longer side of 1 pixel; `Person.moved` places it."""
    kind, angles = sample_pose(rng)
    look = sample_look(rng)
    yaw = float(rng.normal(0, 45) if rng.random() < 0.3 else rng.uniform(-180, 180))  # more people face the camera
    pitch, roll = float(rng.normal(8, 9)), float(rng.normal(0, 5))
    return make_person(kind, angles, look, rotation(yaw, pitch, roll), float(rng.uniform(2.6, 9)), yaw)


def make_person(
    kind: str, angles: Angles, look: Look, view: NDArray[np.float64], distance: float, yaw: float
) -> Person:
    """A person with the given pose, appearance and view, placed as by `sample_person`.

    Args:
        kind: kind of pose.
        angles: joint angles in degrees.
        look: the appearance.
        view: ``[3, 3]`` from `simplepose.synth.body.rotation`.
        distance: of the camera from the body's origin, in statures.
        yaw: degrees that the person is turned to its left; stored only.
    """
    bones = pose_bones(angles, look.build)
    surfaces = body_surfaces(bones, look.build, look.hair, look.skirt and _can_wear_skirt(angles))
    camera = Camera(view @ rotation(0, _balance(kind, bones), 0), distance)
    quadrics = place(surfaces, camera)
    keypoints, _ = camera.project(_keypoints(bones, look.build))
    person = Person(kind, angles, yaw, look, surfaces, quadrics, keypoints, 1.0)
    left, top, right, bottom = person.box
    return person.moved(1 / max(right - left, bottom - top), 0.0, 0.0)


def _can_wear_skirt(angles: Angles) -> bool:
    return all(
        abs(angles[f"{side}_hip_flexion"]) < 45 and angles[f"{side}_knee_flexion"] < 75 for side in ("left", "right")
    )


def _balance(kind: str, bones: Bones) -> float:
    """Degrees to lean the whole body so that its center of mass is above its feet; 0 for sitting people."""
    if kind == "sit":
        return 0.0
    weight = 0.5 * (bones.points["pelvis"] + bones.points["throat"])
    ankles = [bones.points["left_ankle"], bones.points["right_ankle"]]
    feet = min(ankles, key=lambda ankle: float(ankle[1])) if kind == "run" else (ankles[0] + ankles[1]) / 2
    lever = weight - feet
    lean = math.degrees(math.atan2(lever[2] - 0.03, max(float(lever[1]), 0.1)))
    return -min(max(lean, -40.0), 40.0) * (0.5 if kind == "run" else 1.0)


def _keypoints(bones: Bones, build: Build) -> NDArray[np.float64]:
    """``[17, 3]`` keypoints in the body frame: on the surface of the skull, and at the joints."""
    points, semi = bones.points, HEAD_SEMI * build.head
    x, y = EYE
    on_skull = {
        "nose": (0.0, -0.2, 1.1),
        "left_eye": (x, y, math.sqrt(1 - x * x - y * y)),
        "right_eye": (-x, y, math.sqrt(1 - x * x - y * y)),
        "left_ear": (1.0, -0.08, -0.05),
        "right_ear": (-1.0, -0.08, -0.05),
    }
    frame = bones.frames["head"]
    return np.array(
        [
            points["skull"] + frame @ (semi * on_skull[name]) if name in on_skull else points[name]
            for name in COCO.dataset_keypoints
        ]
    )


def _cover_table() -> NDArray[np.bool_]:
    """``[17, parts]`` bool: whether a keypoint counts as visible on a body piece."""
    table = np.zeros((len(COCO.dataset_keypoints), len(PART_ID)), np.bool_)
    for i, name in enumerate(COCO.dataset_keypoints):
        side, _, stem = name.rpartition("_")
        table[i, [PART_ID[piece.replace("*", side)] for piece in _SHOWING_PIECES[stem]]] = True
    return table


_SHOWN_BY = _cover_table()
_ON_HEAD = np.array([name.rpartition("_")[2] in ("nose", "eye", "ear") for name in COCO.dataset_keypoints])
_DEPTH_OF = np.array([_DEPTHS[name.rpartition("_")[2]] for name in COCO.dataset_keypoints])


def label_keypoints(
    person: Person, layer: Layer, owner: NDArray[np.int16], number: int, background: int
) -> NDArray[np.float64]:
    """The keypoints with their exact visibility.

    Args:
        person: the person.
        layer: the pixels that the person covers without occlusion by others.
        owner: ``[height, width]`` number of the frontmost person at each pixel.
        number: the number of ``person`` in ``owner``.
        background: the number of background pixels in ``owner``.

    Returns:
        ``[17, 3]`` x, y in pixels and COCO visibility: 2 where the person's own surface shows the keypoint, 1 where
        the person's own body or another person occludes it, and (0, 0, 0) off the image.
    """
    height, width = owner.shape
    xy = np.round(person.keypoints[:, :2], 2)
    inside = np.flatnonzero((xy >= 0).all(1) & (xy <= [width - 1, height - 1]).all(1))
    x, y = np.round(xy[inside]).astype(int).T
    for i in np.flatnonzero(
        owner[y, x] == background
    ).tolist():  # a keypoint on the outline was rounded to a background pixel
        x[i], y[i] = _nearest_own(owner, number, int(x[i]), int(y[i]))
    own = np.flatnonzero(owner[y, x] == number)
    seen, rows, columns = inside[own], y[own] - layer.top, x[own] - layer.left
    build = person.look.build
    thick = np.where(_ON_HEAD[seen], build.head, max(build.limbs, build.torso))
    limits = _DEPTH_OF[seen] * thick * person.stature + 0.7  # tolerance: the pixel center is not the keypoint
    near = layer.depth[rows, columns] - person.keypoints[seen, 2] <= limits
    shown = _SHOWN_BY[seen, person.surfaces.part[layer.surface[rows, columns]]]
    out = np.zeros((len(xy), 3))
    out[inside, :2], out[inside, 2] = xy[inside], 1
    out[seen[near & shown], 2] = 2
    return out


def _nearest_own(owner: NDArray[np.int16], number: int, x: int, y: int) -> tuple[int, int]:
    """The nearest pixel of the person among the 8 neighbors of (x, y), or (x, y) if there is none."""
    for dx, dy in ((0, -1), (-1, 0), (1, 0), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)):
        if 0 <= x + dx < owner.shape[1] and 0 <= y + dy < owner.shape[0] and owner[y + dy, x + dx] == number:
            return x + dx, y + dy
    return x, y


def cover(person: Person, height: int, width: int) -> Layer | None:
    """The layer of image pixels that the person covers; None if there are none."""
    layer = rasterize(person.quadrics, height, width)
    return layer if layer is not None and bool((layer.surface >= 0).any()) else None
