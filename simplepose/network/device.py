"""Devices by name."""

from __future__ import annotations

import os

import torch


def find_device(device: str | torch.device) -> torch.device:
    """The device of that name; "auto" is the first CUDA device (under torchrun: the process's own) or else the CPU.

    Raises:
        ValueError: torch knows no such name.
        RuntimeError: torch finds no such CUDA device.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        found = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}") from None
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(f"device: {device!r} is not there, torch finds {torch.cuda.device_count()} CUDA devices")
    return found
