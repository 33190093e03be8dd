"""The compiled module and what it makes of skeletons and settings; what to say where there is none."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from simplepose.ops.config import DecodeConfig
from simplepose.skeleton.skeleton import Skeleton

BUILD_HINT = "build it with 'pip install .' in the source tree, which needs a C++17 compiler and CMake 3.25"


@lru_cache(maxsize=1)
def load_native() -> tuple[Any, str]:
    """The module ``simplepose._native`` or None, and why it is missing."""
    try:
        return importlib.import_module("simplepose._native"), ""
    except ImportError as error:
        return None, f"the native ops do not load ({error}); {BUILD_HINT}"


def require_native() -> Any:
    """The module ``simplepose._native``.

    Raises:
        RuntimeError: it is not built or does not load; the message says how to build it.
    """
    module, reason = load_native()
    if module is None:
        raise RuntimeError(f"backend 'native': {reason}")
    return module


@lru_cache(maxsize=64)
def why_no_cuda(device: int) -> str:
    """Why the CUDA ops cannot run on a device, in one line; empty if they can. The answer is kept."""
    module, reason = load_native()
    if module is None:
        return reason
    status = module.cuda_status(device)
    return "" if status["usable"] else f"the CUDA ops cannot run on device {device}: {status['reason']}"


def use_cuda_on(device: Any) -> bool:
    """Whether the ops run the CUDA kernels on tensors of a torch device."""
    return device.type == "cuda" and use_cuda(cuda_index(device))


def lacks_kernels(device: Any) -> bool:
    """Whether a torch device is one for CUDA kernels, of which the build has none that run there."""
    return device.type == "cuda" and not use_cuda(cuda_index(device))


def cuda_index(device: Any) -> int:
    """The number of a torch CUDA device; one without a number is PyTorch's current one."""
    if device.index is None:
        import torch

        return torch.cuda.current_device()
    return int(device.index)


@lru_cache(maxsize=64)
def use_cuda(device: int) -> bool:
    """Whether the CUDA kernels run on the device of that number. Where the build has some, but none that run there, one
    warning says why; vectorised PyTorch finds and matches peaks there then, with the same results."""
    module, _ = load_native()
    reason = why_no_cuda(device)
    if reason and module is not None and module.has_cuda:
        warnings.warn(f"{reason}; PyTorch runs there instead, slower", RuntimeWarning, stacklevel=2)
    return not reason


@lru_cache(maxsize=64)
def decoder(skeleton: Skeleton, config: DecodeConfig) -> Any:
    """The native form of a skeleton and its settings."""
    values = {**asdict(config), "min_samples": config.min_samples}
    return require_native().Decoder(skeleton.num_keypoints, skeleton.part_index, values)


@lru_cache(maxsize=1)
def default_threads() -> int:
    """The processors this process may run on."""
    return int(require_native().default_threads())


def use_native(backend: str) -> bool:
    """Whether a call takes the native op: unless the reference was asked for, or nothing native was built."""
    return backend == "native" or (backend == "auto" and load_native()[0] is not None)
