"""Where tests find the data and golden files that lie beside the repository, not in it."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("SIMPLEPOSE_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def shared(path: str) -> Path:
    """The file or folder ``path`` of the shared data; skips the test where it is missing."""
    found = ROOT / path
    if not found.exists():
        pytest.skip(f"{found} is not there (set SIMPLEPOSE_SHARED)")
    return found
