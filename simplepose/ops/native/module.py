"""The compiled module: loading, availability on a device, and a cached native decoder for a skeleton and config."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from simplepose.exit_gate import compiled_call
from simplepose.ops.config import DecodeConfig
from simplepose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    from simplepose._native import Decoder

BUILD_HINT = "build it with 'pip install .' in the source tree, which needs a C++17 compiler and CMake 3.25"


@lru_cache(maxsize=1)
def load_native() -> tuple[Any, str]:
    """The module ``simplepose._native``, or None and the reason why it is missing."""
    try:
        return importlib.import_module("simplepose._native"), ""
    except ImportError as error:
        return None, f"the native ops do not load ({error}); {BUILD_HINT}"


def require_native() -> Any:
    """The module ``simplepose._native``.

    Raises:
        RuntimeError: it is not built or does not load; the message states how to build it.
    """
    module, reason = load_native()
    if module is None:
        raise RuntimeError(f"backend 'native': {reason}")
    return module


@lru_cache(maxsize=64)
def why_no_cuda(device: int) -> str:
    """The reason why the CUDA kernels cannot run on the device of that index, in one line; empty if they can."""
    module, reason = load_native()
    if module is None:
        return reason
    status = module.cuda_status(device)
    return "" if status["usable"] else f"the CUDA ops cannot run on device {device}: {status['reason']}"


_recent: tuple[Skeleton, DecodeConfig, Decoder] | None = None


def decoder(skeleton: Skeleton, config: DecodeConfig) -> Decoder:
    """The native form of a skeleton and its settings."""
    global _recent
    recent = _recent
    if recent is not None and recent[0] is skeleton and recent[1] is config:  # without hashing all settings
        return recent[2]
    made = _make_decoder(skeleton, config)
    _recent = (skeleton, config, made)
    return made


def forget_decoders() -> None:
    """Empty the cache of `decoder`."""
    global _recent
    _recent = None
    _make_decoder.cache_clear()


@lru_cache(maxsize=64)
def _make_decoder(skeleton: Skeleton, config: DecodeConfig) -> Decoder:
    values = {**asdict(config), "min_samples": config.min_samples}
    with compiled_call:
        made: Decoder = require_native().Decoder(skeleton.num_keypoints, skeleton.part_index, values)
    return made


@lru_cache(maxsize=1)
def default_threads() -> int:
    """The number of processors that this process may use."""
    return int(require_native().default_threads())
