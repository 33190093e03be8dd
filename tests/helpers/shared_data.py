"""Paths of data sets that tests read but that are not in the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SIMPLEPOSE_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def shared(path: str) -> Path:
    """The file or folder ``path`` of the shared data; skips the test if it is missing."""
    full_path = ROOT / path
    if not full_path.exists():
        pytest.skip(f"{full_path} is missing (SIMPLEPOSE_SHARED is the folder)")
    return full_path
