"""Atomic writes: a file is written completely or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simplepose.io.json_text import to_json


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of ``path``. When the block ends, the file written there replaces ``path``.

    After an exception, or if the process is killed, ``path`` is unchanged; an exception also removes the temporary
    file. The file is synced to disk before it is renamed, and the folder after that.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}")
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's or folder's data are on the disk."""
    if path.is_dir() and os.name != "posix":  # elsewhere folders cannot be opened, and need no sync
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: str | Path, data: Any) -> None:
    """Write plain values as JSON by `atomic_write`; missing folders are created."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(to_json(data, indent=1) + "\n", encoding="utf-8")
