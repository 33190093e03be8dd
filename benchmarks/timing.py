"""Shared code of the benchmark scripts: the time of a call, and the content of a result file."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any

import torch

from simplepose.info import machine


def seconds(call: Callable[[], Any]) -> float:
    """The time of one call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(**measured: Any) -> dict[str, Any]:
    """The measured numbers with the command, the machine and the versions."""
    versions = {name: metadata.version(name) for name in ("numpy", "torch")}
    command = " ".join(["python", *sys.argv])
    processor = f"{machine()}, PyTorch with {torch.backends.cpu.get_cpu_capability()}"
    return {"command": command, "machine": processor, "python": platform.python_version(), **versions, **measured}
