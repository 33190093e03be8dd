"""The reader of images: it converts a file, an array, a PIL image or a tensor to one uint8 BGR array.

Training, evaluation, prediction and inspection read image files with `read_image`: they refuse the same files and get
the same pixels at full size. `read_image` also compares the EXIF orientation with the annotated size.
"""

from __future__ import annotations

import glob
import io
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

import cv2
import numpy as np
import PIL.ExifTags
import PIL.features
import PIL.Image
import PIL.ImageOps
from numpy.typing import NDArray

from simplepose.checks import check_readable, describe, has_dtype, is_tensor
from simplepose.io.atomic import atomic_write, is_stream
from simplepose.io.image_marks import with_mark

Image = NDArray[np.uint8]

MOST_PIXELS = 80_000_000
"""Maximum size of an image: 80 megapixels, which are 240 MB as BGR. It is checked before the pixels are decoded."""

SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"}
)
"""Suffixes of image files in a folder, if Pillow reads them; a single file may have any name."""

FORMATS = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
"""The formats that Pillow may open, whatever the suffix. Some of its other formats run external programs."""

FEATURES = {"AVIF": "avif", "JPEG2000": "jpg_2000", "WEBP": "webp"}
"""Formats that are registered in Pillow even if it was built without them, and the features that support them."""

JPEG_FORMATS = ("JPEG", "MPO")
"""Pillow's format names of a JPEG: a single one, and one followed by others."""

DECODING = {
    1: cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION,
    2: cv2.IMREAD_REDUCED_COLOR_2 | cv2.IMREAD_IGNORE_ORIENTATION,
    4: cv2.IMREAD_REDUCED_COLOR_4 | cv2.IMREAD_IGNORE_ORIENTATION,
    8: cv2.IMREAD_REDUCED_COLOR_8 | cv2.IMREAD_IGNORE_ORIENTATION,
}
"""OpenCV's flags to decode a JPEG at ``1 / reduced`` of its size, without its EXIF orientation."""

JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The end of the compressed pixels of a JPEG: a marker other than a restart marker."""

DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of grayscale with more than 8 bits."""


class ImageError(ValueError):
    """An image that cannot be read or used; the message names the file or argument."""


@dataclass(frozen=True)
class SizedImage:
    """An image file with its annotated size, for `as_image`."""

    path: Path
    height: int  # pixels; 0: any
    width: int


@dataclass(frozen=True)
class EncodedImage:
    """The content of an image file, for `as_image`."""

    name: str  # for messages
    data: bytes


if TYPE_CHECKING:
    from torch import Tensor

    ImageLike: TypeAlias = (
        str
        | os.PathLike[str]
        | SizedImage
        | EncodedImage
        | NDArray[np.uint8]
        | NDArray[np.uint16]
        | PIL.Image.Image
        | Tensor
    )
    """The arguments that `as_image` accepts."""


class Listing(NamedTuple):
    """The result of `find_images`."""

    paths: list[Path]
    left_out: tuple[str, ...]  # one line per folder in which files were left out: their number by kind


def read_image(
    path: str | os.PathLike[str] | EncodedImage,
    size: tuple[int, int] | None = None,
    reduced: int = 1,
    most_pixels: int | None = None,
) -> Image:
    """Read an image file and apply its EXIF orientation.

    Grayscale, palette and CMYK files are converted to BGR, and 16 bits are scaled to 8. Transparent pixels are blended
    with white. Of an animation, the first frame is read. A JPEG may have other bytes after its end.

    Args:
        path: the file, or its content.
        size: the annotated height and width in pixels. If they are those of the upright image, the result is upright.
            Otherwise, if they are those of the stored pixels, the orientation was ignored in annotation, and the result
            has the stored pixels. Any other size is refused. None: the size is not checked.
        reduced: 1, 2, 4 or 8. A JPEG is decoded at ``1 / reduced`` of its size, rounded up: pixel ``i`` is the mean of
            pixels ``reduced * i`` to ``reduced * (i + 1) - 1``. Other files are read at full size, and so are JPEGs
            with CMYK colors and those that must be rotated and have a side that is not a multiple of ``reduced``.
        most_pixels: a larger image is refused before its pixels are decoded; default: 80 megapixels.

    Returns:
        ``[H, W, 3]`` uint8, BGR.

    Raises:
        ImageError: the file is missing, empty, truncated, not an image, too large or of another size; the message
            begins with the path.
        ValueError: ``reduced`` is not 1, 2, 4 or 8.
    """
    if reduced not in DECODING:
        raise ValueError(f"reduced: expected one of {', '.join(map(str, DECODING))}, got {reduced!r}")
    name = path.name if isinstance(path, EncodedImage) else os.fspath(path)
    try:
        with _open(path) as file, PIL.Image.open(file, formats=_formats()) as image:
            _check_size(image.width, image.height, most_pixels)
            if image.format in JPEG_FORMATS and image.mode in ("RGB", "L"):
                decoded = _from_jpeg(file, image, size, reduced)
                if decoded is not None:
                    return decoded
            return _from_pil(image, size)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except FileNotFoundError:
        raise ImageError(f"{name}: no such file") from None
    except PIL.UnidentifiedImageError:
        length = len(path.data) if isinstance(path, EncodedImage) else Path(path).stat().st_size
        reason = "not an image, or of an unknown format" if length else "the file is empty"
        raise ImageError(f"{name}: {reason}") from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can fail in any way
        reason = getattr(error, "strerror", None) or str(error) or repr(error)
        short = ": it is cut short" if "truncated" in reason.lower() else ""
        raise ImageError(f"{name}: cannot be read ({reason}){short}") from None


def _open(source: str | os.PathLike[str] | EncodedImage) -> BinaryIO:
    return io.BytesIO(source.data) if isinstance(source, EncodedImage) else open(source, "rb")


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Height and width of an image file in pixels, upright. Of a JPEG only the header is read.

    Raises:
        ImageError: as in `read_image`.
    """
    try:
        with PIL.Image.open(path, formats=_formats()) as image:
            if image.format in JPEG_FORMATS:
                width, height = _upright(image.size, _orientation(image))
                return height, width
    except Exception:  # read_image below raises an error that names the file
        pass
    height, width = read_image(path).shape[:2]
    return height, width


def write_image(path: str | os.PathLike[str], image: Image, program: str = "") -> None:
    """Write ``image`` ``[H, W, 3]`` (BGR) in the format of the path's suffix, atomically.

    A device or FIFO without a suffix gets a PNG. PNG and JPEG files get the mark of ``program``, if one is given.

    Raises:
        ImageError: no format with this suffix can be written; the message begins with the path.
        OSError: the file cannot be written.
    """
    suffix = Path(path).suffix.lower() or (".png" if is_stream(Path(path)) else "")
    try:
        good, data = cv2.imencode(suffix, image)
    except cv2.error:
        good, data = False, np.empty(0, np.uint8)
    if not good:
        what = f"{suffix or 'a file without suffix'!r} of {image.shape[1]} x {image.shape[0]} pixels"
        raise ImageError(f"{os.fspath(path)}: cannot write {what}; use .jpg (at most 65535 x 65535) or .png")
    with atomic_write(Path(path)) as temporary:
        temporary.write_bytes(with_mark(data.tobytes(), program) if program else data.tobytes())


def as_image(value: ImageLike) -> Image:
    """Convert an image in any form to a uint8 BGR array; an array that has this form is returned without a copy.

    Args:
        value: one of

            - a path, a `SizedImage` or an `EncodedImage`: see `read_image`;
            - a NumPy array: ``[H, W]`` or ``[H, W, 1]`` gray, ``[H, W, 3]`` BGR, ``[H, W, 4]`` BGR and opacity; uint8
              or uint16;
            - a PIL image of any mode, turned upright by its EXIF orientation;
            - a torch tensor on any device, uint8 or uint16, BGR too: ``[C, H, W]`` with C of 1, 3 or 4, otherwise
              ``[H, W, C]``, or ``[H, W]``. (``torchvision.io`` reads RGB: pass ``image.flip(0)``.)

    Returns:
        ``[H, W, 3]`` uint8, BGR. Transparent pixels are blended with white, 16 bits are scaled to 8.

    Raises:
        ImageError: the file or the image is invalid or too large.
        TypeError: ``value`` is none of the above; floats are refused, because their range is not known.
    """
    if isinstance(value, str | os.PathLike | EncodedImage):
        return read_image(value)
    if isinstance(value, SizedImage):
        return read_image(value.path, (value.height, value.width) if value.height and value.width else None)
    if isinstance(value, PIL.Image.Image):
        _check_size(value.width, value.height)
        return _from_pil(value)
    if is_tensor(value):
        tensor: Any = value
        check_readable("image", tensor)
        if str(tensor.dtype) not in ("torch.uint8", "torch.uint16"):
            raise TypeError(
                f"image: expected uint8 or uint16, got {describe(value)}{_hint(tensor.is_floating_point())}"
            )
        return _from_array(_channels_last(tensor.numpy(force=True)), value)
    if isinstance(value, np.ndarray):
        return _from_array(value, value)
    raise TypeError(f"image: expected a path, a NumPy array, a PIL image or a torch tensor, got {describe(value)}")


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
            inside = [p for p in files if p.suffix.lower() in _readable_suffixes() and not p.name.startswith(".")]
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


@cache
def _readable_suffixes() -> frozenset[str]:
    """The `SUFFIXES` that the installed Pillow reads."""
    known = PIL.Image.registered_extensions()
    missing = {name for name, feature in FEATURES.items() if name in PIL.Image.OPEN and not PIL.features.check(feature)}
    return frozenset(s for s in SUFFIXES if known.get(s) in PIL.Image.OPEN and known[s] not in missing)


@cache
def _formats() -> tuple[str, ...]:
    """The `FORMATS` that the installed Pillow knows; with HEIF only if a plugin is registered."""
    PIL.Image.init()
    return tuple(name for name in FORMATS if name in PIL.Image.OPEN)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A sort key that orders 9.jpg before 10.jpg."""
    pieces = re.findall(r"[0-9]+|[^0-9]+", str(path))
    return [(0, int(p), p) if p[0] in "0123456789" else (1, 0, p) for p in pieces]


def _check_size(width: int, height: int, most_pixels: int | None = None) -> None:
    most = MOST_PIXELS if most_pixels is None else most_pixels
    if width < 1 or height < 1:
        raise ImageError(f"image: expected at least one pixel, got {width} x {height}")
    if width * height > most:
        raise ImageError(
            f"image: expected at most {most / 1e6:g} megapixels, got {width} x {height} "
            f"({width * height / 1e6:.1f} megapixels); make it smaller first"
        )


def _orientation(image: PIL.Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) if there is none."""
    value = image.getexif().get(PIL.ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def _upright(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    return size[::-1] if orientation >= 5 else size


def _must_turn(stored: tuple[int, int], orientation: int, size: tuple[int, int] | None) -> bool:
    """Whether pixels of ``stored`` width and height must be rotated by their EXIF orientation; see `read_image`."""
    upright = _upright(stored, orientation)
    if size is None or upright == size[::-1]:
        return orientation != 1
    if stored == size[::-1]:
        return False
    raise ImageError(
        f"expected {size[0]} x {size[1]} pixels (height x width) as annotated, got {upright[1]} x {upright[0]}"
    )


def _from_jpeg(file: BinaryIO, image: PIL.Image.Image, size: tuple[int, int] | None, reduced: int) -> Image | None:
    """Decode a complete JPEG with OpenCV, which takes a quarter less time than Pillow; None: Pillow must decode it."""
    orientation = _orientation(image)
    turn = _must_turn(image.size, orientation, size)
    file.seek(0)
    data = file.read()
    if not _is_whole(data):  # OpenCV would fill missing pixels with gray without an error
        return None
    if turn and any(side % reduced for side in image.size):
        reduced = 1  # rotated, the first pixel could be the mean of fewer pixels
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), DECODING[reduced])
    if pixels is None or pixels.shape[1::-1] != tuple(-(-side // reduced) for side in image.size):
        return None
    return _turned(np.asarray(pixels, np.uint8), orientation) if turn else np.asarray(pixels, np.uint8)


def _is_whole(data: bytes) -> bool:
    """Whether a JPEG has an end marker; other bytes may follow. Thumbnails and other segments are skipped."""
    at = 2
    while at + 4 <= len(data):
        marker = data[at + 1]
        if data[at] != 0xFF:
            return False
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xD9:
            return True
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:  # compressed pixels follow
            if data.endswith(b"\xff\xd9"):  # compressed pixels cannot contain these two bytes
                return True
            found = JPEG_MARKER.search(data, at)
            if found is None:
                return False
            at = found.start()
    return data[at : at + 2] == b"\xff\xd9"


def _turned(pixels: Image, orientation: int) -> Image:
    """The stored ``pixels [H, W, 3]``, rotated and mirrored to be upright."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    flip_rows, flip_columns = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(pixels[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])


def _from_pil(image: PIL.Image.Image, size: tuple[int, int] | None = None) -> Image:
    """A PIL image as uint8 BGR; its pixels are loaded if necessary. ``size`` as in `read_image`."""
    image.load()
    if _must_turn(image.size, _orientation(image), size):  # otherwise exif_transpose would only copy the image
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
    """uint8 BGR of uint8 or uint16 ``[H, W]`` or ``[H, W, 1 | 3 | 4]``; ``value`` is described in error messages."""
    check_readable("image", array)
    if not has_dtype(array, np.uint8, np.uint16):
        raise TypeError(f"image: expected uint8 or uint16, got {describe(value)}{_hint(array.dtype.kind == 'f')}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise TypeError(f"image: expected [H, W] or [H, W, 1, 3 or 4], got {describe(value)}")
    _check_size(array.shape[1], array.shape[0])
    if array.dtype != np.uint8:
        array = ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 255 * 257, rounded
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[2] == 4:
        return _on_white(array[..., :3], array[..., 3:])
    return np.ascontiguousarray(array if array.shape[2] == 3 else array.repeat(3, 2))


def _hint(floats: bool) -> str:
    return "; multiply by 255 and convert" if floats else ""


def _on_white(bgr: NDArray[np.uint8], opacity: NDArray[np.uint8]) -> Image:
    share = opacity.astype(np.uint32)
    return ((bgr * share + 255 * (255 - share) + 127) // 255).astype(np.uint8)
