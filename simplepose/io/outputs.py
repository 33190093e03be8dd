"""The outputs of a command against its inputs and against existing files: the rule, in one place.

- An output that is an input or another output is refused: the same path, a symbolic or hard link to it, or a path that
  differs in upper and lower case only.
- An existing file is replaced only with ``--overwrite``, if the file has the mark of the same command, or in a folder
  that the command created. Such a folder contains the file `MARKER` with the mark.
- Devices, FIFOs and open files such as ``/dev/stdout`` are written into.
"""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from simplepose.io.atomic import MAX_NAME_BYTES, is_stream, write_json

MARKER = ".simplepose"
"""The file in a folder that a command created: a JSON object with the command's mark."""

MARK_KEY = "made_by"

HEAD_BYTES = 4096
"""A mark is looked for in this part of a file."""

OVERWRITE_HELP = "replace existing files that this command did not make"
FOLDER_HELP = f"files in a folder that this command created (it contains {MARKER}) are replaced without it"

Paths = str | Path


class OutputError(ValueError):
    """An output that would replace a file which it must not replace."""


class _Output(NamedTuple):
    name: str  # of the argument, for messages
    path: Path
    own: bool  # in a folder that the command created


class Outputs:
    """The files that one run of a program reads and writes.

    Args:
        program: the program's name in its mark, such as "simplepose decode".
        overwrite: whether existing files may be replaced.
        marks: other texts that identify a file which the program made.
    """

    def __init__(self, program: str, overwrite: bool = False, marks: Sequence[str] = ()) -> None:
        self.program = program
        self.mark = {MARK_KEY: program}
        self._overwrite = overwrite
        self._marks = [mark_text(program).encode(), *(mark.encode() for mark in marks)]
        self._inputs: dict[object, str] = {}
        self._outputs: list[_Output] = []
        self._folders: list[Path] = []

    def reads(self, name: str, paths: Paths | Iterable[Paths] | None) -> None:
        """Add input files; a path that is no file (the name of a skeleton, a folder) is ignored."""
        for path in () if paths is None else (paths,) if isinstance(paths, str | Path) else paths:
            if os.path.isfile(path):
                self._inputs.update(dict.fromkeys(_identities(Path(path)), f"{name} {path}"))

    def writes(self, name: str, path: Paths | None) -> None:
        """Add an output file."""
        if path is not None:
            self._outputs.append(_Output(name, Path(path), False))

    def writes_folder(self, name: str, folder: Paths, files: Iterable[str]) -> None:
        """Add a folder with output files; `claim_folders` creates it.

        Raises:
            OutputError: the path is a file.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{name}: expected a folder, {folder} is a file")
        new = not folder.exists() or not any(folder.iterdir())
        if new:
            self._folders.append(folder)
        own = new or self._made(folder / MARKER)
        self._outputs += [_Output(name, folder / file, own) for file in files]

    def check(self) -> None:
        """Check all outputs.

        Raises:
            OutputError: an output must not be written; the message names the argument and the file.
        """
        seen: dict[object, str] = {}
        for name, path, own in self._outputs:
            if len(os.fsencode(path.name)) > MAX_NAME_BYTES:
                raise OutputError(f"{name}: expected a file name of at most {MAX_NAME_BYTES} bytes, got {path.name}")
            if is_stream(path):
                continue
            identities = _identities(path)
            others = [self._inputs[i] for i in identities if i in self._inputs]
            if others:
                raise OutputError(f"{name}: {path} would replace an input, {others[0]}; choose another name or folder")
            others = [seen[i] for i in identities if i in seen]
            if others:
                raise OutputError(f"{name}: {path} would replace another output, {others[0]}; choose another name")
            seen.update(dict.fromkeys(identities, f"{name} {path}"))
            if path.is_dir():
                raise OutputError(f"{name}: expected a file, {path} is a folder")
            if path.exists() and not self._may_replace(path, own):
                raise OutputError(
                    f"{name}: {path} exists, and it is not known that this command made it; "
                    "choose another name, or replace it with --overwrite"
                )

    def claim_folders(self) -> None:
        """Create and mark the folders that are new or empty."""
        for folder in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / MARKER, self.mark)
        self._folders.clear()

    def _may_replace(self, path: Path, own: bool) -> bool:
        return self._overwrite or (own and not path.is_symlink()) or self._made(path)

    def _made(self, path: Path) -> bool:
        """Whether a file has a mark of the program."""
        try:
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
        except OSError:
            return False
        return any(mark in head for mark in self._marks)


def mark_text(program: str) -> str:
    """The mark of a program as it stands in JSON objects and in the comments of pictures."""
    return json.dumps({MARK_KEY: program})[1:-1]


def _identities(path: Path) -> list[object]:
    """Values of which two paths of the same file have at least one in common."""
    folder = os.path.join(os.getcwd(), path.parent)
    real = os.path.realpath(path) if path.is_symlink() else os.path.join(_real_folder(folder), path.name)
    found: list[object] = [unicodedata.normalize("NFC", real).casefold()]
    try:
        status = os.stat(path)
    except OSError:
        return found
    return [*found, (status.st_dev, status.st_ino)] if status.st_ino else found


@lru_cache(maxsize=1024)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)
