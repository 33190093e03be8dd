"""Simulated builds and devices, for tests of the dispatch."""

from __future__ import annotations

import pytest
import torch

from simplepose.ops import backend
from simplepose.ops.native import module as native

NOT_BUILT = f"the native ops do not load (no module); {native.BUILD_HINT}"


def count_as_cuda(patch: pytest.MonkeyPatch, reason: str = "") -> None:
    """Treat every tensor as a CUDA tensor. With a ``reason`` the kernels cannot run on its device."""
    device_of = backend.device_of

    def fake(value: object) -> backend.Device:
        return backend.Device("cuda") if isinstance(value, torch.Tensor | torch.device) else device_of(value)

    patch.setattr(backend, "device_of", fake)
    patch.setattr(backend, "why_not_native", lambda device: reason if device.type == "cuda" else "")


def without_native(patch: pytest.MonkeyPatch) -> None:
    """Simulate an installation without a native module."""
    patch.setattr(native, "load_native", lambda: (None, NOT_BUILT))
    native.forget_decoders()
