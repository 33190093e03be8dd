"""The state of a training run and its checkpoints: written whole or not at all, rotated, and resumed exactly."""

from __future__ import annotations

import io
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from simplepose.io.atomic import atomic_write, sync
from simplepose.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from simplepose.network.imhn import IMHN
from simplepose.network.released_names import CheckpointError
from simplepose.skeleton.skeleton import Skeleton

WEIGHTS = "model.safetensors"
AVERAGE = "average.safetensors"
REST = "training.pt"
"""The files of one checkpoint: the weights, their moving average, and the optimizer with the counts."""


@dataclass
class TrainState:
    """All that changes while a run goes on; nothing else is needed to go on from it."""

    model: IMHN
    average: AveragedModel
    optimizer: Optimizer
    scaler: torch.amp.GradScaler  # of float16; otherwise switched off
    window: Tensor  # [2 + scales] sums since the last line of the log: steps, loss, loss of each scale
    step: int = 0  # optimizer steps done
    skipped: int = 0  # steps in a row that float16 overflowed in
    best: float = -1.0  # the best AP so far
    best_step: int = 0  # when it was measured
    samples: int = 0  # that the run trains on: another number would be another run

    @property
    def averaged(self) -> IMHN:
        """The network with the averaged weights, in eval mode: what is validated and shipped."""
        return cast(IMHN, self.average.module)


def average_of(model: IMHN, decay: float) -> AveragedModel:
    """The moving average of the weights and of the norms' statistics.

    The decay is ``(1 + n) / (10 + n)`` after n updates until that reaches ``decay``, so that the initial weights,
    which know nothing, are soon forgotten.
    """

    def blend(averaged: Any, current: Any, updates: Any) -> None:
        n = int(average.n_averaged)
        get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))(averaged, current, updates)  # type: ignore[no-untyped-call]

    average = AveragedModel(model, multi_avg_fn=blend, use_buffers=True)
    average.eval().requires_grad_(False)
    return average


def save_state(run: Path, state: TrainState, skeleton: Skeleton, *, keep: int) -> Path:
    """Write the checkpoint of the present step and remove all but the newest ``keep``.

    A checkpoint is a folder that gets its name when all of it is on the disk: one that has a name is whole. Then its
    averaged weights are published.

    Raises:
        OSError: it cannot be written; those there are stay as they are.
    """
    folder = run / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{state.step:08d}"
    temporary = folder / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary.mkdir()
    try:
        notes = {"step": state.step}
        save_checkpoint(temporary / WEIGHTS, state.model, skeleton, notes=notes)
        save_checkpoint(temporary / AVERAGE, state.averaged, skeleton, notes=notes)
        with atomic_write(temporary / REST) as file:
            file.write_bytes(_rest(state))
        os.replace(temporary, path)
        sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    publish(run, path, state)
    remove_leftovers(run)
    for old in checkpoints(run)[:-keep]:
        hidden = old.with_name(f".{old.name}.old")  # so that one half removed is not taken for a whole one
        old.rename(hidden)
        shutil.rmtree(hidden)
    return path


def publish(run: Path, checkpoint: Path, state: TrainState) -> None:
    """Make ``RUN/last.safetensors`` the averaged weights of a checkpoint, and ``best.safetensors`` if none are better.

    A run that was killed before it came to this does it when it is resumed.
    """
    names = ["last.safetensors"] + ["best.safetensors"] * (state.best_step == state.step)
    for name in names:
        with atomic_write(run / name) as temporary:
            shutil.copyfile(checkpoint / AVERAGE, temporary)


def heal_buffers(model: IMHN, averaged: IMHN) -> None:
    """Statistics of the norms that a float16 forward pass spoiled become the averaged ones."""
    for buffer, good in zip(model.buffers(), averaged.buffers(), strict=True):
        if not bool(torch.isfinite(buffer).all()):
            buffer.copy_(good)


def load_state(path: Path, state: TrainState) -> None:
    """Go back to a checkpoint.

    Raises:
        CheckpointError: a file in it is damaged or of another network; the message names it.
    """
    state.model.load_state_dict(load_checkpoint(path / WEIGHTS).state)
    state.averaged.load_state_dict(load_checkpoint(path / AVERAGE).state)
    try:
        rest = torch.load(path / REST, map_location="cpu", weights_only=True)
        state.optimizer.load_state_dict(rest["optimizer"])
        state.scaler.load_state_dict(rest["scaler"])
        state.window.copy_(rest["window"])
        state.average.n_averaged.fill_(rest["updates"])
        state.step, state.skipped, state.samples = rest["step"], rest["skipped"], rest["samples"]
        state.best, state.best_step = rest["best"], rest["best_step"]
    except Exception as error:  # a damaged pickle can fail in any way
        raise CheckpointError(f"{path / REST}: damaged or of another run ({error})") from None


def checkpoints(run: Path) -> list[Path]:
    """The whole checkpoints of a run, the oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def remove_leftovers(run: Path) -> None:
    """Remove what a run that was killed while it wrote left behind."""
    for path in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(path)
    for path in (*run.glob(".*.tmp"), *(run / "pictures").glob(".*.tmp")):
        path.unlink()


def initialize_from(model: IMHN, source: Checkpoint, skeleton: Skeleton) -> list[str]:
    """Give ``model`` the weights of another network, also one of another skeleton.

    Layers that make or take maps start anew where the skeletons differ, even if their sizes fit: their channels mean
    something else.

    Returns:
        The names of the tensors that start anew.

    Raises:
        ValueError: the networks differ in more than their maps.
    """
    for name in ("stacks", "width", "growth", "spatial_attention", "channel_attention", "plain_hourglass"):
        expected, got = getattr(model.config, name), getattr(source.config, name)
        if expected != got:
            raise ValueError(f"init: expected a network with {name} {expected}, as is trained, got {got}")
    same = source.skeleton.keypoints == skeleton.keypoints and source.skeleton.parts == skeleton.parts
    anew = [] if same else [name for name in model.state_dict() if _knows_maps(name)]
    kept = {name: tensor for name, tensor in source.state.items() if name not in anew}
    model.load_state_dict(kept, strict=False)
    return anew


def _knows_maps(name: str) -> bool:
    return ".predict." in name or (".merges." in name and ".maps." in name)


def _rest(state: TrainState) -> bytes:
    # through memory: torch reports a full disk as some RuntimeError, a plain write as what it is
    buffer = io.BytesIO()
    rest = {
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "window": state.window.cpu(),
        "updates": int(state.average.n_averaged),
        "step": state.step,
        "skipped": state.skipped,
        "best": state.best,
        "best_step": state.best_step,
        "samples": state.samples,
    }
    torch.save(rest, buffer)
    return buffer.getvalue()
