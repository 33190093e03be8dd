"""Inference speed-ups: BatchNorm folding, fused upsampling, memory layout, reduced precision and compilation."""

from __future__ import annotations

import copy
import platform
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from simplepose.network.base import PoseNetwork
from simplepose.network.layers import ConvBlock, Depth, activate

Precision = Literal["float32", "bfloat16", "float16"]


def optimize_for_inference(
    model: PoseNetwork,
    *,
    fold: bool = True,
    channels_last: bool = True,
    precision: Precision = "float32",
    compile: bool = False,
    cuda_graphs: bool = False,
) -> InferenceModel:
    """A copy of ``model`` on its device that computes the same maps faster; docs/weights.md lists measured times.

    Args:
        model: the trained network; it is not modified.
        fold: fold BatchNorm and upsampling into the weights of the convolutions (`fold_network`).
        channels_last: keep activations in NHWC memory format, which oneDNN and cuDNN convolutions prefer.
        precision: of weights and activations. bfloat16 has 8 significant bits, float16 has 11. On a CPU, bfloat16 is
            faster only where `cpu_has_bfloat16` is true, and float16 is not.
        compile: use ``torch.compile``; the first call of each input shape takes a minute or more.
        cuda_graphs: with ``compile`` on a CUDA device, replay the kernels of each shape as one CUDA graph.

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
    """An optimized network with the same call; input of any float type and layout, contiguous float32 output."""

    def __init__(
        self,
        network: PoseNetwork,
        memory_format: torch.memory_format,
        *,
        compile: bool = False,
        cuda_graphs: bool = False,
    ) -> None:
        super().__init__()
        self.config = network.config
        self.network = network
        self._memory_format = memory_format
        self._dtype = next(network.parameters()).dtype
        self._copy = cuda_graphs  # the next replay of a CUDA graph overwrites its outputs
        mode = "reduce-overhead" if cuda_graphs else "default"
        self._run: Any = torch.compile(network, mode=mode) if compile else network

    @torch.inference_mode()
    def forward(self, x: Tensor, all_outputs: bool = False) -> Tensor | list[list[Tensor]]:
        """As `PoseNetwork.forward`, without gradients."""
        result = self._run(x.to(self._dtype, memory_format=self._memory_format), all_outputs)
        if all_outputs:
            return [[self._finish(maps) for maps in stack] for stack in result]
        return self._finish(result)

    def _finish(self, maps: Tensor) -> Tensor:
        return maps.to(torch.float32, memory_format=torch.contiguous_format, copy=self._copy)


def fold_network(model: PoseNetwork, *, upsampling: bool = True) -> PoseNetwork:
    """A copy in eval mode with BatchNorm and upsampling folded into the weights of the convolutions.

    Its maps equal those of ``model.eval()`` up to rounding. It cannot be trained, saved as a checkpoint or loaded.

    Args:
        model: the network; it is not modified.
        upsampling: False folds BatchNorm only.
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
    """A folded `Upsample`: 2x upsampling, 3x3 convolution and activation as one 4x4 transposed convolution.

    Nearest-neighbor upsampling is a transposed convolution of stride 2 with a 2x2 kernel of ones. The composition is a
    transposed convolution with the full convolution of both kernels; an output cell uses 4 taps instead of 9.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        if conv.bias is None:
            raise ValueError("conv: expected a convolution with BatchNorm folded into it, got one without bias")
        flipped = conv.weight.detach().transpose(0, 1).flip(2, 3)  # [inputs, outputs, 3, 3]
        padded = functional.pad(flipped, (1, 1, 1, 1))
        kernel = padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]
        self.weight = nn.Parameter(kernel.contiguous())  # [inputs, outputs, 4, 4]
        self.bias = nn.Parameter(conv.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:  # [B, inputs, H, W] -> [B, outputs, 2H, 2W]
        return activate(functional.conv_transpose2d(x, self.weight, self.bias, stride=2, padding=1))


def cpu_has_bfloat16() -> bool:
    """Whether this CPU has bfloat16 instructions (AVX-512 BF16, AMX or Arm BF16); False where it is unknown."""
    if platform.system() != "Linux":
        return False
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split())
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
