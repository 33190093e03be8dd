"""GPU benchmark of the network: precision, memory layout, CUDA graphs and torch.compile, in images per second."""

from __future__ import annotations

import torch
from gpu_timing import Bench, Report
from torch import Tensor

from simplepose.network.base import PoseNetwork
from simplepose.network.build import build_model
from simplepose.network.config import ModelConfig
from simplepose.network.optimize import optimize_for_inference

TOLERANCE = {"float32": 1e-2, "float16": 0.05, "bfloat16": 0.1}
"""Maximum error relative to the largest value of the plain network's maps. float32 may use TF32, with 3 digits."""


def run(bench: Bench, report: Report) -> None:
    cases = [("tiny", 8), ("tiny", 32), ("imhn4-512", 1), ("imhn4-512", 8)]
    for preset, batch in [("tiny", 2)] if bench.smoke else cases:
        measure(bench, report, preset, batch)
    for preset, batch in [] if bench.smoke else [("tiny", 32), ("imhn4-512", 8)]:
        compiled(bench, report, preset, batch)


@torch.inference_mode()
def measure(bench: Bench, report: Report, preset: str, batch: int) -> None:
    """Rows of all forms without torch.compile."""
    model, images = make_case(bench, preset, batch)
    expected = model(images)
    name = f"{preset}, batch {batch}"
    add(bench, report, f"{name}: plain float32", model, images, expected, "float32")
    for precision in ("float32", "float16", "bfloat16") if bench.cuda else ("float32",):
        for channels_last in (False, True):
            form = optimize_for_inference(model, channels_last=channels_last, precision=precision)  # type: ignore[arg-type]
            layout = "channels_last" if channels_last else "contiguous"
            add(bench, report, f"{name}: {precision} {layout}", form, images, expected, precision)
        times = bench.device_ms([lambda form=form: form(images)], 10)
        report.add(f"{name}: {precision} CUDA graph", times, images_per_s=1000 * batch / times.median)


@torch.inference_mode()
def compiled(bench: Bench, report: Report, preset: str, batch: int) -> None:
    """Rows of torch.compile, which takes a minute or more for a large network."""
    model, images = make_case(bench, preset, batch)
    expected = model(images)
    for graphs in (False, True):
        form = optimize_for_inference(model, precision="bfloat16", compile=True, cuda_graphs=graphs)
        name = f"{preset}, batch {batch}: bfloat16 torch.compile" + (" + CUDA graph" if graphs else "")
        add(bench, report, name, form, images, expected, "bfloat16")


def make_case(bench: Bench, preset: str, batch: int) -> tuple[PoseNetwork, Tensor]:
    """A network with random weights, and random images."""
    torch.manual_seed(0)
    config = ModelConfig.preset(preset, **({"width": 16} if bench.smoke else {}))
    model = build_model(config).eval().to(bench.device)
    side = 64 if bench.smoke else config.input_size
    return model, torch.rand(batch, 3, side, side, device=bench.device)


def add(
    bench: Bench, report: Report, name: str, form: torch.nn.Module, images: Tensor, expected: Tensor, precision: str
) -> None:
    """Add one row after a comparison with the maps of the plain network."""
    error = float((form(images).float() - expected).abs().max() / expected.abs().max())
    assert error < TOLERANCE[precision], f"{name}: maps differ by {error:.2g} of the largest value"
    times = bench.stream_ms([lambda: form(images)], 10)
    report.add(name, times, images_per_s=1000 * len(images) / times.median, error=error)
