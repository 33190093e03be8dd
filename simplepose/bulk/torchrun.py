"""The launcher "torchrun": the processes that torchrun has started divide the shards by their rank."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch

from simplepose.bulk.job import Job, Result
from simplepose.bulk.shards import Shard


def rank() -> int:
    """The number of this process among those of torchrun; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def check_environment() -> None:
    """ValueError unless torchrun started the process."""
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise ValueError(
            f"--launcher torchrun: expected the variable {missing[0]} of torchrun; start the command with "
            "torchrun --nproc-per-node N -m simplepose predict ..."
        )


@contextlib.contextmanager
def process_group() -> Iterator[None]:
    """The group of the processes of torchrun."""
    import torch.distributed as distributed

    distributed.init_process_group("gloo", timeout=timedelta(days=30))  # processes may finish hours apart
    try:
        yield
    finally:
        distributed.destroy_process_group()


def from_first(value: Any) -> Any:
    """The value of the first process, on all processes; an exception in place of the value is raised on all."""
    import torch.distributed as distributed

    shared = [value]
    distributed.broadcast_object_list(shared)
    if isinstance(shared[0], Exception):
        raise shared[0]
    return shared[0]


def to_first(results: Sequence[Result]) -> list[Result]:
    """The results of all processes on the first process; none on the others."""
    import torch.distributed as distributed

    gathered: list[Any] | None = [None] * distributed.get_world_size() if rank() == 0 else None
    distributed.gather_object(list(results), gathered)
    return [result for part in gathered or () for result in part]


def share(shards: Sequence[Shard]) -> Sequence[Shard]:
    """The shards of this process."""
    return shards[rank() :: int(os.environ["WORLD_SIZE"])]


def run_rank(job: Job, shards: Sequence[Shard]) -> Iterator[Result]:
    """The result of each shard, processed in this process."""
    device = job.device
    if device in ("auto", "cuda") and job.config.engine == "torch" and torch.cuda.is_available():
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % torch.cuda.device_count()}"
    predictor = job.predictor(device)
    for shard in shards:
        yield job.run(predictor, shard)
