"""The image files of folders and patterns: their order, and the files that are left out."""

from __future__ import annotations

from pathlib import Path

import PIL.features
import pytest

from simplepose.data import images
from simplepose.data.image_lists import find_images, list_images
from simplepose.data.images import ImageError


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
    images.readable_suffixes.cache_clear()
    try:
        found = find_images(tmp_path)
    finally:
        images.readable_suffixes.cache_clear()
    assert [p.name for p in found.paths] == ["a.jpg"]
    assert found.left_out == (f"{tmp_path}: 2 files left out: 1 .avif, 1 .webp",)
