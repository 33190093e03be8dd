"""Random tests without end: parity of the decoding backends, and damaged files for every reader.

    python scripts/fuzz.py --minutes 60              # every kind in turn; exit code 1 if anything was found
    python scripts/fuzz.py --only parity --seed 7    # one kind; Ctrl-C ends the run and prints the summary
    python scripts/fuzz.py --only json --seed 7 --case 1234    # one case again, in this process

A worker process runs the cases of a kind in turn. If it crashes or does not answer for `HANG` seconds, that is a
finding of the case that it was working on, and a new worker continues after it. The seed and the number of a case
determine the case. `scripts/fuzzing/` contains the kinds.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from typing import Any

HANG = 120.0
"""Seconds without an answer after which a worker counts as hung; it is generous, since the machine may be busy."""

START = 600.0
"""The same for the first answer of a worker, which imports PyTorch before."""

ROUND = 600.0
"""Seconds in which every kind has its turn once."""

SHARES = {"parity": 6, "masks": 1, "json": 1, "toml": 1, "npz": 1, "checkpoints": 1, "images": 1, "bulk": 1}
"""The kinds, each with its share of the time."""

MOST_SHOWN = 20
"""Findings of a kind that are printed; all are counted."""


def fuzzer(kind: str, seed: int) -> Any:
    """The object that runs the cases of a kind: ``run(number)`` returns the number of cases and the findings."""
    from fuzzing import bulk_files, parity, readers

    if kind == "parity":
        return parity.Fuzzer(seed)
    makers = {"masks": readers.masks, "json": readers.json_files, "toml": readers.toml, "npz": readers.npz}
    makers |= {"checkpoints": readers.checkpoints, "images": readers.images, "bulk": bulk_files.bulk}
    return makers[kind](seed)


def work(kind: str, seed: int, first: int, end: float) -> None:
    """The worker: run cases from ``first`` on; print one JSON line for each, with its number, cases and findings.

    It runs at least one case, and ends at the time ``end`` of the system's clock.
    """
    running = fuzzer(kind, seed)
    number = first
    try:
        while number == first or time.time() < end:
            count, found = running.run(number)
            print(json.dumps([number, count, found]), flush=True)
            number += 1
    except BrokenPipeError:
        os._exit(1)  # the run was interrupted; nobody reads the output, also not that of the exit
    finally:
        running.close()


class Run:
    """The workers of a kind, and what they have found."""

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self.seed = kind, seed
        self.next = 0  # the number of the next case
        self.cases = 0
        self.seconds = 0.0
        self.findings = 0

    def run(self, seconds: float) -> None:
        """Run cases for some time, with a new worker after every crash."""
        start = time.time()
        try:
            while time.time() < start + seconds:
                self._run_worker(start + seconds)
        finally:
            self.seconds += time.time() - start

    def _run_worker(self, end: float) -> None:
        options = ["--worker", str(end), "--only", self.kind, "--seed", str(self.seed), "--case", str(self.next)]
        with subprocess.Popen([sys.executable, __file__, *options], stdout=subprocess.PIPE) as worker:
            assert worker.stdout
            text, patience = b"", START
            try:
                with selectors.DefaultSelector() as selector:
                    selector.register(worker.stdout, selectors.EVENT_READ)
                    while selector.select(patience):
                        patience = HANG
                        piece = os.read(worker.stdout.fileno(), 1 << 16)
                        if not piece:
                            if code := worker.wait():
                                self._find(f"the worker ended with exit code {code}")
                                self.next += 1
                            return
                        *lines, text = (text + piece).split(b"\n")
                        for line in lines:
                            self._answer(*json.loads(line))
                self._find(f"no answer for {patience:g} s")
                self.next += 1
            finally:
                worker.kill()

    def _answer(self, number: int, count: int, found: list[str]) -> None:
        self.cases += count
        for line in found:
            self._find(line)
        self.next = number + 1

    def _find(self, text: str) -> None:
        self.findings += 1
        if self.findings <= MOST_SHOWN:
            print(f"{self.kind}: case {self.next} of seed {self.seed}: {text}", flush=True)

    def summary(self) -> str:
        rate = self.cases / max(self.seconds, 1e-9)
        return f"{self.kind:<12}{self.cases:>10,} cases{rate:>8.0f} a second{self.findings:>8} findings"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="total time; default: until Ctrl-C")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same cases")
    parser.add_argument("--only", nargs="+", choices=SHARES, default=list(SHARES), help="the kinds to run")
    parser.add_argument("--case", type=int, help="run this case of one kind again, in this process")
    parser.add_argument("--worker", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        if len(options.only) != 1:
            parser.error("--case: expected one kind in --only")
        work(options.only[0], options.seed, options.case, options.worker or 0.0)
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runs = [Run(kind, options.seed) for kind in dict.fromkeys(options.only)]
    end = time.time() + 60 * options.minutes
    try:
        while (left := end - time.time()) > 1:
            whole = min(left, ROUND) / sum(SHARES[run.kind] for run in runs)
            for run in runs:
                run.run(whole * SHARES[run.kind])
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    print(f"seed {options.seed}")
    for run in runs:
        print(run.summary())
    return 1 if any(run.findings for run in runs) else 0


if __name__ == "__main__":
    sys.exit(main())
