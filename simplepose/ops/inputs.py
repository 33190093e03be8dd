"""Checks of what callers pass, made once at the public face, with messages that name argument, wish and gift."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.config import Backend
from simplepose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    import torch

MOST_THREADS = 1024

MOST_CELLS = 2**31 - 1
"""Cells of one map are counted in 32 bits."""


def is_tensor(value: object) -> bool:
    """Whether ``value`` is a torch tensor, without importing torch for those who do not use it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def describe(value: object) -> str:
    """A short description of an argument for messages: kind, dtype and shape."""
    if isinstance(value, np.ndarray):
        return f"NumPy {value.dtype} array {list(value.shape)}"
    if is_tensor(value):
        tensor: Any = value
        return f"{str(tensor.dtype).removeprefix('torch.')} tensor {list(tensor.shape)} on {tensor.device}"
    return f"{type(value).__name__} {value!r:.60}"


def check_backend(backend: str) -> None:
    """ValueError unless ``backend`` is one of the known ones."""
    if backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(map(repr, get_args(Backend)))}, got {backend!r}")


def check_count(name: str, value: object, least: int = 1, most: int = 2**20) -> int:
    """``value`` as an int in ``[least, most]``; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {value!r}")
    if not least <= value <= most:
        raise ValueError(f"{name}: expected {least} to {most}, got {value}")
    return int(value)


def check_threads(threads: object) -> None:
    """TypeError or ValueError unless ``threads`` is None or a sensible number."""
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads: expected None or an integer, got {threads!r}")
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads: expected None or 1 to {MOST_THREADS}, got {threads}")


def check_table(name: str, values: Sequence[int], count: int) -> None:
    """Raises ValueError unless all are indices of ``count`` things: kernels read with them unchecked."""
    if values and not (min(values) >= 0 and max(values) < count):
        raise ValueError(f"{name}: expected indices from 0 to {count - 1}, got {min(values)} to {max(values)}")


def check_instance(name: str, value: object, kind: type) -> None:
    """TypeError unless ``value`` is an instance of ``kind``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {describe(value)}")


def image_maps(name: str, value: Any, channels: dict[int, str]) -> NDArray[np.float32]:
    """Maps of one image or a batch as a C-contiguous float32 array on the host.

    Args:
        name: the argument's name, for messages.
        value: ``[C, H, W]`` or ``[B, C, H, W]``, NumPy or torch on any device; float32, or float16 and bfloat16,
            which are converted. Arrays that are not contiguous cost a copy; read-only ones do not.
        channels: the channel counts that fit, each with what it means.

    Returns:
        ``[B, C, H, W]``; a view of ``value`` where no copy is needed.
    """
    array = _tensor_to_array(name, value) if is_tensor(value) else value
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array or torch tensor, got {describe(value)}")
    if array.dtype != np.float32:
        if array.dtype != np.float16:
            raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {describe(value)}")
        array = array.astype(np.float32)
    if array.ndim == 3:
        array = array[None]
    _check_map_shape(name, value, array.shape, channels)
    return array if array.flags.c_contiguous and array.flags.aligned else np.require(array, None, ["C", "A"])


def device_maps(name: str, value: torch.Tensor, channels: dict[int, str]) -> torch.Tensor:
    """What `image_maps` gives, of the same type and where the tensor is: ``[B, C, H, W]``, contiguous, detached."""
    _check_dense(name, value)
    if str(value.dtype) not in ("torch.float32", "torch.float16", "torch.bfloat16"):
        raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {describe(value)}")
    tensor = value.detach()
    if tensor.ndim == 3:
        tensor = tensor[None]
    _check_map_shape(name, value, tuple(tensor.shape), channels)
    return tensor.contiguous()


def _check_map_shape(name: str, value: Any, shape: tuple[int, ...], channels: dict[int, str]) -> None:
    if len(shape) != 4:
        raise ValueError(f"{name}: expected [C, H, W] or [B, C, H, W], got {describe(value)}")
    if shape[1] not in channels:
        known = " or ".join(f"{count} ({meaning})" for count, meaning in channels.items())
        raise ValueError(f"{name}: expected {known} channels, got {shape[1]} in {describe(value)}")
    if not 0 < shape[2] * shape[3] <= MOST_CELLS:
        raise ValueError(f"{name}: expected maps with at least one cell, got {describe(value)}")


def _check_dense(name: str, tensor: torch.Tensor) -> None:
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{name}: expected a dense tensor, got {tensor.layout} {list(tensor.shape)}")


def _tensor_to_array(name: str, tensor: torch.Tensor) -> NDArray[Any]:
    import torch

    _check_dense(name, tensor)
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.detach().cpu().numpy()


def all_maps(skeleton: Skeleton) -> dict[int, str]:
    """The channel counts of maps that hold parts and keypoints, for `image_maps`."""
    count = skeleton.num_parts + skeleton.num_keypoints
    return {count: "parts and keypoints", skeleton.num_channels: "and mask and envelope"}
