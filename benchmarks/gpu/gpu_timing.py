"""What the GPU benchmarks share: times from CUDA events and graphs, the report file, and its table.

On the CPU (``--smoke``) the host's clock takes the place of events and graphs, so that the same code runs there.
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
"""How many sets of inputs and outputs take turns, so that none is still in the cache when its turn comes."""


class Times(NamedTuple):
    """Milliseconds a call."""

    median: float
    spread: float  # between the quartiles


class Bench:
    """Times calls on a device. ``smoke``: a few rounds, on small things, to see that the code runs."""

    def __init__(self, device: str, smoke: bool) -> None:
        self.device, self.smoke = torch.device(device), smoke
        self.cuda = self.device.type == "cuda"

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def poison(self, megabytes: int = 1024) -> None:
        """Leave NaN in the memory that the next results are allocated from."""
        if self.cuda and not self.smoke:
            torch.full((megabytes * 2**18,), torch.nan, device=self.device)
            self.synchronize()

    def device_ms(self, calls: Sequence[Callable[[], Any]], rounds: int = 40) -> Times:
        """Of the device alone: all calls in one CUDA graph, which is replayed; what they return is kept."""
        if not self.cuda:
            return self.host_ms(calls, rounds)
        side = torch.cuda.Stream(self.device)
        side.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(side):  # a capture allows no first calls, which load and allocate
            for call in calls:
                call()
        torch.cuda.current_stream(self.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            kept = [call() for call in calls]
        times = self._events(graph.replay, self._rounds(rounds))
        del kept
        return _times([ms / len(calls) for ms in times])

    def stream_ms(self, calls: Sequence[Callable[[], Any]], rounds: int = 20) -> Times:
        """From the first launch to the last kernel's end, launches and host work between them included."""
        if not self.cuda:
            return self.host_ms(calls, rounds)
        for call in calls:
            call()
        times: list[float] = []
        for call in calls:
            times += self._events(call, max(1, self._rounds(rounds) // len(calls)))
        return _times(times)

    def host_ms(self, calls: Sequence[Callable[[], Any]], rounds: int = 20) -> Times:
        """On the host's clock, until the device is done: for what ends on the host."""
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
    """The rows of a run, written to a file after each, so that a run that is cut off leaves what it measured."""

    def __init__(self, path: Path | None, device: str) -> None:
        self.path = path
        self.content: dict[str, Any] = {}
        if path and path.exists():
            self.content = json.loads(path.read_text(encoding="utf-8"))
        if self.content.get("device") != device:  # rows of another device do not belong into one file
            self.content = {"device": device, "sections": {}}

    def begin(self, section: str) -> None:
        """The rows that follow are this section's; those of an earlier run are forgotten."""
        self.rows: dict[str, dict[str, Any]] = {}
        self.content["sections"][section] = {**report(), "rows": self.rows}
        print(f"\n== {section}: {self.content['device']}", flush=True)

    def add(self, name: str, times: Times | None = None, **facts: Any) -> None:
        """One row: what was measured, and facts such as ``GB_per_s``."""
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
    """All rows of a report file."""
    if not path.exists():
        print("no measured rows")
        return
    content = json.loads(path.read_text(encoding="utf-8"))
    print(f"measured on {content['device']}")
    for section, found in content["sections"].items():
        print(f"-- {section}")
        for name, row in found["rows"].items():
            print(row_text(name, row))
