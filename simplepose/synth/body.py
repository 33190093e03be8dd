"""The body of a synthetic person: bones by forward kinematics, and the quadric surfaces around them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplepose.synth.pose import Angles

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

SIDES = (("left", 1.0), ("right", -1.0))
"""The sides and their signs. Body frame: x to the person's left, y up, z to the front; unit: the stature."""

PARTS = (
    "torso", "pelvis", "skirt", "neck", "head", "hair", "nose", "left_ear", "right_ear", "left_upper_arm",
    "right_upper_arm", "left_forearm", "right_forearm", "left_hand", "right_hand", "left_thigh", "right_thigh",
    "left_shank", "right_shank", "left_foot", "right_foot",
)  # fmt: skip
"""The body pieces, which occlude one another."""

PART_ID = {name: i for i, name in enumerate(PARTS)}

# Lengths and radii in statures. Segment lengths: Drillis and Contini (1966). Radii: chosen to match the areas of
# annotated people (tests/data/test_synth.py).
SPINE_LOW, SPINE_HIGH = 0.10, 0.195
SHOULDER_HALF, HIP_HALF = 0.112, 0.062
UPPER_ARM, FOREARM, THIGH, SHANK = 0.178, 0.146, 0.245, 0.246
HEAD_SEMI = np.array([0.047, 0.067, 0.058])


@dataclass(frozen=True)
class Build:
    """Body proportions relative to the mean adult."""

    torso: float = 1.0  # thickness of the trunk with clothes
    limbs: float = 1.0  # thickness of arms and legs with clothes
    head: float = 1.0  # size of the head; larger in children
    legs: float = 1.0  # length of arms and legs; shorter in children
    shoulders: float = 1.0  # width of the shoulders


@dataclass(frozen=True)
class Surfaces:
    """N quadric surfaces in the body frame: ellipsoids and truncated cones."""

    part: NDArray[np.intp]  # [N] index into PARTS
    material: tuple[str, ...]  # N names
    cone: NDArray[np.bool_]  # [N]
    start: NDArray[np.float64]  # [N, 3] the center of an ellipsoid, the first end of a cone
    end: NDArray[np.float64]  # [N, 3] the center again, or the second end
    axes: NDArray[np.float64]  # [N, 3, 3] matrices from local coordinates to the body frame
    size: NDArray[np.float64]  # [N, 3] semi-axes; of a cone the radii at its ends, and its depth over its width
    """Local coordinates: in units of the semi-axes for ellipsoids. For cones the second coordinate runs from 0 to 1
    between the ends, and the others are in statures."""


class SurfaceList:
    """Builds `Surfaces` one surface at a time."""

    def __init__(self) -> None:
        self._items: list[tuple[int, str, bool, Vector, Vector, Matrix, tuple[float, float, float]]] = []

    def ellipsoid(
        self, part: str, material: str, center: Vector, frame: Matrix, semi: tuple[float, float, float]
    ) -> None:
        """Add an ellipsoid with the semi-axes ``semi`` along the columns of ``frame``."""
        self._items.append((PART_ID[part], material, False, center, center, frame, semi))

    def ball(self, part: str, material: str, center: Vector, radius: float) -> None:
        """Add a sphere."""
        self._items.append((PART_ID[part], material, False, center, center, _UPRIGHT, (radius, radius, radius)))

    def rod(
        self, part: str, material: str, ends: tuple[Vector, Vector], radii: tuple[float, float], frame: Matrix,
        depth: float = 1.0,
    ) -> None:  # fmt: skip
        """Add a truncated cone between two points with ``radii`` along the first column of ``frame``.

        ``depth`` is its thickness, perpendicular to that direction and to the axis, as a fraction of the width.
        """
        self._items.append((PART_ID[part], material, True, ends[0], ends[1], frame, (*radii, depth)))

    def pack(self) -> Surfaces:
        """The collected surfaces as arrays."""
        parts, materials, cones, starts, ends, frames, sizes = zip(*self._items, strict=True)
        cone, size, start, end = np.array(cones), np.array(sizes), np.array(starts), np.array(ends)
        frame = np.array(frames)
        axes = frame * size[:, None, :]
        axis = (end - start)[cone]
        length = np.einsum("ni,ni->n", axis, axis)
        side = frame[cone, :, 0]
        side = side - axis * (np.einsum("ni,ni->n", side, axis) / length)[:, None]
        side /= np.sqrt(np.einsum("ni,ni->n", side, side))[:, None]
        front = side[:, [1, 2, 0]] * axis[:, [2, 0, 1]] - side[:, [2, 0, 1]] * axis[:, [1, 2, 0]]  # side x axis
        axes[cone] = np.stack([side, axis, front * (size[cone, 2] / np.sqrt(length))[:, None]], 2)
        return Surfaces(np.array(parts), materials, cone, start, end, axes, size)


_UPRIGHT = np.eye(3)


@dataclass(frozen=True)
class Bones:
    """Joint positions and segment frames of a posed body, in the body frame (statures)."""

    points: dict[str, Vector]
    frames: dict[str, Matrix]  # columns: left, up and front of the segment


def pose_bones(angles: Angles, build: Build) -> Bones:
    """Forward kinematics; the origin is the midpoint of the hips."""
    points: dict[str, Vector] = {"pelvis": np.zeros(3)}
    pelvis = np.eye(3)
    half = _turn(0.5 * angles["spine_flexion"], 0.5 * angles["spine_side"], 0.5 * angles["spine_twist"])
    chest = half @ half
    points["waist"] = SPINE_LOW * half[:, 1]
    points["throat"] = points["waist"] + SPINE_HIGH * chest[:, 1]
    head = chest @ _turn(angles["neck_flexion"], angles["neck_side"], angles["neck_twist"])
    points["skull"] = points["throat"] + 0.035 * chest[:, 1] + head @ np.array([0, 0.066 * build.head, 0.016])
    frames = {"pelvis": pelvis, "belly": half, "chest": chest, "head": head}
    for side, sign in SIDES:
        _pose_arm(points, frames, angles, build, side, sign)
        _pose_leg(points, frames, angles, build, side, sign)
    return Bones(points, frames)


def _pose_arm(
    points: dict[str, Vector], frames: dict[str, Matrix], angles: Angles, build: Build, side: str, sign: float
) -> None:
    chest = frames["chest"]
    flexion, abduction = angles[f"{side}_shoulder_flexion"], angles[f"{side}_shoulder_abduction"]
    lifted = max(0.0, max(flexion, abduction) - 60) / 120  # the shoulder blade rotates with a raised arm
    offset = np.array([sign * (SHOULDER_HALF * build.shoulders - 0.014 * lifted), -0.018 + 0.032 * lifted, 0.0])
    upper = chest @ _rotate_z(sign * abduction) @ _rotate_x(-flexion)
    upper = upper @ _rotate_y(-sign * angles[f"{side}_shoulder_rotation"])
    lower = upper @ _rotate_x(-angles[f"{side}_elbow_flexion"])
    points[f"{side}_shoulder"] = points["throat"] + chest @ offset
    points[f"{side}_elbow"] = points[f"{side}_shoulder"] - UPPER_ARM * build.legs * upper[:, 1]
    points[f"{side}_wrist"] = points[f"{side}_elbow"] - FOREARM * build.legs * lower[:, 1]
    frames[f"{side}_upper_arm"], frames[f"{side}_forearm"] = upper, lower


def _pose_leg(
    points: dict[str, Vector], frames: dict[str, Matrix], angles: Angles, build: Build, side: str, sign: float
) -> None:
    thigh = _rotate_z(sign * angles[f"{side}_hip_abduction"]) @ _rotate_x(-angles[f"{side}_hip_flexion"])
    thigh = thigh @ _rotate_y(-sign * angles[f"{side}_hip_rotation"])
    shank = thigh @ _rotate_x(angles[f"{side}_knee_flexion"])
    points[f"{side}_hip"] = np.array([sign * HIP_HALF, 0.0, 0.0])
    points[f"{side}_knee"] = points[f"{side}_hip"] - THIGH * build.legs * thigh[:, 1]
    points[f"{side}_ankle"] = points[f"{side}_knee"] - SHANK * build.legs * shank[:, 1]
    frames[f"{side}_thigh"], frames[f"{side}_shank"] = thigh, shank
    frames[f"{side}_foot"] = shank @ _rotate_x(-angles[f"{side}_ankle_flexion"])


def body_surfaces(bones: Bones, build: Build, hair: str, skirt: bool) -> Surfaces:
    """The body surfaces around the bones.

    Args:
        bones: from `pose_bones`.
        build: the proportions that the bones were posed with.
        hair: the hair or headgear: "short", "long", "tail" or "cap".
        skirt: whether the person wears a skirt.
    """
    surfaces = SurfaceList()
    _add_trunk(surfaces, bones, build)
    _add_head(surfaces, bones, build, hair)
    for side, sign in SIDES:
        _add_arm(surfaces, bones, build, side)
        _add_leg(surfaces, bones, build, side, sign)
    if skirt:
        _add_skirt(surfaces, bones, build)
    return surfaces.pack()


def _add_trunk(surfaces: SurfaceList, bones: Bones, build: Build) -> None:
    points, frames, thick = bones.points, bones.frames, build.torso
    chest, waist, throat = frames["chest"], points["waist"], points["throat"]
    breast, soft = waist + 0.125 * chest[:, 1], math.sqrt(thick)  # the shoulders thicken less than the trunk
    surfaces.ellipsoid("pelvis", "pelvis", points["pelvis"], frames["pelvis"], (0.098 * thick, 0.085, 0.075 * thick))
    ends = (0.01 * frames["belly"][:, 1], waist)
    surfaces.rod("torso", "top", ends, (0.092 * thick, 0.083 * thick), frames["belly"], 0.72)
    surfaces.ellipsoid("torso", "top", waist, frames["belly"], (0.083 * thick, 0.06, 0.062 * thick))
    surfaces.rod("torso", "top", (waist, breast), (0.083 * thick, 0.102 * thick), chest, 0.72)
    surfaces.ellipsoid("torso", "breast", breast, chest, (0.102 * thick, 0.075, 0.0735 * thick))
    for side, _ in SIDES:
        shoulder = points[f"{side}_shoulder"]
        ends = (throat - 0.014 * chest[:, 1], shoulder)
        surfaces.rod("torso", "yoke", ends, (0.036 * soft, 0.032 * soft), chest[:, [2, 0, 1]], 1.4)
    surfaces.rod("neck", "skin", (throat - 0.01 * chest[:, 1], points["skull"]), (0.036, 0.031), chest)


_ON_SKULL: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "head": ((0, 0, 0), (1, 1, 1)),
    "nose": ((0, -0.2, 0.98), (0.15, 0.2, 0.2)),
    "left_ear": ((0.98, -0.08, -0.05), (0.14, 0.24, 0.19)),
    "right_ear": ((-0.98, -0.08, -0.05), (0.14, 0.24, 0.19)),
    "long": ((0, -0.45, -0.45), (1.02, 1.1, 0.66)),
    "tail": ((0, -0.3, -1.2), (0.35, 0.85, 0.35)),
    "cap": ((0, 0.45, 0.75), (0.85, 0.12, 0.85)),
}
"""Centers and semi-axes of the pieces of the head, in units of the semi-axes of the skull."""


def _add_head(surfaces: SurfaceList, bones: Bones, build: Build, hair: str) -> None:
    center, frame = bones.points["skull"], bones.frames["head"]
    skull = HEAD_SEMI * build.head
    for piece, (offset, semi) in _ON_SKULL.items():
        if piece in ("long", "tail", "cap"):
            if piece != hair:
                continue
            part, material = "hair", "cap" if piece == "cap" else "hair"
        else:
            part, material = piece, piece.removeprefix("left_").removeprefix("right_")
        wide, tall, deep = (skull * semi).tolist()
        surfaces.ellipsoid(part, material, center + frame @ (skull * offset), frame, (wide, tall, deep))


def _add_arm(surfaces: SurfaceList, bones: Bones, build: Build, side: str) -> None:
    points, thick = bones.points, build.limbs
    upper, lower = bones.frames[f"{side}_upper_arm"], bones.frames[f"{side}_forearm"]
    shoulder, elbow, wrist = (points[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
    surfaces.ball(f"{side}_upper_arm", "shoulder", shoulder, 0.038 * math.sqrt(thick))
    surfaces.rod(f"{side}_upper_arm", "upper_arm", (shoulder, elbow), (0.035 * thick, 0.027 * thick), upper)
    surfaces.ball(f"{side}_upper_arm", "elbow", elbow, 0.027 * thick)
    surfaces.rod(f"{side}_forearm", "forearm", (elbow, wrist), (0.028 * thick, 0.018 * thick), lower)
    hand = wrist - 0.038 * lower[:, 1]
    surfaces.ellipsoid(f"{side}_hand", "skin", hand, lower, (0.016, 0.048, 0.023))


def _add_leg(surfaces: SurfaceList, bones: Bones, build: Build, side: str, sign: float) -> None:
    points, thick = bones.points, build.limbs
    thigh, shank, foot = (bones.frames[f"{side}_{name}"] for name in ("thigh", "shank", "foot"))
    hip, knee, ankle = (points[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
    surfaces.ball(f"{side}_thigh", "bottom", hip, 0.057 * thick)
    surfaces.rod(f"{side}_thigh", "thigh", (hip, knee), (0.058 * thick, 0.038 * thick), thigh)
    surfaces.ball(f"{side}_thigh", "knee", knee, 0.038 * thick)
    surfaces.rod(f"{side}_shank", "shank", (knee, ankle), (0.037 * thick, 0.023 * thick), shank)
    calf = knee + 0.3 * (ankle - knee) - 0.008 * thick * shank[:, 2]
    surfaces.ellipsoid(f"{side}_shank", "calf", calf, shank, (0.035 * thick, 0.075, 0.036 * thick))
    surfaces.ball(f"{side}_foot", "shoe", ankle, 0.025 * thick)
    toes = ankle + foot @ np.array([sign * 0.006, -0.022, 0.042])
    surfaces.ellipsoid(f"{side}_foot", "shoe", toes, foot, (0.027, 0.021, 0.072))


def _add_skirt(surfaces: SurfaceList, bones: Bones, build: Build) -> None:
    """Add a cone from the waist to the midpoint of the knees, as wide as the distance of the knees."""
    knees = np.stack([bones.points["left_knee"], bones.points["right_knee"]])
    apart = math.dist(knees[0], knees[1])
    hem = 0.85 * knees.mean(0)
    frame = bones.frames["pelvis"]
    radii = (0.09 * build.torso, max(0.105 * build.torso, 0.5 * apart + 0.055 * build.limbs))
    surfaces.rod("skirt", "skirt", (np.array([0.0, 0.05, 0.0]), hem), radii, frame, 0.8)


def _turn(flexion: float, side: float, twist: float) -> Matrix:
    """The rotation of a forward flexion, a side bend and a twist, both to the person's left; degrees."""
    return _rotate_y(twist) @ _rotate_z(-side) @ _rotate_x(flexion)


def rotation(yaw: float, pitch: float, roll: float) -> Matrix:
    """The rotation from the body frame to the camera frame (x right, y up, z toward the camera); degrees.

    At 0, 0, 0 the person faces the camera. ``yaw`` turns the person to its left, ``pitch`` raises the camera and
    ``roll`` rotates the image.
    """
    return _rotate_z(roll) @ _rotate_x(pitch) @ _rotate_y(yaw)


def _rotate_x(degrees: float) -> Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def _rotate_y(degrees: float) -> Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def _rotate_z(degrees: float) -> Matrix:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
