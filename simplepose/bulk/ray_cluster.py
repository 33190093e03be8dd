"""The launcher "ray": actors of Ray Data, on this machine or on a cluster."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from typing import Any

import numpy as np

from simplepose.bulk.job import Job, Result
from simplepose.bulk.shards import Shard
from simplepose.io.parquet import Counts

MOST_BLOCKS = 10_000
"""Ray distributes the shards in at most this many blocks of equal size. It repeats a block if its worker dies."""


def ray() -> Any:
    """The module ray, with ray.data imported.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--launcher ray needs Ray: pip install 'simplepose[bulk]'", name="ray") from None
    return ray


class ShardActor:
    """The class of the actors: it holds one predictor and processes shards."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._predictor = job.predictor()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The results of the pickled shards ``batch["shard"]`` with the numbers ``batch["number"]``, as columns."""
        results = [self._job.run(self._predictor, pickle.loads(shard)) for shard in batch["shard"]]
        columns: dict[str, Any] = {"number": batch["number"]}
        columns["counts"] = np.array([astuple(r.counts or Counts()) for r in results], np.int64)
        columns["began"] = np.array([r.began for r in results])
        columns["ended"] = np.array([r.ended for r in results])
        columns["error"] = np.array([r.error for r in results], object)
        return columns


def connect(address: str | None) -> None:
    """Join the cluster of an address, or start one on this machine."""
    if not ray().is_initialized():
        ray().init(address=address or "local", **({} if address else {"include_dashboard": False}))


def check_device(device: str) -> None:
    """ValueError for a --device that Ray cannot select."""
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(
            f"--device: expected auto, cpu or cuda with --launcher ray, which selects the GPU, got {device}"
        )


def cluster_workers(device: str, workers: int | None, num_gpus: float | None) -> tuple[int, float]:
    """The number of actors and the number of GPUs of each.

    Args:
        device: "auto", "cpu" or "cuda".
        workers: how many; None: as many as there are GPUs in the cluster, or CPUs if there are none.
        num_gpus: GPUs of each actor, a fraction if several share one; None: 1, or 0 without GPUs.

    Raises:
        ValueError: the cluster has fewer CPUs or GPUs, or the actors need a GPU and have none.
    """
    resources = ray().cluster_resources()
    cpus, gpus = int(resources.get("CPU", 0)), float(resources.get("GPU", 0)) if device != "cpu" else 0.0
    share = float(gpus > 0 or device == "cuda") if num_gpus is None else num_gpus
    count = max(1, int(gpus / share) if share else cpus) if workers is None else workers
    if not share and device == "cuda":
        raise ValueError("--num-gpus: expected more than 0 on a GPU; --device cpu uses the CPU")
    if count > cpus:
        raise ValueError(f"--workers: expected at most the {cpus} CPUs of the cluster, got {count}")
    if count * share > gpus + 1e-6:
        raise ValueError(f"--num-gpus: {count} workers with {share:g} GPUs each need more than {gpus:g} GPUs")
    return count, share


def run_ray(job: Job, shards: Sequence[Shard], workers: int, num_gpus: float) -> Iterator[Result]:
    """Process shards in ``workers`` actors with ``num_gpus`` GPUs each; the results come in any order.

    Ray Data streams the shards through the actors: an actor gets new ones when it has finished others, and the results
    are read while the actors work.
    """
    module = ray()
    job = job if num_gpus else replace(job, device="cpu")  # an actor without GPUs may see those of the machine
    blocks = min(len(shards), MOST_BLOCKS)
    items = [{"number": number, "shard": pickle.dumps(shard)} for number, shard in enumerate(shards)]
    results = module.data.from_items(items, override_num_blocks=blocks).map_batches(
        ShardActor,
        fn_constructor_args=(job,),
        compute=module.data.ActorPoolStrategy(size=min(workers, len(shards))),
        batch_size=1,
        num_gpus=num_gpus or None,
    )
    for row in results.iter_rows():
        counts = None if row["error"] else Counts(*(int(number) for number in row["counts"]))
        yield Result(shards[row["number"]], counts, float(row["began"]), float(row["ended"]), row["error"])
