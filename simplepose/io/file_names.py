"""Names of output files that are made from the names of input files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from simplepose.io.atomic import MAX_NAME_BYTES


def file_names(paths: Iterable[Path], ending: str) -> dict[Path, str]:
    """A file name for each path: its stem and ``ending``; names that would be the same on some system get numbers."""
    names: dict[Path, str] = {}
    used: set[str] = set()
    for path in paths:
        name, number = with_ending(path.stem, ending), 1
        while name.casefold() in used:
            number += 1
            name = with_ending(path.stem, f"_{number}{ending}")
        used.add(name.casefold())
        names[path] = name
    return names


def with_ending(stem: str, ending: str) -> str:
    """``stem`` and ``ending``; a stem that is too long for a file name is cut."""
    while len(os.fsencode(stem + ending)) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + ending
