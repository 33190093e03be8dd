"""Reading images: all kinds of files, arrays and tensors give the same pixels, and errors name the file or argument."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import PIL.features
import PIL.Image
import pytest
import torch
from helpers.shared_data import shared

from simplepose.data import images
from simplepose.data.annotations import read_annotations
from simplepose.data.augment import AugmentConfig
from simplepose.data.dataset import COCODataset
from simplepose.data.images import (
    EncodedImage,
    ImageError,
    SizedImage,
    as_image,
    find_images,
    image_size,
    list_images,
    read_image,
    write_image,
)
from simplepose.skeleton.skeleton import COCO

RNG = np.random.default_rng(5)
COLORS = RNG.integers(0, 256, (9, 14, 3), dtype=np.uint8)
"""A BGR image without any symmetry."""


def as_pil(bgr: np.ndarray) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.ascontiguousarray(bgr[..., ::-1]))


def test_photos_have_the_same_pixels_as_with_opencv() -> None:
    for path in list_images(shared("data/photos"))[:3]:
        assert np.array_equal(read_image(path), cv2.imread(str(path)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    """Images stored rotated or mirrored are returned upright, equal to the result of OpenCV's reader."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    as_pil(COLORS).save(tmp_path / "a.png", exif=exif)
    as_pil(np.kron(COLORS, np.ones((8, 8, 1), np.uint8))).save(tmp_path / "a.jpg", exif=exif)
    upright = {1: COLORS, 3: COLORS[::-1, ::-1], 6: np.rot90(COLORS, -1), 8: np.rot90(COLORS, 1)}
    if orientation in upright:
        assert np.array_equal(read_image(tmp_path / "a.png"), upright[orientation])
    assert np.array_equal(read_image(tmp_path / "a.jpg"), cv2.imread(str(tmp_path / "a.jpg")))
    assert np.array_equal(as_image(PIL.Image.open(tmp_path / "a.png")), read_image(tmp_path / "a.png"))


def test_file_formats_and_color_modes_are_converted_to_bgr(tmp_path: Path) -> None:
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


def test_transparent_pixels_are_blended_with_white(tmp_path: Path) -> None:
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


def test_an_image_of_20_megapixels_is_read(tmp_path: Path) -> None:
    large = np.zeros((3900, 5200, 3), np.uint8)
    large[1000:, :700] = 200
    write_image(tmp_path / "large.jpg", large)
    found = read_image(tmp_path / "large.jpg")
    assert found.shape == large.shape
    assert found[3000, 100, 0] > 190


def test_arrays_and_tensors_are_converted_to_bgr() -> None:
    tensor = torch.from_numpy(COLORS)
    gray = COLORS[..., :1].repeat(3, 2)
    deep = COLORS.astype(np.uint16) * 257
    cases = [
        (COLORS, COLORS), (COLORS[..., 0], gray), (COLORS[..., :1], gray), (deep, COLORS),
        (tensor, COLORS), (tensor.permute(2, 0, 1), COLORS), (tensor[..., 0], gray), (tensor[None, ..., 0], gray),
        (as_pil(COLORS), COLORS), (COLORS[:, ::-1], COLORS[:, ::-1]), (COLORS[:1, :1], COLORS[:1, :1]),
        (tensor[:3, :3], COLORS[:3, :3].transpose(1, 2, 0)),  # ambiguous: the first axis counts as the channels
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
def test_arguments_that_are_not_images_are_rejected(value: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        as_image(value)


def test_the_error_for_an_unreadable_file_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert read_image(tmp_path / "large.png", most_pixels=126).shape == (9, 14, 3)
    with pytest.raises(ImageError, match=r"large.png: image: expected at most 0.000125 megapixels, got 14 x 9"):
        read_image(tmp_path / "large.png", most_pixels=125)


def test_folders_and_patterns_give_sorted_paths(tmp_path: Path) -> None:
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


def test_a_file_with_an_unknown_suffix_is_not_written(tmp_path: Path) -> None:
    write_image(tmp_path / "a.PNG", COLORS)
    assert np.array_equal(read_image(tmp_path / "a.PNG"), COLORS)
    for name in ("a.txt", "a"):
        with pytest.raises(ImageError, match=f"{name}: cannot write"):
            write_image(tmp_path / name, COLORS)
    assert [p.name for p in tmp_path.iterdir()] == ["a.PNG"]


def one_person(folder: Path, name: str, height: int, width: int) -> Path:
    """An annotation file of one image and one person, all keypoints labeled."""
    keypoints = [v for i in range(17) for v in (1.0 + i % 5, 1.0 + i % 7, 2)]
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17, "iscrowd": 0}
    data = {
        "images": [{"id": 1, "file_name": name, "height": height, "width": width}],
        "annotations": [{**person, "bbox": [0, 0, 8, 8], "area": 64.0}],
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO.dataset_keypoints)}],
    }
    (folder / "one.json").write_text(json.dumps(data))
    return folder / "one.json"


def trained(folder: Path, name: str, height: int, width: int) -> np.ndarray:
    """The pixels of an image that training reads, at full size and without augmentation."""
    path = one_person(folder, name, height, width)
    side = -(-max(height, width) // 4) * 4
    dataset = COCODataset(path, folder, size=side, augment=AugmentConfig.none())
    record = dataset.records[0]
    return dataset._cache.get(record, 1)


def exif(orientation: int) -> PIL.Image.Exif:
    found = PIL.Image.Exif()
    found[0x0112] = orientation
    return found


def write_kinds(folder: Path) -> dict[str, tuple[int, int]]:
    """Image files of many kinds, each with its upright height and width."""
    rng = np.random.default_rng(3)
    rgb = PIL.Image.fromarray(rng.integers(0, 255, (24, 40, 3), np.uint8))
    rgba = PIL.Image.fromarray(rng.integers(0, 255, (24, 40, 4), np.uint8))
    deep = PIL.Image.fromarray(rng.integers(0, 65535, (24, 40), np.uint16))
    rgb.save(folder / "a.jpg", quality=90)
    rgb.save(folder / "progressive.jpg", progressive=True, subsampling=0)
    for orientation in range(1, 9):
        rgb.save(folder / f"turned{orientation}.jpg", exif=exif(orientation))
    rgb.save(folder / "turned.png", exif=exif(6))
    rgba.save(folder / "alpha.png")
    rgba.save(folder / "alpha.webp", lossless=True)
    rgb.convert("P").save(folder / "palette.png")
    rgb.quantize(8).save(folder / "transparent.gif", transparency=0)
    deep.save(folder / "deep.png")
    deep.save(folder / "deep.tif")
    rgb.convert("L").save(folder / "gray.jpg")
    rgb.convert("LA").save(folder / "gray_alpha.png")
    rgb.convert("1").save(folder / "bits.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    whole = (folder / "a.jpg").read_bytes()
    (folder / "trailing.jpg").write_bytes(whole + b"MotionPhoto_Data" + bytes(3 * len(whole)))
    sizes = dict.fromkeys([p.name for p in folder.iterdir()], (24, 40))
    turned = dict.fromkeys(("turned5.jpg", "turned6.jpg", "turned7.jpg", "turned8.jpg", "turned.png"), (40, 24))
    return {**sizes, **turned}


def test_training_and_prediction_get_the_same_pixels(tmp_path: Path) -> None:
    for name, (height, width) in write_kinds(tmp_path).items():
        predicted = read_image(tmp_path / name)
        assert predicted.shape == (height, width, 3), name
        assert np.array_equal(trained(tmp_path, name, height, width), predicted), name
        assert np.array_equal(as_image(SizedImage(tmp_path / name, height, width)), predicted), name
        assert image_size(tmp_path / name) == (height, width), name
    assert np.array_equal(read_image(tmp_path / "trailing.jpg"), read_image(tmp_path / "a.jpg"))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_annotated_size_decides_whether_the_orientation_is_applied(orientation: int, tmp_path: Path) -> None:
    """With the annotated size 24 x 40 the stored pixels are read, with 40 x 24 the upright ones."""
    rgb = PIL.Image.fromarray(RNG.integers(0, 255, (24, 40, 3), np.uint8))
    for name in ("a.jpg", "a.png"):
        rgb.save(tmp_path / name, exif=exif(orientation))
        rgb.save(tmp_path / f"plain_{name}")
        stored = read_image(tmp_path / f"plain_{name}")
        for reader in (trained, lambda folder, name, h, w: as_image(SizedImage(folder / name, h, w))):
            assert np.array_equal(reader(tmp_path, name, 24, 40), stored)
            assert np.array_equal(reader(tmp_path, name, 40, 24), read_image(tmp_path / name))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduced", [2, 4, 8])
def test_reduced_images_are_means_of_the_full_images(orientation: int, reduced: int, tmp_path: Path) -> None:
    """Pixel i is the mean of ``reduced`` pixels from reduced * i on, with and without rotation."""
    smooth = cv2.resize(RNG.integers(0, 255, (4, 5, 3), np.uint8), (75, 61), interpolation=cv2.INTER_CUBIC)
    PIL.Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=97, subsampling=0, exif=exif(orientation))
    full, small = read_image(tmp_path / "a.jpg"), read_image(tmp_path / "a.jpg", reduced=reduced)
    if orientation == 1:
        assert small.shape[:2] == (-(-61 // reduced), -(-75 // reduced))
    else:
        assert small.shape == full.shape, "read at full size, since the sides are not multiples of ``reduced``"
        return
    rows, columns = 61 // reduced * reduced, 75 // reduced * reduced
    means = full[:rows, :columns].reshape(rows // reduced, reduced, columns // reduced, reduced, 3).mean((1, 3))
    assert np.abs(small[: rows // reduced, : columns // reduced] - means).max() < 4
    PIL.Image.fromarray(smooth[:56, :72]).save(tmp_path / "b.jpg", quality=97, subsampling=0, exif=exif(6))
    full, small = read_image(tmp_path / "b.jpg", (72, 56)), read_image(tmp_path / "b.jpg", (72, 56), reduced)
    assert small.shape[:2] == (72 // reduced, 56 // reduced)
    means = full.reshape(72 // reduced, reduced, 56 // reduced, reduced, 3).mean((1, 3))
    assert np.abs(small - means).max() < 4


@pytest.mark.parametrize("size", [(40, 24), (24, 41), (12, 20), (1, 1)])
def test_all_readers_refuse_another_size_with_the_same_message(size: tuple[int, int], tmp_path: Path) -> None:
    PIL.Image.fromarray(RNG.integers(0, 255, (24, 40, 3), np.uint8)).save(tmp_path / "a.jpg")
    message = f"a.jpg: expected {size[0]} x {size[1]} pixels (height x width) as annotated, got 24 x 40"
    path = one_person(tmp_path, "a.jpg", *size)
    dataset = COCODataset(path, tmp_path, size=64, augment=AugmentConfig.none())
    record = read_annotations(path, tmp_path).images[1]
    readers = (
        lambda: dataset[0],
        lambda: as_image(SizedImage(record.path, record.height, record.width)),
        lambda: read_image(record.path, size, 8),
    )
    for reader in readers:
        with pytest.raises(ImageError) as error:
            reader()
        assert str(error.value) == f"{tmp_path}/{message}"


def test_training_and_prediction_refuse_files_with_the_same_message(tmp_path: Path) -> None:
    whole, png = io.BytesIO(), io.BytesIO()
    picture = PIL.Image.fromarray(RNG.integers(0, 255, (64, 96, 3), np.uint8))
    picture.save(whole, "JPEG")
    picture.save(png, "PNG")
    contents = {
        "empty.jpg": b"",
        "text.jpg": b"not an image",
        "half.jpg": whole.getvalue()[: len(whole.getvalue()) // 2],
        "head.jpg": whole.getvalue()[:150],
        "half.png": png.getvalue()[: len(png.getvalue()) // 2],
        "none.jpg": None,
    }
    for name, content in contents.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        messages = set()
        for reduced in (1, 4):
            for size in (None, (64, 96)):
                with pytest.raises(ImageError, match=f"{name}: ") as error:
                    read_image(tmp_path / name, size, reduced)
                messages.add(str(error.value))
        dataset = COCODataset(one_person(tmp_path, name, 64, 96), tmp_path, size=96, augment=AugmentConfig.none())
        with pytest.raises(ImageError) as error:
            dataset[0]
        messages.add(str(error.value))
        assert len({re.sub(r"\(.*\)", "", m) for m in messages}) == 1, messages


def test_hidden_and_other_files_are_left_out_and_counted(tmp_path: Path) -> None:
    readable = ["a.jpg", "b.JFIF", "c.AVIF", "d.Png", "e.webp"]
    for name in (*readable, "._a.jpg", ".DS_Store", "notes.txt", "x.TXT", "Makefile"):
        (tmp_path / name).touch()
    (tmp_path / "within").mkdir()
    found = find_images(tmp_path)
    if not PIL.features.check("avif"):
        readable.remove("c.AVIF")
    assert [p.name for p in found.paths] == readable
    assert found.left_out[0].startswith(f"{tmp_path}: {10 - len(readable)} files left out: ")
    for kind in ("2 .txt", "2 hidden", "1 without a suffix"):
        assert kind in found.left_out[0]
    assert find_images([tmp_path, tmp_path]).left_out == found.left_out, "a folder is reported once"
    assert find_images(tmp_path / "a.jpg").left_out == ()
    (tmp_path / "within" / "._b.png").touch()
    with pytest.raises(ImageError, match="within: the folder holds no images; 1 file left out: 1 hidden"):
        find_images(tmp_path / "within")


def test_formats_that_pillow_cannot_read_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.jpg", "b.avif", "c.webp"):
        (tmp_path / name).touch()
    monkeypatch.setattr(PIL.features, "check", lambda feature: feature == "jpg_2000")
    images._readable_suffixes.cache_clear()
    try:
        found = find_images(tmp_path)
    finally:
        images._readable_suffixes.cache_clear()
    assert [p.name for p in found.paths] == ["a.jpg"]
    assert found.left_out == (f"{tmp_path}: 2 files left out: 1 .avif, 1 .webp",)


def test_opencv_and_pillow_decode_a_jpeg_to_the_same_pixels(tmp_path: Path) -> None:
    """OpenCV decodes complete JPEGs, and Pillow those without an end marker."""
    for name in write_kinds(tmp_path):
        if not name.endswith(".jpg") or name in ("cmyk.jpg", "trailing.jpg"):
            continue
        data = (tmp_path / name).read_bytes()
        assert images._is_whole(data), name
        assert not images._is_whole(data[:-2]), name
        with PIL.Image.open(tmp_path / name) as image:
            assert np.array_equal(images._from_pil(image), read_image(tmp_path / name)), name


def test_the_end_marker_of_a_jpeg_is_found(tmp_path: Path) -> None:
    """The end marker of a thumbnail does not count, other bytes may follow, and damaged files raise only ImageError."""
    thumbnail, whole = io.BytesIO(), io.BytesIO()
    picture = PIL.Image.fromarray(RNG.integers(0, 255, (64, 96, 3), np.uint8))
    picture.resize((16, 12)).save(thumbnail, "JPEG")
    picture.save(whole, "JPEG", restart_marker_rows=1, comment=thumbnail.getvalue())
    data = whole.getvalue()
    assert data.count(b"\xff\xd9") == 2
    assert images._is_whole(data)
    assert images._is_whole(data + bytes(9))
    for length in range(0, len(data), 37):
        assert not images._is_whole(data[:length])
    for seed in range(100):
        damaged = np.frombuffer(data, np.uint8).copy()
        rng = np.random.default_rng(seed)
        damaged[rng.integers(0, len(data), 20)] = rng.integers(0, 256, 20)
        (tmp_path / "damaged.jpg").write_bytes(damaged.tobytes())
        for reduced in (1, 2):
            with contextlib.suppress(ImageError):  # other exceptions fail the test
                assert read_image(tmp_path / "damaged.jpg", reduced=reduced).ndim == 3
    with pytest.raises(ValueError, match="reduced: expected one of 1, 2, 4, 8, got 3"):
        read_image(tmp_path / "damaged.jpg", reduced=3)


def test_the_content_of_a_file_gives_the_same_pixels_and_messages(tmp_path: Path) -> None:
    as_pil(np.kron(COLORS, np.ones((8, 8, 1), np.uint8))).save(tmp_path / "a.jpg")
    path = tmp_path / "a.jpg"
    assert np.array_equal(as_image(EncodedImage("a", path.read_bytes())), read_image(path))
    for data in (b"", b"text", path.read_bytes()[:500]):
        path.write_bytes(data)
        with pytest.raises(ImageError) as of_file:
            read_image(path)
        with pytest.raises(ImageError) as of_content:
            as_image(EncodedImage(str(path), data))
        assert str(of_content.value) == str(of_file.value)
