"""Daemon threads at the exit of the interpreter, in 100 processes."""

from __future__ import annotations

import os

import pytest
from helpers.processes import run_python

EXITS = """
import os, sys, threading, time
import numpy as np
import simplepose as sp

name = sys.argv[1]
rng = np.random.default_rng(0)
maps = rng.random((48, 16, 16), np.float32)
keypoints = np.full((1, 18, 3), 2, np.float32)
keypoints[0, :, :2] = rng.uniform(2, 30, (18, 2))
if name == "Predictor":
    import torch
    torch.set_num_threads(1)
    predictor = sp.Predictor(torch.nn.Conv2d(3, 48, 4, 4).eval(), size=64)
    image = np.zeros((64, 64, 3), np.uint8)
calls = {
    "decode": lambda: sp.decode(maps),
    "find_peaks": lambda: sp.find_peaks(maps),
    "render_targets": lambda: sp.render_targets(keypoints, (32, 32)),
    "Predictor": lambda: predictor(image),
}

def repeat(call):
    while True:
        call()

children = []
for number in range(int(sys.argv[2])):
    children.append(os.fork())
    if not children[-1]:
        for _ in range(3):
            threading.Thread(target=repeat, args=(calls[name],), daemon=True).start()
        time.sleep(0.03 + 0.001 * number)
        sys.exit(7)  # with the threads in their calls
    if len(children) % 5 == 0:
        print(*(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children[-5:]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    ("name", "exits"), [("decode", 30), ("find_peaks", 30), ("render_targets", 30), ("Predictor", 10)]
)
def test_a_daemon_thread_does_not_abort_the_exit(name, exits):
    done = run_python("-c", EXITS, name, exits)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["7"] * exits, done.stderr


LIMITED = """
import resource, threading
import numpy as np
import simplepose as sp
maps = np.zeros((6, 48, 24, 24), np.float32)
maps[:, :, 8, 8] = 1
expected = [poses.keypoints.tobytes() for poses in sp.decode(maps, threads=1)]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 6 * 2**20, -1))  # no room for the stack of a thread
try:
    threading.Thread(target=int).start()
except RuntimeError:
    print("limited")
print([poses.keypoints.tobytes() for poses in sp.decode(maps, threads=6)] == expected)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs /proc")
def test_decode_runs_on_one_thread_if_no_other_can_start():
    done = run_python("-c", LIMITED)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["limited", "True"]
