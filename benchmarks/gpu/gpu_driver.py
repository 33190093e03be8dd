"""Run every CUDA op once on small edge cases and compare it with the CPU, for a run under compute-sanitizer.

PYTHONPATH=benchmarks python benchmarks/gpu/gpu_driver.py
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from scenes import people

import simplepose as sp


def render_targets(device: torch.device) -> None:
    """Tiles cut by the border, rows that are not a multiple of four cells, more people than one round holds."""
    for count, size, scales, shape in (
        (0, (64, 64), 1, "ellipse"),
        (3, (100, 52), 1, "ellipse"),
        (40, (320, 288), 4, "ellipse"),
        (40, (320, 288), 4, "line"),
        (2, (512, 512), 8, "ellipse"),
    ):
        keypoints = torch.from_numpy(people(count, 1, size[0])[None]) if count else torch.zeros(1, 0, 18, 3)
        options = {"config": sp.TargetConfig(shape=shape), "scales": scales, "envelope": True}
        expected = sp.render_targets(keypoints, size, **options)
        drawn = sp.render_targets(keypoints.to(device), size, backend="native", **options)
        for a, b in zip(*((m if scales > 1 else (m,)) for m in (drawn, expected)), strict=True):
            assert torch.equal(a.cpu(), b), f"render_targets: {count} people, {size}, {shape}"
        if scales <= 7:
            sp.render_targets(keypoints.to(device), size, dtype=torch.float16, **options)


def decode(device: torch.device) -> None:
    """Maps with people, empty maps and maps of noise, and a batch without images."""
    size = (132, 100)
    scene = sp.render_targets(people(3, 2, 128), size)
    noise = np.random.default_rng(0).random(scene.shape, np.float32)
    maps = np.stack([scene, np.zeros_like(scene), noise * (noise > 0.9)])
    for batch in (maps, maps[:1, :, :, :24], maps[:0]):
        expected = sp.decode(batch)
        found = sp.decode(torch.from_numpy(batch).to(device))
        for a, b in zip(found, expected, strict=True):
            assert len(a) == len(b), "decode: the number of people differs from the CPU"
            np.testing.assert_allclose(a.keypoints, b.keypoints, rtol=0, atol=1e-4, equal_nan=True)


def main() -> int:
    if not torch.cuda.is_available():
        print("gpu_driver: torch finds no CUDA device", file=sys.stderr)
        return 1
    device = torch.device("cuda:0")
    render_targets(device)
    decode(device)
    torch.cuda.synchronize()
    print("all ops ran and agree with the CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
