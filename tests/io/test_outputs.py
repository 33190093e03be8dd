"""The rule of outputs against inputs and existing files, by itself and in every command that writes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import simplepose as sp
from simplepose.cli.main import main
from simplepose.io.outputs import MARKER, OutputError, Outputs
from simplepose.network.checkpoint import save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links of POSIX")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with an input of each kind."""
    monkeypatch.chdir(tmp_path)
    np.savez("m.npz", maps=np.zeros((48, 16, 16), np.float32))
    Path("photos").mkdir()
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for name in ("a.png", "b.png", "p.jpg"):
        cv2.imwrite(f"photos/{name}", image)
    keypoints = [v for i in range(17) for v in (10.0 + i, 20.0 + 2 * i, 2)]
    person = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": keypoints, "num_keypoints": 17, "iscrowd": 0}
    person |= {"bbox": [4, 8, 50, 50], "area": 1500.0, "segmentation": []}
    images = [{"id": 1, "file_name": "a.png", "height": 64, "width": 64}]
    category = {"id": 1, "name": "person", "keypoints": list(sp.COCO.dataset_keypoints)}
    data = {"images": images, "annotations": [person], "categories": [category]}
    Path("a.json").write_text(json.dumps(data))
    torch.manual_seed(0)
    save_checkpoint("w.safetensors", IMHN(ModelConfig(stacks=1, width=16, growth=8, input_size=64)), sp.COCO)
    return tmp_path


def run(*arguments: str) -> int:
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


WRITERS: dict[str, tuple[list[str], list[str]]] = {
    # command: (its arguments with OUT, its input files)
    "decode": (["decode", "m.npz", "--out", "OUT"], ["m.npz"]),
    "decode --drawing": (["decode", "m.npz", "--draw", "photos/a.png", "--drawing", "OUT"], ["m.npz", "photos/a.png"]),
    "convert": (["convert", "w.safetensors", "OUT", "--half"], ["w.safetensors"]),
    "export": (["export", "w.safetensors", "OUT"], ["w.safetensors"]),
    "inspect": (["inspect", "a.json", "--images", "photos", "--out", "OUT"], ["a.json", "photos/a.png"]),
    "evaluate": (
        [
            "evaluate",
            "w.safetensors",
            "--annotations",
            "a.json",
            "--images",
            "photos",
            "--device",
            "cpu",
            "--out",
            "OUT",
        ],
        ["w.safetensors", "a.json", "photos/a.png"],
    ),
}


def hard(source: str) -> str:
    os.link(source, "link")
    return "link"


def symbolic(source: str) -> str:
    Path("link").symlink_to(source)
    return "link"


def through_folder(source: str) -> str:
    Path("here").symlink_to(".")
    return f"here/{source}"


SAME: dict[str, Callable[[str], str]] = {
    "path": lambda source: source,
    "other path": lambda source: f"photos/../{source}",
    "absolute path": lambda source: str(Path(source).absolute()),
    "symbolic link": symbolic,
    "hard link": hard,
    "link to a folder": through_folder,
    "case": lambda source: str(Path(source).with_name(Path(source).name.upper())),
}


@pytest.mark.parametrize("way", SAME)
@pytest.mark.parametrize("command", WRITERS)
def test_an_input_is_never_replaced(command: str, way: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, inputs = WRITERS[command]
    for source in inputs:
        out = SAME[way](source)
        before = content(place)
        assert run(*[out if a == "OUT" else a for a in arguments], "--overwrite") == 2
        assert f"{out} would replace an input" in capsys.readouterr().err
        assert content(place) == before
        Path("link").unlink(missing_ok=True)
        Path("here").unlink(missing_ok=True)


@pytest.mark.parametrize("command", [*WRITERS, "demo"])
def test_an_existing_file_is_replaced_only_on_request(
    command: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = WRITERS[command][0] if command in WRITERS else ["demo", "--oracle", "clean", "--out", "OUT"]
    out = {"decode": "x.json", "evaluate": "x.json", "convert": "x.safetensors", "export": "x.onnx"}.get(
        command, "x.png"
    )
    Path(out).write_text("mine")
    before = content(place)
    words = [out if a == "OUT" else a for a in arguments]
    assert run(*words) == 2
    assert f"{out} exists" in capsys.readouterr().err
    assert content(place) == before
    if command == "export":  # needs optional packages
        return
    assert run(*words, "--overwrite") == 0, capsys.readouterr().err
    assert Path(out).read_bytes() != b"mine"
    marked = command not in ("convert", "evaluate")  # their formats have no place for a mark that others accept
    assert run(*words) == (0 if marked else 2)


@pytest.mark.parametrize("draw", [True, False])
def test_predict_reuses_its_own_folder_only(draw: bool, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "photos/a.png", "--checkpoint", "w.safetensors", "--device", "cpu", *["--draw"] * draw, "--out"]
    for _ in range(2):
        assert run(*words, "OUT") == 0
    assert json.loads(Path("OUT", MARKER).read_text()) == {"made_by": "simplepose predict"}
    Path("other").mkdir()
    Path("other/a.jpg" if draw else "other/images.json").write_text("mine")
    before = content(place)
    assert run(*words, "other") == 2
    assert "exists" in capsys.readouterr().err
    assert content(place) == before
    assert run(*words, "other", "--overwrite") == 0
    assert not Path("other", MARKER).exists()


def test_predict_replaces_no_photo_beside_its_input(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite("photos/p.png", np.zeros((64, 64, 3), np.uint8))
    before = content(place)
    words = ["predict", "photos/p.png", "--checkpoint", "w.safetensors", "--device", "cpu", "--draw", "--out"]
    assert run(*words, "photos") == 2
    assert "photos/p.jpg exists" in capsys.readouterr().err
    assert content(place) == before


def test_a_link_in_an_own_folder_is_not_followed(place: Path) -> None:
    words = ["predict", "photos/a.png", "--checkpoint", "w.safetensors", "--device", "cpu", "--draw", "--out", "OUT"]
    assert run(*words) == 0
    Path("OUT/a.jpg").unlink()
    Path("OUT/a.jpg").symlink_to("../photos/p.jpg")
    before = content(place)
    assert run(*words) == 2
    assert content(place) == before


def test_one_picture_that_cannot_be_written_loses_no_result(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from simplepose.cli import predict

    written = predict.write_image

    def fail(path: Path, image: np.ndarray) -> None:
        if path.name == "a.jpg":
            raise OSError(28, "No space left on device", str(path))
        if path.name == "b.jpg":
            image = np.zeros((70_000, 1, 3), np.uint8)  # too tall for a JPEG
        written(path, image)

    monkeypatch.setattr(predict, "write_image", fail)
    words = ["predict", "photos", "--checkpoint", "w.safetensors", "--device", "cpu", "--draw", "--out", "OUT"]
    assert run(*words) == 1
    error = capsys.readouterr().err
    assert "No space left on device: 'OUT/a.jpg'" in error
    assert "OUT/b.jpg: cannot write '.jpg' of 1 x 70000 pixels" in error
    assert sorted(p.name for p in Path("OUT").iterdir()) == [MARKER, "images.json", "p.jpg", "results.json"]
    assert len(json.loads(Path("OUT/images.json").read_text())) == 3


def test_predict_shortens_long_names(place: Path) -> None:
    stem = "é" * 125
    for number, suffix in enumerate((".png", ".PNG")):
        cv2.imwrite(f"photos/{number}.png", np.zeros((64, 64, 3), np.uint8))
        os.rename(f"photos/{number}.png", f"photos/{stem}{suffix}")
    words = ["predict", f"photos/{stem}.png", f"photos/{stem}.PNG", "--checkpoint", "w.safetensors", "--device", "cpu"]
    assert run(*words, "--draw", "--out", "OUT") == 0
    assert sorted(p.name for p in Path("OUT").glob("*.jpg")) == [f"{stem[:-1]}_2.jpg", f"{stem}.jpg"]


def test_the_journal_of_an_evaluation_is_removed_and_no_other_file(place: Path) -> None:
    others = ["r.json.partial.txt", "r.json.partial1", "r.json.partials"]
    for name in others:
        Path(name).write_text("mine")
    assert run(*[a if a != "OUT" else "r.json" for a in WRITERS["evaluate"][0]]) == 0
    assert sorted(p.name for p in place.glob("r.json*")) == ["r.json", *others]


def outputs(**options: object) -> Outputs:
    return Outputs("simplepose test", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("x.json", "x.json"), "--b: x.json would replace another output, --a x.json"),
        (("x.json", "./X.json"), "would replace another output"),
        (("new", "link"), "would replace another output"),
        (("photos", None), "--a: expected a file, photos is a folder"),
        (("n" * 256, None), "--a: expected a file name of at most 255 bytes"),
        (("é" * 128, None), "--a: expected a file name of at most 255 bytes"),
        (("a.json", None), "--a: a.json exists"),
    ],
)
def test_outputs_are_refused_by_name(paths: tuple[str, str | None], message: str, place: Path) -> None:
    Path("link").symlink_to("new")  # it does not exist
    checked = outputs()
    checked.writes("--a", paths[0])
    checked.writes("--b", paths[1])
    with pytest.raises(OutputError, match=message):
        checked.check()


def test_streams_may_be_written_twice(place: Path) -> None:
    os.mkfifo("fifo")
    checked = outputs()
    for path in ("/dev/null", "/dev/null", "/dev/stdout", "fifo"):
        checked.writes("--out", path)
    checked.check()


def test_a_folder_of_another_command_is_not_reused(place: Path) -> None:
    Path("folder").mkdir()
    Path("folder", MARKER).write_text('{"made_by": "simplepose other"}')
    Path("folder/x").write_text("")
    checked = outputs()
    checked.writes_folder("--out", "folder", ["x"])
    with pytest.raises(OutputError, match="folder/x exists"):
        checked.check()
