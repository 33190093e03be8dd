"""Small networks for the tests, with random weights and random BatchNorm statistics."""

import torch

from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.skeleton.skeleton import Skeleton

ARM = Skeleton("arm", ("shoulder", "elbow", "wrist"), (("shoulder", "elbow"), ("elbow", "wrist")))
"""A skeleton of 3 + 2 + 2 channels."""

SMALL = ModelConfig(stacks=2, width=16, growth=4)


def random_model(config: ModelConfig = SMALL, seed: int = 0) -> IMHN:
    """A network in eval mode whose BatchNorm layers neither are the identity nor suppress a channel."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = IMHN(config).eval()
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
