"""The page's temporary folder: which uploads may be read, and the files to download."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from simplepose.checks import brief, one_line, printable

KEEP_SECONDS = 3600.0
"""Age at which uploads and files to download are removed."""

MOST_NAME = 80
"""Maximum length of the name of a picture in messages and files."""


class UploadError(ValueError):
    """What a browser sent is no uploaded file; the message says so."""


class Files:
    """A folder for uploads and files to download.

    Args:
        folder: exists and is writable; the caller removes it at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.downloads = self.folder / "downloads"
        self.downloads.mkdir()

    def upload(self, sent: Any) -> tuple[Path, str]:
        """The path and the name of an uploaded file.

        Args:
            sent: what the browser sent: an object with the path on the server and the name on the user's side.

        Raises:
            UploadError: it is no object with a path, or the path is not that of a file in the folder.
        """
        path = sent.get("path") if isinstance(sent, Mapping) else None
        if not isinstance(path, str) or not self.holds(path) or not os.path.isfile(path):
            raise UploadError("picture: expected an uploaded file; upload it again")
        name = sent.get("orig_name")
        return Path(path), shown_name(name if isinstance(name, str) and name else Path(path).name)

    def holds(self, path: str) -> bool:
        """Whether a path leads into the folder, links and ``..`` resolved."""
        try:
            return Path(os.path.realpath(path)).is_relative_to(self.folder)
        except (OSError, ValueError):  # a path with a null character
            return False

    def new_downloads(self, contents: Mapping[str, bytes]) -> list[Path]:
        """Write files to download into a folder of their own, and remove those that are too old.

        Args:
            contents: the bytes of every file by its name.
        """
        self._remove_old()
        folder = self.downloads / secrets.token_hex(16)
        folder.mkdir()
        paths = []
        for name, data in contents.items():
            path = folder / name
            path.write_bytes(data)
            paths.append(path)
        return paths

    def _remove_old(self) -> None:
        """Remove old downloads, and the parts of uploads that ended early, which lie in the folder itself."""
        oldest = time.time() - KEEP_SECONDS
        for entry in (*self.downloads.iterdir(), *self.folder.iterdir()):
            with suppress(FileNotFoundError):  # the server removed it meanwhile
                if entry.stat().st_mtime >= oldest:
                    continue
                if entry.parent == self.downloads:
                    shutil.rmtree(entry, ignore_errors=True)
                elif entry.is_file():
                    entry.unlink()


def shown_name(name: str) -> str:
    """The last part of a file's name in one line without control characters."""
    last = re.split(r"[/\\]", name)[-1]
    return one_line(printable(last), MOST_NAME) or brief(name)


def download_stem(name: str) -> str:
    """The beginning of the names of the files to download for a picture: letters, digits, ``-`` and ``_``."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", Path(name).stem).strip("_") or "picture"
