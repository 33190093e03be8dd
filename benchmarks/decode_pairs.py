"""The times of decode in two checkouts, taken in turn: a worker process for each, of which one runs at a time.

`decode_speed.py --baseline OTHER_CHECKOUT` calls it. The other checkout needs its native module in ``simplepose/``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]

HERE = Path(__file__).resolve().parent.parent

WORKER = """
import hashlib, sys, time
import numpy as np
sys.path.insert(0, sys.argv[1])
import simplepose as sp
assert sp.__file__.startswith(sys.argv[1]), sp.__file__
sets = dict(np.load(sys.argv[2]))
for line in sys.stdin:
    digest, times = hashlib.sha256(), []
    for maps in sets[line.strip()]:
        begin = time.perf_counter()
        poses = sp.decode(maps, backend="native", threads=1)[0]
        times.append(time.perf_counter() - begin)
        digest.update(poses.keypoints.tobytes() + poses.scores.tobytes())
    print(digest.hexdigest(), *times, flush=True)
"""


class Worker:
    """A process that decodes sets of maps with the package of one checkout."""

    def __init__(self, checkout: Path, maps: Path) -> None:
        command = [sys.executable, "-c", WORKER, str(checkout), str(maps)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def times(self, name: str) -> tuple[str, list[float]]:
        """A digest of the poses of a set, and the seconds of each of its maps."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\n")
        self._process.stdin.flush()
        words = self._process.stdout.readline().split()
        if not words:
            raise SystemExit("decode_speed.py: a worker stopped; its message is above")
        return words[0], [float(word) for word in words[1:]]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def paired_ratios(sets: Mapping[str, Sequence[Maps]], baseline: Path, rounds: int) -> dict[str, dict[str, float]]:
    """The time of decode here as a multiple of that in the checkout ``baseline``, for each set.

    Both decode a set in turn, ``rounds`` times, in changing order. The ratio is the median of the ratios of the rounds,
    each of the medians over the set; the microseconds are medians over rounds and maps.

    Raises:
        SystemExit: a worker stopped, or the poses differ.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "maps.npz"
        np.savez(file, **{name: np.stack(list(scenes)) for name, scenes in sets.items()})
        workers = [Worker(HERE, file), Worker(baseline.resolve(), file)]
        seconds: dict[str, list[list[list[float]]]] = {name: [[], []] for name in sets}
        for turn in range(rounds):
            for name in sets:
                digests = {}
                for which in (0, 1) if turn % 2 else (1, 0):
                    digests[which], times = workers[which].times(name)
                    seconds[name][which].append(times)
                if digests[0] != digests[1]:
                    raise SystemExit(f"decode_speed.py: the poses of '{name}' differ from those of {baseline}")
        for worker in workers:
            worker.close()
    rows = {}
    for name, (here, there) in seconds.items():
        rows[name] = {
            "ratio": float(np.median([np.median(a) / np.median(b) for a, b in zip(here, there, strict=True)])),
            "decode_us": 1e6 * float(np.median(here)),
            "baseline_us": 1e6 * float(np.median(there)),
        }
    return rows
