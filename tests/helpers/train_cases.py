"""Helpers of the tests of training: settings of a short run, and the weights of its last checkpoint."""

from __future__ import annotations

from simplepose.data.augment import AugmentConfig
from simplepose.network.checkpoint import load_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.training.config import TrainConfig
from simplepose.training.state import list_checkpoints

QUICK = TrainConfig(
    model=ModelConfig(stacks=1, width=16, growth=4, input_size=64),
    augment=AugmentConfig(frame="image", shift=4),
    optimizer="adamw",
    lr=1e-3,
    schedule="cosine",
    warmup_steps=2,
    epochs=2,
    batch=4,
    clip=5.0,
    ema=0.9,
    workers=0,
    log_steps=1,
    checkpoint_steps=2,
    validate_images=4,
)
"""Six optimizer steps on a small network, for tests that compare the results of two runs."""


def weights(run):
    """The weights and EMA weights of a run's last checkpoint, by name."""
    return {name: t for part in ("model", "ema") for name, t in _tensors(run, part)}


def _tensors(run, part):
    state = load_checkpoint(list_checkpoints(run)[-1] / f"{part}.safetensors").state
    return [(f"{part}.{name}", tensor) for name, tensor in state.items()]
