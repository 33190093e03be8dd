"""Parity of decoding: C++ with and without AVX2, PyTorch and the NumPy reference give the same bits, zeros with sign.

A case is the maps of one image. The images of a batch share skeleton and settings. Maps are small and sparse, because
the time of the reference grows with the number of peaks and pairs of peaks.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import simplepose as sp
from fuzzing.settings import draw_settings, draw_skeleton, named_skeletons, number_values
from simplepose.skeleton.channels import map_channels

LAYOUTS: tuple[Callable[[Any], Any], ...] = (
    *(lambda maps: maps,) * 6,
    lambda maps: maps.astype(np.float16),
    np.asfortranarray,
    lambda maps: maps[:, :, ::-1, ::-1],
    lambda maps: maps.astype(">f4"),
    lambda maps: torch.from_numpy(maps),
    lambda maps: torch.from_numpy(maps).to(torch.bfloat16).transpose(2, 3),
)
"""Kinds of arrays and tensors with the same maps, up to rounding and transposition."""

BATCH = 8
"""Images of a batch."""

NAMED_SHARE = 0.01
"""Fraction of the batches with a skeleton that ships with the package; a batch of them takes about 20 times as long."""

SPECIAL = (0.0, -0.0, -1.0, 1e-45, 1e-3, 3e38, -3e38, np.nan, np.inf, -np.inf)
"""Values that cells may hold besides ordinary ones."""

PAPER = {f: getattr(sp.DecodeConfig.paper(), f) for f in sp.DecodeConfig.__dataclass_fields__}
BASES = ({}, {}, PAPER)

f32 = np.float32


class Case(NamedTuple):
    """A batch of images."""

    maps: Any  # [B, C, H, W], an array or tensor of any layout in memory
    skeleton: sp.Skeleton
    config: sp.DecodeConfig
    stride: int


def make_case(seed: int, number: int) -> Case:
    """The batch of that number; it depends on the two numbers only."""
    rng = np.random.default_rng([seed, number])
    named = rng.random() < NAMED_SHARE
    skeleton = named_skeletons()[rng.integers(4)] if named else draw_skeleton(rng)
    config = draw_settings(rng, sp.DecodeConfig, BASES[rng.integers(len(BASES))])
    height, width = rng.choice(
        (1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 17, 33), 2, p=[0.06] * 4 + [0.14] * 4 + [0.08, 0.06, 0.04, 0.02]
    )
    keypoints = _keypoint_maps(rng, (BATCH, skeleton.num_keypoints, int(height), int(width)), config, named)
    num_parts = map_channels(skeleton, config.encoding).num_parts
    parts = _part_maps(rng, (BATCH, num_parts, int(height), int(width)), config)
    if config.encoding == "paf":
        parts *= rng.choice((f32(1), f32(-1)), parts.shape[:2])[..., None, None]
    extra = [parts[:, :1], keypoints[:, :1]] if skeleton.num_parts and rng.random() < 0.2 else []
    maps = np.concatenate([parts, keypoints, *extra], 1)
    with np.errstate(over="ignore"):
        maps = LAYOUTS[rng.integers(len(LAYOUTS))](maps)
    return Case(maps, skeleton, config, int(rng.choice((1, 3, 4, 8))))


def _palette(rng: np.random.Generator, config: sp.DecodeConfig) -> NDArray[np.float32]:
    """Values of cells: levels that repeat, so that there are ties, and the edges of the settings."""
    edges = np.array(number_values(config), f32)
    near = np.concatenate([edges, np.nextafter(edges, f32(-1)), np.nextafter(edges, f32(2))])
    levels = rng.choice((0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0), 6).astype(f32)
    special = np.array(SPECIAL, f32) if rng.random() < 0.2 else np.empty(0, f32)
    return np.concatenate([levels, rng.random(6, f32), near[near <= 2], special])


def _keypoint_maps(
    rng: np.random.Generator, shape: tuple[int, ...], config: sp.DecodeConfig, named: bool
) -> NDArray[np.float32]:
    """A few peaks in each map on a weak background, on none, or on a slope."""
    palette = _palette(rng, config)
    kind = rng.integers(4)
    maps = np.zeros(shape, f32)
    if kind == 0:
        maps += rng.random(shape, f32) * f32(0.09)
    elif kind == 1:
        maps += palette[0] * f32(0.3)
    peaks = rng.poisson(1.0 if named else 1.7, shape[:2])
    peaks[rng.random(len(peaks)) < 0.1] = 0
    for channel in np.argwhere(peaks):
        count = min(int(peaks[tuple(channel)]), 4)
        ys, xs = rng.integers(shape[2], size=count), rng.integers(shape[3], size=count)
        plane = maps[tuple(channel)]
        if kind == 2:  # neighbors that move the sub-pixel position
            for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                plane[np.clip(ys + dy, 0, shape[2] - 1), np.clip(xs + dx, 0, shape[3] - 1)] = f32(0.3) * rng.random(
                    count, f32
                )
        plane[ys, xs] = rng.choice(palette, count)
    return maps


def _part_maps(rng: np.random.Generator, shape: tuple[int, ...], config: sp.DecodeConfig) -> NDArray[np.float32]:
    """Maps on which many, few or no lines respond: levels per channel, repeated levels per cell, or noise."""
    palette = _palette(rng, config)
    kind = rng.integers(4)
    if kind == 0:
        return np.broadcast_to(rng.choice(palette, shape[:2])[..., None, None], shape).astype(f32)
    if kind == 1:
        return rng.choice(palette[:6], shape)
    if kind == 2:
        return rng.choice(palette, shape)
    return rng.random(shape, f32)


def canonical(values: Any) -> bytes:
    """The bytes of an array or number; NaNs are made equal, the sign of zero is kept."""
    array = np.asarray(values)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()


def columns(value: Any) -> dict[str, bytes]:
    """The fields of Peaks, CandidateParts or Poses as bytes."""
    names = getattr(value, "_fields", ("keypoints", "scores", "truncated"))
    return {name: canonical(getattr(value, name)) for name in names}


def run_stages(case: Case, backend: str) -> list[dict[str, dict[str, bytes]]]:
    """Peaks, parts and poses of every image by a backend, as bytes; PyTorch has no grouping and gives no poses."""
    maps, skeleton, config, stride = case
    peaks = sp.find_peaks(maps, skeleton, config, backend)
    parts = sp.match_parts(maps, peaks, skeleton, config, backend)
    stages = [{"peaks": columns(p), "parts": columns(q)} for p, q in zip(peaks, parts, strict=True)]
    if backend != "torch":
        poses = sp.assign_keypoints(peaks, parts, skeleton, config, stride, backend)
        for stage, people in zip(stages, poses, strict=True):
            stage["poses"] = columns(people)
    return stages


def run_native(case: Case) -> list[dict[str, dict[str, bytes]]]:
    """The stages in C++, and `decode` on two threads."""
    stages = run_stages(case, "native")
    poses = sp.decode(case.maps, case.skeleton, case.config, case.stride, "native", 2)
    return [{**stage, "decode": columns(people)} for stage, people in zip(stages, poses, strict=True)]


def digest(stages: list[dict[str, dict[str, bytes]]]) -> str:
    """A hash of the result of `run_native`."""
    parts = [value for stage in stages for table in stage.values() for value in table.values()]
    return hashlib.blake2b(b"".join(parts), digest_size=16).hexdigest()


def differences(native: list[Any], other: list[Any], name: str) -> list[str]:
    """The stages and fields in which the native results differ from those of another backend."""
    found = []
    for image, (ours, theirs) in enumerate(zip(native, other, strict=True)):
        for stage, table in theirs.items():
            found += [f"image {image}: {stage}.{field} differs from {name}" for field, value in table.items()
                      if ours[stage][field] != value]  # fmt: skip
        if "poses" in theirs and ours["decode"] != theirs["poses"]:
            found.append(f"image {image}: decode differs from {name}")
    return found


class Fuzzer:
    """Compares the backends; a second process runs the C++ code without AVX2."""

    def __init__(self, seed: int) -> None:
        torch.set_num_threads(1)
        self.seed = seed
        environment = {
            **os.environ,
            "SIMPLEPOSE_SIMD": "generic",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        self.generic = subprocess.Popen(
            [sys.executable, __file__, str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, number: int) -> tuple[int, list[str]]:
        """The number of images of batch ``number``, and the differences."""
        assert self.generic.stdin
        assert self.generic.stdout
        self.generic.stdin.write(f"{number}\n")
        self.generic.stdin.flush()
        case = make_case(self.seed, number)
        found, native_digest = [], ""
        try:
            native = run_native(case)
            native_digest = digest(native)
            found += differences(native, run_stages(case, "reference"), "the reference")
            found += differences(native, run_stages(case, "torch"), "PyTorch")
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
        if self.generic.stdout.readline().strip() != native_digest:
            found.append("C++ without AVX2 differs from C++ with it")
        return len(case.maps), [f"{line}; {case.skeleton.parts}, {case.config}" for line in found]

    def close(self) -> None:
        """End the second process."""
        assert self.generic.stdin
        self.generic.stdin.close()
        self.generic.wait()


def answer(seed: int, number: int) -> str:
    """The digest of a batch; empty after an error, which the first process reports."""
    try:
        return digest(run_native(make_case(seed, number)))
    except Exception:
        return ""


if __name__ == "__main__":
    for line in sys.stdin:
        print(answer(int(sys.argv[1]), int(line)), flush=True)
