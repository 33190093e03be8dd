"""Where the data sets lie that tests read but the repository does not hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SIMPLEPOSE_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def shared(path: str) -> Path:
    """The file or folder ``path`` of the shared data; the test is skipped where it is missing."""
    found = ROOT / path
    if not found.exists():
        pytest.skip(f"{found} is missing (SIMPLEPOSE_SHARED names the folder)")
    return found
