"""The selection of torch devices by name."""

from __future__ import annotations

import os

import torch


def find_device(device: str | torch.device) -> torch.device:
    """The device called ``device``; "auto" is a CUDA device if there is one, else the CPU.

    Under torchrun "auto" selects the CUDA device of the process's LOCAL_RANK, otherwise the first one.

    Raises:
        ValueError: the name is invalid.
        RuntimeError: torch finds no such CUDA device.
    """
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: expected 'auto', 'cpu', 'cuda' or 'cuda:N', got {device!r}") from None
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(f"device: {device!r} does not exist, torch finds {torch.cuda.device_count()} CUDA devices")
    return chosen
