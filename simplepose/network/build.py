"""The one place that makes a network from its settings."""

from __future__ import annotations

from simplepose.network.base import PoseNetwork
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.network.mobile import MobilePose


def build_model(config: ModelConfig) -> PoseNetwork:
    """A new network with random weights, in training mode: an `IMHN` or a `MobilePose`, by ``config.kind``.

    Raises:
        ValueError: ``config.encoder`` is not known (`simplepose.network.encoder.register_encoder`).
    """
    return MobilePose(config) if config.kind == "mobile" else IMHN(config)
