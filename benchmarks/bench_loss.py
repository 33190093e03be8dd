"""Time and memory of the loss, forward and backward: plain autograd, the fused form, and torch.compile of plain.

Each form runs in its own process. Its memory is the growth of the peak (resident memory on the CPU, allocated memory
on CUDA) above the maps and targets. The gradients of the predictions are part of it and are its lower bound.

    python -m benchmarks.bench_loss --batch 4 --stacks 4 --size 512 --device cpu
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from simplepose import COCO
from simplepose.training.loss import LossConfig, PoseLoss, pose_loss, target_pyramid

FORMS = ("plain", "fused", "compiled")
SCALES = 5


def make_case(args: argparse.Namespace) -> tuple[list[list[Tensor]], list[Tensor], Tensor]:
    """Random predictions ``[stack][scale]`` with gradients, a target pyramid with 5% foreground, and a mask."""
    device, side = torch.device(args.device), args.size // 4
    generator = torch.Generator(device).manual_seed(0)
    shapes = [(args.batch, COCO.num_channels, side >> k, side >> k) for k in range(SCALES)]
    kind = torch.channels_last if args.channels_last else torch.contiguous_format
    predictions = [
        [
            (torch.randn(shape, device=device, generator=generator, dtype=getattr(torch, args.dtype)) * 0.1)
            .contiguous(memory_format=kind)
            .requires_grad_()
            for shape in shapes
        ]
        for _ in range(args.stacks)
    ]
    full = torch.rand(shapes[0], device=device, generator=generator)
    full = torch.where(full > 0.95, full, 0.0)
    mask = torch.ones(args.batch, 1, side, side, device=device)
    return predictions, target_pyramid(full, [(s[2], s[3]) for s in shapes]), mask


def make_form(name: str) -> Callable[..., PoseLoss]:
    """The loss as a function of (predictions, pyramid, mask)."""
    config = LossConfig()
    if name == "fused":
        return lambda p, t, m: pose_loss(p, t, m, config=config, fused=True)

    def plain(p: list[list[Tensor]], t: list[Tensor], m: Tensor) -> PoseLoss:
        return pose_loss(p, t, m, config=config, fused=False)

    return torch.compile(plain, dynamic=False) if name == "compiled" else plain


def peak_bytes(device: str) -> int:
    """The peak memory of this process so far."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Median milliseconds, memory above the inputs, memory saved for the backward pass, and the loss."""
    torch.set_num_threads(args.threads)
    predictions, pyramid, mask = make_case(args)
    leaves = [p for stack in predictions for p in stack]
    inputs = {t.untyped_storage().data_ptr() for t in [*leaves, *pyramid, mask]}
    form = make_form(args.form)
    if args.form == "compiled":
        form(predictions, pyramid, mask).total.backward()  # the first call compiles
    for leaf in leaves:
        leaf.grad = None
    saved: dict[int, int] = {}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in inputs:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    before = peak_bytes(args.device)
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        loss = form(predictions, pyramid, mask)
    loss.total.backward()
    grown = peak_bytes(args.device) - before
    seconds = []
    for _ in range(args.repeats):
        for leaf in leaves:
            leaf.grad = None
        start = time.perf_counter()
        form(predictions, pyramid, mask).total.backward()
        if args.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    # The resident peak of compiling is higher than that of the loss, which therefore cannot be measured.
    hidden = args.form == "compiled" and args.device == "cpu"
    return {
        "ms": statistics.median(seconds) * 1e3,
        **({} if hidden else {"MiB over the inputs": grown / 2**20}),
        "MiB saved for backward": sum(saved.values()) / 2**20,
        "gradients MiB": sum(p.numel() * p.element_size() for p in leaves) / 2**20,
        "loss": loss.total.item(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--stacks", type=int, default=4)
    parser.add_argument("--size", type=int, default=512, help="network input, pixels")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "float16"))
    parser.add_argument("--channels-last", action="store_true", help="predictions in the channels_last memory format")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--form", choices=FORMS, help="measure this form in this process and print one line of JSON")
    args = parser.parse_args()
    if args.form:
        print(json.dumps(measure(args)))
        return
    print(f"torch {torch.__version__}, {platform.machine()}, {args}")
    results = {}
    for form in args.forms:
        command = [sys.executable, "-m", "benchmarks.bench_loss", *sys.argv[1:], "--form", form]
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        results[form] = json.loads(run.stdout.splitlines()[-1])
        print(form, {key: round(value, 3) for key, value in results[form].items()}, flush=True)
    losses = [result["loss"] for result in results.values()]
    if max(losses) - min(losses) > 1e-5 * max(losses):
        sys.exit(f"the forms differ: {losses}")


if __name__ == "__main__":
    main()
