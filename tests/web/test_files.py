"""The page's folder: only uploaded files are taken, whatever path a browser sends; names are safe; old files go."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from simplepose.web.files import KEEP_SECONDS, Files, UploadError, download_stem, shown_name


@pytest.fixture
def files(tmp_path: Path) -> Files:
    (tmp_path / "page").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "page_beside").mkdir()
    (tmp_path / "page_beside" / "secret.txt").write_text("secret")
    return Files(tmp_path / "page")


def test_an_uploaded_file_is_taken_by_its_path_and_named_as_at_the_user(files: Files) -> None:
    upload = files.folder / "a7c3" / "image.png"
    upload.parent.mkdir()
    upload.write_bytes(b"x")
    assert files.upload({"path": str(upload), "orig_name": "me.png", "url": "http://x/y"}) == (upload, "me.png")
    assert files.upload({"path": str(upload)}) == (upload, "image.png")
    assert files.upload({"path": str(upload), "orig_name": 3})[1] == "image.png"


@pytest.mark.parametrize(
    "path",
    [
        "{outside}/secret.txt",
        "{folder}/../secret.txt",
        "{folder}/link",
        "{folder}/linked/secret.txt",
        "{folder}_beside/secret.txt",
        "{folder}",
        "{folder}/none.png",
        "../secret.txt",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1/a.png",
        "{folder}/a\0.png",
        "",
    ],
)
def test_no_other_path_is_taken(path: str, files: Files) -> None:
    outside = files.folder.parent
    (files.folder / "link").symlink_to(outside / "secret.txt")
    (files.folder / "linked").symlink_to(outside)
    with pytest.raises(UploadError, match="expected an uploaded file"):
        files.upload({"path": path.format(folder=files.folder, outside=outside)})


@pytest.mark.parametrize("sent", [None, "a.png", 3, [], {}, {"path": None}, {"path": ["a"]}])
def test_what_is_no_file_object_is_refused(sent: Any, files: Files) -> None:
    with pytest.raises(UploadError):
        files.upload(sent)


@pytest.mark.parametrize(
    ("name", "shown", "stem"),
    [
        ("me.png", "me.png", "me"),
        ("../../etc/passwd", "passwd", "passwd"),
        ("C:\\photos\\a b.jpg", "a b.jpg", "a_b"),
        ("a\nb\x1b[2J.png", "a\\x0ab\\x1b[2J.png", "a_x0ab_x1b_2J"),
        ("x" * 300 + ".jpg", "x" * 80, "x" * 80),
        ("Jürgen.jpg", "Jürgen.jpg", "J_rgen"),
        ("...", "...", "picture"),
        ("/", "'/'", "picture"),
    ],
)
def test_names_are_safe(name: str, shown: str, stem: str) -> None:
    assert shown_name(name) == shown
    assert download_stem(shown) == stem


def test_downloads_get_a_folder_of_their_own_and_old_files_are_removed(files: Files) -> None:
    first = files.new_downloads({"a.json": b"1", "a.jpg": b"2"})
    assert [path.read_bytes() for path in first] == [b"1", b"2"]
    part, sample = files.folder / "tmp123", files.folder / "examples"
    part.write_bytes(b"x")
    sample.mkdir()
    assert files.new_downloads({"a.json": b"3"})[0] != first[0]
    assert first[0].exists()
    assert part.exists()
    old = time.time() - KEEP_SECONDS - 5
    for path in (first[0].parent, part, sample):
        os.utime(path, (old, old))
    files.new_downloads({"a.json": b"4"})
    assert not first[0].parent.exists()
    assert not part.exists()
    assert sample.exists()
