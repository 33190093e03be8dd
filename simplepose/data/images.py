"""Images: whatever a caller has, a file, an array, a PIL image or a tensor, as one array of BGR bytes."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.ExifTags
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from simplepose.checks import describe, is_tensor
from simplepose.io.atomic import atomic_write

Image = NDArray[np.uint8]

MOST_PIXELS = 80_000_000
"""The largest image: 80 megapixels, 240 MB as BGR; a file's header is enough to refuse it."""

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
"""What counts as an image in a folder; files that are named one by one may be called anything."""

DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of grayscale with more than 8 bits."""


class ImageError(ValueError):
    """An image that cannot be read or used; the message names the file or argument."""


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read an image file, turned upright as its EXIF orientation says.

    Grayscale, palette and CMYK files become BGR; 16 bits are scaled to 8; transparency is put on white, as viewers
    show it; of an animation the first picture counts.

    Returns:
        ``[H, W, 3]`` uint8, BGR.

    Raises:
        ImageError: the file is missing, empty, cut short, no image or too large; the message begins with the path.
    """
    name = os.fspath(path)
    try:
        with PIL.Image.open(path) as image:
            _check_size(image.width, image.height)
            return _from_pil(image)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except PIL.UnidentifiedImageError:
        reason = "not an image, or of an unknown format" if Path(path).stat().st_size else "the file is empty"
        raise ImageError(f"{name}: {reason}") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can fail in any way
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        raise ImageError(f"{name}: cannot be read ({reason})") from None


def write_image(path: str | os.PathLike[str], image: Image) -> None:
    """Write ``image`` ``[H, W, 3]`` (BGR) in the format that the path's suffix names; the file is whole or not there.

    Raises:
        ImageError: the suffix names no format that can be written; the message begins with the path.
        OSError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    try:
        good, data = cv2.imencode(suffix, image)
    except cv2.error:
        good, data = False, np.empty(0, np.uint8)
    if not good:
        raise ImageError(f"{os.fspath(path)}: cannot write {suffix or 'a file without suffix'!r}; use .jpg or .png")
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(data.tobytes())


def as_image(value: Any) -> Image:
    """An image in any form as BGR bytes; an array that is one already comes back as it is, not copied.

    Args:
        value: one of

            - a path: see `read_image`;
            - a NumPy array: ``[H, W]`` or ``[H, W, 1]`` gray, ``[H, W, 3]`` BGR, ``[H, W, 4]`` BGR and opacity; uint8
              or uint16;
            - a PIL image of any mode, turned upright by its EXIF orientation;
            - a torch tensor on any device, uint8 or uint16, BGR too: ``[C, H, W]`` with C of 1, 3 or 4, otherwise
              ``[H, W, C]``, or ``[H, W]``. (``torchvision.io`` reads RGB: pass ``image.flip(0)``.)

    Returns:
        ``[H, W, 3]`` uint8, BGR. Opacity is put on white, 16 bits are scaled to 8.

    Raises:
        ImageError: the file or the image has no usable content, or is too large.
        TypeError: ``value`` is none of the above; floats are refused, since their range is anyone's guess.
    """
    if isinstance(value, str | os.PathLike):
        return read_image(value)
    if isinstance(value, PIL.Image.Image):
        _check_size(value.width, value.height)
        return _from_pil(value)
    if is_tensor(value):
        return _from_array(_channels_last(value.detach().cpu().numpy()), value)
    if isinstance(value, np.ndarray):
        return _from_array(value, value)
    raise TypeError(f"image: expected a path, a NumPy array, a PIL image or a torch tensor, got {describe(value)}")


def list_images(sources: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Path]:
    """The image files that paths, folders and patterns stand for, in the order given.

    Args:
        sources: one or several of: a folder (its image files by name, with numbers in numeric order; not those of
            folders within), a pattern with ``*``, ``?``, ``[...]`` or ``**``, or a path. A path that does not exist
            is kept: reading it says so.

    Raises:
        ImageError: a folder holds no images or a pattern fits no file.
    """
    if isinstance(sources, str | os.PathLike):
        sources = [sources]
    found: list[Path] = []
    for source in sources:
        path, name = Path(source), os.fspath(source)
        if path.is_dir():
            inside = [p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
            if not inside:
                raise ImageError(f"{name}: the folder holds no images")
            found += sorted(inside, key=_natural)
        elif glob.has_magic(name) and not path.exists():
            fitting = [Path(p) for p in glob.glob(name, recursive=True) if os.path.isfile(p)]
            if not fitting:
                raise ImageError(f"{name}: no file fits this pattern")
            found += sorted(fitting, key=_natural)
        else:
            found.append(path)
    return found


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A sort key in which 9.jpg stands before 10.jpg."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(0, int(p), p) if p[0] in "0123456789" else (1, 0, p) for p in pieces]


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"image: expected at least one pixel, got {width} x {height}")
    if width * height > MOST_PIXELS:
        raise ImageError(
            f"image: expected at most {MOST_PIXELS / 1e6:g} megapixels, got {width} x {height} "
            f"({width * height / 1e6:.1f} megapixels); make it smaller first"
        )


def _from_pil(image: PIL.Image.Image) -> Image:
    """BGR bytes of a PIL image; its pixels may still be in the file."""
    image.load()
    if image.getexif().get(PIL.ExifTags.Base.Orientation, 1) != 1:  # else exif_transpose would copy it
        image = PIL.ImageOps.exif_transpose(image)
    if image.mode in DEEP_MODES:
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ImageError(f"image: expected gray levels of at most 16 bits, got {values.min()} to {values.max()}")
        return _from_array(values.astype(np.uint16), image)
    if image.mode == "F":
        raise ImageError("image: expected 8 or 16 bits, got floating-point pixels; scale and convert them first")
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"))
        return _on_white(rgba[..., 2::-1], rgba[..., 3:])
    rgb = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), np.uint8)


def _channels_last(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        return array.transpose(1, 2, 0)
    return array


def _from_array(array: NDArray[Any], value: object) -> Image:
    """BGR bytes of ``[H, W]`` or ``[H, W, 1 | 3 | 4]`` bytes or 16-bit words; ``value`` is what messages describe."""
    if array.dtype not in (np.uint8, np.uint16):
        hint = "; multiply by 255 and convert" if array.dtype.kind == "f" else ""
        raise TypeError(f"image: expected uint8 or uint16, got {describe(value)}{hint}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise TypeError(f"image: expected [H, W] or [H, W, 1, 3 or 4], got {describe(value)}")
    _check_size(array.shape[1], array.shape[0])
    if array.dtype == np.uint16:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257, rounded
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 4:
        return _on_white(array[..., :3], array[..., 3:])
    return np.ascontiguousarray(array if array.shape[2] == 3 else array.repeat(3, 2))


def _on_white(bgr: NDArray[np.uint8], opacity: NDArray[np.uint8]) -> Image:
    share = opacity.astype(np.uint32)
    return ((bgr * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
