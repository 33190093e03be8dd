"""The optimizer of a training run: which parameters are trained, at which rates, and in which steps."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from simplepose.training.config import TrainConfig

ENCODER = "encoder."
"""The prefix of an encoder's parameter names (`simplepose.network.mobile.MobilePose`)."""

CHANNEL_FLOOR = 0.05
"""The least size of an output channel, relative to the RMS of its whole tensor: channels of zeros must move too."""

RMS_FLOOR = 1e-3
"""The least RMS of a whole tensor."""


def is_frozen(name: str, prefixes: Sequence[str]) -> bool:
    """Whether ``name`` is one of ``prefixes`` or stands under one: "a.b" freezes "a.b.weight" and not "a.bc.weight"."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def freeze_parameters(model: nn.Module, prefixes: Sequence[str]) -> None:
    """Take parameters out of the training; BatchNorm below a prefix keeps its statistics.

    Layers between the image and the first trained parameter then run without gradients: autograd records only what a
    trained parameter needs.

    Args:
        model: the network, already in training mode.
        prefixes: `TrainConfig.freeze`.

    Raises:
        ValueError: a prefix fits no parameter, or nothing is left to train.
    """
    names = [name for name, _ in model.named_parameters()]
    for prefix in prefixes:
        if not any(is_frozen(name, [prefix]) for name in names):
            children = ", ".join(name for name, _ in model.named_children())
            raise ValueError(f"freeze: no parameter of the network begins with {prefix!r}; its parts are {children}")
    if all(is_frozen(name, prefixes) for name in names):
        raise ValueError("freeze: expected parameters that are left to train, got prefixes of all")
    for name, parameter in model.named_parameters():
        if is_frozen(name, prefixes):
            parameter.requires_grad_(False)
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and is_frozen(name, prefixes):
            module.eval()


def make_optimizer(model: nn.Module, config: TrainConfig) -> Optimizer:
    """The optimizer of the parameters that require gradients.

    With ``encoder_lr`` or ``relative_steps`` the encoder's parameters are a group of their own. Each group has the key
    "lr_factor", the factor on the learning rate.
    """
    trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": [p for _, p in trained], "lr_factor": 1.0}]
    if config.relative_steps or config.encoder_lr != 1.0:
        others = [p for name, p in trained if not name.startswith(ENCODER)]
        encoder: dict[str, Any] = {"params": [p for name, p in trained if name.startswith(ENCODER)]}
        encoder |= {"lr_factor": config.encoder_lr, "relative": config.relative_steps}
        if config.relative_steps:
            encoder["weight_decay"] = 0.0
        groups = [group for group in ({"params": others, "lr_factor": 1.0}, encoder) if group["params"]]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    if config.relative_steps:
        _scale_relative_groups(optimizer)
    return optimizer


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """The learning rate of optimizer step ``step``, counted from 0: warm-up factor times the schedule."""
    total = config.epochs * steps_per_epoch
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    if config.schedule == "cosine":
        factor = 0.5 * (1 + math.cos(math.pi * step / total))
    elif config.schedule == "step":
        factor = config.decay ** (step // steps_per_epoch // config.decay_epochs)
    else:
        factor = 1.0
    return config.lr * warmup * factor


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of the next step, times each group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_factor", 1.0)


def clip_gradients(optimizer: Optimizer, limit: float) -> Tensor:
    """Clip the gradient of each group to the norm ``limit`` (0: not at all); the norm of all before that."""
    norms = [nn.utils.clip_grad_norm_(group["params"], limit or math.inf) for group in optimizer.param_groups]
    return norms[0] if len(norms) == 1 else torch.stack(norms).norm()


def channel_sizes(parameter: Tensor) -> Tensor:
    """The RMS of each output channel of a weight ``[outputs, 1, ...]``, or of a bias ``[1]``; at least a floor."""
    value = parameter.detach()
    total = value.square().mean().sqrt().clamp_min(RMS_FLOOR)
    if value.dim() == 1:
        return total.reshape(1)
    sizes = value.flatten(1).square().mean(1).sqrt()
    return torch.maximum(sizes, total * CHANNEL_FLOOR).reshape(-1, *[1] * (value.dim() - 1))


def _scale_relative_groups(optimizer: Optimizer) -> None:
    """Multiply the steps of the groups with "relative" by `channel_sizes` of their parameters.

    Weights with folded norms differ in scale by orders of magnitude from channel to channel, while Adam moves each
    number by about the learning rate: the same step is lost on one channel and destroys another.

    A step of Adam without weight decay does not depend on the parameters. They are 0 while it is taken, so that a step
    that is small beside them is not rounded.
    """
    values: list[Tensor] = []

    def before(*_: Any) -> None:
        values.clear()
        for parameter in _relative_parameters(optimizer):
            values.append(parameter.detach().clone())
            parameter.detach().zero_()

    def after(*_: Any) -> None:
        for parameter, value in zip(_relative_parameters(optimizer), values, strict=True):
            parameter.detach().mul_(channel_sizes(value)).add_(value)

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)


def _relative_parameters(optimizer: Optimizer) -> Iterable[Tensor]:
    return (p for group in optimizer.param_groups if group.get("relative") for p in group["params"])
