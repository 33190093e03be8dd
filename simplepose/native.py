"""The native module, and the objects that it compiles from skeletons and settings."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from importlib import import_module
from typing import Any

from simplepose.config import DecodeConfig
from simplepose.skeleton import Skeleton

BUILD_HINT = "build it with `pip install .` in the source tree (a C++17 compiler is needed; CMake comes along)"

try:
    _native: Any = import_module("simplepose._native")
    _import_error = ""
except ImportError as error:  # a source tree that was never built, or a wheel of another platform
    _native, _import_error = None, str(error)

available = _native is not None


def module() -> Any:
    """``simplepose._native``.

    Raises:
        RuntimeError: it is not there; the message says how to build it.
    """
    if _native is None:
        raise RuntimeError(f"backend 'native': the extension module is missing ({_import_error}); {BUILD_HINT}")
    return _native


@lru_cache(maxsize=64)
def decoder(skeleton: Skeleton, config: DecodeConfig) -> Any:
    """The native form of a skeleton and its settings."""
    values = {**asdict(config), "samples_needed": config.samples_needed}
    return module().Decoder(skeleton.num_keypoints, skeleton.part_index, values)


def thread_count(threads: int | None) -> int:
    """The number of threads for a call: the given one, or the processors this process may run on."""
    return module().default_threads() if threads is None else threads
