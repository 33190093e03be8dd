"""Reading images: every kind of file, array and tensor becomes the same bytes, and what cannot be read is named."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from helpers.shared_data import shared

from simplepose.data import images
from simplepose.data.images import ImageError, as_image, list_images, read_image, write_image

RNG = np.random.default_rng(5)
COLORS = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)
"""An image that is not symmetric in any way, BGR."""


def as_pil(bgr: np.ndarray) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))


def test_photos_have_the_bytes_that_opencv_reads() -> None:
    for path in list_images(shared("data/photos"))[:3]:
        assert np.array_equal(read_image(path), cv2.imread(str(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    """What a camera stores turned or mirrored comes out as the eye saw it; OpenCV's own reader is the judge."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    as_pil(COLORS).save(tmp_path / "a.png", exif=exif)
    as_pil(np.kron(COLORS, np.ones((8, 8, 1), np.uint8))).save(tmp_path / "a.jpg", exif=exif)
    upright = {1: COLORS, 3: COLORS[::-1, ::-1], 6: np.rot90(COLORS, -1), 8: np.rot90(COLORS, 1)}
    if orientation in upright:
        assert np.array_equal(read_image(tmp_path / "a.png"), upright[orientation])
    assert np.array_equal(read_image(tmp_path / "a.jpg"), cv2.imread(str(tmp_path / "a.jpg")))
    assert np.array_equal(as_image(PIL.Image.open(tmp_path / "a.png")), read_image(tmp_path / "a.png"))


def test_kinds_of_files(tmp_path: Path) -> None:
    gray = COLORS[..., 0]
    deep = gray.astype(np.uint16) * 257
    rgb = as_pil(COLORS)
    files = {
        "rgb.png": (rgb, COLORS),
        "rgb.bmp": (rgb, COLORS),
        "gray.png": (PIL.Image.fromarray(gray), gray[..., None].repeat(3, 2)),
        "deep.png": (PIL.Image.fromarray(deep), gray[..., None].repeat(3, 2)),
        "deep.tif": (PIL.Image.fromarray(deep), gray[..., None].repeat(3, 2)),
        "bits.png": (
            PIL.Image.fromarray(gray > 99),
            np.where(gray > 99, 255, 0).astype(np.uint8)[..., None].repeat(3, 2),
        ),
        "one.png": (PIL.Image.fromarray(COLORS[:1, :1]), COLORS[:1, :1, ::-1]),
    }
    for name, (image, expected) in files.items():
        image.save(tmp_path / name)
        found = read_image(tmp_path / name)
        assert found.dtype == np.uint8, name
        assert np.array_equal(found, expected), name
    rgb.quantize(8).save(tmp_path / "palette.png")
    expected = np.asarray(PIL.Image.open(tmp_path / "palette.png").convert("RGB"))[..., ::-1]
    assert np.array_equal(read_image(tmp_path / "palette.png"), expected)
    rgb.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    assert read_image(tmp_path / "cmyk.jpg").shape == COLORS.shape
    cv2.imwrite(str(tmp_path / "deep_rgb.png"), COLORS.astype(np.uint16) * 257)
    assert np.array_equal(read_image(tmp_path / "deep_rgb.png"), COLORS)


def test_transparency_is_put_on_white(tmp_path: Path) -> None:
    alpha = np.array([[[0], [255]], [[51], [204]]], np.uint8)
    color = np.full((2, 2, 3), 100, np.uint8)
    expected = np.array([[255, 100], [224, 131]], np.uint8)
    rgba = np.concatenate([color, alpha], 2)
    PIL.Image.fromarray(rgba).save(tmp_path / "a.png")
    for found in (read_image(tmp_path / "a.png"), as_image(rgba), as_image(torch.from_numpy(rgba).permute(2, 0, 1))):
        assert np.array_equal(found, expected[..., None].repeat(3, 2))
    palette = PIL.Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 10, 20, 30])
    palette.putdata([0, 1])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_image(tmp_path / "p.png").tolist() == [[[255, 255, 255], [30, 20, 10]]]


def test_twenty_megapixels(tmp_path: Path) -> None:
    large = np.zeros((3900, 5200, 3), np.uint8)
    large[1000:, :700] = 200
    write_image(tmp_path / "large.jpg", large)
    found = read_image(tmp_path / "large.jpg")
    assert found.shape == large.shape
    assert found[3000, 100, 0] > 190


def test_arrays_and_tensors() -> None:
    tensor = torch.from_numpy(COLORS)
    gray = COLORS[..., :1].repeat(3, 2)
    deep = COLORS.astype(np.uint16) * 257
    cases = [
        (COLORS, COLORS), (COLORS[..., 0], gray), (COLORS[..., :1], gray), (deep, COLORS),
        (tensor, COLORS), (tensor.permute(2, 0, 1), COLORS), (tensor[..., 0], gray), (tensor[None, ..., 0], gray),
        (as_pil(COLORS), COLORS), (COLORS[:, ::-1], COLORS[:, ::-1]), (COLORS[:1, :1], COLORS[:1, :1]),
        (tensor[:3, :3], COLORS[:3, :3].transpose(1, 2, 0)),  # both could be channels: the first are
    ]  # fmt: skip
    for value, expected in cases:
        found = as_image(value)
        assert np.array_equal(found, expected)
        assert found.flags.c_contiguous
    assert as_image(COLORS) is COLORS


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (COLORS / 255.0, TypeError, "image: expected uint8 or uint16, got NumPy float64 array .*255"),
        (torch.zeros(3, 8, 8), TypeError, "float32 tensor"),
        (COLORS[None], TypeError, r"expected \[H, W\]"),
        (COLORS[..., :2], TypeError, r"NumPy uint8 array \[9, 14, 2\]"),
        (COLORS[:0], ImageError, "at least one pixel, got 14 x 0"),
        (np.broadcast_to(np.uint8(0), (9000, 9000)), ImageError, r"at most 80 megapixels, got 9000 x 9000 \(81.0"),
        (PIL.Image.new("F", (3, 3)), ImageError, "floating-point pixels"),
        (PIL.Image.new("I", (3, 3), 70000), ImageError, "at most 16 bits, got 70000 to 70000"),
        (7, TypeError, "expected a path, a NumPy array, a PIL image or a torch tensor, got int 7"),
    ],
    ids=str,
)
def test_what_is_no_image(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_image(value)


def test_unreadable_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = io.BytesIO()
    as_pil(np.kron(COLORS, np.ones((20, 20, 1), np.uint8))).save(whole, "JPEG")
    png = io.BytesIO()
    as_pil(COLORS).save(png, "PNG")
    broken = bytearray(png.getvalue())
    broken[60] ^= 0xFF
    for name, content, reason in (
        ("empty.jpg", b"", "the file is empty"),
        ("text.png", b"this is text", "not an image"),
        ("short.jpg", whole.getvalue()[:900], "cannot be read .*truncated"),
        ("broken.png", bytes(broken), "cannot be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=f"{name}: {reason}"):
            read_image(tmp_path / name)
    for path, reason in ((tmp_path / "none.jpg", "no such file"), (tmp_path, "cannot be read")):
        with pytest.raises(ImageError, match=f"{path.name}: {reason}"):
            read_image(path)
    monkeypatch.setattr(images, "MOST_PIXELS", 100)
    (tmp_path / "large.png").write_bytes(png.getvalue())
    with pytest.raises(ImageError, match=r"large.png: image: expected at most 0.0001 megapixels, got 14 x 9"):
        read_image(tmp_path / "large.png")


def test_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.JPG", "b/1.png", "note.txt", "empty/note.txt", "odd[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    names = lambda sources: [str(p.relative_to(tmp_path)) for p in list_images(sources)]  # noqa: E731
    assert names(tmp_path) == ["9.JPG", "10.jpg", "odd[1].png"]
    assert names([f"{tmp_path}/b/*", tmp_path / "note.txt"]) == ["b/1.png", "note.txt"]
    assert names(f"{tmp_path}/**/*.png") == ["b/1.png", "odd[1].png"]
    assert names(str(tmp_path / "odd[1].png")) == ["odd[1].png"]
    assert names(tmp_path / "missing.jpg") == ["missing.jpg"]
    with pytest.raises(ImageError, match="empty: the folder holds no images"):
        list_images(tmp_path / "empty")
    with pytest.raises(ImageError, match="no file fits this pattern"):
        list_images(f"{tmp_path}/*.gif")


def test_writing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.PNG", COLORS)
    assert np.array_equal(read_image(tmp_path / "a.PNG"), COLORS)
    for name in ("a.txt", "a"):
        with pytest.raises(ImageError, match=f"{name}: cannot write"):
            write_image(tmp_path / name, COLORS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.PNG"]
