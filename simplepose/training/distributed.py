"""The processes of a training run: a single one, or one per device under torchrun."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as distributed
from torch import Tensor

from simplepose.network.device import find_device

T = TypeVar("T")

TIMEOUT = timedelta(hours=2)
"""How long a collective operation may wait, for example while the main process renders synthetic data."""


@dataclass(frozen=True)
class Process:
    """One process of a data-parallel run."""

    rank: int  # 0 to world_size - 1
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and messages (rank 0)."""
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process has arrived here."""
        if self.world_size > 1:
            distributed.barrier()

    def mean(self, values: Tensor) -> Tensor:
        """The mean of ``values`` over all processes, returned on each of them."""
        if self.world_size > 1:
            values = values.clone()
            distributed.all_reduce(values)
            values /= self.world_size
        return values

    def broadcast(self, value: T) -> T:
        """The main process's ``value``, returned on every process; it must be picklable."""
        if self.world_size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, device=self.device)
        return values[0]


@contextmanager
def join_processes(device: str | torch.device = "auto") -> Iterator[Process]:
    """Join the process group of the run, and leave it at the end of the ``with`` block.

    torchrun sets RANK, WORLD_SIZE and LOCAL_RANK; without them the run has one process. With "auto" each process
    uses the CUDA device of its local rank. The backend is nccl on CUDA and gloo on the CPU.

    Raises:
        ValueError, RuntimeError: there is no such device.
    """
    world_size, rank, local = (
        int(os.environ.get(n, d)) for n, d in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
    )
    chosen = find_device(device)
    if chosen.type == "cuda":
        if chosen.index is None:
            chosen = find_device(f"cuda:{local}")
        torch.cuda.set_device(chosen)
    if world_size == 1:
        yield Process(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield Process(rank, world_size, chosen)
    finally:
        distributed.destroy_process_group()
