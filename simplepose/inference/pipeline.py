"""A pipeline of three stages: prepare on threads, run in batches, finish on threads. Results come in input order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")
Output = TypeVar("Output")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Stages(Generic[Item, Prepared, Output, Result]):
    """The functions of the stages. An exception in one ends the pipeline, at the result of that item or earlier."""

    prepare: Callable[[Item], Prepared]  # on threads
    key: Callable[[Prepared], Hashable]  # items of equal key may share a batch; None: the item skips `run`
    run: Callable[[Sequence[Prepared]], Sequence[Output]]  # runs a batch on the caller's thread
    finish: Callable[[Prepared, Output | None], Result]  # on threads


@dataclass
class _Slot(Generic[Prepared, Result]):
    """An item in the pipeline; `result` is set when its batch has run."""

    prepared: Future[Prepared]
    result: Future[Result] | None = None


class _CallerThread(Executor):
    """Runs each function at once, on the thread that submits it."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments, **options))
        except Exception as error:
            future.set_exception(error)
        return future


def startable_threads(count: int) -> int:
    """How many of ``count`` further threads the system starts; limits of memory or threads can forbid some."""
    done, threads = threading.Event(), []
    try:
        for _ in range(count):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:  # "can't start new thread"
        pass
    finally:
        done.set()
    for thread in threads:
        thread.join()
    return len(threads)


def run_pipeline(
    items: Iterable[Item], stages: Stages[Item, Prepared, Output, Result], *, batch_size: int = 1, workers: int = 2
) -> Iterator[Result]:
    """The results of ``items``, in order.

    While a batch runs, later items are prepared and the batch before is finished. About three batches are in the
    pipeline at a time; ``items`` is read that far ahead, on the caller's thread. The composition of a batch depends
    on the order of the items only, not on timing.

    Args:
        items: the inputs, read lazily.
        stages: the functions of the stages.
        batch_size: maximum number of items of a batch.
        workers: number of threads that prepare, and number of threads that finish; fewer if the system starts no more
            threads. Without any, the caller's thread does all the work.
    """
    source = iter(items)
    most = 3 * batch_size + workers
    slots: deque[_Slot[Prepared, Result]] = deque()
    workers = startable_threads(2 * workers) // 2
    readers: Executor = ThreadPoolExecutor(workers, "simplepose-prepare") if workers else _CallerThread()
    finishers: Executor = ThreadPoolExecutor(workers, "simplepose-finish") if workers else _CallerThread()
    try:
        while True:
            for item in islice(source, most - len(slots)):
                slots.append(_Slot(readers.submit(stages.prepare, item)))
            if not slots:
                return
            batch = _next_batch(slots, stages.key, batch_size)
            _run_batch(batch, stages, finishers)
            must_wait = not batch  # nothing to run: wait for one result, which makes room for new items
            while slots and (head := slots[0].result) and (must_wait or head.done()):
                slots.popleft()
                must_wait = False
                yield head.result()
    finally:
        for pool in (readers, finishers):
            pool.shutdown(cancel_futures=True)


def _next_batch(
    slots: Iterable[_Slot[Prepared, Result]], key: Callable[[Prepared], Hashable], batch_size: int
) -> list[_Slot[Prepared, Result]]:
    """The first slot that has not run and the next slots of equal key, at most ``batch_size``."""
    waiting = [slot for slot in slots if slot.result is None]
    batch: list[_Slot[Prepared, Result]] = []
    for slot in waiting:
        if len(batch) < batch_size and (not batch or key(slot.prepared.result()) == key(batch[0].prepared.result())):
            batch.append(slot)
    return batch


def _run_batch(
    batch: Sequence[_Slot[Prepared, Result]],
    stages: Stages[Item, Prepared, Output, Result],
    finishers: Executor,
) -> None:
    prepared = [slot.prepared.result() for slot in batch]
    needs_run = bool(prepared) and stages.key(prepared[0]) is not None
    outputs: Sequence[Output | None] = stages.run(prepared) if needs_run else [None] * len(prepared)
    for slot, ready, output in zip(batch, prepared, outputs, strict=True):
        slot.result = finishers.submit(stages.finish, ready, output)
