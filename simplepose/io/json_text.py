"""JSON text: parsing with errors that name the place, and output that every JSON parser accepts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simplepose.checks import one_line


def parse_json(text: str | bytes, place: object) -> Any:
    """The value of a JSON text; ``place`` is the file, or the file and line, for messages.

    Raises:
        ValueError: the text is not JSON, or has numbers of more digits or lists of more levels than Python reads.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # also for bytes that are not valid text
        raise ValueError(f"{place}: not valid JSON ({one_line(error)})") from None


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a file with one JSON object per line, each with its place ``PATH:LINE``.

    An incomplete last line, as a killed process leaves it, is ignored.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is not a JSON object; the message names the file and the line.
    """
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        place = f"{path}:{number}"
        value = parse_json(line, place)
        if not isinstance(value, dict):
            raise ValueError(f"{place}: expected a JSON object, got {one_line(line.decode('latin-1'), 60)}")
        yield place, value


def to_json(value: Any, indent: int | None = None, *, sort_keys: bool = False) -> str:
    """``value`` as JSON text. Floats that are not finite, which JSON does not have, become null."""
    try:
        return json.dumps(value, indent=indent, sort_keys=sort_keys, allow_nan=False)
    except ValueError:
        return json.dumps(without_infinity(value), indent=indent, sort_keys=sort_keys, allow_nan=False)


def without_infinity(value: Any) -> Any:
    """A copy of plain values in which floats that are not finite are None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: without_infinity(item) for key, item in value.items()}
    return [without_infinity(item) for item in value] if isinstance(value, list | tuple) else value
