"""Shared code of the GPU benchmarks: times from CUDA events and graphs, the report file, and its table.

On the CPU (``--smoke``) the host's clock replaces events and graphs, so that the same code can be tested there.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timing import report
from torch import Tensor

from simplepose.io.atomic import write_json

SETS = 4
"""Number of sets of inputs and outputs that take turns, so that none is in the cache when it is used again."""


class Times(NamedTuple):
    """Milliseconds per call."""

    median: float
    spread: float  # interquartile range


class Bench:
    """Times calls on a device. With ``smoke`` there are only two rounds, to test the code."""

    def __init__(self, device: str, smoke: bool) -> None:
        self.device, self.smoke = torch.device(device), smoke
        self.cuda = self.device.type == "cuda"

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def poison(self, megabytes: int = 1024) -> None:
        """Fill with NaN the memory from which the next results are allocated."""
        if self.cuda and not self.smoke:
            torch.full((megabytes * 2**18,), torch.nan, device=self.device)
            self.synchronize()

    def device_ms(self, calls: Sequence[Callable[[], Any]], rounds: int = 40) -> Times:
        """Device time without launches: all calls are captured in one CUDA graph, which is replayed."""
        if not self.cuda:
            return self.host_ms(calls, rounds)
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):  # first calls load modules and allocate, which a capture does not allow
            for call in calls:
                call()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = [call() for call in calls]  # kept, so that their memory is not reused
        times = self._events(graph.replay, self._rounds(rounds))
        del results
        return _times([ms / len(calls) for ms in times])

    def stream_ms(self, calls: Sequence[Callable[[], Any]], rounds: int = 20) -> Times:
        """Time from the first launch to the end of the last kernel, with launches and host work between them."""
        if not self.cuda:
            return self.host_ms(calls, rounds)
        for call in calls:
            call()
        times: list[float] = []
        for call in calls:
            times += self._events(call, max(1, self._rounds(rounds) // len(calls)))
        return _times(times)

    def host_ms(self, calls: Sequence[Callable[[], Any]], rounds: int = 20) -> Times:
        """Time on the host's clock until the device is done, for calls with results on the host."""
        for call in calls:
            call()
        times = []
        for turn in range(max(self._rounds(rounds), len(calls))):
            self.synchronize()
            start = time.perf_counter()
            calls[turn % len(calls)]()
            self.synchronize()
            times.append(1000 * (time.perf_counter() - start))
        return _times(times)

    def _events(self, call: Callable[[], Any], rounds: int) -> list[float]:
        for _ in range(3):
            call()
        pairs = []
        for _ in range(rounds):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            end.record()
            pairs.append((start, end))
        self.synchronize()
        return [start.elapsed_time(end) for start, end in pairs]

    def _rounds(self, rounds: int) -> int:
        return 2 if self.smoke else rounds


def _times(values: list[float]) -> Times:
    if len(values) < 2:
        return Times(values[0], 0.0)
    low, _, high = statistics.quantiles(values, n=4)
    return Times(statistics.median(values), high - low)


def total_bytes(tensors: Sequence[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


class Report:
    """The rows of a run. The file is written after each row, so that an interrupted run keeps its measurements."""

    def __init__(self, path: Path | None, device: str) -> None:
        self.path = path
        self.content: dict[str, Any] = {}
        if path and path.exists():
            self.content = json.loads(path.read_text(encoding="utf-8"))
        if self.content.get("device") != device:  # a file holds the rows of one device only
            self.content = {"device": device, "sections": {}}

    def begin(self, section: str) -> None:
        """Start a section; its rows from an earlier run are removed."""
        self.rows: dict[str, dict[str, Any]] = {}
        self.content["sections"][section] = {**report(), "rows": self.rows}
        print(f"\n== {section}: {self.content['device']}", flush=True)

    def add(self, name: str, times: Times | None = None, **facts: Any) -> None:
        """Add one row: its times, and facts such as ``GB_per_s``."""
        timed = {} if times is None else {"ms": times.median, "spread_ms": times.spread}
        self.rows[name] = {**timed, **facts}
        print(row_text(name, self.rows[name]), flush=True)
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, self.content)


def row_text(name: str, row: dict[str, Any]) -> str:
    cells = [f"{row['ms']:10.4f} ms" if "ms" in row else " " * 13]
    cells += [
        f"{key.replace('_', ' ')} {value:.4g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
        for key, value in row.items()
        if key not in ("ms", "spread_ms")
    ]
    return f"{name:46} {'  '.join(cells)}"


def print_table(path: Path) -> None:
    """Print all rows of a report file."""
    if not path.exists():
        print("no measured rows")
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    print(f"measured on {content['device']}")
    for section, entry in content["sections"].items():
        print(f"-- {section}")
        for name, row in entry["rows"].items():
            print(row_text(name, row))
