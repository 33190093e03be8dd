"""Backgrounds of synthetic images: clutter with limb-like objects; light, blending, and camera blur and noise."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from simplepose.synth.body import SurfaceList
from simplepose.synth.looks import SKIN, Material, Painter, sample_cloth
from simplepose.synth.renderer import Camera, Floats, Layer, place, rasterize, shade

Image = NDArray[np.uint8]


def paint_background(rng: np.random.Generator, height: int, width: int, shapes: int, rods: int) -> Image:
    """An image without people.

    Args:
        rng: the random generator.
        height, width: in pixels.
        shapes: number of flat shapes: boxes, disks, polygons, lines and grids.
        rods: number of chains of shaded rods and balls, which resemble arms and legs.

    Returns:
        ``[height, width, 3]`` uint8 BGR.
    """
    image = _ground(rng, height, width)
    for kind in rng.integers(0, 5, shapes).tolist():
        _SHAPES[kind](image, rng, tuple(sample_cloth(rng)))
    if rods:
        _paint_rods(image, rng, rods)
    return image


def _ground(rng: np.random.Generator, height: int, width: int) -> Image:
    """Large smooth patches and fine texture; with probability 1/2 also a floor."""
    cells = rng.integers(2, 7, 2).tolist()
    coarse = rng.uniform(0, 50, (*cells, 1)) + rng.uniform(0, 20, (*cells, 3)) + np.array(sample_cloth(rng)) * 0.72
    image: Any = cv2.resize(np.clip(coarse, 0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        horizon = int(height * rng.uniform(0.3, 0.8))
        floor = np.array(sample_cloth(rng)) * np.array([0.75, 1.0])[:, None, None]
        floor = cv2.resize(floor.astype(np.uint8), (width, height - horizon), interpolation=cv2.INTER_LINEAR)
        image[horizon:] = cv2.addWeighted(image[horizon:], 0.25, floor, 0.75, 0)
    side = int(rng.integers(8, 48))
    return _add_noise(rng, image, (side, side), 1, float(rng.uniform(1, 12)))


def _add_noise(
    rng: np.random.Generator, image: Image, cells: tuple[int, int], channels: int, deviation: float
) -> Image:
    """Add noise that is independent for each of ``cells`` (rows, columns) and interpolated between them.

    ``channels`` is 1 (the same noise in all color channels) or 3. The mean of two random bytes has a triangular
    distribution with a standard deviation of 52 levels.
    """
    height, width = image.shape[:2]
    count = cells[0] * cells[1] * channels
    pair = np.frombuffer(rng.bytes(2 * count), np.uint8).reshape(2, *cells, channels)
    noise: Any = (pair[0] >> 1) + (pair[1] >> 1)
    if cells != (height, width):
        noise = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    if channels == 1:
        noise = cv2.cvtColor(noise, cv2.COLOR_GRAY2BGR)
    scale = deviation / 52
    noisy: Any = cv2.addWeighted(image, 1, noise, scale, -127 * scale)
    return noisy


def _box(image: Image, rng: np.random.Generator, color: Any) -> None:
    height, width = image.shape[:2]
    x, y = int(rng.uniform(-0.1, 1) * width), int(rng.uniform(-0.1, 1) * height)
    w, h = int(rng.uniform(0.03, 0.4) * width), int(rng.uniform(0.03, 0.5) * height)
    cv2.rectangle(image, (x, y), (x + w, y + h), color, -1)
    cv2.rectangle(image, (x, y), (x + w, y + h), tuple(0.6 * c for c in color), 1 + int(rng.integers(0, 3)))


def _disc(image: Image, rng: np.random.Generator, color: Any) -> None:
    height, width = image.shape[:2]
    center = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
    size = 0.5 * min(height, width)
    axes = (int(rng.uniform(0.03, 0.3) * size) + 1, int(rng.uniform(0.03, 0.3) * size) + 1)
    cv2.ellipse(image, center, axes, float(rng.uniform(0, 180)), 0, 360, color, -1, cv2.LINE_AA)


def _polygon(image: Image, rng: np.random.Generator, color: Any) -> None:
    height, width = image.shape[:2]
    angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 7))))
    radius = rng.uniform(0.05, 0.25) * min(height, width)
    points = radius * np.stack([np.cos(angles), np.sin(angles)], 1) + rng.uniform(0, [width, height])
    cv2.fillPoly(image, [points.astype(np.int32)], color, cv2.LINE_AA)


def _line(image: Image, rng: np.random.Generator, color: Any) -> None:
    """A pole, a rail or a branch: a line with a highlight on one side."""
    height, width = image.shape[:2]
    start = rng.uniform(0, [width, height])
    angle = rng.choice([0.0, math.pi / 2, rng.uniform(0, math.pi)])
    step = rng.uniform(0.2, 0.9) * max(height, width) * np.array([math.cos(angle), math.sin(angle)])
    thickness = int(rng.integers(1, 9))
    a, b = start.astype(int).tolist(), (start + step).astype(int).tolist()
    cv2.line(image, a, b, color, thickness, cv2.LINE_AA)
    if thickness > 3:
        lit = tuple(min(255.0, 1.3 * c + 10) for c in color)
        cv2.line(image, [a[0] - 1, a[1] - 1], [b[0] - 1, b[1] - 1], lit, thickness // 3, cv2.LINE_AA)


def _grid(image: Image, rng: np.random.Generator, color: Any) -> None:
    """Windows, shelves or a fence: a grid of boxes."""
    height, width = image.shape[:2]
    cell = rng.uniform(0.04, 0.12, 2) * [width, height]
    corner = rng.uniform(0, 0.8, 2) * [width, height]
    columns, rows = rng.integers(1, 5, 2).tolist()
    for i in range(columns):
        for j in range(rows):
            x, y = (corner + cell * [i, j]).astype(int).tolist()
            cv2.rectangle(image, (x, y), (x + int(0.75 * cell[0]), y + int(0.75 * cell[1])), color, -1)


_SHAPES = (_box, _disc, _polygon, _line, _grid)


def _paint_rods(image: Image, rng: np.random.Generator, rods: int) -> None:
    height, width = image.shape[:2]
    chains, materials = SurfaceList(), {}
    for i in range(rods):
        name = f"rod{i}"
        skin = rng.random() < 0.3
        materials[name] = Material(SKIN[int(rng.integers(len(SKIN)))] if skin else sample_cloth(rng))
        radius = float(rng.uniform(0.006, 0.03))
        point = np.array([rng.uniform(-0.5, 0.5) * width / height, rng.uniform(-0.5, 0.5), 0.0])
        for _ in range(int(rng.integers(1, 4))):
            step = rng.normal(0, 1, 3) * [1, 1, 0.4]
            end = point + step * (radius * rng.uniform(4, 9) / np.linalg.norm(step))
            chains.ball("torso", name, point, radius)
            chains.rod("torso", name, (point, end), (radius, 0.85 * radius), np.eye(3))
            point, radius = end, 0.85 * radius
        chains.ball("torso", name, point, radius * float(rng.uniform(1, 2)))
    camera = Camera(np.eye(3), 20.0, float(height), (width / 2, height / 2))
    surfaces = chains.pack()
    quadrics = place(surfaces, camera)
    layer = rasterize(quadrics, height, width)
    if layer is not None:
        pixels = np.flatnonzero(layer.surface >= 0)
        colors = shade(layer, pixels, quadrics, Painter(surfaces, materials, None), sample_light(rng), 0.5)
        blend(image, layer, pixels, colors)


def blend(image: Image, layer: Layer, pixels: NDArray[np.intp], colors: Floats) -> None:
    """Blend colors ``[F, 3]`` into the image at raster indices ``[F]`` of a layer's patch; soft at the outline."""
    alpha = cv2.blur((layer.surface >= 0).astype(np.float32), (3, 3)).ravel().take(pixels)[:, None]
    alpha = np.minimum(alpha * 1.3, 1)
    patch = np.ascontiguousarray(image[layer.window])
    flat = patch.reshape(-1, 3)
    behind = flat.take(pixels, 0)
    mixed = np.minimum(colors, 255)
    mixed -= behind
    mixed *= alpha
    mixed += behind
    flat[pixels] = mixed
    image[layer.window] = patch


def sample_light(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random unit vector toward the light in camera space: above the scene and in front of it."""
    light = np.array([rng.uniform(-0.8, 0.8), -rng.uniform(0.2, 0.9), rng.uniform(0.4, 1.0)])
    return light / np.linalg.norm(light)


def expose(rng: np.random.Generator, image: Image, blur: float, noise: float) -> Image:
    """Apply camera blur (standard deviation ``blur`` in pixels), then sensor noise (``noise`` in gray levels)."""
    blurred: Any = cv2.GaussianBlur(image, (0, 0), blur) if blur > 0.2 else image
    height, width = image.shape[:2]
    image = _add_noise(rng, blurred, (height, width), 1, 0.85 * noise)
    return _add_noise(rng, image, (math.ceil(height / 3), math.ceil(width / 3)), 3, 0.85 * noise)
