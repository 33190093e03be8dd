"""Keypoints for the tests of render_targets: scenes of people, and edge cases by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# A standing person of height 1 in network order: x to the right and y down from the center of the hips.
STANDING = np.array(
    [
        (0.00, -0.42), (0.00, -0.30), (-0.10, -0.30), (-0.14, -0.14), (-0.15, 0.01), (0.10, -0.30),
        (0.14, -0.14), (0.15, 0.01), (-0.06, 0.00), (-0.07, 0.24), (-0.07, 0.46), (0.06, 0.00),
        (0.07, 0.24), (0.07, 0.46), (-0.02, -0.44), (0.02, -0.44), (-0.05, -0.43), (0.05, -0.43),
    ]
)  # fmt: skip


def scene(people: int, size: tuple[int, int], seed: int = 0) -> NDArray[np.float32]:
    """``[P, 18, 3]`` people of 0.2 to 0.8 of the image's height; some keypoints are hidden or not labeled."""
    random = np.random.default_rng(seed)
    height = size[0] * random.uniform(0.2, 0.8, (people, 1, 1))
    center = random.uniform(0, 1, (people, 1, 2)) * [size[1], size[0]]
    xy = center + height * (STANDING + random.normal(0, 0.03, (people, 18, 2)))
    visibility = random.choice([0, 1, 2], (people, 18, 1), p=[0.1, 0.2, 0.7])
    return np.concatenate([xy, visibility], -1).astype(np.float32)


def edge_cases(size: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """``[P, 18, 3]`` keypoints of each edge case, by name."""
    one, three = scene(1, size, 1), scene(3, size, 2)
    cases = {
        "no people": one[:0],
        "one person": one,
        "twenty people": scene(20, size, 3),
        "all missing": three * np.float32([1, 1, 0]),
        "off the image": three + np.float32([size[1], -size[0], 0]),
        "across the border": three * np.float32([3, 0.1, 1]) - np.float32([size[1], 2, 0]),
        "far away": three * np.float32([1e4, 1e4, 1]),
        "huge": three * np.float32([1e30, 1e36, 1]),
        "coincident keypoints": np.broadcast_to(one[:, :1] * np.float32([1, 1, 0]) + np.float32([0, 0, 2]), (2, 18, 3)),
        "coincident people": np.concatenate([one, one]),
        "on the cells": np.round(three / 4) * np.float32([4, 4, 1]) + np.float32([1.5, 1.5, 2]),
        "hardly any length": one * np.float32([3e-25, 0, 1]),
        "tiny parts": one * np.float32([1e-6, 1e-20, 1]) + np.float32([7, 7, 0]),
    }
    for name, value in (("nan", np.nan), ("inf", np.inf), ("minus inf", -np.inf)):
        cases[name] = three.copy()
        cases[name][0, ::2, 0] = value
        cases[name][1, 1::3, 1] = value
        cases[name][2, ::5, 2] = value
    return {name: np.ascontiguousarray(keypoints, np.float32) for name, keypoints in cases.items()}
