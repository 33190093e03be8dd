"""The settings of a training run: one frozen dataclass, its presets, its JSON form and the learning rate of a step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args

from simplepose.checks import UNLIMITED, check_choice, check_count, check_flag, check_number
from simplepose.data.augment import AugmentConfig
from simplepose.network.config import ModelConfig
from simplepose.ops.config import Shape, TargetConfig
from simplepose.skeleton.skeleton import COCO, Skeleton
from simplepose.training.loss import LossConfig

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["step", "cosine", "constant"]
Precision = Literal["float32", "bfloat16", "float16"]
Norm = Literal["batch", "sync", "frozen"]

WHERE = ("data", "images", "val", "val_images", "workers")
"""Settings that may change between the parts of a run: where things lie and how they are read, not what they are."""


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides what a run gives; the defaults are the paper's (DESIGN section 7)."""

    data: str = ""  # annotation file, data folder, or synth:N,SEED
    images: str | None = None  # image folder; None: found beside the annotations
    val: str | None = None  # as data, for the AP; None: the AP is that of training images, and says so
    val_images: str | None = None
    init: str | None = None  # checkpoint whose weights the run starts from
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    shape: Shape = "ellipse"  # of the part targets; "line": the released code's
    sigma: float = 1.0  # widths of the targets, relative to the paper's at this input size
    l2_epochs: int = 0  # so many epochs at first have plain L2, whatever the loss
    epochs: int = 60
    batch: int = 32  # samples of an optimizer step, over all processes
    accumulate: int = 1  # forward and backward passes that share a step's batch
    optimizer: Optimizer = "sgd"
    lr: float = 1e-4
    momentum: float = 0.9  # of SGD
    weight_decay: float = 5e-4
    schedule: Schedule = "step"
    warmup_steps: int = 1000  # the learning rate rises linearly over them
    decay_epochs: int = 15  # schedule="step": every so many epochs ...
    decay: float = 0.2  # ... the learning rate is multiplied by this
    clip: float = 0.0  # greatest norm of the gradient; 0: no limit
    ema: float = 0.0  # decay of the averaged weights that are validated and shipped; 0: the weights as they are
    norm: Norm = "batch"  # "sync": statistics over all processes (CUDA); "frozen": they stay what they are
    precision: Precision = "float32"  # of the network's arithmetic, by autocast; the loss is float32
    compile: bool = False  # torch.compile
    workers: int = 4  # processes that read samples, for each training process
    cache_mb: int = 0  # decoded images that each worker may keep
    seed: int = 0
    log_steps: int = 50  # a line of the log every so many steps
    checkpoint_steps: int = 1000  # and a checkpoint; one at each validation too
    keep: int = 2  # checkpoints that are kept to go on from
    validate_epochs: int = 1  # AP and pictures every so many epochs, and at the end
    validate_images: int = 200  # the first so many images

    def __post_init__(self) -> None:
        for name in (
            *("epochs", "batch", "accumulate", "decay_epochs", "log_steps", "checkpoint_steps"),
            *("keep", "validate_epochs", "validate_images"),
        ):
            check_count(name, getattr(self, name), 1, UNLIMITED)
        for name in ("l2_epochs", "warmup_steps", "workers", "cache_mb", "seed"):
            check_count(name, getattr(self, name), 0, UNLIMITED)
        for name, most in {"lr": 1e3, "weight_decay": 1e3, "clip": 1e9, "decay": 1.0}.items():
            check_number(name, getattr(self, name), least=0, most=most)
        for name in ("momentum", "ema"):
            check_number(name, getattr(self, name), least=0, below=1)
        check_flag("compile", self.compile)
        check_number("sigma", self.sigma, least=0.1, most=10)
        choices = {"optimizer": Optimizer, "schedule": Schedule, "norm": Norm, "precision": Precision, "shape": Shape}
        for name, kind in choices.items():
            check_choice(name, getattr(self, name), get_args(kind))
        if self.batch % self.accumulate:
            raise ValueError(f"accumulate: expected a divisor of the batch {self.batch}, got {self.accumulate}")

    @property
    def size(self) -> int:
        """The side of a training sample in pixels."""
        return self.model.input_size

    @property
    def targets(self) -> TargetConfig:
        """How the target maps are drawn."""
        config = TargetConfig.for_input(self.size, shape=self.shape)
        widths = (config.keypoint_sigma * self.sigma, config.part_sigma * self.sigma)
        return replace(config, keypoint_sigma=widths[0], part_sigma=widths[1])

    @classmethod
    def preset(cls, name: str, skeleton: Skeleton = COCO, **changes: Any) -> TrainConfig:
        """The settings of that name with the channels of ``skeleton``.

        Raises:
            ValueError: there is no such preset; the message lists those there are.
        """
        if name not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
        config = PRESETS[name]
        model = replace(config.model, channels=skeleton.num_channels)
        return replace(config, **{"model": model, **changes})

    def with_values(self, values: Mapping[str, Any]) -> TrainConfig:
        """Changed settings by name, those of the parts after a dot: ``{"lr": 1e-3, "model.width": 64}``.

        Raises:
            ValueError: there is no such setting, or it does not take the value.
        """
        changes: dict[str, dict[str, Any]] = {"": {}}  # together, since some are right only with others
        for name, value in values.items():
            part, _, rest = name.rpartition(".")
            owner = getattr(self, part, None) if part else self
            if not is_dataclass(owner) or rest not in {f.name for f in fields(owner)}:
                raise ValueError(f"settings: there is no {name!r}; known are {', '.join(_flat(self))}")
            changes.setdefault(part, {})[rest] = tuple(value) if isinstance(value, list) else value
        whole = changes.pop("")
        for part, inner in changes.items():
            whole[part] = replace(whole.get(part, getattr(self, part)), **inner)
        return replace(self, **whole)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as JSON holds them; ``from_dict`` reads it back."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """The settings that ``to_dict`` wrote; unknown ones are refused, missing ones have their default."""
        parts = {"model": ModelConfig, "augment": AugmentConfig, "loss": LossConfig}
        if unknown := sorted(data.keys() - {f.name for f in fields(cls)}):
            raise ValueError(f"training settings: unknown {', '.join(unknown)}")
        values = {name: parts[name](**_tuples(v)) if name in parts else v for name, v in data.items()}
        return cls(**values)

    def describe(self) -> str:
        """One line a setting, for people."""
        return "\n".join(f"  {name} = {value}" for name, value in _flat(self).items())

    def differences(self, other: TrainConfig) -> list[str]:
        """What differs in what a run gives, as ``name: here, there``."""
        here, there = _flat(self), _flat(other)
        return [f"{name}: {here[name]}, {there[name]}" for name in here if here[name] != there[name]]


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of optimizer step ``step``, the first being 0."""
    total = config.epochs * steps_per_epoch
    rise = min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * step / total))
    elif config.schedule == "step":
        factor = config.decay ** (step // steps_per_epoch // config.decay_epochs)
    else:
        factor = 1.0
    return config.lr * rise * factor


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        values |= _flat(value, f"{f.name}.") if is_dataclass(value) else {prefix + f.name: value}
    return values


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no tuples, and frozen settings no lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


_PAPER = TrainConfig(l2_epochs=15, precision="float16", norm="sync")

_QUICK = TrainConfig(optimizer="adamw", lr=3e-3, schedule="cosine", weight_decay=1e-4, norm="batch")

_BY_HEART = replace(
    _QUICK,
    augment=AugmentConfig.none(),
    loss=LossConfig.released(),
    batch=8,
    warmup_steps=20,
    clip=2.0,
    workers=0,
    cache_mb=512,
    log_steps=20,
)

PRESETS = {
    # The paper's schedule: L2, then focal L2, at 384; then focal L2 at 512 from those weights (--init).
    "imhn3-384": replace(_PAPER, model=ModelConfig(stacks=3, input_size=384)),
    "imhn4-384": replace(_PAPER, model=ModelConfig(input_size=384)),
    "imhn4-512": replace(_PAPER, model=ModelConfig(), l2_epochs=0, epochs=40),
    # The network that ships, on whole synthetic images, for the CPU. New images teach a short run more than bent ones,
    # and plain L2 leaves fewer poses that nobody stands for than the focal loss.
    "tiny": replace(
        _QUICK,
        model=ModelConfig(stacks=1, width=64, growth=32, input_size=256),
        augment=AugmentConfig.none(flip=0.5),
        loss=LossConfig.l2(),
        lr=2e-3,
        epochs=7,
        batch=8,
        warmup_steps=100,
        clip=2.0,
        ema=0.999,
        workers=1,
        log_steps=100,
        checkpoint_steps=500,
    ),
    # A few images by heart: shows that images, targets, loss, network, decoding and evaluation fit together.
    "overfit": replace(
        _BY_HEART,
        model=ModelConfig(stacks=1, width=32, growth=16, input_size=128),
        epochs=160,
        ema=0.95,
        validate_epochs=80,
    ),
    # The same with a handful of real photos, where people are smaller.
    "photos": replace(
        _BY_HEART,
        model=ModelConfig(stacks=1, width=48, growth=16, input_size=320),
        loss=LossConfig.l2(),
        epochs=600,
        ema=0.98,
        checkpoint_steps=100,
        validate_epochs=200,
    ),
}
"""The runs that have a name."""
