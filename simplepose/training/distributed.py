"""The processes of a training run: one, or those that torchrun started, each with its device."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as distributed
from torch import Tensor

from simplepose.network.device import find_device

PATIENCE = timedelta(hours=2)
"""How long the others wait for a process that draws data or measures the AP."""


@dataclass(frozen=True)
class Process:
    """This process among those that train together."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and tells."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all the others."""
        if self.world > 1:
            distributed.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """The mean of all processes' values, on each of them."""
        if self.world > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.world
        return values

    def from_first(self, value: Any) -> Any:
        """What the first process has, on each of them."""
        if self.world == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, device=self.device)
        return values[0]


@contextmanager
def join_processes(device: str | torch.device = "auto") -> Iterator[Process]:
    """This process, after the others have come together; they part at the end.

    torchrun tells which there are by RANK, WORLD_SIZE and LOCAL_RANK. With "auto" each takes the CUDA device of its
    local rank and they talk over nccl; on the CPU it is gloo.

    Raises:
        ValueError, RuntimeError: there is no such device.
    """
    world, rank, local = (int(os.environ.get(n, d)) for n, d in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0)))
    found = find_device(device)
    if found.type == "cuda":
        if found.index is None:
            found = find_device(f"cuda:{local}")
        torch.cuda.set_device(found)
    if world == 1:
        yield Process(0, 1, found)
        return
    distributed.init_process_group("nccl" if found.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Process(rank, world, found)
    finally:
        distributed.destroy_process_group()
