"""The encoder "movenet": the body of Google's MoveNet MultiPose Lightning (Apache-2.0), which was trained on people.

MobileNetV2 (Sandler et al., CVPR 2018) of width 1.75 with its norms folded into the convolutions, a feature pyramid to
stride 4, and CenterNet heads. `scripts/convert_movenet.py` reads the published weights; NOTICE has the attribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from simplepose.network.depthwise import depthwise
from simplepose.network.encoder import Encoder, Pyramid
from simplepose.network.tensors import CheckpointError, check_tensors

BLOCKS = (
    *((1, 1, 24), (6, 2, 40), (6, 1, 40)),  # to stride 4: c2
    *((6, 2, 48), (6, 1, 48), (6, 1, 48)),  # to stride 8: c3
    *((6, 2, 96), (6, 1, 96), (6, 1, 96), (6, 1, 96)),  # to stride 16: c4
    *((6, 1, 144), (6, 1, 144), (6, 1, 144)),  # stride 16 again: c4_wide
    *((6, 2, 240), (6, 1, 240), (6, 1, 240), (6, 1, 480)),  # to stride 32
)
"""The inverted residual blocks of MobileNetV2 1.75: expansion, stride, output channels."""

TAPS = {2: "c2", 5: "c3", 9: "c4", 12: "c4_wide"}
"""The blocks whose output is a feature."""

NUM_KEYPOINTS = 17

HEADS = {"center": 1, "box_scale": 2, "box_offset": 2, "kpt_heatmap": 17, "kpt_regress": 34, "kpt_offset": 34}
"""MoveNet's heads at stride 4 and their output channels."""

ENCODER_HEADS = ("kpt_heatmap", "kpt_regress", "kpt_offset")
"""The heads whose hidden features are features of the encoder."""

OFFSET_SCALE = 4.0
"""Offsets of so many cells count as 1; larger ones are clipped."""


def relu6(x: Tensor) -> Tensor:
    """``min(max(x, 0), 6)``; in place, except under torch.compile and export."""
    return functional.hardtanh(x, 0.0, 6.0, inplace=not torch.compiler.is_compiling())


class Conv(nn.Conv2d):
    """A convolution of odd kernel with TensorFlow's SAME padding: at stride 2, even maps grow right and below only."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, *, stride: int = 1, groups: int = 1, bias: bool = True
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride, 0 if stride == 2 else kernel // 2, groups=groups, bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, H/stride, W/stride]
        if self.stride[0] == 2:
            x = functional.pad(x, (0, 1, 0, 1))
        return depthwise(self, x) if self.groups > 1 else super().forward(x)


class InvertedResidual(nn.Module):
    """1x1 to more channels, depthwise 3x3, 1x1 to few channels; plus the input where the shapes agree."""

    def __init__(self, inputs: int, expansion: int, stride: int, outputs: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = Conv(inputs, hidden) if expansion > 1 else None
        self.depthwise = Conv(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = Conv(hidden, outputs)
        self.skip = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, H/stride, W/stride]
        y = relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(relu6(self.depthwise(y)))
        return x + y if self.skip else y


class SeparableConv(nn.Module):
    """Depthwise 3x3 without bias, 1x1, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = Conv(inputs, inputs, 3, groups=inputs, bias=False)
        self.pointwise = Conv(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, H, W]
        return functional.relu(self.pointwise(self.depthwise(x)))


class CenterHead(nn.Module):
    """One of MoveNet's heads: 96 hidden features and, where they are needed, its outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.hidden = SeparableConv(24, 96)
        self.out = Conv(96, outputs) if outputs else None


class MoveNetEncoder(Encoder):
    """MoveNet's features, and the keypoint maps of MoveNet itself.

    The features at each stride are those of the body and of the pyramid; at stride 4 also the hidden features of the
    keypoint heads and the heatmaps. The maps are the 17 keypoint heatmaps (after the sigmoid), then for each keypoint
    its heatmap times its x and its y offset.

    TensorFlow's padding puts the center of cell i at pixel ``4 i + 3``, this package's cells lie at ``4 i + 1.5``; the
    layers above learn the difference.

    Args:
        all_heads: include the heads and outputs that the encoder does not use, to compare them with the original.
    """

    channels = (40 + 24 + 3 * 96 + NUM_KEYPOINTS, 48 + 24, 144 + 96 + 32, 1280)
    num_maps = 3 * NUM_KEYPOINTS

    def __init__(self, all_heads: bool = False) -> None:
        super().__init__()
        self.stem = Conv(3, 48, 3, stride=2)
        inputs, blocks = 48, nn.ModuleList()
        for expansion, stride, outputs in BLOCKS:
            blocks.append(InvertedResidual(inputs, expansion, stride, outputs))
            inputs = outputs
        self.blocks = cast(Sequence[InvertedResidual], blocks)  # nn.ModuleList is not generic
        self.last = Conv(480, 1280)
        self.lateral = nn.ModuleList([Conv(1280, 64), Conv(96, 64), Conv(48, 32), Conv(40, 24)])
        self.smooth = nn.ModuleList([SeparableConv(64, 32), SeparableConv(32, 24), SeparableConv(24, 24)])
        used = {"kpt_heatmap": 17, "kpt_regress": 0, "kpt_offset": 34}  # of kpt_regress the hidden features alone
        self.heads = nn.ModuleDict({name: CenterHead(n) for name, n in (HEADS if all_heads else used).items()})

    def forward(self, image: Tensor) -> Pyramid:
        """See `Encoder.forward`."""
        f = self.body(image)
        hidden = {name: cast(CenterHead, self.heads[name]).hidden(f["p2"]) for name in ENCODER_HEADS}
        heatmaps = self._output("kpt_heatmap", hidden).sigmoid()  # [B, 17, h, w]
        batch, _, height, width = heatmaps.shape
        offsets = self._output("kpt_offset", hidden).reshape(batch, NUM_KEYPOINTS, 2, height, width)  # x, y in cells
        shifted = (heatmaps.unsqueeze(2) * (offsets / OFFSET_SCALE).clamp(-1, 1)).flatten(1, 2)
        features = (
            torch.cat([f["c2"], f["p2"], *(hidden[name] for name in ENCODER_HEADS), heatmaps], 1),
            torch.cat([f["c3"], f["p3"]], 1),
            torch.cat([f["c4_wide"], f["c4"], f["p4"]], 1),
            f["c5"],
        )
        return Pyramid(features, torch.cat([heatmaps, shifted], 1))

    def body(self, image: Tensor) -> dict[str, Tensor]:
        """The features by name: c2 to c5 of the blocks (strides 4 to 32) and p2 to p5 of the pyramid.

        Args:
            image: ``[B, 3, H, W]`` in [0, 1], BGR, H and W multiples of 32.
        """
        f = {}
        x = image[:, [2, 1, 0]] * 2 - 1  # the original's input: RGB from -1 to 1
        x = relu6(self.stem(x))
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in TAPS:
                f[TAPS[index]] = x
        f["c5"] = relu6(self.last(x))
        f["p5"] = x = self.lateral[0](f["c5"])
        for level, lateral, smooth in zip((4, 3, 2), self.lateral[1:], self.smooth, strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            f[f"p{level}"] = x = smooth(x + lateral(f[f"c{level}"]))
        return f

    def outputs(self, p2: Tensor) -> dict[str, Tensor]:
        """The outputs of MoveNet's heads before any sigmoid, ``[B, outputs, H/4, W/4]`` by name; with ``all_heads``."""
        hidden = {name: cast(CenterHead, head).hidden(p2) for name, head in self.heads.items()}
        return {name: self._output(name, hidden) for name in HEADS}

    def _output(self, name: str, hidden: dict[str, Tensor]) -> Tensor:
        out = cast(CenterHead, self.heads[name]).out
        assert out is not None
        return cast(Tensor, out(hidden[name]))


def load_movenet(encoder: MoveNetEncoder, path: str | Path) -> None:
    """Copy the weights that `scripts/convert_movenet.py` wrote into an encoder.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the tensors are not those of the script; the message lists the differences.
    """
    tensors = load_file(path)
    with torch.device("meta"):
        complete = MoveNetEncoder(all_heads=True).state_dict()
    try:
        check_tensors({name: tuple(tensor.shape) for name, tensor in complete.items()}, tensors)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    encoder.load_state_dict({name: tensors[name].float() for name in encoder.state_dict()})
