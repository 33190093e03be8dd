"""The training loop (DESIGN section 7): `simplepose train`, or `torchrun ... -m simplepose.train` on several devices.

All random numbers follow from (seed, epoch, index), none from what was done before. A run that was killed and resumed
therefore gives what an unbroken one gives: on the CPU, with the same number of threads, the same bits.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from simplepose.data.dataset import make_loader
from simplepose.data.images import write_image
from simplepose.data.targets import make_targets
from simplepose.evaluation.evaluate import evaluate_images
from simplepose.inference.frame import Fit
from simplepose.inference.predictor import PRECISIONS, Predictor
from simplepose.network.checkpoint import load_checkpoint
from simplepose.network.imhn import IMHN
from simplepose.ops.config import TargetConfig
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton
from simplepose.training.config import TrainConfig, learning_rate
from simplepose.training.data import BatchSampler, TrainData, open_data
from simplepose.training.distributed import Process, join_processes
from simplepose.training.errors import TrainError, explained
from simplepose.training.log import TrainLog, check_tensorboard, draw_predictions, new_window, window_means
from simplepose.training.loss import pose_loss
from simplepose.training.run_folder import leave_nothing, take_folder
from simplepose.training.state import (
    TrainState,
    average_of,
    checkpoints,
    heal_buffers,
    initialize_from,
    load_state,
    publish,
    save_state,
)

MOST_SKIPPED = 32
"""float16 may overflow so many steps in a row while its scale adapts; more means that the loss is not finite."""

PICTURES = 6
"""Samples in the picture of predictions and targets."""


class TrainReport(NamedTuple):
    """What `train` gives."""

    run: Path  # last.safetensors, best.safetensors, log.jsonl, curves.png, pictures/, checkpoints/
    steps: int
    metrics: dict[str, float]  # the last validation's; AP_of says of which images
    best: float  # the best AP of the run


def train(
    config: TrainConfig,
    run: str | Path,
    *,
    skeleton: Skeleton = COCO,
    resume: bool = False,
    device: str | torch.device = "auto",
    tensorboard: bool = False,
    stop_step: int | None = None,
) -> TrainReport:
    """Train a network.

    Args:
        config: all that decides what comes out.
        run: the folder that gets the results; new or empty, or with ``resume`` that of the run to go on with.
        skeleton: what is learned.
        resume: go on from the last checkpoint in ``run``; ``config`` must be that run's, but for `WHERE`.
        device: "auto" takes a CUDA device if there is one.
        tensorboard: also write TensorBoard's files.
        stop_step: end after this step with a checkpoint to go on from; default: at the end of the last epoch.

    Raises:
        ValueError: a setting is wrong, or not the resumed run's.
        FileExistsError: ``run`` has content.
        FileNotFoundError: data are missing, or there is no run to resume.
        TrainError: the loss is not finite, or memory is out.
        OSError: something cannot be read or written. Messages name the last good checkpoint.
    """
    run = Path(run)
    if tensorboard:
        check_tensorboard()
    with join_processes(device) as process, explained(run, config):
        _check_device(config, process)
        if process.first:
            take_folder(run, config, skeleton, resume)
        process.barrier()
        prepared = _prepare(config, run, skeleton, process, resume)
        total = config.epochs * prepared.sampler.steps
        logs = TrainLog(run, prepared.state.step, total, tensorboard=tensorboard) if process.first else nullcontext()
        with logs as log:
            return _loop(config, run, skeleton, process, prepared, log, total if stop_step is None else stop_step)


class Prepared(NamedTuple):
    """What the loop works with."""

    data: TrainData
    sampler: BatchSampler
    loader: DataLoader[Any]
    state: TrainState
    forward: Any  # the network as it is called: shared out over the processes, compiled


def _prepare(config: TrainConfig, run: Path, skeleton: Skeleton, process: Process, resume: bool) -> Prepared:
    """Everything up to the first step; what fails here leaves no run behind."""
    try:
        data = open_data(config, skeleton, run, process)
        sampler = BatchSampler(len(data.samples), config, process)
        pinned = process.device.type == "cuda"
        loader = make_loader(data.samples, workers=config.workers, batch_sampler=sampler, pin_memory=pinned)
        good = checkpoints(run)
        state = _start(config, skeleton, process, None if good else config.init)
        if good:
            _go_back(run, good[-1], state, len(data.samples), process)
        if process.from_first(state.step) != state.step:  # asked by all, also by those that find no checkpoint
            raise ValueError(f"resume: {run} differs between the processes; expected a folder that all machines share")
        state.samples = len(data.samples)
        return Prepared(data, sampler, loader, state, _prepare_forward(state.model, config, process))
    except BaseException:
        if process.first and not resume:
            leave_nothing(run)
        raise


def _loop(
    config: TrainConfig,
    run: Path,
    skeleton: Skeleton,
    process: Process,
    prepared: Prepared,
    log: TrainLog | None,
    stop_step: int,
) -> TrainReport:
    """All steps, as each process does them; the first one also writes and tells."""
    data, sampler, loader, state, forward = prepared
    targets = config.targets
    total = config.epochs * sampler.steps
    metrics: dict[str, Any] = {}
    if log:
        log.say(f"training settings:\n{config.describe()}")
        log.say(
            f"{len(data.samples)} samples, {sampler.steps} steps an epoch, {process.world} processes on "
            f"{process.device.type}, from step {state.step} of {total}"
        )

    for epoch in range(state.step // sampler.steps, config.epochs):
        if state.step >= stop_step:
            break
        data.samples.set_epoch(epoch)
        sampler.start(epoch, state.step % sampler.steps)
        batches = iter(loader)
        loss_config = config.loss if epoch >= config.l2_epochs else replace(config.loss, gamma=0.0)
        for _ in range(sampler.first, sampler.steps):
            rate = learning_rate(config, state.step, sampler.steps)
            for group in state.optimizer.param_groups:
                group["lr"] = rate

            for part in range(config.accumulate):
                batch = next(batches).to(process.device, non_blocking=True)
                truth = make_targets(batch, skeleton, targets, scales=config.model.num_scales)
                # gradients are exchanged once a step, with its last part
                with forward.no_sync() if _waits(forward, part, config) else nullcontext():
                    with _autocast(config, process):
                        maps = forward(batch.inputs(), all_outputs=True)
                    # the mean over the processes of these sums is the mean over the whole batch
                    divisor = config.batch / process.world
                    loss = pose_loss(
                        maps, truth.targets, truth.mask, skeleton=skeleton, config=loss_config, divisor=divisor
                    )
                    state.scaler.scale(loss.total).backward()  # type: ignore[no-untyped-call]
                state.window[1] += loss.total.detach()
                state.window[2:] += loss.scales / divisor
            state.window[0] += 1

            state.scaler.unscale_(state.optimizer)
            norm = nn.utils.clip_grad_norm_(state.model.parameters(), config.clip or math.inf)
            _guard(norm, loss.total.detach(), state, config)
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.optimizer.zero_grad(set_to_none=True)
            if state.skipped:
                heal_buffers(state.model, state.averaged)
            else:
                state.average.update_parameters(state.model)
            state.step += 1

            ends_epoch = state.step % sampler.steps == 0
            stops = state.step == stop_step
            validates = ends_epoch and ((epoch + 1) % config.validate_epochs == 0 or state.step == total)
            if state.step % config.log_steps == 0 or state.step == total:
                values = window_means(process.mean(state.window))
                state.window.zero_()
                if log:
                    log.steps(state.step, config.batch, **values, lr=rate, gradient_norm=float(norm))
            if validates:
                metrics = _validate(state, data, skeleton, config, process)
                if metrics["AP"] > state.best:
                    state.best, state.best_step = metrics["AP"], state.step
                if log:
                    log.validation(state.step, epoch=epoch + 1, **metrics)
                    _draw(run, state, data, skeleton, targets)
            if process.first and (validates or stops or state.step % config.checkpoint_steps == 0):
                save_state(run, state, skeleton, keep=config.keep)
            if stops:
                break

    if log and not metrics:  # a finished run that was resumed
        metrics = next((r for r in reversed(log.records) if "AP" in r), {})
    process.barrier()
    return TrainReport(run, state.step, metrics, state.best)


def _go_back(run: Path, checkpoint: Path, state: TrainState, samples: int, process: Process) -> None:
    """Take up the last checkpoint; its weights are published again, in case that the run was killed before."""
    load_state(checkpoint, state)
    if state.samples != samples:
        raise ValueError(f"data: expected the {state.samples} samples that the run trains on, got {samples}")
    if process.first:
        publish(run, checkpoint, state)


def _start(config: TrainConfig, skeleton: Skeleton, process: Process, init: str | None) -> TrainState:
    """The state before the first step: the same on each process."""
    torch.manual_seed(config.seed)
    model = IMHN(config.model)
    if init:
        source = load_checkpoint(init)
        anew = initialize_from(model, source, skeleton)
        if anew and process.first:
            print(f"start anew, since {init} knows other maps: {', '.join(anew)}", file=sys.stderr)
    model = model.to(process.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    parameters = model.parameters()
    optimizer: torch.optim.Optimizer
    if config.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            parameters, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    scaler = torch.amp.GradScaler(process.device.type, enabled=config.precision == "float16")
    window = new_window(config.model.num_scales, process.device)
    return TrainState(model, average_of(model, config.ema), optimizer, scaler, window)


def _prepare_forward(model: IMHN, config: TrainConfig, process: Process) -> Any:
    """The network as the loop calls it; its parameters stay ``model``'s."""
    if config.norm == "frozen":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    if process.device.type == "cpu" and config.precision == "bfloat16":
        _keep_dilated_float32(model)
    forward: Any = model
    if process.world > 1:
        if config.norm == "sync":
            forward = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        devices = [process.device] if process.device.type == "cuda" else None
        # statistics of the norms: those of the first process count
        forward = DistributedDataParallel(forward, device_ids=devices)
    return torch.compile(forward) if config.compile else forward


def _keep_dilated_float32(model: IMHN) -> None:
    """On the CPU the gradients of dilated bfloat16 convolutions in channels-last memory are NaN."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            module.forward = _in_float32(module)  # type: ignore[method-assign]


def _in_float32(conv: nn.Conv2d) -> Any:
    def forward(x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return nn.Conv2d.forward(conv, x.float())

    return forward


def _waits(forward: Any, part: int, config: TrainConfig) -> bool:
    return isinstance(forward, DistributedDataParallel) and part < config.accumulate - 1


def _autocast(config: TrainConfig, process: Process) -> torch.autocast:
    reduced = config.precision != "float32"
    return torch.autocast(process.device.type, PRECISIONS[config.precision] if reduced else None, enabled=reduced)


def _guard(norm: Tensor, loss: Tensor, state: TrainState, config: TrainConfig) -> None:
    """Stop before a step that would spoil the weights. All processes see the same norm."""
    if bool(torch.isfinite(norm)):
        state.skipped = 0
        return
    state.skipped += 1  # the scaler leaves the step out and lowers its scale
    if config.precision != "float16" or state.skipped > MOST_SKIPPED:
        raise TrainError(
            f"step {state.step + 1}: the loss ({float(loss):.4g}) or its gradient ({float(norm):.4g}) is not finite; "
            "lower lr or set clip"
        )


def _validate(
    state: TrainState, data: TrainData, skeleton: Skeleton, config: TrainConfig, process: Process
) -> dict[str, Any]:
    """AP of the averaged weights, the images shared out over the processes."""
    # as the network saw the images: whole ones fit a square, while samples of persons have the size they have
    fit: Fit = "longer" if config.augment.frame == "image" else "height"
    predictor = Predictor(state.averaged, skeleton, device=process.device, size=config.size, fit=fit)

    def find(paths: Iterable[Path]) -> Iterator[Poses | Exception]:
        for prediction in predictor.predict_many(paths):
            yield prediction.error or prediction.poses

    report = evaluate_images(find, data.annotations, data.folder, skeleton, data.image_ids)
    values: dict[str, Any] = {}
    if report:
        if report.failed:
            name, reason = next(iter(report.failed.items()))
            raise OSError(f"{data.folder / name}: {reason}")
        people = report.people_found / report.images
        values = {**report.metrics, "AP_of": f"{report.images} {data.name}", "people_per_image": round(people, 2)}
    return dict(process.from_first(values))


def _draw(run: Path, state: TrainState, data: TrainData, skeleton: Skeleton, targets: TargetConfig) -> None:
    samples = [data.shown[i] for i in range(min(PICTURES, len(data.shown)))]
    (run / "pictures").mkdir(exist_ok=True)
    picture = draw_predictions(state.averaged, samples, skeleton, targets)
    write_image(run / "pictures" / f"step-{state.step:08d}.jpg", picture)


def _check_device(config: TrainConfig, process: Process) -> None:
    if config.precision == "float16" and process.device.type != "cuda":
        raise ValueError("precision: expected float32 or bfloat16 on the CPU, got 'float16'")
    if config.norm == "sync" and process.world > 1 and process.device.type != "cuda":
        raise ValueError("norm: expected 'batch' or 'frozen' on the CPU, PyTorch has 'sync' for CUDA alone")
