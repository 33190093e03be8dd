"""What a predictor reads from its model: settings, device and encoding, and the model made ready to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn

from simplepose.checks import check_count, check_instance
from simplepose.inference.config import PredictorConfig
from simplepose.network.base import PoseNetwork
from simplepose.network.optimize import Precision, optimize_for_inference
from simplepose.ops.config import DecodeConfig

DEFAULT_SIZE = 512
"""Image height in pixels at scale 1 for a model without a training size."""


def ready(model: Any, device: torch.device, optimized: Precision | None) -> Any:
    """The model on its device; a `PoseNetwork` is optimized for inference if ``optimized`` is a precision.

    Raises:
        ValueError: the model is in training mode.
    """
    if isinstance(model, PoseNetwork) and optimized:
        return optimize_for_inference(model, precision=optimized).to(device)
    if not isinstance(model, nn.Module):
        return model
    if model.training:
        raise ValueError("model: expected a model in eval mode (model.eval()), got a model in training mode")
    return model.to(device)


def pose_network(model: Any) -> PoseNetwork:
    """The model; TypeError unless it is a `PoseNetwork`."""
    check_instance("model", model, PoseNetwork)
    return cast(PoseNetwork, model)


def model_device(model: Any) -> torch.device:
    """The device of the model's parameters; the CPU if it has none."""
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.device("cpu") if parameter is None else parameter.device


def network_setting(model: Any, name: str, default: int) -> int:
    """A setting of the model's ``config``, or ``default`` where it has none."""
    return check_count(name, getattr(getattr(model, "config", None), name, default))


def resolve_config(config: PredictorConfig, model: Any, device: torch.device) -> PredictorConfig:
    """The settings with the size, batch size and encoding that hold for the model and its device.

    Raises:
        ValueError: the settings are for part affinity fields, and the model has none.
    """
    return replace(
        config,
        size=network_setting(model, "input_size", DEFAULT_SIZE) if config.size is None else config.size,
        batch_size=(8 if device.type == "cuda" else 1) if config.batch_size is None else config.batch_size,
        decode=_with_encoding(config.decode, model),
    )


def _with_encoding(decode: DecodeConfig, model: Any) -> DecodeConfig:
    """The settings of decoding with the encoding of the model's ``config``, where it has one.

    Raises:
        ValueError: the settings are for part affinity fields, and the model has none.
    """
    encoding = getattr(getattr(model, "config", None), "encoding", decode.encoding)
    if decode.encoding == "paf" and encoding != "paf":
        raise ValueError(f'decode: expected encoding {encoding!r}, as of the model, got "paf"')
    return replace(decode, encoding=encoding)
