"""Random poses: joint angles within human limits for standing, walking, running, sitting and other poses."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

LIMITS: dict[str, tuple[float, float]] = {
    "spine_flexion": (-25, 75),  # forward positive
    "spine_side": (-30, 30),  # to the person's left positive
    "spine_twist": (-40, 40),
    "neck_flexion": (-45, 45),
    "neck_side": (-30, 30),
    "neck_twist": (-65, 65),  # to the person's left positive
    "shoulder_flexion": (-50, 180),  # forward and up positive
    "shoulder_abduction": (-15, 170),  # away from the body positive
    "shoulder_rotation": (-50, 90),  # inwards positive
    "elbow_flexion": (0, 148),
    "hip_flexion": (-25, 122),
    "hip_abduction": (-12, 45),
    "hip_rotation": (-35, 40),  # inwards positive
    "knee_flexion": (0, 148),
    "ankle_flexion": (-45, 20),  # toes up positive
}
"""Degrees from the neutral position (upright, arms hanging): slightly less than an adult's active range of motion."""

PAIRED = tuple(name for name in LIMITS if name.split("_")[0] in ("shoulder", "elbow", "hip", "knee", "ankle"))
"""The angles that exist on both sides; in a pose their names have the prefix ``left_`` or ``right_``."""

Angles = dict[str, float]
"""Degrees by name: the unpaired names of `LIMITS`, and the paired ones with the prefix ``left_`` or ``right_``."""


def limits_of(name: str) -> tuple[float, float]:
    """The lower and upper limit of an angle, in degrees."""
    return LIMITS[name.removeprefix("left_").removeprefix("right_")]


def sample_pose(rng: np.random.Generator) -> tuple[str, Angles]:
    """A random pose.

    Returns:
        The kind of pose (a key of `POSES`) and all angles in degrees, within their limits.
    """
    kind = pick(rng, {name: weight for name, (weight, _) in POSES.items()})
    angles = {name: 0.0 for name in LIMITS if name not in PAIRED}
    angles.update({f"{side}_{name}": 0.0 for side in ("left", "right") for name in PAIRED})
    _look_around(angles, rng)
    POSES[kind][1](angles, rng)
    for name, value in angles.items():
        low, high = limits_of(name)
        angles[name] = min(max(value, low), high)
    return kind, angles


def pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """A random name with the given probabilities, which sum to 1."""
    remaining = rng.random()
    for name, probability in weights.items():
        remaining -= probability
        if remaining < 0:
            return name
    return name  # reached only if rounding makes the sum slightly less than 1


def _look_around(angles: Angles, rng: np.random.Generator) -> None:
    angles["neck_flexion"] = rng.normal(4, 11)
    angles["neck_side"] = rng.normal(0, 7)
    angles["neck_twist"] = rng.normal(0, 22)
    angles["spine_side"] = rng.normal(0, 4)
    angles["spine_twist"] = rng.normal(0, 6)
    angles["spine_flexion"] = rng.normal(4, 5)


def _standing_legs(angles: Angles, rng: np.random.Generator) -> None:
    wide = abs(rng.normal(4, 4))
    for side in ("left", "right"):
        angles[f"{side}_hip_flexion"] = rng.normal(1, 5)
        angles[f"{side}_hip_abduction"] = wide + rng.normal(0, 2)
        angles[f"{side}_hip_rotation"] = rng.normal(-8, 7)
        angles[f"{side}_knee_flexion"] = abs(rng.normal(3, 5))
        angles[f"{side}_ankle_flexion"] = rng.normal(0, 3)


def _stand(angles: Angles, rng: np.random.Generator) -> None:
    _standing_legs(angles, rng)
    for side in ("left", "right"):
        _arm(angles, side, rng)


def gait(phase: float, reach: float, lift: float, elbow: float) -> Angles:
    """The angles of a gait: thighs swing in antiphase, the knee of the swinging leg bends, arms counter-swing.

    Args:
        phase: radians; ``2 pi`` is a step of each leg.
        reach: swing of the thighs in degrees.
        lift: bend of the swinging knee in degrees.
        elbow: bend of the elbows in degrees.
    """
    angles = {"spine_twist": 8 * math.sin(phase)}
    for side, shift in (("left", 0.0), ("right", math.pi)):
        swing = math.sin(phase + shift)
        forward = math.cos(phase + shift)  # positive while the leg comes forward
        angles[f"{side}_hip_flexion"] = reach * (0.25 + swing)
        angles[f"{side}_hip_abduction"] = 2.0
        angles[f"{side}_knee_flexion"] = 8 + lift * max(0.0, forward)
        angles[f"{side}_ankle_flexion"] = 12 * swing - 8
        angles[f"{side}_shoulder_flexion"] = -reach * 0.9 * swing
        angles[f"{side}_shoulder_abduction"] = 9.0
        angles[f"{side}_shoulder_rotation"] = 15.0
        angles[f"{side}_elbow_flexion"] = elbow
    return angles


_GAIT_SPREAD = {
    "hip_flexion": 3,
    "hip_abduction": 2,
    "knee_flexion": 4,
    "ankle_flexion": 4,
    "shoulder_flexion": 5,
    "shoulder_abduction": 4,
    "shoulder_rotation": 10,
    "elbow_flexion": 10,
}
"""Standard deviations in degrees of the angles of `gait`."""


def _stride(angles: Angles, rng: np.random.Generator, reach: float, lift: float, elbow: float) -> None:
    """A random phase of a gait with deviations."""
    mean = gait(rng.uniform(0, 2 * math.pi), reach, lift, elbow)
    for side in ("left", "right"):
        for name, spread in _GAIT_SPREAD.items():
            angles[f"{side}_{name}"] = mean[f"{side}_{name}"] + rng.normal(0, spread)
        angles[f"{side}_shoulder_abduction"] = abs(angles[f"{side}_shoulder_abduction"])
    angles["spine_twist"] = mean["spine_twist"] + rng.normal(0, 3)


def _walk(angles: Angles, rng: np.random.Generator) -> None:
    _stride(angles, rng, reach=rng.uniform(16, 28), lift=rng.uniform(30, 55), elbow=rng.uniform(8, 35))
    if rng.random() < 0.35:
        _arm(angles, "left" if rng.random() < 0.5 else "right", rng)


def _run(angles: Angles, rng: np.random.Generator) -> None:
    _stride(angles, rng, reach=rng.uniform(32, 52), lift=rng.uniform(60, 105), elbow=rng.uniform(65, 105))
    angles["spine_flexion"] = rng.normal(13, 6)


def _sit(angles: Angles, rng: np.random.Generator) -> None:
    apart = abs(rng.normal(7, 7))
    knee = rng.normal(82, 20)
    for side in ("left", "right"):
        angles[f"{side}_hip_flexion"] = rng.normal(84, 9)
        angles[f"{side}_hip_abduction"] = apart + rng.normal(0, 3)
        angles[f"{side}_hip_rotation"] = rng.normal(0, 8)
        angles[f"{side}_knee_flexion"] = knee + rng.normal(0, 9)
        angles[f"{side}_ankle_flexion"] = rng.normal(-3, 8)
        _arm(angles, side, rng, ("lap", "hang", "bent", "forward"))
    angles["spine_flexion"] = rng.normal(10, 12)


def _crouch(angles: Angles, rng: np.random.Generator) -> None:
    depth = rng.uniform(0.55, 1.0)
    apart = abs(rng.normal(14, 8))
    for side in ("left", "right"):
        angles[f"{side}_hip_flexion"] = 115 * depth + rng.normal(0, 6)
        angles[f"{side}_hip_abduction"] = apart + rng.normal(0, 4)
        angles[f"{side}_hip_rotation"] = rng.normal(-10, 7)
        angles[f"{side}_knee_flexion"] = 132 * depth + rng.normal(0, 7)
        angles[f"{side}_ankle_flexion"] = rng.normal(12, 5)
        _arm(angles, side, rng, ("lap", "bent", "forward", "hang"))
    angles["spine_flexion"] = rng.normal(28, 12)
    angles["neck_flexion"] = rng.normal(-10, 10)


def _arms_up(angles: Angles, rng: np.random.Generator) -> None:
    _standing_legs(angles, rng)
    raised = ("left", "right") if rng.random() < 0.6 else (("left",) if rng.random() < 0.5 else ("right",))
    for side in ("left", "right"):
        _arm(angles, side, rng, ("raised",) if side in raised else ())


def _lean(angles: Angles, rng: np.random.Generator) -> None:
    _standing_legs(angles, rng)
    forward = rng.uniform(20, 70)
    for side in ("left", "right"):
        angles[f"{side}_hip_flexion"] += 0.35 * forward
        angles[f"{side}_knee_flexion"] += rng.uniform(0, 30)
        _arm(angles, side, rng, ("forward", "hang", "bent", "lap"))
    angles["spine_flexion"] = 0.75 * forward
    angles["spine_side"] = rng.normal(0, 13)
    angles["neck_flexion"] = rng.normal(-12, 12)


def _arm(angles: Angles, side: str, rng: np.random.Generator, gestures: tuple[str, ...] = ()) -> None:
    """Set one arm to a random gesture from ``gestures``, or from all."""
    gesture = gestures[int(rng.integers(len(gestures)))] if gestures else pick(rng, GESTURE_WEIGHTS)
    for name, (mean, spread) in GESTURES[gesture].items():
        angles[f"{side}_{name}"] = rng.normal(mean, spread)


def _gesture(
    flexion: tuple[float, float],
    abduction: tuple[float, float],
    rotation: tuple[float, float],
    elbow: tuple[float, float],
) -> dict[str, tuple[float, float]]:
    return {
        "shoulder_flexion": flexion,
        "shoulder_abduction": abduction,
        "shoulder_rotation": rotation,
        "elbow_flexion": elbow,
    }


GESTURES: dict[str, dict[str, tuple[float, float]]] = {
    "hang": _gesture((2, 7), (11, 4), (15, 12), (13, 9)),
    "bent": _gesture((15, 12), (14, 7), (35, 18), (85, 22)),
    "forward": _gesture((68, 18), (4, 9), (10, 15), (28, 22)),
    "sideways": _gesture((5, 10), (75, 18), (-5, 20), (30, 25)),
    "hip": _gesture((-12, 8), (42, 7), (62, 10), (88, 12)),
    "lap": _gesture((32, 9), (8, 5), (30, 12), (48, 14)),
    "face": _gesture((58, 13), (10, 8), (40, 12), (128, 10)),
    "raised": _gesture((150, 18), (8, 12), (5, 20), (28, 26)),
}
"""Gestures of an arm: mean and standard deviation of its angles in degrees."""

GESTURE_WEIGHTS = {
    "hang": 0.34,
    "bent": 0.18,
    "forward": 0.07,
    "sideways": 0.06,
    "hip": 0.10,
    "lap": 0.10,
    "face": 0.09,
    "raised": 0.06,
}
"""Probabilities of the gestures of an arm that the pose does not constrain."""

POSES: dict[str, tuple[float, Callable[[Angles, np.random.Generator], None]]] = {
    "stand": (0.30, _stand),
    "walk": (0.20, _walk),
    "run": (0.13, _run),
    "sit": (0.12, _sit),
    "crouch": (0.07, _crouch),
    "arms_up": (0.09, _arms_up),
    "lean": (0.09, _lean),
}
"""The kinds of poses: probability, and the function that sets the angles."""
