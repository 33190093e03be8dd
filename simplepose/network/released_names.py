"""Names and shapes of the network's tensors, in this package and in the checkpoints of the released code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from simplepose.network.build import build_model
from simplepose.network.config import ModelConfig
from simplepose.network.tensors import CheckpointError, Shapes, check_tensors

RELEASED_PREFIX = "posenet."
_WRAPPERS = ("module.", RELEASED_PREFIX)  # prefixes that training wrappers add to a name

# Modules: (regular expression of this package's name, released name).
_MODULES = [
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

# Layers within a module, translated after the module.
_LAYERS = [
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


@lru_cache(maxsize=4)
def _expected(config: ModelConfig) -> Shapes:
    with torch.device("meta"):
        return {name: tuple(tensor.shape) for name, tensor in build_model(config).state_dict().items()}


def expected_names(config: ModelConfig) -> Shapes:
    """The name and the shape of every tensor of the network, with this package's names."""
    return dict(_expected(config))


def expected_released_names(config: ModelConfig) -> Shapes:
    """The same with the names of the released checkpoints.

    Raises:
        ValueError: ``config`` is of another kind or the plain hourglass, which the released code does not have.
    """
    if config.kind != "imhn":
        raise ValueError(f"kind: the released layout has no names for {config.kind!r}")
    if config.plain_hourglass:
        raise ValueError("plain_hourglass: the released layout has no names for it")
    return {released_name(name): shape for name, shape in _expected(config).items()}


def released_name(name: str) -> str:
    """The released name of this package's tensor ``name``.

    Raises:
        ValueError: the released code has no such tensor.
    """
    for pattern, released in _MODULES:
        translated, count = re.subn(f"^{pattern}(?=\\.)", released, name)
        if count:
            break
    else:
        raise ValueError(f"name: the released layout has no {name!r}")
    for pattern, released in _LAYERS:
        translated, count = re.subn(pattern, released, translated)
        if count:
            break
    return RELEASED_PREFIX + translated


def from_released(weights: Mapping[str, Any], input_size: int = 512) -> tuple[ModelConfig, dict[str, Tensor]]:
    """The settings and the renamed tensors of a released checkpoint.

    Args:
        weights: tensors by released name, with or without the prefixes ``posenet.`` and ``module.``.
        input_size: image height in pixels that the weights were trained for; the shapes do not reveal it.

    Returns:
        The inferred settings, and the tensors by this package's names.

    Raises:
        CheckpointError: a tensor is missing, unknown or of another shape; the message lists all of them.
    """
    tensors: dict[str, Any] = {}
    for name, value in weights.items():
        canonical = RELEASED_PREFIX + _without_prefixes(str(name))
        if canonical in tensors:
            raise CheckpointError(f"two tensors have the name {canonical} without their prefixes")
        tensors[canonical] = value
    config = replace(_infer_config(tensors), input_size=input_size)
    check_tensors(expected_released_names(config), tensors)
    return config, {name: tensors[released_name(name)] for name in _expected(config)}


def _infer_config(tensors: Mapping[str, Any]) -> ModelConfig:
    """The settings inferred from the shapes of a few tensors; `check_tensors` then checks all others."""
    skip = "posenet.hourglass.0.hg.0.0.convBlock.6.weight"
    widen = "posenet.hourglass.0.hg.0.1.convBlock.6.weight"
    predict = "posenet.outs.0.0.conv.weight"
    missing = [
        name for name in (skip, widen, predict) if not (isinstance(tensors.get(name), Tensor) and tensors[name].ndim)
    ]
    if missing:
        raise CheckpointError(f"not in the released layout: {', '.join(missing)} missing")
    width = len(tensors[skip])
    try:
        return ModelConfig(
            stacks=1 + max(_indices(tensors, r"posenet\.hourglass\.(\d+)\.")),
            width=width,
            growth=len(tensors[widen]) - width,
            channels=len(tensors[predict]),
            spatial_attention=any(_indices(tensors, r"posenet\.outs\.0\.(\d+)\.")),
            channel_attention=any(".fc." in name for name in tensors),
        )
    except ValueError as error:
        raise CheckpointError(f"the shapes do not fit any settings: {error}") from None


def _indices(names: Iterable[str], pattern: str) -> list[int]:
    return [int(match[1]) for name in names if (match := re.match(pattern, name))]


def _without_prefixes(name: str) -> str:
    while name.startswith(_WRAPPERS):
        name = name.split(".", 1)[1]
    return name
