"""Atomic writes: a file is written completely or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simplepose.io.json_text import to_json

DESCRIPTOR = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/[^/]+/(task/[^/]+/)?fd/\d+")
"""Paths of the open files of a process."""

MAX_NAME_BYTES = 255
"""The longest file name of the usual file systems."""


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of ``path``. When the block ends, the file written there replaces ``path``.

    After an exception, or if the process is killed, ``path`` is unchanged; an exception also removes the temporary
    file. The file is synced to disk before it is renamed, and the folder after that. An existing file keeps its mode,
    its owner and its group. If ``path`` is a symbolic link, its target is written. If it `is_stream`, the data are
    written into it when the block ends.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: the file cannot be written; the message names ``path``, not the temporary file.
    """
    path = Path(path)
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / "data"
            with errors_of(path, temporary):
                yield temporary
                _write_stream(temporary, path)
        return
    target = Path(os.path.realpath(path))
    _check_target(path, target)
    name = f".{target.name}.{uuid.uuid4().hex[:8]}.tmp"
    if len(os.fsencode(name)) > MAX_NAME_BYTES:
        name = f".{uuid.uuid4().hex}.tmp"
    temporary = target.with_name(name)
    try:
        with errors_of(path, temporary):
            yield temporary
            sync(temporary)
            _replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(target.parent)


def is_stream(path: str | Path) -> bool:
    """Whether a path is a device, a FIFO, a socket or an open file (``/dev/stdout``): nothing that can be replaced."""
    path = Path(path)
    for _ in range(40):
        if DESCRIPTOR.fullmatch(os.path.abspath(path)):
            return True
        if not os.path.islink(path):
            break
        path = path.parent / os.readlink(path)
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


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


@contextmanager
def errors_of(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Name ``path`` in errors of the system that name the temporary file, or no file, as those of a full disk."""
    try:
        yield
    except OSError as error:
        names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
        if error.errno is None or (names and str(temporary) not in names):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from None


def _check_target(path: Path, target: Path) -> None:
    """Raise the error that opening ``path`` for writing would raise."""
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {target.parent if path.is_symlink() else path.parent}")
    code = 0
    if target.is_symlink():
        code = errno.ELOOP
    elif target.is_dir():
        code = errno.EISDIR
    elif target.exists() and not os.access(target, os.W_OK):
        code = errno.EACCES
    if code:
        raise OSError(code, os.strerror(code), str(path))


def _replace(temporary: Path, target: Path) -> None:
    """Rename the temporary file to ``target`` with the mode, owner and group of an existing file."""
    if target.exists() and os.name == "posix":
        before, made = target.stat(), temporary.stat()
        if (before.st_uid, before.st_gid) != (made.st_uid, made.st_gid):
            try:
                os.chown(temporary, before.st_uid, before.st_gid)
            except PermissionError:  # the file of another user: only its content can be written
                shutil.copyfile(temporary, target)
                sync(target)
                temporary.unlink()
                return
        os.chmod(temporary, stat.S_IMODE(before.st_mode))
    os.replace(temporary, target)


def _write_stream(source: Path, path: Path) -> None:
    """Write the content of ``source`` into a stream; into stdout and stderr after what was printed before."""
    descriptor = None
    for number, stream in ((1, sys.stdout), (2, sys.stderr)):
        try:
            same = os.path.samestat(os.fstat(number), os.stat(path))
        except OSError:  # a closed descriptor
            continue
        if same:
            if stream is not None:
                stream.flush()
            descriptor = os.dup(number)
            break
    with source.open("rb") as data, open(path if descriptor is None else descriptor, "wb") as out:
        shutil.copyfileobj(data, out)
