"""`simplepose predict --format` and --uncertainty: the files of images and videos, and options that do not fit."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from simplepose.cli.main import main
from simplepose.cli.options import chosen_predictor_config
from simplepose.cli.predict import add_arguments
from simplepose.data.images import ImageError, as_image
from simplepose.inference.predictor import Prediction
from simplepose.io.formats.registry import FORMATS
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO

FILES = {
    "coco": {"results.json", "images.json"},
    "openpose": {"images.json", "keypoints/1_keypoints.json", "keypoints/2_keypoints.json"},
    "yolo": {"images.json", "data.yaml", "labels/1.txt", "labels/2.txt"},
    "csv": {"people.csv"},
    "parquet": {"people.parquet"},
    "sleap": {"people.slp"},
}


class Detector:
    """In place of the predictor: two people at fixed places in every image, moved by the number of the image."""

    skeleton = COCO

    def __init__(self, covariance: bool) -> None:
        self.covariance = covariance

    def predict_many(self, images: Iterable[Any], keep_heatmaps: bool) -> Iterator[Prediction]:
        for number, source in enumerate(images):
            try:
                image = as_image(source)
            except ImageError as error:
                yield Prediction(source, None, error, None)
                continue
            keypoints = np.random.default_rng(7).uniform(20, 70, (2, 18, 3)).astype(np.float32)
            keypoints[1, :, 0] += 90
            keypoints[..., 0] += number
            keypoints[..., 2] = 0.75
            keypoints[:, 3] = (np.nan, np.nan, 0)
            poses = Poses(keypoints, np.float32([12, 11]), COCO)
            if self.covariance:
                poses.covariance = np.tile(np.float32([[30, 4], [4, 20]]), (2, 18, 1, 1))
                poses.covariance[:, 3:5] = np.nan
            yield Prediction(source, image, None, poses)


@pytest.fixture(autouse=True)
def detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands get a `Detector`, which is faster than a network."""
    monkeypatch.setattr("simplepose.cli.predict.make_predictor", lambda options: Detector(options.uncertainty))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two photos and a file that is no image, and a video of 4 frames."""
    out = tmp_path_factory.mktemp("formats")
    (out / "photos").mkdir()
    gray = np.full((96, 200, 3), 128, np.uint8)
    for number in (1, 2):
        cv2.imwrite(str(out / "photos" / f"{number}.jpg"), gray)
    (out / "photos" / "3.jpg").write_bytes(b"no image")
    writer = cv2.VideoWriter(str(out / "clip.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25, (200, 96))
    for _ in range(4):
        writer.write(gray)
    writer.release()
    return out


def predict(*words: object) -> int:
    return main(["predict", *map(str, words)])


def needed(name: str) -> None:
    if FORMATS[name].module:
        pytest.importorskip(FORMATS[name].module, reason=f"{FORMATS[name].module} is not installed")


@pytest.mark.parametrize("name", FORMATS)
def test_images_are_written_in_every_format(
    name: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    needed(name)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # in its own folder, the command replaces its files
        assert predict(place / "photos", "--format", name, "--out", "out") == 1, "an image was skipped"
        printed = capsys.readouterr()
        assert f"results: {Path('out') / FORMATS[name].result}" in printed.out
        assert "3.jpg" in printed.err
        found = {str(path.relative_to("out")) for path in Path("out").rglob("*") if path.is_file()}
        assert found == {".simplepose", *FILES[name]}
    Path("mine").mkdir()
    for file in FILES[name]:
        Path("mine", file).parent.mkdir(exist_ok=True)
        Path("mine", file).write_text("mine")
        assert predict(place / "photos", "--format", name, "--out", "mine") == 2
        assert f"{Path('mine', file)} exists" in capsys.readouterr().err
        assert Path("mine", file).read_text() == "mine"
        Path("mine", file).unlink()


def test_without_the_option_the_files_are_those_of_coco(place: Path, tmp_path: Path):
    for name, option in (("a", []), ("b", ["--format", "coco"])):
        assert predict(place / "photos" / "1.jpg", "--out", tmp_path / name, *option) == 0
    for file in FILES["coco"]:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert json.loads((tmp_path / "a" / "images.json").read_text()) == [
        {"id": 1, "file_name": str(place / "photos" / "1.jpg")}
    ]


def test_track_ids_and_times_of_a_video_are_in_all_formats_that_hold_them(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("scipy", reason="the extra track is not installed")
    found: dict[str, list[list[int | None]]] = {}
    for name in ("coco", "openpose", "csv"):
        capsys.readouterr()
        arguments = ["--track", "--format", name, "--out", tmp_path / name, "--json"]
        assert predict(place / "clip.mp4", *arguments) == 0
        report = json.loads(capsys.readouterr().out)
        assert [(image["frame_id"], image["time"]) for image in report["images"]] == [(i, i / 25) for i in range(4)]
        found["json"] = [[p["track_id"] for p in image["poses"]["people"]] for image in report["images"]]
        out = tmp_path / name
        if name == "coco":
            images = json.loads((out / "images.json").read_text())
            assert [image["time"] for image in images] == [i / 25 for i in range(4)]
            results = json.loads((out / "results.json").read_text())
            found[name] = [[r["track_id"] for r in results if r["image_id"] == image["id"]] for image in images]
        elif name == "openpose":
            files = [out / "keypoints" / f"clip_{i:012d}_keypoints.json" for i in range(4)]
            people = [json.loads(file.read_text())["people"] for file in files]
            found[name] = [[None if p["person_id"] == [-1] else p["person_id"][0] for p in ps] for ps in people]
        else:
            with (out / "people.csv").open() as file:
                rows = list(csv.DictReader(file))
            assert {row["time_s"] for row in rows if row["frame"] == "3"} == {str(3 / 25)}
            ids = [(row["frame"], int(row["track_id"]) if row["track_id"] else None) for row in rows]
            found[name] = [[number for frame, number in ids if frame == str(i)] for i in range(4)]
    assert sum(number is not None for frame in found["json"] for number in frame) >= 6
    assert found["coco"] == found["openpose"] == found["csv"] == found["json"]


def test_a_folder_of_labels_that_is_a_link_is_not_written_into(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = [place / "photos" / "1.jpg", "--format", "yolo", "--out", tmp_path / "out"]
    assert predict(*arguments) == 0
    labels = tmp_path / "out" / "labels"
    labels.rename(tmp_path / "mine")
    labels.symlink_to(tmp_path / "mine")
    (tmp_path / "mine" / "1.txt").write_text("mine")
    assert predict(*arguments) == 2
    assert "labels/1.txt exists" in capsys.readouterr().err
    labels.unlink()
    labels.write_text("a file")
    assert predict(*arguments) == 2
    assert "expected a folder" in capsys.readouterr().err
    assert (tmp_path / "mine" / "1.txt").read_text() == "mine"


def test_uncertainty_is_drawn_and_written(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    photo = place / "photos" / "1.jpg"
    for name, options in (("plain", []), ("more", ["--uncertainty"])):
        capsys.readouterr()
        assert predict(photo, "--draw", "--format", "csv", "--out", tmp_path / name, "--json", *options) == 0
    people = json.loads(capsys.readouterr().out)["images"][0]["poses"]["people"]
    plain, more = (cv2.imread(str(tmp_path / name / "1.jpg")) for name in ("plain", "more"))
    assert np.abs(plain.astype(int) - more).max() > 60
    with (tmp_path / "more" / "people.csv").open() as file:
        row = next(csv.DictReader(file))
    names = ("var_x", "cov_xy", "var_y")
    written = [[row[f"{keypoint}_{name}_px2"] for name in names] for keypoint in ("nose", "right_wrist")]
    assert written == [["30.0", "4.0", "20.0"], [""] * 3]
    assert [people[0]["covariance"][i] for i in (0, 4)] == [[30, 4, 20], None]
    assert "px2" not in (tmp_path / "plain" / "people.csv").read_text()


def test_the_option_is_a_setting_of_the_predictor():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for words, expected in (([], False), (["--uncertainty"], True)):
        assert chosen_predictor_config(parser.parse_args(["a.jpg", *words])).covariance is expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("1.jpg --format csv", "--format needs --out"),
        ("1.jpg --format xml --out OUT", "invalid choice: 'xml'"),
        ("1.jpg --uncertainty --out OUT", "--uncertainty needs --draw, --json or --format csv"),
        ("0 --format csv --out OUT", "--format: expected images or a video, got a camera"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: str, message: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = [str(tmp_path / "out") if word == "OUT" else word for word in words.split()]
    arguments[0] = str(place / "photos" / arguments[0]) if arguments[0] != "0" else "0"
    try:
        code: object = predict(*arguments)
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("name", "package"), [("parquet", "pyarrow"), ("sleap", "sleap-io")])
def test_without_its_package_a_format_names_the_extra(
    name: str, package: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):  # fmt: skip
    monkeypatch.setattr("simplepose.cli.formats.find_spec", lambda name: None)
    assert predict(place / "photos" / "1.jpg", "--format", name, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert f"--format {name} needs {package}: pip install 'simplepose[{FORMATS[name].extra}]'" in error
