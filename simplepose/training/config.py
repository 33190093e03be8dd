"""The settings of a training run: one frozen dataclass, its presets, its JSON form and the learning-rate schedule."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal, get_args

from simplepose.checks import (
    UNLIMITED,
    brief,
    check_choice,
    check_count,
    check_flag,
    check_instance,
    check_number,
    one_line,
)
from simplepose.data.augment import AugmentConfig
from simplepose.network.config import PRESETS as MODEL_PRESETS
from simplepose.network.config import ModelConfig
from simplepose.network.optimize import Precision
from simplepose.ops.config import Shape, TargetConfig
from simplepose.skeleton.skeleton import COCO, Skeleton
from simplepose.training.loss import LossConfig

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["step", "cosine", "constant"]
Norm = Literal["batch", "sync", "frozen"]

CHANGEABLE_ON_RESUME = ("data", "images", "val", "val_images", "workers")
"""The settings that may change when a run is resumed: the locations of the data and the number of workers."""


COUNTS = (
    *((name, 1, UNLIMITED) for name in ("epochs", "batch", "accumulate", "decay_epochs", "log_steps")),
    *((name, 1, UNLIMITED) for name in ("checkpoint_steps", "keep", "validate_epochs", "validate_images")),
    *((name, 0, UNLIMITED) for name in ("l2_epochs", "warmup_steps", "cache_mb", "seed", "stop_after")),
    ("workers", 0, 1024),
)
"""The settings that are counts, each with its minimum and maximum."""


@dataclass(frozen=True)
class TrainConfig:
    """The settings that determine the result of a run; the defaults are the paper's (docs/design.md, Training)."""

    data: str | tuple[str, ...] = ""  # annotation file, data folder, or synth:N,SEED; several are one training set
    images: str | tuple[str, ...] | None = None  # image folder of each; None: searched for beside the annotations
    val: str | None = None  # validation data, as ``data``; None: the AP is measured on training images
    val_images: str | None = None  # image folder of the validation data
    init: str | None = None  # checkpoint with the initial weights; None: random
    model: ModelConfig = field(default_factory=ModelConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    shape: Shape = "ellipse"  # of the part targets; "line": as in the released code
    sigma: float = 1.0  # factor on the paper's standard deviations of the targets at this input size
    l2_epochs: int = 0  # the number of first epochs that use plain L2 instead of ``loss``
    epochs: int = 60
    batch: int = 32  # samples per optimizer step, summed over all processes
    accumulate: int = 1  # forward and backward passes per optimizer step
    optimizer: Optimizer = "sgd"
    lr: float = 1e-4
    momentum: float = 0.9  # of SGD
    weight_decay: float = 5e-4
    schedule: Schedule = "step"
    warmup_steps: int = 1000  # steps of linear warm-up of the learning rate
    decay_epochs: int = 15  # schedule="step": epochs between two decays of the learning rate
    decay: float = 0.2  # schedule="step": factor of one decay
    clip: float = 0.0  # maximum norm of the gradient, of the encoder's apart if it has a rate of its own; 0: none
    freeze: tuple[str, ...] = ()  # parts that are not trained, by name, such as "encoder" or "encoder.blocks.3"
    encoder_lr: float = 1.0  # model.kind="mobile": factor on the learning rate of the encoder's parameters
    relative_steps: bool = False  # AdamW's steps of the encoder are relative to the RMS of each output channel
    sizes: tuple[int, ...] = ()  # input sizes in pixels, one drawn for each step; (): always model.input_size
    ema: float = 0.0  # decay of the EMA weights, which are validated and published; 0: the plain weights
    norm: Norm = "batch"  # BatchNorm; "sync": statistics over all processes (CUDA); "frozen": fixed statistics
    precision: Precision = "float32"  # of the network under autocast; the loss is always float32
    compile: bool = False  # torch.compile
    workers: int = 4  # DataLoader workers per training process
    cache_mb: int = 0  # megabytes of decoded images that each worker caches
    seed: int = 0
    log_steps: int = 50  # steps between two log records
    checkpoint_steps: int = 1000  # steps between two checkpoints; each validation writes one too
    keep: int = 2  # number of checkpoints to keep
    validate_epochs: int = 1  # epochs between two validations; the last epoch always ends with one
    validate_images: int = 200  # number of images, in file order, that a validation uses
    stop_after: int = 0  # the run ends after so many validations without a higher AP; 0: after ``epochs``

    def __post_init__(self) -> None:
        for name, section in (("model", ModelConfig), ("augment", AugmentConfig), ("loss", LossConfig)):
            check_instance(name, getattr(self, name), section)
        for name in ("data", "images", "val", "val_images", "init"):
            value = getattr(self, name)
            several = isinstance(value, tuple) and name in ("data", "images")
            for path in value if several else (value,):
                if not (isinstance(path, str) or (path is None and name != "data")) or "\0" in (path or ""):
                    optional = "" if name == "data" else " or None"
                    raise TypeError(f"{name}: expected a path{optional}, got {brief(value)}")
        for name, fewest, most_allowed in COUNTS:
            check_count(name, getattr(self, name), fewest, most_allowed)
        for name, most in {"lr": 1e3, "weight_decay": 1e3, "clip": 1e9, "decay": 1.0}.items():
            check_number(name, getattr(self, name), least=0, most=most)
        for name in ("momentum", "ema"):
            check_number(name, getattr(self, name), least=0, below=1)
        check_number("encoder_lr", self.encoder_lr, least=0, most=1e3)
        for name in ("compile", "relative_steps"):
            check_flag(name, getattr(self, name))
        for name in ("freeze", "sizes"):
            if not isinstance(getattr(self, name), tuple):
                raise TypeError(f"{name}: expected a list, got {brief(getattr(self, name))}")
        if not all(isinstance(name, str) and name for name in self.freeze):
            raise TypeError(f"freeze: expected names of parts, got {brief(self.freeze)}")
        for size in self.sizes:
            check_count("sizes", size, self.model.multiple, 4096, self.model.multiple)
        if (self.relative_steps or self.encoder_lr != 1) and self.model.kind != "mobile":
            raise ValueError('encoder_lr, relative_steps: expected model.kind="mobile", whose network has an encoder')
        if self.relative_steps and self.optimizer != "adamw":
            raise ValueError(f"relative_steps: expected optimizer='adamw', got {self.optimizer!r}")
        if self.images is not None and len(self.image_folders) != len(self.sources):
            count = len(self.sources)
            raise ValueError(f"images: expected one folder for each of {count} data, got {len(self.image_folders)}")
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
    def sources(self) -> tuple[str, ...]:
        """The sources of the training data."""
        return (self.data,) if isinstance(self.data, str) else self.data

    @property
    def image_folders(self) -> tuple[str | None, ...]:
        """The image folder of each source; None: searched for beside the annotations."""
        if self.images is None:
            return (None,) * len(self.sources)
        return (self.images,) if isinstance(self.images, str) else self.images

    @property
    def targets(self) -> TargetConfig:
        """How the target maps are rendered: the paper's widths at this input size, scaled by ``sigma``.

        The widths in pixels are the same for all ``sizes``: the network cannot tell the size of its input.
        """
        config = TargetConfig.for_input(
            self.size, shape=self.shape, stride=self.model.stride, encoding=self.model.encoding
        )
        widths = (config.keypoint_sigma * self.sigma, config.part_sigma * self.sigma)
        return replace(config, keypoint_sigma=widths[0], part_sigma=widths[1])

    @classmethod
    def preset(cls, name: str, skeleton: Skeleton = COCO, **changes: Any) -> TrainConfig:
        """The preset ``name`` with the channels of ``skeleton`` and with ``changes``.

        Raises:
            ValueError: unknown preset; the message lists the known ones.
        """
        if name not in PRESETS:
            raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {brief(name)}")
        config = PRESETS[name]
        return replace(config, **{"model": config.model.for_skeleton(skeleton), **changes})

    def summary(self) -> str:
        """The network, input size, loss and schedule in one line, for lists of presets."""
        model, loss = self.model, self.loss
        plural = "" if model.stacks == 1 else "s"
        network = f"{'plain hourglass' if model.plain_hourglass else model.kind}, {model.stacks} stack{plural}"
        left_out = [name for name in ("spatial_attention", "channel_attention") if not getattr(model, name)]
        if model.kind != "cmu" and not model.plain_hourglass:
            network += "".join(f", no {name.replace('_', ' ')}" for name in left_out)
        fields = ", part affinity fields" if model.encoding == "paf" else ""
        focal = f"focal L2{' on keypoints' if loss.focal_on == 'keypoints' else ''}"
        kind = "L2" if loss.gamma == 0 else f"L2 for {self.l2_epochs} epochs, then {focal}" if self.l2_epochs else focal
        return f"{network}{fields}; {model.input_size} px, stride {model.stride}; {kind}; {self.epochs} epochs"

    def with_values(self, values: Mapping[str, Any]) -> TrainConfig:
        """These settings with changes by name, nested ones with a dot: ``{"lr": 1e-3, "model.width": 64}``.

        Raises:
            ValueError: unknown setting, or an invalid value.
            TypeError: a value has the wrong type.
        """
        changes: dict[str, dict[str, Any]] = {"": {}}  # applied together: some values are valid only in combination
        for name, value in values.items():
            section, _, field_name = name.rpartition(".")
            owner = getattr(self, section) if section in SECTIONS else None if "." in name else self
            if not is_dataclass(owner) or field_name not in {f.name for f in fields(owner)}:
                raise ValueError(f"settings: there is no {brief(name)}; known are {', '.join(_flatten(self))}")
            if not section and field_name in SECTIONS:
                check_instance(name, value, SECTIONS[field_name])
            changes.setdefault(section, {})[field_name] = tuple(value) if isinstance(value, list) else value
        top_level = changes.pop("")
        for section, nested in changes.items():
            with _named(section):
                top_level[section] = replace(top_level.get(section, getattr(self, section)), **nested)
        return replace(self, **top_level)

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values by name; ``from_dict`` is the inverse."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TrainConfig:
        """The settings that ``to_dict`` wrote; missing ones take their default.

        Raises:
            ValueError: unknown setting, or an invalid value.
            TypeError: a value has the wrong type.
        """
        _check_known("training settings", data, cls)
        values = dict(data)
        for name, kind in SECTIONS.items():
            if name in data:
                _check_known(name, data[name], kind)
                with _named(name):
                    values[name] = kind(**_tuples(data[name]))
        return cls(**_tuples(values))

    def describe(self) -> str:
        """A readable list with one line per setting."""
        return "\n".join(f"  {name} = {value}" for name, value in _flatten(self).items())

    def differences(self, other: TrainConfig) -> list[str]:
        """The settings that differ from ``other``, one string ``name: own value, other value`` each."""
        own, others = _flatten(self), _flatten(other)
        return [f"{name}: {own[name]}, {others[name]}" for name in own if own[name] != others[name]]


def _flatten(config: Any, prefix: str = "") -> dict[str, Any]:
    """All settings by dotted name."""
    values: dict[str, Any] = {}
    for f in fields(config):
        value = getattr(config, f.name)
        values |= _flatten(value, f"{f.name}.") if is_dataclass(value) else {prefix + f.name: value}
    return values


SECTIONS: dict[str, Any] = {"model": ModelConfig, "augment": AugmentConfig, "loss": LossConfig}
"""The settings that are groups of settings, and their classes."""


def _check_known(name: str, data: object, kind: type) -> None:
    """TypeError or ValueError unless ``data`` has only settings of a class."""
    if not isinstance(data, Mapping):
        raise TypeError(f"{name}: expected an object, got {brief(data)}")
    if unknown := sorted(one_line(key) for key in data if key not in {f.name for f in fields(kind)}):
        raise ValueError(f"{name}: unknown {', '.join(unknown)[:200]}")


@contextmanager
def _named(section: str) -> Iterator[None]:
    """Put the name of a section in front of the setting that an error names."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{section}.{error}") from None


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    """Lists, which JSON has in place of tuples, as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


_PAPER = TrainConfig(l2_epochs=15, precision="float16", norm="sync")

_IMHN3 = replace(_PAPER, model=ModelConfig(stacks=3, input_size=384))
_IMHN4 = replace(_PAPER, model=ModelConfig(input_size=384))
_CMU = replace(_PAPER, model=ModelConfig.cmu(stacks=3))
_L2: dict[str, Any] = {"loss": LossConfig.l2(), "l2_epochs": 0}

_QUICK = TrainConfig(optimizer="adamw", lr=3e-3, schedule="cosine", weight_decay=1e-4, norm="batch")

_MEMORIZE = replace(
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
    # The networks of the paper's tables (docs/paper.md). The paper's schedule: L2, then focal L2, at 384; then focal L2
    # at 512 from those weights (--init).
    "imhn3-384": _IMHN3,
    "imhn3-384-l2": replace(_IMHN3, **_L2),
    "imhn3-384-keypoint-focal": replace(_IMHN3, loss=LossConfig(focal_on="keypoints")),
    "imhn3-384-no-spatial": replace(_IMHN3, model=replace(_IMHN3.model, spatial_attention=False)),
    "imhn3-384-no-channel": replace(_IMHN3, model=replace(_IMHN3.model, channel_attention=False)),
    "imhn3-384-mst": _IMHN3,
    "imhn3-384-paf": replace(_IMHN3, model=replace(_IMHN3.model, encoding="paf").for_skeleton(COCO)),
    "imhn4-384": _IMHN4,
    "imhn4-384-l2": replace(_IMHN4, **_L2),
    "imhn4-512": replace(_PAPER, model=ModelConfig(), l2_epochs=0, epochs=40),
    "hourglass4-512": replace(_PAPER, model=ModelConfig.baseline(input_size=512)),
    "cmu3-368": replace(_CMU, **_L2),
    "cmu3-368-focal": _CMU,
    "cmu3-368-paf": replace(_CMU, model=ModelConfig.cmu(branches=2, encoding="paf", stacks=3), **_L2),
    # The shipped network: trained on the CPU with whole synthetic images. New images help a short run more than
    # augmented ones, and plain L2 gives fewer false positive poses than the focal loss.
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
    # The shipped network for photos, trained on from its starting weights (--init). The encoder's first layers keep
    # MoveNet's weights. Targets are narrower than the paper's, and people are shown at many sizes.
    "photo": replace(
        _QUICK,
        model=MODEL_PRESETS["photo"],
        augment=AugmentConfig(frame="image", scale=(0.5, 2.0), rotation=30.0, shift=60.0, jitter=0.3),
        loss=LossConfig.l2(),
        sigma=0.8,
        sizes=(320, 384),
        epochs=24,
        batch=8,
        lr=1e-3,
        encoder_lr=0.3,
        relative_steps=True,
        freeze=("encoder.stem", *(f"encoder.blocks.{k}" for k in range(3))),
        warmup_steps=200,
        clip=2.0,
        ema=0.998,
        workers=1,
        cache_mb=900,
        log_steps=100,
        checkpoint_steps=200,
        validate_epochs=4,
    ),
    # Overfits a few images: an end-to-end test of data, targets, loss, network, decoding and evaluation.
    "overfit": replace(
        _MEMORIZE,
        model=ModelConfig(stacks=1, width=32, growth=16, input_size=128),
        epochs=160,
        ema=0.95,
        validate_epochs=80,
    ),
    # As "overfit", but for a few real photos, in which people are smaller.
    "photos": replace(
        _MEMORIZE,
        model=ModelConfig(stacks=1, width=48, growth=16, input_size=320),
        loss=LossConfig.l2(),
        epochs=600,
        ema=0.98,
        checkpoint_steps=100,
        validate_epochs=200,
    ),
    # Fine-tunes the shipped network for photos on tens to hundreds of photos. The encoder and the statistics of the
    # norms stay: so few photos would make both worse.
    "photo-finetune": replace(
        _MEMORIZE,
        init="photo",
        model=ModelConfig.preset("photo"),
        augment=AugmentConfig(frame="image", scale=(0.6, 1.6), rotation=20.0, shift=40.0),
        loss=LossConfig.l2(),
        lr=1e-3,
        norm="frozen",
        freeze=("encoder",),
        sizes=(256, 320),
        epochs=30,
        ema=0.98,
        checkpoint_steps=100,
        validate_epochs=10,
    ),
}
"""The settings of named runs."""

PRESET_SKELETONS = {"imhn3-384-mst": "coco-mst"}
"""The skeletons of presets that are not for `COCO`; `simplepose train` takes them unless --skeleton is given."""
