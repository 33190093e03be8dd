"""The compiled module, where there is one, and what to say where there is none."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

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
