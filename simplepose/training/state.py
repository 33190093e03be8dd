"""The state of a training run and its checkpoints: written atomically, rotated, and resumed bit by bit."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from simplepose.io.atomic import atomic_write, sync
from simplepose.network.base import PoseNetwork
from simplepose.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.tensors import CheckpointError
from simplepose.skeleton.skeleton import Skeleton
from simplepose.training.transfer import can_transfer, shared_channels, transfer

WEIGHTS = "model.safetensors"
EMA_WEIGHTS = "ema.safetensors"
TRAINING_STATE = "training.pt"
"""The files of one checkpoint: the weights, their exponential moving average, and optimizer, scaler and counters."""


COUNTERS = ("step", "skipped_steps", "best_ap", "best_step", "num_samples")
"""The plain numbers of `TrainState`."""


@dataclass
class TrainState:
    """Everything that changes during a run, and so everything that a checkpoint stores."""

    model: PoseNetwork
    ema: AveragedModel  # exponential moving average of the weights
    optimizer: Optimizer
    scaler: torch.amp.GradScaler  # loss scaling of float16; disabled otherwise
    running_sums: Tensor  # [2 + S] since the last log record: steps, loss, loss of each of S scales
    step: int = 0  # completed optimizer steps
    skipped_steps: int = 0  # consecutive steps skipped because a float16 gradient overflowed
    best_ap: float = -1.0  # highest AP so far; -1 before the first validation
    best_step: int = 0  # step of the highest AP
    num_samples: int = 0  # size of the training set; it must not change on resume
    use: Mapping[str, Any] = field(default_factory=dict)  # `Checkpoint.use` of the initial weights

    @property
    def ema_model(self) -> PoseNetwork:
        """The network with the EMA weights, in eval mode; validation and published checkpoints use it."""
        return cast(PoseNetwork, self.ema.module)


def make_ema(model: PoseNetwork, decay: float) -> AveragedModel:
    """The exponential moving average of a model's weights and BatchNorm statistics.

    After n updates the decay is ``min(decay, (1 + n) / (10 + n))``: a small decay at the start removes the influence
    of the random initial weights quickly.
    """

    def update(averaged: Any, current: Any, updates: Any) -> None:
        n = int(ema.n_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, updates)  # type: ignore[no-untyped-call]

    ema = AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    ema.eval().requires_grad_(False)
    return ema


def save_state(run: Path, state: TrainState, skeleton: Skeleton, *, keep: int) -> Path:
    """Write a checkpoint of the current step, publish its EMA weights, and remove all but the newest ``keep``.

    A checkpoint is a folder. It is written under a temporary name and renamed when it is complete and synced to disk.

    Returns:
        The checkpoint's folder.

    Raises:
        OSError: it cannot be written; existing checkpoints are left unchanged.
    """
    folder = run / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{state.step:08d}"
    temporary = folder / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary.mkdir()
    try:
        notes = {"step": state.step}
        save_checkpoint(temporary / WEIGHTS, state.model, skeleton, notes=notes, use=state.use)
        save_checkpoint(temporary / EMA_WEIGHTS, state.ema_model, skeleton, notes=notes, use=state.use)
        with atomic_write(temporary / TRAINING_STATE) as file:
            file.write_bytes(_training_state(state))
        os.replace(temporary, path)
        sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    publish_weights(run, path, state)
    remove_temporary_files(run)
    for old in list_checkpoints(run)[:-keep]:
        hidden = old.with_name(f".{old.name}.old")  # a partly removed folder must not look like a checkpoint
        old.rename(hidden)
        shutil.rmtree(hidden)
    return path


def publish_weights(run: Path, checkpoint: Path, state: TrainState) -> None:
    """Copy a checkpoint's EMA weights to ``RUN/last.safetensors``, and to ``best.safetensors`` if its AP is the best.

    A resumed run calls it again, because the run may have been killed between checkpoint and copy.
    """
    names = ["last.safetensors"] + ["best.safetensors"] * (state.best_step == state.step)
    for name in names:
        with atomic_write(run / name) as temporary:
            shutil.copyfile(checkpoint / EMA_WEIGHTS, temporary)


def reset_nonfinite_buffers(model: PoseNetwork, ema_model: PoseNetwork) -> None:
    """Replace BatchNorm statistics that a float16 overflow made non-finite by those of the EMA model."""
    for buffer, ema_buffer in zip(model.buffers(), ema_model.buffers(), strict=True):
        if not bool(torch.isfinite(buffer).all()):
            buffer.copy_(ema_buffer)


def load_state(path: Path, state: TrainState) -> None:
    """Restore ``state`` from a checkpoint folder.

    Raises:
        CheckpointError: a file is damaged or belongs to another network; the message names it.
    """
    checkpoint = load_checkpoint(path / WEIGHTS)
    state.model.load_state_dict(checkpoint.state)
    state.use = checkpoint.use
    state.ema_model.load_state_dict(load_checkpoint(path / EMA_WEIGHTS).state)
    try:
        saved = torch.load(path / TRAINING_STATE, map_location="cpu", weights_only=True)
        state.optimizer.load_state_dict(saved["optimizer"])
        state.scaler.load_state_dict(saved["scaler"])
        state.running_sums.copy_(saved["running_sums"])
        state.ema.n_averaged.fill_(saved["ema_updates"])
        for name in COUNTERS:
            setattr(state, name, saved[name])
    except Exception as error:  # a damaged pickle can raise any exception
        raise CheckpointError(f"{path / TRAINING_STATE}: damaged or of another run ({error})") from None


def list_checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def remove_temporary_files(run: Path) -> None:
    """Remove the incomplete files of a run that was killed while it was writing."""
    for path in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(path)
    for path in (*run.glob(".*.tmp"), *(run / "pictures").glob(".*.tmp")):
        path.unlink()


def initialize_from(model: PoseNetwork, source: Checkpoint, skeleton: Skeleton) -> list[str]:
    """Copy the weights of a checkpoint into ``model``; the checkpoint may have another skeleton.

    If the skeletons differ, the layers that output or read maps keep their trained weights for the keypoints and parts
    that both name, and their random initial weights for the others. If the encodings of parts differ, or with CMU-Net
    and part affinity fields, all of these layers keep their random initial weights.

    Returns:
        The names of the tensors that are reinitialized, some of their channels or all.

    Raises:
        ValueError: the architectures differ in more than the number of channels.
    """
    free = ("channels", "input_size", "part_channels", "encoding")
    for name in (f.name for f in fields(ModelConfig) if f.name not in free):
        expected, got = getattr(model.config, name), getattr(source.config, name)
        if expected != got:
            raise ValueError(f"init: expected a network with {name} {expected}, as in the settings, got {got}")
    config = model.config
    if bool(config.part_channels) != bool(source.config.part_channels):
        raise ValueError("init: expected a network with as many branches as in the settings")
    state = dict(source.state)
    partly = [name for name in state if _depends_on_channels(name)]
    shared = shared_channels(source.skeleton, skeleton) if can_transfer(source.config, config) else {}
    same = source.skeleton.keypoints == skeleton.keypoints and source.skeleton.parts == skeleton.parts
    if same and source.config.encoding == config.encoding:
        partly = []
    for name in partly:
        if shared:
            state[name] = transfer(name, source.state[name], model.state_dict()[name], shared)
        else:
            del state[name]
    model.load_state_dict(state, strict=False)
    return partly if len(shared) < skeleton.num_channels else []


def _depends_on_channels(name: str) -> bool:
    return ".predict." in name or ".join." in name or (".merges." in name and ".maps." in name)


def _training_state(state: TrainState) -> bytes:
    # Serialized in memory first: torch.save reports a full disk as a RuntimeError, a plain write as an OSError.
    buffer = io.BytesIO()
    values = {
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "running_sums": state.running_sums.cpu(),
        "ema_updates": int(state.ema.n_averaged),
        **{name: getattr(state, name) for name in COUNTERS},
    }
    torch.save(values, buffer)
    return buffer.getvalue()
