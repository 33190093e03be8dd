"""Depthwise convolutions, with gradients in bfloat16 that are fast on CPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def depthwise(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """``conv(x)`` of a convolution with one group a channel; under bfloat16 autocast on the CPU `_CpuDepthwise`."""
    trains = x.is_cpu and torch.is_grad_enabled() and not torch.compiler.is_compiling()
    if trains and torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16:
        apply: Any = _CpuDepthwise.apply
        result: Tensor = apply(x.bfloat16(), conv.weight, conv.bias, conv.stride, conv.padding)
        return result
    return functional.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding, 1, conv.groups)


class _CpuDepthwise(torch.autograd.Function):
    """A bfloat16 depthwise convolution whose input gradient at stride 2 is computed in float32.

    oneDNN has no fast bfloat16 kernel for that gradient.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        low_bias = None if bias is None else bias.to(x.dtype)
        return functional.conv2d(x, weight.to(x.dtype), low_bias, stride, padding, 1, len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0]
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        grad_x = grad_weight = grad_bias = None
        if need_x and ctx.stride[0] == 2:
            grad_x = _backward(ctx, grad.float(), x.float(), weight, 0).to(x.dtype)
        elif need_x:
            grad_x = _backward(ctx, grad, x, weight.to(x.dtype), 0)
        if need_weight:
            grad_weight = _backward(ctx, grad, x, weight.to(x.dtype), 1).float()
        if need_bias:
            grad_bias = grad.sum((0, 2, 3), dtype=torch.float32)
        return grad_x, grad_weight, grad_bias, None, None


def _backward(ctx: Any, grad: Tensor, x: Tensor, weight: Tensor, which: int) -> Tensor:
    """The gradient of the input (``which`` 0) or of the weights (1)."""
    mask = [which == 0, which == 1, False]
    stride, padding, groups = list(ctx.stride), list(ctx.padding), len(weight)
    grads = torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, [1, 1], False, [0, 0], groups, mask
    )
    result: Tensor = grads[which]
    return result
