"""Python in a separate process, with the same simplepose as the tests: the installed package, or the source tree."""

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
    """The completed process. Its working folder is that of the tests, where Python searches for modules first."""
    paths = os.pathsep.join(map(str, PATHS))
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **(environment or {})},
        cwd=TESTS,
        capture_output=True,
        check=False,
        **{"text": True, "timeout": 180, **options},
    )
