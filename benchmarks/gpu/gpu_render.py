"""GPU benchmark of render_targets: the kernel against a fill of the maps, vectorized PyTorch and torch.compile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from gpu_timing import SETS, Bench, Report, total_bytes
from scenes import people
from torch import Tensor

import simplepose as sp
from simplepose.ops.pytorch.render_targets import render_targets as pytorch_render_targets

PARTS = [tuple(pair) for pair in sp.COCO.part_index.tolist()]
PEOPLE = (1, 5, 10, 20, 30)
GOAL_PEOPLE = 20
PYRAMID = "float32, 5 scales"


def run(bench: Bench, report: Report) -> None:
    batch, side = (2, 64) if bench.smoke else (32, 512)
    counts = (1, 3) if bench.smoke else PEOPLE
    goal = counts[-1] if bench.smoke else GOAL_PEOPLE
    size = (side, side)
    bandwidth(bench, report)
    scales = 3 if bench.smoke else 5
    forms: dict[str, dict[str, Any]] = {
        "float32": {},
        "bfloat16": {"dtype": torch.bfloat16},
        PYRAMID: {"scales": scales},
        f"{PYRAMID}, envelope": {"scales": scales, "envelope": True},
    }
    fills = {name: fill_ms(bench, report, name, _scales(keypoints_of(1, batch, side, bench), size, options))
             for name, options in forms.items()}  # fmt: skip
    for count in counts:
        keypoints = [keypoints_of(count, batch, side, bench, seed) for seed in range(SETS)]
        for name, options in forms.items():
            if count != goal and name != "float32":
                continue
            check(keypoints[0], size, options, bench)
            calls = [lambda points=points, o=options: sp.render_targets(points, size, **o) for points in keypoints]
            times = bench.device_ms(calls)
            facts: dict[str, Any] = {"share_of_fill": fills[name] / times.median}
            if count == goal and name == "float32":
                facts["goal"] = ">= 0.8"
            if bench.cuda:
                facts["with_launch_ms"] = bench.stream_ms(calls).median
            report.add(f"render_targets {name}, {count} people", times, **facts)
    native = report.rows[f"render_targets float32, {goal} people"]["ms"]
    for name, form, goals in (
        ("pyramid", PYRAMID, {"goal": "<= 1.35"}),
        ("pyramid and envelope", f"{PYRAMID}, envelope", {}),
    ):
        drawn = report.rows[f"render_targets {form}, {goal} people"]["ms"]
        report.add(f"{name} relative to one scale", None, ratio=drawn / native, **goals)
    keypoints = [keypoints_of(goal, batch, side, bench)]
    compare(bench, report, f"vectorized PyTorch, {goal} people", _vectorized(size), keypoints, native)


def run_compiled(bench: Bench, report: Report) -> None:
    """Vectorized PyTorch with torch.compile, in a separate section because compiling takes minutes."""
    batch, side, goal = (2, 64, 3) if bench.smoke else (32, 512, GOAL_PEOPLE)
    size = (side, side)
    keypoints = [keypoints_of(goal, batch, side, bench, seed) for seed in range(SETS)]
    native = bench.device_ms([lambda points=points: sp.render_targets(points, size) for points in keypoints])
    report.add(f"render_targets float32, {goal} people", native)
    compiled = torch.compile(_vectorized(size), dynamic=False, backend="aot_eager" if bench.smoke else "inductor")
    compare(
        bench, report, f"torch.compile of vectorized PyTorch, {goal} people", compiled, keypoints[:1], native.median
    )


def compare(
    bench: Bench,
    report: Report,
    name: str,
    draw: Callable[[Tensor], Tensor],
    keypoints: Sequence[Tensor],
    native: float,
) -> None:
    """Add a row for another implementation that draws the same maps."""
    expected = sp.render_targets(keypoints[0], _pixels(draw(keypoints[0])), backend="auto")
    drawn = draw(keypoints[0])
    on_edge = (drawn == 0) != (expected == 0)
    assert float((drawn - expected).abs().masked_fill_(on_edge, 0).max()) < 1e-5, name
    assert int(on_edge.sum()) <= max(2, 1e-6 * drawn.numel()), name
    times = bench.stream_ms([lambda points=points: draw(points) for points in keypoints], 10)
    report.add(name, times, times_the_kernel=times.median / native)


def bandwidth(bench: Bench, report: Report) -> None:
    """The memory bandwidth on 1 GiB: writing, copying (bytes read and written) and reading."""
    count = 2**12 if bench.smoke else 2**28
    source, target = (torch.rand(count, device=bench.device) for _ in range(2))
    for name, call, factor in (
        ("fill", lambda: target.fill_(0.5), 1),
        ("copy on the device", lambda: target.copy_(source), 2),
        ("read (sum)", source.sum, 1),
    ):
        times = bench.device_ms([call])
        report.add(f"memory bandwidth: {name}", times, GB_per_s=factor * total_bytes([source]) / times.median / 1e6)


def fill_ms(bench: Bench, report: Report, name: str, shapes: list[Tensor]) -> float:
    """Milliseconds of a fill of the maps, the lower bound. Each set has its own memory."""
    sets = [[torch.empty_like(maps) for maps in shapes] for _ in range(SETS)]
    times = bench.device_ms([lambda maps=maps: [scale.fill_(0.5) for scale in maps] for maps in sets])
    report.add(f"fill of {name}", times, GB_per_s=total_bytes(shapes) / times.median / 1e6)
    return times.median


def check(keypoints: Tensor, size: tuple[int, int], options: dict[str, Any], bench: Bench) -> None:
    """Require the bits of the CPU op, in memory that held NaN before."""
    bench.poison()
    drawn = _scales(keypoints, size, options)
    expected = _scales(keypoints.cpu(), size, options)
    for a, b in zip(drawn, expected, strict=True):
        assert torch.equal(a.cpu(), b), f"render_targets {options} differs from the CPU's"


def keypoints_of(count: int, batch: int, side: int, bench: Bench, seed: int = 0) -> Tensor:
    """``[batch, count, J, 3]`` on the device."""
    scenes = [people(count, seed * batch + image, side) for image in range(batch)]
    return torch.from_numpy(np.stack(scenes)).to(bench.device)


def _scales(keypoints: Tensor, size: tuple[int, int], options: dict[str, Any]) -> list[Tensor]:
    maps = sp.render_targets(keypoints, size, **options)
    return list(maps) if isinstance(maps, tuple) else [maps]


def _pixels(maps: Tensor) -> tuple[int, int]:
    return 4 * maps.shape[2], 4 * maps.shape[3]


def _vectorized(size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    def draw(keypoints: Tensor) -> Tensor:
        return pytorch_render_targets(keypoints, size, PARTS, sp.TargetConfig())[0]

    return draw
