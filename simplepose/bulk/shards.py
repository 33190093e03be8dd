"""Shards: the units of work of bulk prediction, made of folders, file lists, tars, videos and patterns."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from simplepose.checks import one_line
from simplepose.data.images import ImageError, find_images
from simplepose.inference.video import VIDEO_SUFFIXES

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
LIST_SUFFIXES = (".txt", ".lst")

PART = re.compile(r".+-[0-9a-f]{12}\.parquet")
"""The names of the output files, the parts."""

BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
MOST_EXPANDED = 10_000_000
"""The largest number of addresses that braces may stand for."""

Kind = Literal["images", "tar", "video"]


@dataclass(frozen=True)
class Shard:
    """Some images that one worker processes, and whose people one Parquet file holds."""

    kind: Kind
    addresses: tuple[str, ...]  # of the images, as they were given; one address of a tar or video

    @property
    def name(self) -> str:
        """The shard in messages."""
        first, count = self.addresses[0], len(self.addresses)
        return f"{first} and {count - 1} more" if count > 1 else first

    @property
    def part(self) -> str:
        """The name of the output file. It is determined by the addresses of the shard, not by the other shards."""
        digest = hashlib.sha256("\0".join((self.kind, *self.addresses)).encode("utf-8", "surrogateescape"))
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", os.path.basename(self.addresses[0]).split(".")[0])[:60]
        return f"{stem or self.kind}-{digest.hexdigest()[:12]}.parquet"


def find_shards(inputs: Sequence[str], size: int) -> tuple[list[Shard], list[str]]:
    """The shards of the inputs, in order, and a line for each folder in which files were left out.

    Args:
        inputs: folders, lists of addresses (`LIST_SUFFIXES`), tars, videos, images, or patterns of these. All but
            folders may be addresses that fsspec reads, such as ``s3://bucket/{0000..0999}.tar``.
        size: the number of images of a shard. A tar or video is one shard, whatever its size. An input that is given
            twice counts once.

    Raises:
        ValueError: an input is empty or stands for no file; the message names it.
        ModuleNotFoundError: a package that reads a kind of address is missing.
    """
    notes: list[str] = []
    addresses = list(dict.fromkeys(a for given in inputs for a in _expanded(given, notes)))
    check_protocols(addresses)
    images = [a for a in addresses if _kind(a) == "images"]
    shards = [Shard(kind, (a,)) for a in addresses if (kind := _kind(a)) != "images"]
    shards += [Shard("images", tuple(images[i : i + size])) for i in range(0, len(images), size)]
    return shards, notes


def is_remote(address: str) -> bool:
    """Whether fsspec reads an address, such as ``s3://bucket/0000.tar``."""
    return "://" in address


def fsspec() -> Any:
    """The module fsspec.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        import fsspec
    except ModuleNotFoundError:
        raise ModuleNotFoundError("addresses with :// need fsspec: pip install fsspec", name="fsspec") from None
    return fsspec


def check_protocols(addresses: Iterable[str]) -> None:
    """ValueError or ModuleNotFoundError if no installed package reads a kind of address."""
    for protocol in sorted({address.split("://")[0] for address in addresses if is_remote(address)}):
        _check_protocol(protocol)


def _check_protocol(protocol: str) -> None:
    module = fsspec()
    try:
        module.get_filesystem_class(protocol.split("::")[-1])
    except ValueError:
        raise ValueError(f"inputs: fsspec reads no addresses that begin with {protocol}://") from None
    except ImportError as error:
        raise ModuleNotFoundError(f"inputs: {protocol}:// needs another package ({one_line(error)})") from None


def _kind(address: str) -> Kind:
    name = address.lower()
    if name.endswith(TAR_SUFFIXES):
        return "tar"
    return "video" if os.path.splitext(name)[1] in VIDEO_SUFFIXES else "images"


def _expanded(given: str, notes: list[str]) -> Iterator[str]:
    """The addresses that one input stands for."""
    if not given:
        raise ValueError("inputs: expected folders, lists, tars, videos or images, got an empty name")
    if os.path.isdir(given):
        yield from _folder(given, notes)
        return
    found: list[str] = []
    for address in [given] if os.path.exists(given) else _braces(given):
        if os.path.exists(address) or not glob.has_magic(address) or (is_remote(address) and "*" not in address):
            found.append(address)
        else:
            found += _glob(address)
    for address in found:
        if os.path.isdir(address):
            yield from _folder(address, notes)
        elif address.lower().endswith(LIST_SUFFIXES):
            yield from _listed(address)
        else:
            yield address


def _braces(given: str) -> list[str]:
    """``a{00..12}.tar`` as 13 addresses, and ``a{x,y}.tar`` as two; several braces as all combinations."""
    found = [given]
    while match := BRACES.search(found[0]):
        low, high, names = match.groups()
        count = int(high) - int(low) + 1 if low else names.count(",") + 1
        if not 0 < count * len(found) <= MOST_EXPANDED:
            raise ValueError(f"inputs: {given}: expected braces for 1 to {MOST_EXPANDED} addresses")
        values = [f"{i:0{len(low)}d}" for i in range(int(low), int(high) + 1)] if low else names.split(",")
        found = [f"{a[: m.start()]}{v}{a[m.end() :]}" for a in found if (m := BRACES.search(a)) for v in values]
    return found


def _glob(pattern: str) -> list[str]:
    """The files of a pattern, sorted; numbers in numeric order."""
    if is_remote(pattern):
        check_protocols([pattern])
        system, path = fsspec().core.url_to_fs(pattern)
        found = [system.unstrip_protocol(name) for name in system.glob(path)]
    else:
        found = [name for name in glob.glob(pattern, recursive=True) if os.path.isfile(name)]
    if not found:
        raise ImageError(f"{pattern}: no file fits this pattern")
    return sorted(found, key=_natural)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(piece) if piece.isdecimal() else -1, piece) for piece in re.split(r"(\d+)", name)]


def _folder(folder: str, notes: list[str]) -> Iterator[str]:
    """The tars and videos of a folder, then its images."""
    names = sorted((e.name for e in os.scandir(folder) if e.is_file() and not e.name.startswith(".")), key=_natural)
    large = [os.path.join(folder, name) for name in names if _kind(name) != "images"]
    yield from large
    try:
        images = find_images(folder)
    except ImageError:
        if not large:
            raise
        return
    if not large:
        notes.extend(images.left_out)
    yield from map(str, images.paths)


def _listed(path: str) -> list[str]:
    """The addresses of a list file, one on each line. Paths are relative to the current folder."""
    try:
        if is_remote(path):
            check_protocols([path])
            with fsspec().open(path, "rb") as file:
                data: bytes = file.read()
        else:
            data = Path(path).read_bytes()
        lines = [line.strip() for line in data.decode().splitlines()]
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a text file with one path or address on each line") from None
    found = [line for line in lines if line]
    if not found:
        raise ValueError(f"{path}: the list is empty")
    if wrong := [line for line in found if line.lower().endswith(LIST_SUFFIXES) or os.path.isdir(line)]:
        raise ValueError(f"{path}: expected images, tars and videos, got {one_line(wrong[0], 100)}")
    return found
