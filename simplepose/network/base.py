"""The interface that all networks of the package share: image in, maps of stacks and scales out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from simplepose.network.config import ModelConfig


class PoseNetwork(nn.Module, ABC):
    """A network that maps images to keypoint and part heatmaps; `simplepose.network.build.build_model` makes them.

    Attributes:
        config: the `ModelConfig` of the architecture.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, x: Tensor, all_outputs: bool = False) -> Tensor | list[list[Tensor]]:
        """The maps of a batch of images.

        Args:
            x: ``[B, 3, H, W]`` in [0, 1], BGR, H and W multiples of ``config.multiple``.
            all_outputs: return the maps of every stack and supervised scale, for training.

        Returns:
            The last stack's ``[B, channels, H/stride, W/stride]`` with ``config.stride``, or ``[stack][scale]`` of
            ``[B, channels, H/stride, W/stride]`` for each of ``config.strides``.

        Raises:
            ValueError: the shape of ``x`` is not as above.
        """


def check_input(x: Tensor, multiple: int) -> None:
    """ValueError unless ``x`` is ``[B, 3, H, W]`` with H and W multiples of ``multiple``."""
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"x: expected [B, 3, H, W], got {list(x.shape)}")
    height, width = x.shape[2:]
    if height % multiple or width % multiple or height == 0 or width == 0:
        raise ValueError(f"x: expected a height and width that are multiples of {multiple}, got {height} x {width}")
