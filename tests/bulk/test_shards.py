"""Inputs as shards, and the images of a shard."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.bulk_cases import png, write_tar

from simplepose.bulk.shards import PART, Shard, find_shards
from simplepose.bulk.sources import images_of
from simplepose.data.images import EncodedImage, as_image


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder with an image folder, a folder of tars and a list."""
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "tars"):
        (tmp_path / name).mkdir()
    for name in ("2.png", "10.png", "1.png"):
        (tmp_path / "photos" / name).write_bytes(png(1))
    for number in range(3):
        write_tar(tmp_path / "tars" / f"{number:02d}.tar", {"a.png": png(number)})
    (tmp_path / "list.txt").write_text("photos/2.png\n\ntars/00.tar\n")
    return tmp_path


IMAGES = ("photos/1.png", "photos/2.png", "photos/10.png")
TARS = ("tars/00.tar", "tars/01.tar", "tars/02.tar")
INPUTS = {
    "a folder": (["photos"], [IMAGES[:2], IMAGES[2:]]),
    "a folder of tars": (["tars"], [(tar,) for tar in TARS]),
    "a pattern": (["photos/*.png"], [IMAGES[:2], IMAGES[2:]]),
    "a list": (["list.txt"], [("tars/00.tar",), ("photos/2.png",)]),
    "braces": (["tars/{00..02}.tar"], [(tar,) for tar in TARS]),
    "braces of names": (["tars/{00,02}.tar"], [TARS[:1], TARS[2:]]),
    "several braces": (["s{0..1}/{a,b}.mp4"], [("s0/a.mp4",), ("s0/b.mp4",), ("s1/a.mp4",), ("s1/b.mp4",)]),
    "an input given twice": (["tars/00.tar", "tars/*0.tar"], [TARS[:1]]),
    "a missing file": (["photos/9.png"], [("photos/9.png",)]),
}


@pytest.mark.parametrize("kind", INPUTS)
def test_inputs_become_shards(kind, tree):
    inputs, expected = INPUTS[kind]
    shards, _ = find_shards(inputs, 2)
    assert [shard.addresses for shard in shards] == expected
    assert all(PART.fullmatch(shard.part) for shard in shards)
    assert len({shard.part for shard in shards}) == len(shards)


def test_addresses_of_fsspec_are_expanded(tree):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    for name in ("9.tar", "10.tar", "a.png"):
        memory.pipe(f"/bulk/{name}", png(3) if name == "a.png" else (tree / TARS[0]).read_bytes())
    shards, _ = find_shards(["memory://bulk/*.tar", "memory://bulk/a.png"], 5)
    assert [shard.addresses[0].split("bulk")[1] for shard in shards] == ["/9.tar", "/10.tar", "/a.png"]
    for shard in shards:
        [(key, image)] = images_of(shard, str(tree))
        assert key == shard.addresses[0] + "/a.png" * (shard.kind == "tar")
        assert np.array_equal(as_image(image), as_image(EncodedImage("", png(3 * (shard.kind == "images")))))


WRONG = {
    "photos/*.jpg": "no file fits this pattern",
    "tars/{2..0}.tar": "expected braces for 1 to",
    "empty.txt": "the list is empty",
    "nested.txt": "expected images, tars and videos, got photos",
    "none://a/b.tar": "fsspec reads no addresses that begin with none://",
    "folder": "holds no images",
}


@pytest.mark.parametrize("given", WRONG)
def test_wrong_inputs_are_named(given, tree):
    (tree / "empty.txt").write_text("\n")
    (tree / "nested.txt").write_text("photos\n")
    (tree / "folder").mkdir()
    if "://" in given:
        pytest.importorskip("fsspec")
    with pytest.raises(ValueError, match=WRONG[given]):
        find_shards([given], 2)


def read(path: Path) -> list[tuple[str, object]]:
    """The keys of the images of a tar, with the pixel count or the error."""
    images = images_of(Shard("tar", (path.name,)), str(path.parent))
    return [(k.removeprefix(path.name), str(v) if isinstance(v, Exception) else as_image(v).size) for k, v in images]


FILES = {"a.png": png(1), "a.json": b"{}", "b/c.png": png(2), "d.txt": b"d"}
GOOD = [("/a.png", 64 * 65 * 3), ("/b/c.png", 64 * 64 * 3)]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_the_images_of_a_tar_are_read(mode, tmp_path):
    assert read(write_tar(tmp_path / "a.tar", FILES, mode)) == GOOD


def test_a_name_that_a_tar_contains_twice_gets_a_number(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a.png": png(1)})
    write_tar(path, {"a.png": png(2)}, "a")
    assert read(path) == [("/a.png", 64 * 65 * 3), ("/a.png#2", 64 * 64 * 3)]


BLOCK = 512
DAMAGE = {
    "cut within an image": (lambda data: data[: 2 * BLOCK + 100], 0),
    "cut between two images": (lambda data: data[: data.index(b"b/c.png")], 1),
    "cut within a header": (lambda data: data[: data.index(b"b/c.png") + 99], 1),
    "a damaged header": (lambda data: data.replace(b"b/c.png", b"b/d.png"), 1),
    "not a tar": (lambda data: b"text" * 1000, 0),
    "empty": (lambda data: b"", 0),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_tar_gives_its_images_and_an_error(kind, tmp_path):
    """Python's tarfile takes the second, third and fourth as the end of the archive."""
    damage, whole = DAMAGE[kind]
    path = write_tar(tmp_path / "a.tar", FILES)
    path.write_bytes(damage(path.read_bytes()))
    *good, (key, error) = read(path)
    assert good == GOOD[:whole]
    assert key == ""
    assert str(error).startswith("a.tar: the archive cannot be read, or not to its end")


def test_other_errors_of_archives_and_videos(tmp_path):
    [(_, error)] = read(tmp_path / "none.tar")
    assert "no such file" in error
    [(_, error)] = read(write_tar(tmp_path / "a.tar", {"a.txt": b""}))
    assert error == "a.tar: the archive contains no images"
    (tmp_path / "a.mp4").write_bytes(b"text")
    [(key, error)] = images_of(Shard("video", ("a.mp4",)), str(tmp_path))
    assert key == "a.mp4"
    assert str(error).startswith("a.mp4: ")


def test_the_frames_of_a_video_are_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = cv2.VideoWriter("a.avi", cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for value in (0, 100, 200):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    frames = list(images_of(Shard("video", ("a.avi",)), str(tmp_path)))
    assert [key for key, _ in frames] == ["a.avi#0", "a.avi#1", "a.avi#2"]
    assert [round(float(np.mean(frame)), -1) for _, frame in frames] == [0, 100, 200]
