"""Speed-up of each inference optimization of the network over a plain eager float32 forward pass with all outputs.

    python benchmarks/bench_model.py --threads 1 --json benchmarks/results/model_cpu.json

Only the network is timed. All steps run interleaved in one process, after a check that they give the maps of the
plain network. Each step includes the optimizations of the steps before it, except "ONNX Runtime", which is the engine
of that name.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from timing import parse_arguments
from torch import Tensor

from simplepose.io.atomic import atomic_write
from simplepose.network.base import PoseNetwork
from simplepose.network.build import build_model
from simplepose.network.config import PRESETS, ModelConfig
from simplepose.network.onnx_engine import OnnxModel
from simplepose.network.optimize import cpu_has_bfloat16, fold_network, optimize_for_inference

TOLERANCE = 1e-4
"""Maximum error of float32 maps, relative to the largest value."""

HALF_TOLERANCE = 0.1
"""The same for bfloat16, which has 3 digits."""


def build_steps(model: PoseNetwork, *, compiled: bool, device: torch.device) -> dict[str, Callable[[Tensor], Tensor]]:
    """The steps by name: functions that give the last stack's maps, each with the optimizations before it."""
    norms_folded = fold_network(model, upsampling=False)
    folded = optimize_for_inference(model, channels_last=False)
    fast = optimize_for_inference(model)
    steps: dict[str, Callable[[Tensor], Tensor]] = {
        "plain, all outputs": lambda x: model(x, all_outputs=True)[-1][0],
        "last maps only": model,
        "+ norms folded": norms_folded,
        "+ upsampling folded": folded,
        "+ channels_last": fast,
    }
    if compiled:
        steps["+ torch.compile"] = optimize_for_inference(model, compile=True)
    if compiled and device.type == "cuda":
        steps["+ CUDA graphs"] = optimize_for_inference(model, compile=True, cuda_graphs=True)
    if device.type == "cuda" or cpu_has_bfloat16():
        steps["+ bfloat16 (eager)"] = optimize_for_inference(model, precision="bfloat16")
    if device.type == "cpu" and importlib.util.find_spec("onnxruntime"):
        steps["ONNX Runtime"] = OnnxModel(model)
    return steps


def check(steps: dict[str, Callable[[Tensor], Tensor]], image: Tensor) -> dict[str, float]:
    """Maximum difference of each step's maps from those of the first step, relative to the largest value.

    The calls also warm up the steps.
    """
    errors: dict[str, float] = {}
    expected: Tensor | None = None
    for name, step in steps.items():
        maps = step(image)
        expected = maps if expected is None else expected
        errors[name] = float((maps - expected).abs().max() / expected.abs().max())
        limit = HALF_TOLERANCE if "bfloat16" in name else TOLERANCE
        if not errors[name] < limit:
            raise SystemExit(f"{name}: maps differ by {errors[name]:.2e} of the largest value, expected < {limit:g}")
    return errors


class Times(NamedTuple):
    """The times of one repetition of one step."""

    wall: float  # seconds
    cpu: float  # processor seconds of all threads of this process, without those of other processes


def measure(steps: dict[str, Callable[[Tensor], Tensor]], image: Tensor, repetitions: int) -> dict[str, list[Times]]:
    """The times of each step; all steps run once in each repetition."""
    times: dict[str, list[Times]] = {name: [] for name in steps}
    for repetition in range(repetitions):
        for name, step in steps.items():
            synchronize(image.device)
            wall, cpu = time.perf_counter(), time.process_time()
            step(image)
            synchronize(image.device)
            times[name].append(Times(time.perf_counter() - wall, time.process_time() - cpu))
            last = times[name][-1]
            print(f"{repetition + 1}/{repetitions} {name}: {last.wall:.3f} s, CPU {last.cpu:.3f} s", file=sys.stderr)
    return times


def summarize(times: dict[str, list[Times]], errors: dict[str, float]) -> list[dict[str, object]]:
    """One row for each step. Its speed-up is the median over the repetitions of the ratio within a repetition."""
    plain = times["plain, all outputs"]
    return [
        {
            "step": name,
            "median_wall_s": round(statistics.median(t.wall for t in own), 4),
            "median_cpu_s": round(statistics.median(t.cpu for t in own), 4),
            "times_as_fast_wall": round(statistics.median(p.wall / t.wall for p, t in zip(plain, own, strict=True)), 3),
            "times_as_fast_cpu": round(statistics.median(p.cpu / t.cpu for p, t in zip(plain, own, strict=True)), 3),
            "relative_error": errors[name],
            "wall_s": [round(t.wall, 4) for t in own],
            "cpu_s": [round(t.cpu, 4) for t in own],
        }
        for name, own in times.items()
    ]


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def machine(device: torch.device) -> dict[str, object]:
    """The machine and the versions of the measurement."""
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_instructions": cpu_has_bfloat16(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "load_average_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="imhn4-512", choices=list(PRESETS))
    parser.add_argument("--size", type=int, help="height and width of the input; default: the preset's")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--compile", action="store_true", help="also measure torch.compile, which takes minutes to compile"
    )
    parser.add_argument("--json", type=Path, help="write the result to this file")
    options = parse_arguments(parser, ["json"])

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    device = torch.device(options.device)
    conditions = machine(device)
    model = build_model(ModelConfig.preset(options.preset)).eval().to(device)
    size = options.size or model.config.input_size
    image = torch.rand(options.batch, 3, size, size, device=device)
    with torch.inference_mode():
        steps = build_steps(model, compiled=options.compile, device=device)
        errors = check(steps, image)
        times = measure(steps, image, options.repetitions)

    rows = summarize(times, errors)
    for row in rows:
        print(
            "{step:22} {median_wall_s:8.3f} s {times_as_fast_wall:6.2f} x   CPU {median_cpu_s:8.3f} s "
            "{times_as_fast_cpu:6.2f} x   error {relative_error:.1e}".format(**row)
        )
    if options.json:
        result = {
            "what": f"network only: {options.preset}, {options.batch} x 3 x {size} x {size}, random weights, float32",
            "command": " ".join(["python", *sys.argv]),
            "machine": conditions,
            "rows": rows,
        }
        with atomic_write(options.json) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
