"""The weights that ship with the package, and their defaults of use, which the help of the commands states."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HEADER = "simplepose"
"""The key of the JSON header in the safetensors metadata."""

WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = ("tiny", "photo")
"""The names of the weights that ship with the package."""


def shipped_use(name: str) -> dict[str, Any]:
    """`Checkpoint.use` of shipped weights; empty if this build does not contain them, or if they are damaged."""
    from safetensors import SafetensorError, safe_open

    path = WEIGHTS / f"{name}.safetensors"
    try:
        with safe_open(str(path), framework="np") as file:
            return dict(json.loads(file.metadata()[HEADER]).get("use", {}))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return {}
