"""The selection of torch devices by name."""

from __future__ import annotations

import os

import torch

from simplepose.checks import brief, describe, one_line


def find_device(device: str | torch.device) -> torch.device:
    """The device called ``device``; "auto" is a CUDA device if there is one, else the CPU.

    Under torchrun "auto" selects the CUDA device of the process's LOCAL_RANK, otherwise the first one.

    Raises:
        TypeError: ``device`` is neither a name nor a `torch.device`.
        ValueError: the name is invalid.
        RuntimeError: torch finds no such device.
    """
    if not isinstance(device, str | torch.device):
        raise TypeError(f"device: expected a name or a torch.device, got {describe(device)}")
    if device == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    names = "'auto', 'cpu', 'cuda' or 'cuda:N'"
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: expected {names}, got {brief(device)}") from None
    if chosen.type == "meta":
        raise ValueError(f"device: expected {names}, got {device!r}, which computes nothing")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        raise RuntimeError(f"device: {device!r} does not exist, torch finds {torch.cuda.device_count()} CUDA devices")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        raise RuntimeError(f"device: {device!r} cannot be used here ({one_line(error, 200)})") from None
    return chosen
