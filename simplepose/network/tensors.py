"""The check of a file's tensors against the names and shapes of a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

Shapes = dict[str, tuple[int, ...]]


class CheckpointError(ValueError):
    """A checkpoint that cannot be loaded; the message names the file and the cause."""


def check_tensors(expected: Shapes, tensors: Mapping[str, Any]) -> None:
    """Check that ``tensors`` has exactly the expected names and shapes.

    Raises:
        CheckpointError: it has not; the message has one line for each missing, unknown or misshapen tensor.
    """
    missing = [f"  missing {name} {list(shape)}" for name, shape in expected.items() if name not in tensors]
    unknown = [f"  unknown {name} {_shape(value)}" for name, value in tensors.items() if name not in expected]
    misshapen = [
        f"  misshapen {name}: expected {list(shape)}, got {_shape(tensors[name])}"
        for name, shape in expected.items()
        if name in tensors and _shape(tensors[name]) != list(shape)
    ]
    if missing or unknown or misshapen:
        counts = f"{len(missing)} missing, {len(unknown)} unknown and {len(misshapen)} misshapen tensors"
        raise CheckpointError("\n".join([counts, *missing, *unknown, *misshapen]))


def _shape(value: Any) -> list[int] | str:
    return list(value.shape) if isinstance(value, Tensor) else type(value).__name__
