"""What the tests of training share: short settings, and the weights that a run left."""

from __future__ import annotations

from simplepose.data.augment import AugmentConfig
from simplepose.network.checkpoint import load_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.training.config import TrainConfig
from simplepose.training.state import checkpoints

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
"""Six steps of a network that learns nothing in them: what is asked here is only that they are the same."""


def weights(run):
    return {name: t for part in ("model", "average") for name, t in _tensors(run, part)}


def _tensors(run, part):
    state = load_checkpoint(checkpoints(run)[-1] / f"{part}.safetensors").state
    return [(f"{part}.{name}", tensor) for name, tensor in state.items()]
