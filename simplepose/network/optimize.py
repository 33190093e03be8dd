"""Inference speed-ups: what a trained network computes anyway, in fewer operations and a better layout."""

from __future__ import annotations

import copy
import platform
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from simplepose.network.imhn import IMHN
from simplepose.network.layers import ConvBlock, Depth, activate

Precision = Literal["float32", "bfloat16", "float16"]


def optimize_for_inference(
    model: IMHN,
    *,
    fold: bool = True,
    channels_last: bool = True,
    precision: Precision = "float32",
    compile: bool = False,
    cuda_graphs: bool = False,
) -> InferenceModel:
    """A copy of ``model`` on its device that gives the same maps faster; docs/weights.md says how much faster.

    Args:
        fold: put batch norms, and upsampling before a convolution, into the convolutions' weights (`fold_network`).
        channels_last: keep activations as NHWC in memory, which the convolutions of oneDNN and cuDNN prefer.
        precision: type of weights and activations. bfloat16 rounds to 3 digits and float16 to 4. On a CPU bfloat16
            pays only where `cpu_has_bfloat16` is true, and float16 does not.
        compile: run through ``torch.compile``; a minute or more at the first call of each input shape.
        cuda_graphs: with ``compile`` on a CUDA device, replay each shape's kernels as one CUDA graph.

    Raises:
        ValueError: an unknown precision, or ``cuda_graphs`` without ``compile`` or on another device.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision: expected one of {', '.join(get_args(Precision))}, got {precision!r}")
    device = next(model.parameters()).device
    if cuda_graphs and not (compile and device.type == "cuda"):
        raise ValueError(f"cuda_graphs: expected compile=True and a CUDA device, got compile={compile} on {device}")
    network = fold_network(model) if fold else copy.deepcopy(model).eval()
    network.requires_grad_(False).to(getattr(torch, precision))
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    network.to(memory_format=memory_format)  # type: ignore[call-overload]
    return InferenceModel(network, memory_format, compile=compile, cuda_graphs=cuda_graphs)


class InferenceModel(nn.Module):
    """An optimized network, called as `IMHN` is; takes any float type and layout, gives contiguous float32 maps."""

    def __init__(
        self, network: IMHN, memory_format: torch.memory_format, *, compile: bool = False, cuda_graphs: bool = False
    ) -> None:
        super().__init__()
        self.config = network.config
        self.network = network
        self._memory_format = memory_format
        self._dtype = next(network.parameters()).dtype
        self._copy = cuda_graphs  # a graph's next replay overwrites its outputs
        mode = "reduce-overhead" if cuda_graphs else "default"
        self._run: Any = torch.compile(network, mode=mode) if compile else network

    @torch.inference_mode()
    def forward(self, x: Tensor, all_outputs: bool = False) -> Tensor | list[list[Tensor]]:
        """See `IMHN.forward`."""
        result = self._run(x.to(self._dtype, memory_format=self._memory_format), all_outputs)
        if all_outputs:
            return [[self._finish(maps) for maps in stack] for stack in result]
        return self._finish(result)

    def _finish(self, maps: Tensor) -> Tensor:
        return maps.to(torch.float32, memory_format=torch.contiguous_format, copy=self._copy)


def fold_network(model: IMHN, *, upsampling: bool = True) -> IMHN:
    """A copy in eval mode without batch norms: each norm, and each upsampling, is in its convolution's weights.

    ``upsampling=False`` folds the norms alone. Equal to ``model.eval()`` up to rounding; it can no longer be trained,
    saved or loaded as a checkpoint.
    """
    folded = copy.deepcopy(model).eval()
    for module in folded.modules():
        if isinstance(module, ConvBlock) and isinstance(module.norm, nn.modules.batchnorm._BatchNorm):
            module.conv = fuse_conv_bn_eval(module.conv, module.norm)
            module.norm = nn.Identity()
    for module in folded.modules():
        if upsampling and isinstance(module, Depth) and isinstance(module.upsample.block, ConvBlock):
            module.upsample = UpsampledConv(module.upsample.block.conv)
    return folded


class UpsampledConv(nn.Module):
    """A folded `Upsample`: nearest 2x upsampling, 3x3 convolution and activation, as one 4x4 transposed convolution.

    Nearest upsampling is a transposed convolution of stride 2 with a 2x2 kernel of ones, so both together have the full
    convolution of the two kernels. Each output cell then meets four taps instead of nine.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if conv.bias is None:
            raise ValueError("conv: expected a convolution with its norm folded in, got one without bias")
        flipped = conv.weight.detach().transpose(0, 1).flip(2, 3)  # [inputs, outputs, 3, 3]
        wide = functional.pad(flipped, (1, 1, 1, 1))
        kernel = wide[..., 1:, 1:] + wide[..., 1:, :-1] + wide[..., :-1, 1:] + wide[..., :-1, :-1]
        self.weight = nn.Parameter(kernel.contiguous())  # [inputs, outputs, 4, 4]
        self.bias = nn.Parameter(conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, 2H, 2W]
        return activate(functional.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1))


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX-512 BF16, AMX or Arm BF16); False where that is unknown."""
    if platform.system() != "Linux":
        return False
    words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
