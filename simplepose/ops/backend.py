"""Dispatch: the implementation that runs an op on an input. All ops and `decode` follow one rule.

| backend | arrays and CPU tensors | CUDA tensors |
|---|---|---|
| "native" | C++ | CUDA kernels |
| "torch" | vectorized PyTorch on the CPU | vectorized PyTorch on the device |
| "reference" | NumPy | NumPy, on a copy in host memory |
| "auto" | native, else PyTorch, else NumPy | native, else PyTorch |

"native" raises an error if the build cannot run on the device. "auto" warns once for each kind of device if it does
not use the native implementation. Tensors on other devices have no native implementation. The CUDA kernels render and
match no part affinity fields (encoding "paf"): these run in PyTorch on the device. `assign_keypoints` always
runs on the CPU and has no PyTorch implementation: for it, "torch" means C++, or NumPy where nothing is built.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from functools import lru_cache
from typing import Literal, NamedTuple

from simplepose.ops.inputs import check_backend
from simplepose.ops.native import module as native

Implementation = Literal["cpp", "cuda", "torch", "reference"]

SLOWDOWN = {"torch": "7 to 150 times", "reference": "35 to 300 times"}
"""How much slower an op is than in C++. Measured by ``pytest benchmarks/bench_decode.py
benchmarks/bench_render_targets.py``."""

USES_PARTS = ("render_targets", "match_parts", "decode")
"""The ops that read or write part maps."""


class Device(NamedTuple):
    """A device, described without torch."""

    type: str  # as in `torch.device`: "cpu", "cuda", ...
    number: int = 0  # the index of the device among those of its type


CPU = Device("cpu")


class Choice(NamedTuple):
    """The implementation that runs an op."""

    implementation: Implementation
    reason: str = ""  # why "auto" does not use the native implementation; empty if it does


def device_of(value: object) -> Device:
    """The device of an array or tensor, or of a `torch.device` (a CUDA device without an index is the current one)."""
    torch = sys.modules.get("torch")
    if isinstance(value, Device) or torch is None:
        return value if isinstance(value, Device) else CPU
    device = value.device if isinstance(value, torch.Tensor) else value
    if not isinstance(device, torch.device):
        return CPU
    if device.type == "cuda" and device.index is None:
        return Device("cuda", torch.cuda.current_device())
    return Device(device.type, device.index or 0)


def choose(op: str, backend: str, device: Device = CPU, encoding: str = "parts") -> Choice:
    """The implementation of ``op`` that ``backend`` selects for data on ``device`` with an encoding of parts.

    Raises:
        ValueError: the backend is unknown.
        RuntimeError: the backend cannot run here; the message states the reason and the remedy.
    """
    check_backend(backend)
    if backend == "reference":
        return Choice("reference")
    grouping = op == "assign_keypoints"
    if backend == "torch" and not grouping:
        if not torch_installed():
            raise RuntimeError("backend 'torch': PyTorch is not installed; install it with 'pip install torch'")
        return Choice("torch")
    reason = why_not_native(CPU if grouping else device)
    if not reason and encoding == "paf" and device.type == "cuda" and op in USES_PARTS:
        reason = "the CUDA kernels have no part affinity fields"
    if not reason:
        return Choice("cuda" if device.type == "cuda" and not grouping else "cpp")
    if backend == "native":
        raise RuntimeError(f"backend 'native': {reason}")
    return Choice("torch" if torch_installed() and not grouping else "reference", reason)


def resolve(op: str, backend: str, value: object = CPU, encoding: str = "parts") -> Implementation:
    """`choose` for the device of ``value``. Warns the first time that "auto" is not native on a kind of device."""
    device = device_of(value)
    implementation, reason = choose(op, backend, device, encoding)
    if reason and backend == "auto":
        _warn_once(op, implementation, device.type, reason)
    return implementation


def why_not_native(device: Device) -> str:
    """The reason why the native ops cannot run on a device, in one line; empty if they can."""
    module, reason = native.load_native()
    if module is None or device.type == "cpu":
        return reason
    if device.type == "cuda":
        return native.why_no_cuda(device.number)
    return f"the native ops run on cpu and cuda devices, not on {device.type}"


@lru_cache(maxsize=1)
def torch_installed() -> bool:
    """Whether PyTorch is installed. Does not import it."""
    return importlib.util.find_spec("torch") is not None


_warned: set[tuple[str, str]] = set()


def _warn_once(op: str, implementation: Implementation, device_type: str, reason: str) -> None:
    if (implementation, device_type) in _warned:
        return
    _warned.add((implementation, device_type))
    runs = "in PyTorch" if implementation == "torch" else "in the NumPy reference"
    slower = f", {SLOWDOWN[implementation]} slower than in C++" if device_type == "cpu" else ", slower than its kernel"
    warnings.warn(f"{op} runs {runs} on {device_type}{slower}: {reason}", RuntimeWarning, stacklevel=4)
