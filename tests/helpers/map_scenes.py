"""Maps for the tests of decoding, made with NumPy: scenes of people, noise, and values that are not finite."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

import simplepose as sp
from helpers.target_cases import STANDING


class Case(NamedTuple):
    """The maps of one image and the settings of decoding."""

    maps: NDArray[np.float32]
    skeleton: sp.Skeleton
    config: sp.DecodeConfig


def layout(skeleton: sp.Skeleton) -> NDArray[np.float64]:
    """``[J, 2]`` keypoints of a person of height about 1, centered at the origin."""
    if skeleton.num_keypoints == sp.COCO.num_keypoints:
        return STANDING
    j = np.arange(skeleton.num_keypoints)
    return 0.45 * np.stack([np.cos(j * 2.4), np.sin(j * 2.4)], 1) * np.sqrt((j + 1) / len(j))[:, None]


def people_maps(
    people: int, cells: tuple[int, int], seed: int = 0, skeleton: sp.Skeleton = sp.COCO, missing: float = 0.1
) -> NDArray[np.float32]:
    """``[L + J, H, W]`` maps of people of 0.35 to 1 of the map's height, with weak and missing channels."""
    random = np.random.default_rng([seed, people])
    extent = min(cells) * random.uniform(0.35, 1.0, (people, 1, 1)) * 4
    center = random.uniform(0.2, 0.8, (people, 1, 2)) * [cells[1] * 4, cells[0] * 4]
    xy = center + extent * (layout(skeleton) + random.normal(0, 0.02, (people, skeleton.num_keypoints, 2)))
    visibility = random.choice([0, 2], (people, skeleton.num_keypoints, 1), p=[missing, 1 - missing])
    keypoints = np.concatenate([xy, visibility], -1).astype(np.float32)
    target = sp.TargetConfig(keypoint_sigma=random.uniform(3, 9), part_sigma=random.uniform(3, 7))
    maps = sp.render_targets(keypoints, (cells[0] * 4, cells[1] * 4), skeleton, target)
    strength = random.uniform(0.4, 1.0, len(maps)) * (random.uniform(size=len(maps)) > 0.05)
    return maps * strength.astype(np.float32)[:, None, None]


def noise_maps(kind: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Maps without people: "uniform" on [0, 1), "normal", "zero", or one "constant" value for each map."""
    random = np.random.default_rng(seed)
    if kind == "uniform":
        return random.random(shape, np.float32)
    if kind == "normal":
        return random.standard_normal(shape, np.float32)
    if kind == "zero":
        return np.zeros(shape, np.float32)
    return np.broadcast_to(random.random((shape[0], 1, 1), np.float32), shape).copy()


DIRT = {
    "clean": (),
    "not finite": (np.nan, np.inf, -np.inf),
    "nan": (np.nan,),
    "inf": (np.inf,),
    "huge": (3e38, -3e38),
    "negative": (-1000.0, -0.5, -0.0),
}


def sprinkle(maps: NDArray[np.float32], dirt: str, seed: int) -> None:
    """Insert the values of ``dirt`` into a few cells of every map."""
    random = np.random.default_rng(seed + 1)
    for value in DIRT[dirt]:
        maps[random.random(maps.shape) < random.choice([0.01, 0.1])] = value


def gaussian(cells: tuple[int, int], x: float, y: float, sigma: float = 2.25, height: float = 1.0) -> NDArray:
    """``[H, W]``: one Gaussian centered at (x, y), in cells."""
    ys, xs = np.mgrid[: cells[0], : cells[1]]
    return (height * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * sigma**2))).astype(np.float32)


PAIR = sp.Skeleton("pair", ("a", "b"), (("a", "b"),))
"""Two keypoint types and the part between them."""


def crowd(count: int) -> NDArray[np.float32]:
    """Maps on which all of ``count`` x ``count`` pairs are accepted, more than a block holds in shared memory."""
    rows = np.zeros((count, 3 * count), np.float32)
    rows[::2, ::2] = np.random.default_rng(0).uniform(0.2, 1, rows[::2, ::2].shape)
    return np.stack([np.full_like(rows, 0.5), rows, rows[::-1]])[None]


def flipped(maps: NDArray[np.float32], mirror: NDArray[np.int32]) -> NDArray[np.float32]:
    """The mean of ``[2 B, C, H, W]`` maps of images and of mirrored images, as `Predictor` computes it."""
    plain, mirrored = np.split(maps, 2)
    with np.errstate(over="ignore", invalid="ignore"):
        return (plain + mirrored[..., ::-1][:, mirror]) / np.float32(2)
