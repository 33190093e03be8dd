"""The images of a shard, one after the other: each with its key, or with the error that prevented reading it.

Keys: the address of an image file as it was given; ``TAR/MEMBER`` for an image of a tar; ``VIDEO#INDEX`` for a frame,
counted from 0. An error of a tar or video as a whole has its address as the key.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from simplepose.bulk.shards import Shard, fsspec, is_remote
from simplepose.checks import one_line
from simplepose.data.images import SUFFIXES, EncodedImage, ImageError
from simplepose.inference.video import Frames

if TYPE_CHECKING:
    from simplepose.data.images import ImageLike

MOST_BYTES = 2**29
"""The largest image file that is read from a tar."""

READERS = 16
"""The number of threads that fetch single images from an object store."""


def images_of(shard: Shard, folder: str) -> Iterator[tuple[str, ImageLike | Exception]]:
    """The images of a shard, read lazily; of each the key and the image, or the error.

    Args:
        shard: the addresses.
        folder: what relative paths are relative to.
    """
    if shard.kind == "tar":
        return _tar_images(shard.addresses[0], folder)
    if shard.kind == "video":
        return _frames(shard.addresses[0], folder)
    return _files(shard.addresses, folder)


class Member(tarfile.TarInfo):
    """An entry of a tar. Where an archive ends without an end mark, or continues with garbage, it raises ReadError.

    ``tarfile`` would treat both as the end of the archive, and the entries that are missing would go unnoticed.
    """

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Member:
        if len(buf) < tarfile.BLOCKSIZE:
            raise tarfile.ReadError("the archive is cut short")
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            if any(buf):
                raise tarfile.ReadError(f"damaged header: {error}") from None
            raise  # the end mark


def _tar_images(address: str, folder: str) -> Iterator[tuple[str, ImageLike | Exception]]:
    keys: dict[str, int] = {}
    try:
        with _opened(address, folder) as stream, tarfile.open(fileobj=stream, mode="r|*", tarinfo=Member) as tar:
            while (member := tar.next()) is not None:
                vars(tar)["members"] = []  # otherwise the archive keeps all entries
                if not member.isfile() or os.path.splitext(member.name)[1].lower() not in SUFFIXES:
                    continue
                key = f"{address}/{member.name}"
                keys[key] = keys.get(key, 0) + 1
                if keys[key] > 1:
                    key += f"#{keys[key]}"
                if member.size > MOST_BYTES:
                    limit = f"expected at most {MOST_BYTES} bytes, got {member.size}"
                    yield key, ImageError(f"{key}: {limit}")
                    continue
                file = tar.extractfile(member)
                assert file is not None  # it is a regular file
                yield key, EncodedImage(key, file.read())
    except MemoryError:
        raise
    except Exception as error:  # a damaged archive, or a file system of fsspec, can fail in any way
        reason = "no such file" if isinstance(error, FileNotFoundError) else one_line(error) or type(error).__name__
        yield address, ImageError(f"{address}: the archive cannot be read, or not to its end ({reason})")
        return
    if not keys:
        yield address, ImageError(f"{address}: the archive contains no images")


def _frames(address: str, folder: str) -> Iterator[tuple[str, ImageLike | Exception]]:
    try:
        with _local(address, folder) as path:
            frames = Frames(path)
            for index, frame in enumerate(frames):
                yield f"{address}#{index}", frame
            missing = frames.missing() if frames.read else f"{path}: no frame of the video can be read"
            if missing:
                yield address, ImageError(missing.replace(str(path), address))
    except MemoryError:
        raise
    except Exception as error:
        reason = one_line(error).replace(str(_joined(address, folder)), address) or type(error).__name__
        yield address, ImageError(reason if reason.startswith(address) else f"{address}: {reason}")


def _files(addresses: tuple[str, ...], folder: str) -> Iterator[tuple[str, ImageLike | Exception]]:
    """Image files: paths as they are, since the predictor reads them on threads; others fetched ahead on threads."""
    if not any(map(is_remote, addresses)):
        for address in addresses:
            yield address, _joined(address, folder)
        return
    waiting: deque[tuple[str, Future[ImageLike | Exception]]] = deque()
    with ThreadPoolExecutor(READERS, "simplepose-fetch") as pool:
        try:
            for address in addresses:
                waiting.append((address, pool.submit(_fetched, address, folder)))
                if len(waiting) > 2 * READERS:
                    key, image = waiting.popleft()
                    yield key, image.result()
            for key, image in waiting:
                yield key, image.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _fetched(address: str, folder: str) -> ImageLike | Exception:
    if not is_remote(address):
        return _joined(address, folder)
    try:
        with _opened(address, folder) as file:
            return EncodedImage(address, file.read())
    except Exception as error:
        return ImageError(f"{address}: cannot be read ({one_line(error) or type(error).__name__})")


@contextlib.contextmanager
def _opened(address: str, folder: str) -> Iterator[BinaryIO]:
    file: Any
    if is_remote(address):
        with fsspec().open(address, "rb") as file:
            yield file
    else:
        with open(_joined(address, folder), "rb") as file:
            yield file


@contextlib.contextmanager
def _local(address: str, folder: str) -> Iterator[Path]:
    """The path of a file; that of a temporary copy if fsspec reads the address."""
    if not is_remote(address):
        yield Path(_joined(address, folder))
        return
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / f"video{os.path.splitext(address)[1]}"
        with _opened(address, folder) as source, copy.open("wb") as target:
            shutil.copyfileobj(source, target)
        yield copy


def _joined(address: str, folder: str) -> str:
    """The path that a process with any working folder can open; messages name the address as it was given."""
    return address if folder == os.getcwd() else os.path.join(folder, address)
