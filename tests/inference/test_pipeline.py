"""The pipeline: order of results, batches by key, bounded read-ahead, and clean ends after errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from simplepose.inference.pipeline import Stages, run_pipeline, startable_threads


def stages(batches: list[list[int]], slow: tuple[int, ...] = ()) -> Stages[int, int, int, tuple[int, int | None]]:
    """Stages that square numbers. Numbers with the same last digit may share a batch; 0 skips the run."""

    def prepare(item: int) -> int:
        if item in slow:
            time.sleep(0.02)
        if item < 0:
            raise ValueError(f"item {item}")
        return item

    def run(batch: Sequence[int]) -> list[int]:
        batches.append(list(batch))
        return [n * n for n in batch]

    return Stages(prepare, lambda n: n % 10 if n else None, run, lambda n, square: (n, square))


def test_results_keep_the_order_and_batches_do_not_depend_on_timing() -> None:
    items = [1, 2, 11, 0, 3, 21, 12, 31, 0, 4, 41, 5, 51]
    expected = [(n, n * n if n else None) for n in items]
    runs: list[list[list[int]]] = [[], []]
    for batches, slow in zip(runs, ((), (1, 3, 12, 51)), strict=True):
        assert list(run_pipeline(items, stages(batches, slow), batch_size=3, workers=3)) == expected
    assert runs[0] == runs[1]
    assert runs[0][0] == [1, 11, 21]
    assert all(len({n % 10 for n in batch}) == 1 and len(batch) <= 3 for batch in runs[0])


@pytest.mark.parametrize("count", [0, 1, 40])
def test_any_number_of_items_passes_in_order(count: int) -> None:
    assert [n for n, _ in run_pipeline(range(count), stages([]), batch_size=4)] == list(range(count))


def test_a_bounded_number_of_items_is_read_ahead() -> None:
    read = []

    def source() -> Iterator[int]:
        for n in range(1, 1000):
            read.append(n)
            yield n

    results = run_pipeline(source(), stages([]), batch_size=2, workers=2)
    assert read == []
    for seen in range(1, 20):
        next(results)
        assert len(read) <= seen + 3 * 2 + 2
    results.close()


def test_preparing_and_finishing_overlap_the_run() -> None:
    """The runs wait until the second item is prepared and the first is finished, so without overlap they time out."""
    events = {name: threading.Event() for name in ("prepared 2", "finished 1")}

    def prepare(n: int) -> int:
        if n == 2:
            events["prepared 2"].set()
        return n

    def run(batch: Sequence[int]) -> Sequence[int]:
        assert events["prepared 2" if batch[0] == 1 else "finished 1"].wait(10)
        return batch

    def finish(n: int, _: int | None) -> int:
        if n == 1:
            events["finished 1"].set()
        return n

    assert list(run_pipeline([1, 2], Stages(prepare, lambda n: 0, run, finish))) == [1, 2]


def test_errors_end_the_pipeline_and_its_threads() -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="item -5"):
        list(run_pipeline([1, 2, -5, 3] * 20, stages([]), batch_size=2))
    results = run_pipeline(range(1, 100), stages([]))
    next(results)
    results.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("possible", [0, 1, 2, 5, 100])
def test_fewer_threads_give_the_same_results(possible: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    alive: list[threading.Thread] = []

    def limited(thread: threading.Thread) -> None:
        alive[:] = [other for other in alive if other.is_alive()]
        if len(alive) >= possible:
            raise RuntimeError("can't start new thread")
        start(thread)
        alive.append(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    items = [1, 2, 11, 0, 3, 21]
    batches: list[list[int]] = []
    results = list(run_pipeline(items, stages(batches), batch_size=3, workers=3))
    assert results == [(n, n * n if n else None) for n in items]
    assert batches[0] == [1, 11, 21]
    assert startable_threads(4) == min(possible, 4)
    with pytest.raises(ValueError, match="item -1"):
        list(run_pipeline([1, -1], stages([])))
