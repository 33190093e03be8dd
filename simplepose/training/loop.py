"""The training loop of `simplepose train` (docs/design.md, Training), also under `torchrun -m simplepose train`.

All random numbers depend on (seed, epoch, index) only, not on earlier ones. A run that is killed and resumed therefore
gives the result of an uninterrupted run; on the CPU with the same number of threads it is bit-identical.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from simplepose.data.dataset import make_loader
from simplepose.data.images import SizedImage, write_image
from simplepose.data.targets import make_targets
from simplepose.evaluation.evaluate import evaluate_images
from simplepose.inference.config import PredictorConfig
from simplepose.inference.frame import Fit
from simplepose.inference.predictor import PRECISIONS, Predictor
from simplepose.network.base import PoseNetwork
from simplepose.network.build import build_model
from simplepose.network.checkpoint import load_checkpoint
from simplepose.ops.config import TargetConfig
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton
from simplepose.training.config import TrainConfig
from simplepose.training.data import BatchSampler, TrainData, open_data
from simplepose.training.distributed import Process, join_processes
from simplepose.training.errors import TrainError, explain_errors
from simplepose.training.log import TrainLog, check_tensorboard, draw_predictions, new_running_sums, running_means
from simplepose.training.loss import pose_loss
from simplepose.training.optimizer import (
    clip_gradients,
    freeze_parameters,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from simplepose.training.run_folder import prepare_run_folder, remove_run_folder
from simplepose.training.state import (
    TrainState,
    initialize_from,
    list_checkpoints,
    load_state,
    make_ema,
    publish_weights,
    reset_nonfinite_buffers,
    save_state,
)
from simplepose.training.transfer import can_transfer, new_maps

MAX_SKIPPED_STEPS = 32
"""Consecutive steps that float16 may skip while the loss scale adapts; after more, the loss itself is not finite."""

NUM_PREVIEW_SAMPLES = 6
"""Samples in the picture of predictions and targets."""


class TrainReport(NamedTuple):
    """The result of `train`."""

    run: Path  # last.safetensors, best.safetensors, log.jsonl, curves.png, pictures/, checkpoints/
    steps: int
    metrics: dict[str, float | str]  # of the last validation; AP_of names the images
    best: float  # the highest AP of the run; -1 before the first validation
    warnings: tuple[str, ...] = ()  # what was computed or left out in the annotation files, one line each


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
        config: the settings of the run.
        run: the folder for the results: new or empty, or with ``resume`` the folder of an existing run.
        skeleton: the keypoints and parts to learn.
        resume: continue from the last checkpoint in ``run``. ``config`` must equal that run's settings except for
            those in `CHANGEABLE_ON_RESUME`.
        device: "auto" selects a CUDA device if there is one.
        tensorboard: also write TensorBoard files.
        stop_step: stop after this step and write a checkpoint; default: the last step of the last epoch.

    Raises:
        ValueError: a setting is invalid, or differs from the resumed run's.
        FileExistsError: the folder of a new run has content.
        FileNotFoundError: data are missing, or there is no run to resume.
        TrainError: the loss is not finite, or memory ran out; the message names the last good checkpoint.
        OSError: a file cannot be read or written.
    """
    run = Path(run)
    if tensorboard:
        check_tensorboard()
    with join_processes(device) as process, explain_errors(run, config):
        _check_device(config, process)
        if process.is_main:
            prepare_run_folder(run, config, skeleton, resume)
        process.barrier()
        setup = _set_up(config, run, skeleton, process, resume)
        total = config.epochs * setup.sampler.steps_per_epoch
        logs = TrainLog(run, setup.state.step, total, tensorboard=tensorboard) if process.is_main else nullcontext()
        with logs as log:
            return _loop(config, run, skeleton, process, setup, log, total if stop_step is None else stop_step)


class Forward(Protocol):
    """`PoseNetwork.forward` in training, possibly distributed and compiled."""

    def __call__(self, x: Tensor, *, all_outputs: Literal[True]) -> list[list[Tensor]]:
        """Images ``[B, 3, H, W]`` to ``[stack][scale]`` maps."""


class Setup(NamedTuple):
    """The objects that the loop uses."""

    data: TrainData
    sampler: BatchSampler
    loader: DataLoader[Any]  # of `Batch`
    state: TrainState
    forward: Forward


def _set_up(config: TrainConfig, run: Path, skeleton: Skeleton, process: Process, resume: bool) -> Setup:
    """Open the data and create or restore the state. If this fails for a new run, its folder is removed."""
    try:
        data = open_data(config, skeleton, run, process)
        sampler = BatchSampler(len(data.samples), config, process)
        pinned = process.device.type == "cuda"
        loader = make_loader(data.samples, workers=config.workers, batch_sampler=sampler, pin_memory=pinned)
        saved = list_checkpoints(run)
        state = _initial_state(config, skeleton, process, None if saved else config.init)
        if saved:
            _resume_from(run, saved[-1], state, len(data.samples), process)
        if process.broadcast(state.step) != state.step:  # collective: every process must call it
            raise ValueError(f"resume: {run} differs between the processes; expected a folder that all machines share")
        state.num_samples = len(data.samples)
        return Setup(data, sampler, loader, state, _prepare_forward(state.model, config, process))
    except BaseException:
        if process.is_main and not resume:
            remove_run_folder(run)
        raise


def _loop(
    config: TrainConfig,
    run: Path,
    skeleton: Skeleton,
    process: Process,
    setup: Setup,
    log: TrainLog | None,
    stop_step: int,
) -> TrainReport:
    """All optimizer steps of one process; the main process has a ``log`` and writes the files."""
    data, sampler, loader, state, forward = setup
    targets = config.targets
    total = config.epochs * sampler.steps_per_epoch
    metrics: dict[str, Any] = {}
    if log:
        log.write_line(f"training settings:\n{config.describe()}")
        log.write_line(
            f"{len(data.samples)} samples, {sampler.steps_per_epoch} steps an epoch, {process.world_size} processes on "
            f"{process.device.type}, from step {state.step} of {total}"
        )

    for epoch in range(state.step // sampler.steps_per_epoch, config.epochs):
        if state.step >= stop_step or _refuses_to_improve(state, config, sampler.steps_per_epoch):
            break
        data.samples.set_epoch(epoch)
        sampler.start_at(epoch, state.step % sampler.steps_per_epoch)
        batches = iter(loader)
        loss_config = config.loss if epoch >= config.l2_epochs else replace(config.loss, gamma=0.0)
        for _ in range(sampler.first_step, sampler.steps_per_epoch):
            rate = learning_rate(config, state.step, sampler.steps_per_epoch)
            set_learning_rate(state.optimizer, rate)

            for micro_batch in range(config.accumulate):
                batch = next(batches).to(process.device, non_blocking=True)
                supervision = make_targets(batch, skeleton, targets, scales=config.model.num_scales)
                # gradients are all-reduced once per step, in the last backward pass
                with _gradient_sync(forward, last=micro_batch == config.accumulate - 1):
                    with _autocast(config, process):
                        maps = forward(batch.inputs(), all_outputs=True)
                    # averaged over the processes, these sums give the mean over the whole batch
                    divisor = config.batch / process.world_size
                    loss = pose_loss(
                        maps,
                        supervision.targets,
                        supervision.mask,
                        skeleton=skeleton,
                        config=loss_config,
                        encoding=config.model.encoding,
                        divisor=divisor,
                    )
                    state.scaler.scale(loss.total).backward()  # type: ignore[no-untyped-call]
                state.running_sums[1] += loss.total.detach()
                state.running_sums[2:] += loss.scales / divisor
            state.running_sums[0] += 1

            state.scaler.unscale_(state.optimizer)
            norm = clip_gradients(state.optimizer, config.clip)
            _check_finite(norm, loss.total.detach(), state, config)
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.optimizer.zero_grad(set_to_none=True)
            if state.skipped_steps:
                reset_nonfinite_buffers(state.model, state.ema_model)
            else:
                state.ema.update_parameters(state.model)
            state.step += 1

            ends_epoch = state.step % sampler.steps_per_epoch == 0
            stops = state.step == stop_step
            validates = ends_epoch and ((epoch + 1) % config.validate_epochs == 0 or state.step == total)
            if state.step % config.log_steps == 0 or state.step == total:
                values = running_means(process.mean(state.running_sums), config.model.strides)
                state.running_sums.zero_()
                if log:
                    log.log_steps(state.step, config.batch, **values, lr=rate, gradient_norm=float(norm))
            if validates:
                metrics = _validate(state, data, skeleton, config, process)
                if metrics["AP"] > state.best_ap:
                    state.best_ap, state.best_step = metrics["AP"], state.step
                if log:
                    log.log_validation(state.step, epoch=epoch + 1, **metrics)
                    _write_picture(run, state, data, skeleton, targets)
            if process.is_main and (validates or stops or state.step % config.checkpoint_steps == 0):
                save_state(run, state, skeleton, keep=config.keep)
            if stops:
                break

    if log and not metrics:  # no validation since the start or resumption
        metrics = next((r for r in reversed(log.records) if "AP" in r), {})
    process.barrier()
    return TrainReport(run, state.step, metrics, state.best_ap, data.warnings)


def _refuses_to_improve(state: TrainState, config: TrainConfig, steps_per_epoch: int) -> bool:
    """Whether the last ``config.stop_after`` validations did not reach the highest AP."""
    validations = (state.step - state.best_step) // (steps_per_epoch * config.validate_epochs)
    return config.stop_after > 0 and state.best_ap >= 0 and validations >= config.stop_after


def _resume_from(run: Path, checkpoint: Path, state: TrainState, samples: int, process: Process) -> None:
    """Restore the state of a checkpoint, and publish its weights again, since the run may have been killed before."""
    load_state(checkpoint, state)
    if state.num_samples != samples:
        raise ValueError(f"data: expected {state.num_samples} samples, as when the run started, got {samples}")
    if process.is_main:
        publish_weights(run, checkpoint, state)


def _initial_state(config: TrainConfig, skeleton: Skeleton, process: Process, init: str | None) -> TrainState:
    """The state before the first step, identical on every process."""
    torch.manual_seed(config.seed)
    model = build_model(config.model)
    use: Mapping[str, Any] = {}
    if init:
        source = load_checkpoint(init)
        use = source.use
        reinitialized = initialize_from(model, source, skeleton)
        if reinitialized and process.is_main:
            new = new_maps(source.skeleton, skeleton)
            if can_transfer(source.config, config.model) and len(new) < skeleton.num_parts + skeleton.num_keypoints:
                print(f"init: {init} has another skeleton; maps that start anew: {', '.join(new)}", file=sys.stderr)
            else:
                tensors = ", ".join(reinitialized)
                print(f"reinitialized, since {init} has another skeleton or encoding: {tensors}", file=sys.stderr)
    model = model.to(process.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    freeze_parameters(model, config.freeze)
    optimizer = make_optimizer(model, config)
    scaler = torch.amp.GradScaler(process.device.type, enabled=config.precision == "float16")
    running_sums = new_running_sums(config.model.num_scales, process.device)
    return TrainState(model, make_ema(model, config.ema), optimizer, scaler, running_sums, use=use)


def _prepare_forward(model: PoseNetwork, config: TrainConfig, process: Process) -> Forward:
    """The callable that the loop trains through; it shares its parameters with ``model``."""
    if config.norm == "frozen":
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
    if process.device.type == "cpu" and config.precision == "bfloat16":
        _keep_dilated_float32(model)
    forward: Any = model
    if process.world_size > 1:
        if config.norm == "sync":
            forward = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        devices = [process.device] if process.device.type == "cuda" else None
        # DistributedDataParallel broadcasts the BatchNorm statistics of rank 0 before each forward pass
        forward = DistributedDataParallel(forward, device_ids=devices)
    return torch.compile(forward) if config.compile else forward


def _keep_dilated_float32(model: PoseNetwork) -> None:
    """Run dilated convolutions in float32: their bfloat16 gradients are NaN on the CPU in channels-last memory."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            module.forward = _in_float32(module)  # type: ignore[method-assign, assignment]


def _in_float32(conv: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return nn.Conv2d.forward(conv, x.float())

    return forward


def _gradient_sync(forward: Forward, *, last: bool) -> AbstractContextManager[None]:
    """Context of one backward pass; all but the last of a step leave out the all-reduce of the gradients."""
    if isinstance(forward, DistributedDataParallel) and not last:
        return cast(AbstractContextManager[None], forward.no_sync())
    return nullcontext()


def _autocast(config: TrainConfig, process: Process) -> torch.autocast:
    reduced = config.precision != "float32"
    return torch.autocast(process.device.type, PRECISIONS[config.precision] if reduced else None, enabled=reduced)


def _check_finite(norm: Tensor, loss: Tensor, state: TrainState, config: TrainConfig) -> None:
    """Raise TrainError before a non-finite gradient reaches the weights. The norm is the same on all processes."""
    if bool(torch.isfinite(norm)):
        state.skipped_steps = 0
        return
    state.skipped_steps += 1  # GradScaler skips the step and lowers the loss scale
    if config.precision != "float16" or state.skipped_steps > MAX_SKIPPED_STEPS:
        raise TrainError(
            f"step {state.step + 1}: the loss ({float(loss):.4g}) or its gradient ({float(norm):.4g}) is not finite; "
            "lower lr or set clip"
        )


def _validate(
    state: TrainState, data: TrainData, skeleton: Skeleton, config: TrainConfig, process: Process
) -> dict[str, Any]:
    """The AP of the EMA weights; each process evaluates a part of the images."""
    # as the weights are used; else as in training: whole images are fitted into a square, crops have a fixed scale
    fit: Fit = "longer" if config.augment.frame == "image" else "height"
    settings = PredictorConfig.from_use({"size": config.size, "fit": fit, **state.use}, "evaluation")
    predictor = Predictor(state.ema_model, skeleton, settings, device=process.device)

    def predict(files: Iterable[SizedImage]) -> Iterator[Poses | Exception]:
        for prediction in predictor.predict_many(files):
            yield prediction.error or prediction.poses

    report = evaluate_images(predict, data.annotations, data.image_ids)
    values: dict[str, Any] = {}
    if report:
        if report.failed:
            raise OSError(next(iter(report.failed.values())))  # begins with the path
        people = report.people_found / report.images
        values = {**report.metrics, "AP_of": f"{report.images} {data.split}", "people_per_image": round(people, 2)}
    return dict(process.broadcast(values))


def _write_picture(run: Path, state: TrainState, data: TrainData, skeleton: Skeleton, targets: TargetConfig) -> None:
    """Write ``RUN/pictures/step-N.jpg``: ground truth, targets and predictions of the first evaluation images."""
    samples = [data.preview[i] for i in range(min(NUM_PREVIEW_SAMPLES, len(data.preview)))]
    (run / "pictures").mkdir(exist_ok=True)
    picture = draw_predictions(state.ema_model, samples, skeleton, targets)
    write_image(run / "pictures" / f"step-{state.step:08d}.jpg", picture)


def _check_device(config: TrainConfig, process: Process) -> None:
    if config.precision == "float16" and process.device.type != "cuda":
        raise ValueError("precision: expected float32 or bfloat16 on the CPU, got 'float16'")
    if config.norm == "sync" and process.world_size > 1 and process.device.type != "cuda":
        raise ValueError("norm: expected 'batch' or 'frozen' on the CPU, PyTorch supports 'sync' on CUDA only")
