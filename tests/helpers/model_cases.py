"""Small networks for the tests, with random weights and random BatchNorm statistics."""

import torch

from simplepose.network.base import PoseNetwork
from simplepose.network.build import build_model
from simplepose.network.config import ModelConfig
from simplepose.network.encoder import Encoder, Pyramid, register_encoder
from simplepose.network.layers import ConvBlock
from simplepose.skeleton.skeleton import Skeleton

ARM = Skeleton("arm", ("shoulder", "elbow", "wrist"), (("shoulder", "elbow"), ("elbow", "wrist")))
"""A skeleton of 3 + 2 + 2 channels."""

SMALL = ModelConfig(stacks=2, width=16, growth=4)


class SmallEncoder(Encoder):
    """An encoder of four convolutions, which also predicts one map."""

    channels = (8, 8, 16, 16)
    num_maps = 1

    def __init__(self) -> None:
        super().__init__()
        steps = zip((3, *self.channels), self.channels, (4, 2, 2, 2), strict=False)
        self.steps = torch.nn.ModuleList(ConvBlock(i, o, stride=s) for i, o, s in steps)

    def forward(self, image: torch.Tensor) -> Pyramid:
        features, x = [], image - 0.5
        for step in self.steps:
            x = step(x)
            features.append(x)
        return Pyramid(tuple(features), features[0][:, :1])


register_encoder("small", SmallEncoder)

SMALL_MOBILE = ModelConfig(
    kind="mobile",
    encoder="small",
    stacks=1,
    width=16,
    growth=0,
    up_widths=(8, 8, 8, 16),
    up_blocks=(1, 0, 0),
    input_size=64,
)


SMALL_CMU = ModelConfig.cmu(stacks=2, width=16, input_size=64)


def random_model(config: ModelConfig = SMALL, seed: int = 0) -> PoseNetwork:
    """A network in eval mode whose BatchNorm layers neither are the identity nor suppress a channel."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = build_model(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for values, low, high in (
                (module.weight, 0.4, 0.9),
                (module.bias, -0.2, 0.2),
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
            ):
                values.data.copy_(torch.rand(values.shape, generator=generator) * (high - low) + low)
    return model


def random_image(batch: int = 1, height: int = 64, width: int = 64) -> torch.Tensor:
    """``[batch, 3, height, width]`` in [0, 1]."""
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))
