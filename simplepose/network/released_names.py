"""Names and shapes of a network's tensors, here and in the layout of the paper's released checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN

Shapes = dict[str, tuple[int, ...]]

RELEASED_PREFIX = "posenet."
_WRAPPERS = ("module.", RELEASED_PREFIX)  # what training wrappers put before a name

# Where a module stands: (this package's name, as a pattern; the released name).
_PLACES = [
    (r"stem\.conv\.conv", "pre.conv1"),
    (r"stem\.conv\.norm", "pre.bn1"),
    (r"stem\.widen", "pre.res1"),
    (r"stem\.refine", "pre.res2"),
    (r"stem\.dilated", "pre.dilation"),
    (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.skip", r"hourglass.\1.hg.\2.0"),
    (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.widen", r"hourglass.\1.hg.\2.1"),
    (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.narrow", r"hourglass.\1.hg.\2.2"),
    (r"stacks\.(\d+)\.hourglass\.depths\.(\d+)\.upsample\.block", r"hourglass.\1.hg.\2.3"),
    (r"stacks\.(\d+)\.hourglass\.deepest", r"hourglass.\1.hg.3.4"),
    (r"stacks\.(\d+)\.heads\.(\d+)\.refine", r"features.\1.before_regress.\2"),
    (r"stacks\.(\d+)\.heads\.(\d+)\.attention\.squeeze", r"features.\1.before_regress.\2.2.fc.0"),
    (r"stacks\.(\d+)\.heads\.(\d+)\.attention\.excite", r"features.\1.before_regress.\2.2.fc.2"),
    (r"stacks\.(\d+)\.heads\.(\d+)\.predict", r"outs.\1.\2.conv"),
    (r"stacks\.(\d+)\.merges\.(\d+)\.features", r"merge_features.\1.\2.conv"),
    (r"stacks\.(\d+)\.merges\.(\d+)\.maps", r"merge_preds.\1.\2.conv"),
]

# The inside of a module, tried after its place.
_INSIDES = [
    (r"\.reduce\.conv\.", ".convBlock.0."),
    (r"\.reduce\.norm\.", ".convBlock.1."),
    (r"\.spatial\.conv\.", ".convBlock.3."),
    (r"\.spatial\.norm\.", ".convBlock.4."),
    (r"\.expand\.conv\.", ".convBlock.6."),
    (r"\.expand\.norm\.", ".convBlock.7."),
    (r"\.shortcut\.conv\.", ".skipConv.0."),
    (r"\.shortcut\.norm\.", ".skipConv.1."),
    (r"\.norm\.", ".bn."),
]


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file and what is wrong with it."""


@lru_cache(maxsize=4)
def _expected(config: ModelConfig) -> Shapes:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in IMHN(config).state_dict().items()}


def expected_names(config: ModelConfig) -> Shapes:
    """Name and shape of every tensor of the network, as this package saves them."""
    return dict(_expected(config))


def expected_released_names(config: ModelConfig) -> Shapes:
    """The same under the names that the released checkpoints use.

    Raises:
        ValueError: ``config`` is the plain hourglass, which that layout does not have.
    """
    if config.plain_hourglass:
        raise ValueError("plain_hourglass: the released layout has no names for it")
    return {released_name(name): shape for name, shape in _expected(config).items()}


def released_name(name: str) -> str:
    """What the released checkpoints call the tensor ``name``."""
    for pattern, released in _PLACES:
        place, count = re.subn(f"^{pattern}(?=\\.)", released, name)
        if count:
            break
    else:
        raise ValueError(f"name: the released layout has no {name!r}")
    for pattern, released in _INSIDES:
        place, count = re.subn(pattern, released, place)
        if count:
            break
    return RELEASED_PREFIX + place


def from_released(weights: Mapping[str, Any], input_size: int = 512) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Settings and tensors of a network given in the released layout.

    Args:
        weights: tensors by name, with or without the prefixes ``posenet.`` and ``module.``.
        input_size: image height the weights were trained for, which their shapes do not tell.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the message lists all of them.
    """
    found: dict[str, Any] = {}
    for name, value in weights.items():
        bare = RELEASED_PREFIX + _unwrapped(str(name))
        if bare in found:
            raise CheckpointError(f"two tensors are called {bare} once their prefixes are off")
        found[bare] = value
    config = replace(_infer_config(found), input_size=input_size)
    check_tensors(expected_released_names(config), found)
    return config, {name: found[released_name(name)] for name in _expected(config)}


def check_tensors(expected: Shapes, found: Mapping[str, Any]) -> None:
    """Pass when ``found`` has exactly the expected tensors.

    Raises:
        CheckpointError: it has not; one line for each missing, unknown or misshapen tensor.
    """
    missing = [f"  missing {name} {list(shape)}" for name, shape in expected.items() if name not in found]
    unknown = [f"  unknown {name} {_shape(value)}" for name, value in found.items() if name not in expected]
    misshapen = [
        f"  misshapen {name}: expected {list(shape)}, got {_shape(found[name])}"
        for name, shape in expected.items()
        if name in found and _shape(found[name]) != list(shape)
    ]
    if missing or unknown or misshapen:
        counts = f"{len(missing)} missing, {len(unknown)} unknown and {len(misshapen)} misshapen tensors"
        raise CheckpointError("\n".join([counts, *missing, *unknown, *misshapen]))


def _infer_config(found: Mapping[str, Any]) -> ModelConfig:
    """The settings that the sizes of a few telling tensors amount to; whether all others fit is checked afterwards."""
    skip = "posenet.hourglass.0.hg.0.0.convBlock.6.weight"
    widen = "posenet.hourglass.0.hg.0.1.convBlock.6.weight"
    predict = "posenet.outs.0.0.conv.weight"
    lacking = [
        name for name in (skip, widen, predict) if not (isinstance(found.get(name), Tensor) and found[name].ndim)
    ]
    if lacking:
        raise CheckpointError(f"not in the released layout: {', '.join(lacking)} missing")
    width = len(found[skip])
    try:
        return ModelConfig(
            stacks=1 + max(_indices(found, r"posenet\.hourglass\.(\d+)\.")),
            width=width,
            growth=len(found[widen]) - width,
            channels=len(found[predict]),
            spatial_attention=any(_indices(found, r"posenet\.outs\.0\.(\d+)\.")),
            channel_attention=any(".fc." in name for name in found),
        )
    except ValueError as error:
        raise CheckpointError(f"no network has these shapes: {error}") from None


def _indices(names: Iterable[str], pattern: str) -> list[int]:
    return [int(match[1]) for name in names if (match := re.match(pattern, name))]


def _unwrapped(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name


def _shape(value: Any) -> list[int] | str:
    return list(value.shape) if isinstance(value, Tensor) else type(value).__name__
