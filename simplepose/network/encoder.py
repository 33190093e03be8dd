"""The interface of image encoders under the network "mobile", and the table of the known ones.

An encoder is any module with a list of features: it turns the image into maps at strides 4, 8, 16 and 32. docs/photo.md
shows how a backbone of another library becomes one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn


class Pyramid(NamedTuple):
    """The output of an `Encoder`."""

    features: tuple[Tensor, Tensor, Tensor, Tensor]  # [B, channels[k], H/s, W/s] at strides s = 4, 8, 16, 32
    maps: Tensor | None = None  # [B, num_maps, H/4, W/4]: maps of keypoints that the encoder itself predicts


class Encoder(nn.Module, ABC):
    """An image encoder. Subclasses set the attributes and write ``forward``.

    The scaling of the image (means, channel order, range) is part of the encoder.

    Attributes:
        channels: channels of the features at strides 4, 8, 16 and 32.
        num_maps: channels of ``Pyramid.maps``; 0: it predicts none and ``maps`` is None.
    """

    channels: tuple[int, int, int, int]
    num_maps: int = 0

    @abstractmethod
    def forward(self, image: Tensor) -> Pyramid:
        """``[B, 3, H, W]`` in [0, 1], BGR, H and W multiples of 64, to features at strides 4 to 32."""


_ENCODERS: dict[str, Callable[[], Encoder]] = {}


def register_encoder(name: str, make: Callable[[], Encoder]) -> None:
    """Register an encoder under a name for ``ModelConfig.encoder``. Checkpoints store only the name.

    Args:
        name: the name; an encoder of that name is replaced.
        make: returns the encoder with any weights and reads no files. A checkpoint replaces the weights.
    """
    _ENCODERS[name] = make


def build_encoder(name: str) -> Encoder:
    """A new encoder.

    Raises:
        ValueError: none of that name is known; the message lists the known ones.
    """
    if name not in _ENCODERS:
        raise ValueError(f"encoder: expected one of {', '.join(sorted(_ENCODERS))}, got {name!r}")
    return _ENCODERS[name]()
