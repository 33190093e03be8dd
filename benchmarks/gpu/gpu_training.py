"""GPU benchmark of training: targets, time and memory of each form of the loss, and training steps per second."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from gpu_timing import Bench, Report
from scenes import people
from torch import nn

from simplepose import COCO
from simplepose.data.dataset import Batch
from simplepose.data.targets import make_targets
from simplepose.network.base import PoseNetwork
from simplepose.network.build import build_model
from simplepose.network.config import ModelConfig
from simplepose.ops.config import TargetConfig
from simplepose.training.loss import LossConfig, pose_loss

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = 10


def run(bench: Bench, report: Report) -> None:
    forms = ("fused",) if bench.smoke else ("plain", "fused", "compiled")
    losses(bench, report, forms)
    cases = [("tiny", 2, "float32")] if bench.smoke else [
        ("tiny", 64, "float32"), ("tiny", 64, "bfloat16"), ("imhn4-512", 8, "float32"), ("imhn4-512", 8, "bfloat16"),
    ]  # fmt: skip
    for preset, size, precision in cases:
        steps(bench, report, preset, size, precision)


def losses(bench: Bench, report: Report, forms: tuple[str, ...]) -> None:
    """Rows of `benchmarks/bench_loss.py`. Each form runs in its own process, so that its memory can be measured."""
    command = [sys.executable, "-m", "benchmarks.bench_loss", "--device", bench.device.type]
    command += ["--batch", "1", "--stacks", "1", "--size", "64", "--repeats", "2"] if bench.smoke else ["--batch", "8"]
    results = {}
    for form in forms:
        done = subprocess.run([*command, "--form", form], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"bench_loss {form}: {done.stderr.strip().splitlines()[-1]}")
        results[form] = json.loads(done.stdout.splitlines()[-1])
        facts = {key.replace(" ", "_"): value for key, value in results[form].items()}
        report.add(f"loss, 4 stacks, batch 8: {form}", None, **facts)
    values = [row["loss"] for row in results.values()]
    assert max(values) - min(values) < 1e-5 * max(values), f"the forms of the loss differ: {values}"


def steps(bench: Bench, report: Report, preset: str, size: int, precision: str) -> None:
    """Rows of a training step (targets, forward, loss, backward, optimizer) and of its targets alone."""
    torch.manual_seed(0)
    config = ModelConfig.preset(preset, **({"width": 16} if bench.smoke else {}))
    side = 64 if bench.smoke else config.input_size
    model = build_model(config).to(bench.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)
    batch = make_batch(bench, size, side)
    targets = TargetConfig.for_input(side)
    step = make_step(model, optimizer, batch, targets, precision)
    losses = [float(step()) for _ in range(2)]
    assert np.isfinite(losses).all(), f"the loss is {losses}"
    times = bench.stream_ms([step], 10)
    facts = {"images_per_s": 1000 * size / times.median}
    if bench.cuda:
        facts["peak_GiB"] = torch.cuda.max_memory_allocated(bench.device) / 2**30
        torch.cuda.reset_peak_memory_stats(bench.device)
    name = f"training step, {preset}, batch {size}, {precision}"
    report.add(name, times, **facts)
    target_times = bench.stream_ms([lambda: make_targets(batch, COCO, targets, scales=config.num_scales)], 20)
    report.add(f"{name}: its targets", target_times, share_of_the_step=target_times.median / times.median)


def make_step(
    model: PoseNetwork, optimizer: torch.optim.Optimizer, batch: Batch, targets: TargetConfig, precision: str
) -> Callable[[], torch.Tensor]:
    """A function that runs one step of `simplepose.training.loop` on a batch on the device and returns the loss."""

    def step() -> torch.Tensor:
        target_maps = make_targets(batch, COCO, targets, scales=model.config.num_scales)
        with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            maps = model(batch.inputs(), all_outputs=True)
        loss = pose_loss(maps, target_maps.targets, target_maps.mask, config=LossConfig()).total
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def make_batch(bench: Bench, size: int, side: int) -> Batch:
    """A batch of noise images with the keypoints of synthetic people."""
    keypoints = torch.from_numpy(np.stack([people(PEOPLE, seed, side) for seed in range(size)]))
    images = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8)
    mask = torch.full((size, side // 4, side // 4), 255, dtype=torch.uint8)
    return Batch(images, keypoints, mask, mask.clone(), torch.arange(size)).to(bench.device)
