"""The one place that makes a network from its settings."""

from __future__ import annotations

from simplepose.network.base import PoseNetwork
from simplepose.network.cmu import CMUNet
from simplepose.network.config import Kind, ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.network.mobile import MobilePose


def build_model(config: ModelConfig) -> PoseNetwork:
    """A new network with random weights, in training mode: an `IMHN`, a `MobilePose` or a `CMUNet`, by ``config.kind``.

    Raises:
        ValueError: ``config.encoder`` is not known (`simplepose.network.encoder.register_encoder`).
    """
    networks: dict[Kind, type[PoseNetwork]] = {"imhn": IMHN, "mobile": MobilePose, "cmu": CMUNet}
    return networks[config.kind](config)
