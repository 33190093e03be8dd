"""Kill bulk prediction at random moments, restart it, and compare its rows with those of a run that nobody killed.

python benchmarks/bulk_kills.py                        # 50 SIGKILLs of the main process or a worker, in minutes
python benchmarks/bulk_kills.py --launcher ray --kills 5

Whenever a run ends, its rows are compared and the next run begins in a new folder. A row counts as lost if the run
ended without it, as twice if it is there more than once, and as wrong if its values differ. The exit code is 1 if there
is one.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from bulk_inputs import command, environment, write_tars

from simplepose.io.parquet import read_rows

Rows = collections.Counter[tuple[str, int, str]]


def rows_of(out: Path) -> Rows:
    """The number of each row: image, person and values; person -1 for an image without people."""
    found: Rows = collections.Counter()
    for part in out.glob("*.parquet"):
        for image in read_rows(part):
            for person, (score, keypoints) in enumerate(zip(image.scores, image.keypoints, strict=True)):
                found[image.image, person, f"{score} {keypoints.tobytes().hex()}"] += 1
            if not len(image.scores):
                found[image.image, -1, str(image.error)] += 1
    return found


def descendants(process: int) -> list[int]:
    """The processes that a process has started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):  # it ended
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [process]
    while todo:
        todo += (new := children.get(todo.pop(), []))
        found += new
    return found


def workers_of(process: int, launcher: str) -> list[int]:
    """The worker processes of a run."""
    mark = b"spawn_main" if launcher == "local" else b"MapWorker"
    return [child for child in descendants(process) if mark in command_line(child)]


def command_line(process: int) -> bytes:
    """The command line of a process; empty if it ended."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--launcher", default="local", choices=["local", "ray"])
    parser.add_argument("--tars", type=int, default=12)
    parser.add_argument("--images", type=int, default=100, help="of each tar")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder, errors = Path(name), Path(name) / "errors"
        write_tars(folder / "tars", options.tars, options.images, 96)
        inputs = str(folder / "tars" / "*.tar")
        settings = ["--launcher", options.launcher, "--workers", "2", "--checkpoint", "tiny", "--size", "96"]

        def start(out: Path) -> subprocess.Popen[bytes]:
            line = command(inputs, out, *settings)
            return subprocess.Popen(line, env=environment(), stdout=subprocess.DEVNULL, stderr=errors.open("wb"))

        began = time.perf_counter()
        if start(folder / "whole").wait() != 0:
            raise SystemExit("the run without kills failed")
        whole_seconds = time.perf_counter() - began
        expected = rows_of(folder / "whole")
        killed: collections.Counter[str] = collections.Counter()
        lost = twice = wrong = runs = working = given_up = 0
        while sum(killed.values()) < options.kills:
            out = folder / str(runs)
            run, code = start(out), None
            while code is None:
                if sum(killed.values()) >= options.kills:
                    code = run.wait()
                    break
                wait = rng.uniform(0, whole_seconds / 2)
                try:
                    code = run.wait(wait)
                    break
                except subprocess.TimeoutExpired:
                    pass
                workers = workers_of(run.pid, options.launcher)
                victim = rng.choice(["main", "worker"]) if workers else "main"
                working += bool(out.is_dir() and list(out.glob(".*.tmp")))
                try:
                    os.kill(run.pid if victim == "main" else rng.choice(workers), signal.SIGKILL)
                except ProcessLookupError:  # it ended by itself
                    continue
                killed[victim] += 1
                if victim == "main":
                    run.wait()
                    run = start(out)
            if code != 0:  # it gave a shard up, since too many of its workers were killed: the same command continues
                print(errors.read_text().strip().splitlines()[-1:], flush=True)
                given_up += 1
                if start(out).wait() != 0:
                    raise SystemExit(errors.read_text())
            found = rows_of(out)
            runs += 1
            places = collections.Counter({key[:2]: 0 for key in expected})
            for key, count in found.items():
                places[key[:2]] += count
            lost += sum(count == 0 for count in places.values())
            twice += sum(count > 1 for count in places.values())
            wrong += len(found.keys() - expected.keys())
            print(f"run {runs}: {sum(found.values())} rows, {dict(killed)} killed so far", flush=True)
        print(
            f"{sum(killed.values())} SIGKILLs (main process {killed['main']}, worker {killed['worker']}; {working} "
            f"while a part was being written) in {runs} runs of {sum(expected.values())} rows: "
            f"{lost} lost, {twice} twice, {wrong} wrong; {given_up} runs gave a shard up and were started again"
        )
        return int(bool(lost or twice or wrong))


if __name__ == "__main__":
    raise SystemExit(main())
