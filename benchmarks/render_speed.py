"""Time of render_targets on one thread, against a fill of its output, vectorized PyTorch and the reference.

python benchmarks/render_speed.py [--out benchmarks/results/render_cpu.json]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scenes import people
from timing import parse_arguments, report, seconds

import simplepose as sp
from simplepose.io.atomic import write_json

SIZE = (512, 512)


def measure(count: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of each implementation. They take turns; slow ones run in fewer rounds."""
    keypoints = people(count, 0)[None]
    tensor, maps = torch.from_numpy(keypoints), np.ones((1, 48, 128, 128), np.float32)
    calls: dict[str, tuple[Callable[[], Any], int]] = {
        "fill": (lambda: maps.fill(0), 1),
        "native": (lambda: sp.render_targets(keypoints, SIZE, backend="native", threads=1), 1),
        "torch": (lambda: sp.render_targets(tensor, SIZE, backend="torch"), 4),
        "reference": (lambda: sp.render_targets(keypoints, SIZE, backend="reference"), 20),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds):
        for name, (call, every) in calls.items():
            if turn % every == 0:
                times[name].append(seconds(call))
    return {name: 1000 * float(np.median(values)) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the times as JSON")
    parser.add_argument("--rounds", type=int, default=60)
    options = parse_arguments(parser, ["out"])
    torch.set_num_threads(1)
    rows = {}
    for count in (1, 5, 10, 20, 30):
        row = measure(count, options.rounds)
        rows[f"{count} people"] = row
        ratios = {name: row[name] / row["native"] for name in ("reference", "torch")}
        print(
            f"{count:2d} people: {row['native']:.2f} ms, {row['native'] / row['fill']:.1f} x a fill of the maps, "
            f"{ratios['torch']:.0f} x faster than PyTorch, {ratios['reference']:.0f} x than the reference"
        )
    if options.out:
        write_json(options.out, report(render_ms=rows))


if __name__ == "__main__":
    main()
