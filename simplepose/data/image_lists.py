"""The image files of folders, patterns and paths."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from simplepose.data.images import ImageError, readable_suffixes


class Listing(NamedTuple):
    """The result of `find_images`."""

    paths: list[Path]
    left_out: tuple[str, ...] = ()  # one line per folder in which files were left out: their number by kind


def list_images(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The paths of `find_images`."""
    return find_images(sources).paths


def find_images(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> Listing:
    """The image files of paths, folders and patterns, in the given order.

    Args:
        sources: one or several of: a folder, a pattern with ``*``, ``?``, ``[...]`` or ``**``, or a path. The image
            files of a folder are sorted by name, with numbers in numeric order; hidden files and subfolders are left
            out. A path that does not exist is kept, and an attempt to read it raises the error.

    Raises:
        ImageError: a folder contains no images, or no file matches a pattern.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    found: list[Path] = []
    left_out: dict[str, None] = {}
    for source in sources:
        path, name = Path(source), os.fspath(source)
        if path.is_dir():
            files = [p for p in path.iterdir() if p.is_file()]
            inside = [p for p in files if p.suffix.lower() in readable_suffixes() and not p.name.startswith(".")]
            others = _left_out(set(files) - set(inside))
            if not inside:
                raise ImageError(f"{name}: the folder holds no images{'; ' * bool(others)}{others}")
            if others:
                left_out[f"{name}: {others}"] = None
            found += sorted(inside, key=_natural)
        elif glob.has_magic(name) and not path.exists():
            fitting = [Path(p) for p in glob.glob(name, recursive=True) if os.path.isfile(p)]
            if not fitting:
                raise ImageError(f"{name}: no file fits this pattern")
            found += sorted(fitting, key=_natural)
        else:
            found.append(path)
    return Listing(found, tuple(left_out))


def _left_out(files: Iterable[Path]) -> str:
    """A text with the number of files of each kind; empty if there are no files."""
    kinds = Counter("hidden" if p.name.startswith(".") else p.suffix.lower() or "without a suffix" for p in files)
    total = sum(kinds.values())
    kinds_text = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{total} file{'s' * (total > 1)} left out: {kinds_text}" if kinds else ""


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A sort key that orders 9.jpg before 10.jpg."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(0, int(p), p) if p[0] in "0123456789" else (1, 0, p) for p in pieces]
