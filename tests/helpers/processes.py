"""Python in a process of its own, with the same simplepose as the tests: the installed one, or the tree's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import simplepose

TESTS = Path(__file__).resolve().parents[1]
PATHS = [Path(simplepose.__file__).resolve().parents[1], TESTS, TESTS.parent / "benchmarks"]


def run_python(*arguments: object, environment: dict[str, str] | None = None, **options: Any) -> Any:
    """The finished process. Its folder is that of the tests: Python looks for modules there first."""
    paths = os.pathsep.join(map(str, PATHS))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **(environment or {})},
        cwd=TESTS,
        capture_output=True,
        check=False,
        **{"text": True, "timeout": 180, **options},
    )
