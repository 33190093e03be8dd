"""Layouts of people for the benchmarks: upright people of random size, pose and position, in COCO's 17 keypoints."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import simplepose as sp
from simplepose.data.annotations import Annotations
from simplepose.evaluation import oracle
from simplepose.skeleton.channels import Encoding

# x, y of an upright person of height 1 in COCO order, in a front view.
FIGURE = np.array(
    [
        *((0.0, 0.10), (0.03, 0.08), (-0.03, 0.08), (0.06, 0.09), (-0.06, 0.09), (0.12, 0.22), (-0.12, 0.22)),
        *((0.17, 0.37), (-0.17, 0.37), (0.18, 0.50), (-0.18, 0.50), (0.08, 0.52), (-0.08, 0.52)),
        *((0.09, 0.74), (-0.09, 0.74), (0.09, 0.95), (-0.09, 0.95)),
    ]
)


def people(count: int, seed: int, size: int = 512) -> NDArray[np.float32]:
    """``[count, J, 3]`` keypoints in network order of people in a ``size`` x ``size`` image, all labeled."""
    rng = np.random.default_rng([count, seed])
    height = rng.uniform(0.25, 0.6 if count < 15 else 0.4, (count, 1, 1)) * size
    figures = _figures(rng, height)
    return _in_network_order(figures + rng.uniform(0.1, 0.9, (count, 1, 2)) * size)


def separated_people(count: int, seed: int, size: int = 512) -> NDArray[np.float32]:
    """`people` that stand apart: each in a cell of a grid, and at most 0.6 of the height of the image."""
    rng = np.random.default_rng([count, seed, 1])
    columns = int(np.ceil(np.sqrt(1.5 * count)))  # people are taller than wide
    rows = -(-count // columns)
    cells = rng.permutation(rows * columns)[:count]
    center = np.stack([(cells % columns + 0.5) / columns, (cells // columns + 0.5) / rows], -1)[:, None] * size
    height = rng.uniform(0.7, 0.85, (count, 1, 1)) * min(size / rows, 1.8 * size / columns, 0.7 * size)
    return _in_network_order(_figures(rng, height) + center)


def _figures(rng: np.random.Generator, height: NDArray[np.float64]) -> NDArray[np.float64]:
    """``[count, 17, 2]`` figures of the heights ``[count, 1, 1]`` around the origin, with random turns and poses."""
    count = len(height)
    angle = rng.normal(0, 0.2, count)
    turn = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(-1, 2, 2)
    figure = FIGURE - (0, 0.5) + rng.normal(0, 0.02, (count, 17, 2))
    return np.einsum("nij,nkj->nki", turn, figure) * height


def _in_network_order(xy: NDArray[np.float64]) -> NDArray[np.float32]:
    return sp.COCO.from_dataset(np.concatenate([xy, np.full((*xy.shape[:2], 1), 2.0)], -1))


def scene_maps(count: int, seed: int, encoding: Encoding = "parts") -> NDArray[np.float32]:
    """``[48, 128, 128]`` (``[78, 128, 128]`` with "paf") target maps of `people` in a 512 x 512 image."""
    return sp.render_targets(people(count, seed), (512, 512), config=sp.TargetConfig(encoding=encoding))


def separated_maps(count: int, seed: int) -> NDArray[np.float32]:
    """`scene_maps` of `separated_people`."""
    return sp.render_targets(separated_people(count, seed), (512, 512))


def crowd_maps(annotations: Annotations, count: int, noisy: bool) -> list[NDArray[np.float32]]:
    """Maps of ``count`` crowds of 22 to 29 people: annotated people of several images, scaled to 512 x 512."""
    crowds = []
    ids = iter(annotations.with_keypoints() * 8)
    for seed in range(count):
        target, group = 22 + seed % 8, np.empty((0, sp.COCO.num_keypoints, 3), np.float32)
        while len(group) < target:
            image = annotations.images[next(ids)]
            keypoints = oracle.image_keypoints(annotations, image.id)
            keypoints[..., 0] *= 512 / image.width
            keypoints[..., 1] *= 512 / image.height
            group = np.concatenate([group, keypoints])
        crowds.append(oracle.oracle_maps(group[:target], (512, 512), noise_seed=seed if noisy else None))
    return crowds
