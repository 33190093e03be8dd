"""The launcher "local": worker processes on this machine.

A worker that dies is replaced, and its shard is repeated. A worker that reports an error is replaced too.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from simplepose.bulk.job import Job, Result
from simplepose.bulk.shards import Shard
from simplepose.inference.config import Engine
from simplepose.inference.predictor import find_engine_device

ATTEMPTS = 3
"""How many workers may die with the same shard until it is given up."""

LOADING_ATTEMPTS = 5
"""How many workers may die in a row before one has loaded its network."""


def local_devices(device: str, engine: Engine, workers: int | None, num_gpus: float | None) -> tuple[list[str], int]:
    """The device of each worker, and the number of threads of each worker for the network.

    Args:
        device: "auto", "cpu", "cuda" or "cuda:N". With "auto" and "cuda" the workers are distributed over all GPUs.
        engine: what runs the network.
        workers: how many; None: as many as there are GPUs, or processors if the CPU is used.
        num_gpus: GPUs of each worker, a fraction if several workers share one; None: 1, or 0 on the CPU.

    Raises:
        ValueError: the workers need more GPUs than there are.
    """
    resolved = find_engine_device(device, engine)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if resolved.type != "cuda":
        if num_gpus:
            raise ValueError(f"--num-gpus: expected 0 on the CPU, got {num_gpus:g}")
        count = processors if workers is None else workers
        return [str(resolved)] * count, max(1, processors // count)
    if device not in ("auto", "cuda"):
        if num_gpus is not None:
            raise ValueError(f"--num-gpus: expected none with --device {device}, which all workers share")
        count = 1 if workers is None else workers
        return [device] * count, max(1, processors // count)
    share = 1.0 if num_gpus is None else num_gpus
    if share <= 0:
        raise ValueError("--num-gpus: expected more than 0 on a GPU; --device cpu uses the CPU")
    gpus = torch.cuda.device_count()
    count = int(gpus / share) if workers is None else workers
    if count < 1 or count * share > gpus + 1e-6:
        raise ValueError(f"--num-gpus: {max(count, 1)} workers with {share:g} GPUs each need more than {gpus} GPUs")
    return [f"cuda:{int(i * share + 1e-6)}" for i in range(count)], max(1, processors // count)


def run_local(job: Job, shards: Sequence[Shard], devices: Sequence[str], threads: int) -> Iterator[Result]:
    """Process shards in worker processes, one for each of ``devices``.

    Args:
        job: of all workers.
        shards: to process, in about this order.
        devices: that of each worker.
        threads: of each worker, for the network.

    Yields:
        The result of each shard, in the order in which they end.

    Raises:
        RuntimeError: workers end before they are ready.
    """
    todo, deaths = deque(shards), dict.fromkeys(shards, 0)
    context = multiprocessing.get_context("spawn")
    workers: list[_Worker] = []
    failed = 0  # workers in a row that ended before they were ready

    def start(device: str) -> _Worker:
        here, there = context.Pipe()
        process = context.Process(target=_work, args=(there, job, device, threads, os.getpid()), daemon=True)
        process.start()
        there.close()
        return _Worker(process, here, device)

    try:
        workers = [start(device) for device in devices[: len(shards)]]
        while todo or any(worker.shard for worker in workers):
            wait([worker.pipe for worker in workers])
            for number, worker in enumerate(workers):
                try:
                    message: Any = worker.pipe.recv() if worker.pipe.poll() else _NOTHING
                except (EOFError, OSError):  # the process ended
                    worker.process.join()
                    reason = _reason(worker.process.exitcode)
                    failed += not worker.ready
                    if failed >= LOADING_ATTEMPTS:
                        raise RuntimeError(f"{failed} workers {reason} while they loaded the network") from None
                    if (shard := worker.shard) is not None:
                        deaths[shard] += 1
                        if deaths[shard] < ATTEMPTS:
                            todo.appendleft(shard)
                        else:
                            yield Result(shard, None, error=f"{ATTEMPTS} workers {reason} while they processed it")
                    workers[number] = start(worker.device)
                    continue
                if message is _NOTHING:
                    continue
                if isinstance(message, str):
                    raise RuntimeError(f"a worker cannot load the network: {message}")
                if worker.ready:
                    worker.shard = None
                    yield message
                    if message.counts is None:  # the error, as one of CUDA, may return with every further shard
                        worker.process.terminate()
                        worker.process.join()
                        workers[number] = start(worker.device)
                        continue
                worker.ready, failed = True, 0
                worker.give(todo)
            for worker in workers:
                if worker.ready and worker.shard is None:
                    worker.give(todo)
    finally:
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join()


_NOTHING = object()


@dataclass
class _Worker:
    """A worker as the main process sees it."""

    process: Any
    pipe: Connection
    device: str
    shard: Shard | None = None
    ready: bool = False

    def give(self, todo: deque[Shard]) -> None:
        """Send the next shard, if there is one."""
        if not todo:
            return
        self.shard = todo.popleft()
        with contextlib.suppress(OSError):  # the process ended; the next read notices it
            self.pipe.send(self.shard)


def _reason(code: int | None) -> str:
    if code is not None and code < 0:
        return f"were killed (signal {-code})"
    return f"ended (exit code {code})"


class _Orphan(BaseException):
    """The main process does not exist any more."""


def _work(pipe: Connection, job: Job, device: str, threads: int, parent: int) -> None:
    """The worker process: load the network, then process shards until the main process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the main process ends the workers
    import cv2

    def watch() -> None:
        if os.getppid() != parent:
            raise _Orphan

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    try:
        try:
            predictor = job.predictor(device)
        except Exception as error:
            pipe.send(str(error) or type(error).__name__)
            return
        pipe.send(None)
        while True:
            pipe.send(job.run(predictor, pipe.recv(), watch))
    except (EOFError, OSError, _Orphan):  # the main process ended
        return
