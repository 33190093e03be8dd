"""The reader of annotation files: all commands that read annotations accept and refuse the same files."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from helpers.annotation_cases import (
    HEIGHT,
    IMAGE_FAULTS,
    NO_PERSON,
    REFUSED,
    TAKEN,
    WIDTH,
    Data,
    perfect,
    well_formed,
)

import simplepose as sp
from simplepose.cli import evaluate as evaluate_command
from simplepose.cli.main import main
from simplepose.data import annotation_fields, annotations
from simplepose.data.annotations import Annotations, annotations_from, read_annotations
from simplepose.data.augment import AugmentConfig
from simplepose.data.images import ImageError
from simplepose.evaluation.coco import evaluate_keypoints
from simplepose.network.checkpoint import save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.training.config import TrainConfig
from simplepose.training.data import open_data
from simplepose.training.distributed import Process

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image files, the well-formed annotations, and a narrow network with random weights."""
    path = tmp_path_factory.mktemp("annotations")
    (path / "images").mkdir()
    rng = np.random.default_rng(0)
    for i in (1, 2):
        cv2.imwrite(str(path / "images" / f"{i}.jpg"), rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
    torch.manual_seed(0)
    model = IMHN(ModelConfig(stacks=1, width=16, growth=4, input_size=64))
    save_checkpoint(path / "narrow.safetensors", model, sp.COCO)
    (path / "good.json").write_text(json.dumps(well_formed()))
    return path


@pytest.fixture(autouse=True)
def one_predictor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `simplepose evaluate` build its network once for all tests: the checks of files do not depend on it."""
    build = evaluate_command.make_predictor

    def make_predictor(options: argparse.Namespace, purpose: str) -> sp.Predictor:
        if folder not in PREDICTORS:
            PREDICTORS[folder] = build(options, purpose)
        return PREDICTORS[folder]

    monkeypatch.setattr(evaluate_command, "make_predictor", make_predictor)


PREDICTORS: dict[Path, sp.Predictor] = {}

CONFIG = TrainConfig(model=ModelConfig(stacks=1, width=16, growth=4, input_size=64), augment=AugmentConfig.none())


def train(path: Path, folder: Path, tmp: Path) -> None:
    """Open the training data as `simplepose train --data` does."""
    config = replace(CONFIG, data=str(path), images=str(folder / "images"))
    assert len(open_data(config, sp.COCO, tmp, Process(0, 1, torch.device("cpu"))).samples)


def validate(path: Path, folder: Path, tmp: Path) -> None:
    """Open the validation data as `simplepose train --val` does."""
    images = str(folder / "images")
    config = replace(CONFIG, data=str(folder / "good.json"), images=images, val=str(path), val_images=images)
    assert open_data(config, sp.COCO, tmp, Process(0, 1, torch.device("cpu"))).image_ids


def command(*arguments: object) -> None:
    """Run a command line in this process; if it fails, raise ValueError, as the library does."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    if code:
        raise ValueError("the command has failed")


def evaluate(path: Path, folder: Path, tmp: Path) -> None:
    command("evaluate", folder / "narrow.safetensors", "--images", folder / "images", "--annotations", path, "--json")


def oracle(path: Path, folder: Path, tmp: Path) -> None:
    command("evaluate", "--oracle", "clean", "--annotations", path, "--json")


def inspect(path: Path, folder: Path, tmp: Path) -> None:
    command("inspect", path, "--images", folder / "images", "--out", tmp / "sheet.png", "--size", "64", "--count", "1")


CONSUMERS = (train, validate, evaluate, oracle, inspect)


class Outcome:
    """The result of a consumer for one file: whether it accepted it, its messages about the file, and its output."""

    def __init__(self, consumer: Callable[..., None], path: Path, folder: Path, tmp: Path, capsys: Any) -> None:
        capsys.readouterr()
        text = ""
        try:
            consumer(path, folder, tmp)
            self.accepted = True
        except (ValueError, FileNotFoundError) as error:  # any other exception is a failure
            self.accepted, text = False, str(error)
        printed = capsys.readouterr()
        self.out = printed.out
        lines = [*printed.err.splitlines(), text]
        self.messages = {line[line.index(str(path)) :] for line in lines if str(path) in line}


def outcomes(content: Data | bytes, folder: Path, tmp: Path, capsys: Any) -> dict[str, Outcome]:
    path = tmp / "people.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return {c.__name__: Outcome(c, path, folder, tmp, capsys) for c in CONSUMERS}


@pytest.fixture(scope="module")
def expected(folder: Path) -> Annotations:
    return read_annotations(folder / "good.json", folder / "images")


@pytest.mark.parametrize("kind", TAKEN)
def test_every_consumer_accepts_the_file_with_the_same_messages(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], expected: Annotations
) -> None:
    change, messages = TAKEN[kind]
    data = well_formed()
    change(data)
    found = outcomes(data, folder, tmp_path, capsys)
    assert all(outcome.accepted for outcome in found.values()), {
        n: o.messages for n, o in found.items() if not o.accepted
    }
    printed = found["evaluate"].messages
    for name, outcome in found.items():
        if kind != "backslashes" or name != "oracle":  # oracle evaluation opens no image file
            assert outcome.messages == printed, name
    for consumer in ("evaluate", "oracle"):
        report = json.loads(found[consumer].out)
        assert set(report["warnings"]) == found[consumer].messages
    text = "\n".join(sorted(printed))
    for message in messages:
        count, rest = message.split(" ", 1)
        lines = [line for line in printed if re.search(rest, line)]
        assert lines, (message, text)
        if kind != "ids in text":
            assert any(f" {count} " in line for line in lines), (message, text)
    if not messages and kind != "outline null":
        assert not [line for line in printed if "integers" not in line], text
    records = read_annotations(tmp_path / "people.json", folder / "images")
    assert [i.people[0].keypoints.shape for i in records.images.values()] == [(17, 3), (17, 3)]
    for image_id, image in expected.images.items():
        for ours, theirs in zip(records.images[image_id].people, image.people, strict=True):
            assert np.array_equal(ours.keypoints, theirs.keypoints)
            assert ours.box == theirs.box
            assert ours.area == pytest.approx(theirs.area)
            assert ours.crowd == theirs.crowd
    results = [r for i in expected.images for r in sp.Poses(*perfect(expected, i)).to_coco(i, expected.category)]
    assert evaluate_keypoints(records, results)["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize("kind", REFUSED)
def test_every_consumer_refuses_the_file_with_the_same_message(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = REFUSED[kind]
    data = well_formed()
    change(data)
    found = outcomes(data, folder, tmp_path, capsys)
    assert not any(outcome.accepted for outcome in found.values()), kind
    if kind == "annotations missing":  # a list of images for evaluate, which then needs --out
        (line,) = found.pop("evaluate").messages
        assert "has no annotations; expected the file or folder for the results" in line
    assert len({frozenset(outcome.messages) for outcome in found.values()}) == 1, {
        n: o.messages for n, o in found.items()
    }
    (line,) = found["train"].messages
    assert re.search(message, line), line
    assert len(line) < len(str(tmp_path)) + 400


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff{", b"[1, 2]", b"null", b"[" * 100_000, b'{"images": ' + b"9" * 5000 + b"}", b'"text"'],
    ids=["empty", "brace", "bytes", "list", "null", "nested", "digits", "text"],
)
def test_every_consumer_refuses_files_that_are_not_annotation_files(
    content: bytes, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcomes(content, folder, tmp_path, capsys)
    assert not any(outcome.accepted for outcome in found.values())
    assert len({frozenset(outcome.messages) for outcome in found.values()}) == 1
    (line,) = found["train"].messages
    assert "not a JSON file" in line or "expected an object with the lists" in line


@pytest.mark.parametrize("kind", NO_PERSON)
def test_every_consumer_refuses_annotations_without_people(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = well_formed()
    NO_PERSON[kind](data)
    for name, outcome in outcomes(data, folder, tmp_path, capsys).items():
        assert not outcome.accepted, name
        reasons = ("no person to train on", "no person to evaluate")
        assert any(reason in line for line in outcome.messages for reason in reasons), name
        if kind in ("another category", "other images"):
            assert any("no person" in line and "5 annotations: " in line for line in outcome.messages), name


def test_missing_sizes_come_from_the_image_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = well_formed()
    for image, value in zip(data["images"], (None, 0), strict=True):
        image.update(height=value, width=value)
    found = outcomes(data, folder, tmp_path, capsys)
    for name in ("train", "validate", "evaluate", "inspect"):
        assert found[name].accepted, name
        expected_message = "2 images: height or width missing, taken from the image file"
        assert any(expected_message in line for line in found[name].messages)
    assert not found["oracle"].accepted, "oracle evaluation opens no image file"
    assert any("image 1: expected 'height' and 'width', got nothing" in line for line in found["oracle"].messages)
    record = read_annotations(tmp_path / "people.json", folder / "images").images[1]
    assert (record.height, record.width) == (HEIGHT, WIDTH)


def test_file_names_are_required_only_where_image_files_are_opened(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = well_formed()
    data["images"][0]["file_name"] = None
    found = outcomes(data, folder, tmp_path, capsys)
    assert [name for name, outcome in found.items() if outcome.accepted] == ["oracle"]
    lines = {line for name, outcome in found.items() if name != "oracle" for line in outcome.messages}
    assert lines == {f"{tmp_path / 'people.json'}: image 1.file_name: expected a file name, got nothing"}


def test_a_file_with_a_backslash_in_its_name_takes_precedence(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a\\b.jpg").write_bytes((folder / "images" / "1.jpg").read_bytes())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.jpg").write_bytes((folder / "images" / "1.jpg").read_bytes())
    data = well_formed()
    data["images"][0]["file_name"], data["images"][1]["file_name"] = "a\\b.jpg", "a\\c.jpg"
    found = annotations_from(data, "people.json", images=tmp_path)
    assert [image.path for image in found.images.values()] == [tmp_path / "a\\b.jpg", tmp_path / "a" / "c.jpg"]
    assert found.warnings == ("people.json: 1 image: backslashes in file_name, taken as folder separators",)


def test_a_run_parses_the_file_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    class Counting:
        @staticmethod
        def loads(text: bytes) -> Any:
            parsed.append(len(text))
            return json.loads(text)

    monkeypatch.setattr(annotations, "json", Counting)
    for consumer in CONSUMERS:
        parsed.clear()
        consumer(folder / "good.json", folder, tmp_path)
        assert len(parsed) == 1, consumer.__name__


@pytest.mark.parametrize("fault", IMAGE_FAULTS)
def test_every_consumer_reports_a_bad_image_with_the_same_message(
    fault: Callable[[Data, Path], None], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images"
    shutil.copytree(folder / "images", images)
    data = well_formed()
    fault(data, images)
    path, bad = tmp_path / "people.json", images / "1.jpg"
    path.write_text(json.dumps(data))
    command_line = {
        "evaluate": ["evaluate", folder / "narrow.safetensors", "--images", images, "--annotations", path, "--json"],
        "inspect": ["inspect", path, "--images", images, "--out", tmp_path / "sheet.png", "--size", "64"],
    }
    messages = set()
    for arguments in command_line.values():
        capsys.readouterr()
        with pytest.raises(ValueError, match="the command has failed"):
            command(*arguments)
        lines = [line for line in capsys.readouterr().err.splitlines() if str(bad) in line]
        messages |= {line[line.index(str(bad)) :] for line in lines}
    config = replace(CONFIG, data=str(path), images=str(images))
    opened = open_data(config, sp.COCO, tmp_path, Process(0, 1, torch.device("cpu")))
    for dataset in (opened.samples, opened.preview):
        with pytest.raises(ImageError) as error:
            dataset[0]
        messages.add(str(error.value))
    (line,) = messages
    assert re.search(IMAGE_FAULTS[fault], line), line


def test_the_guide_contains_the_tables_of_the_docstrings() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "annotations.md"
    if not guide.is_file():
        pytest.skip(f"{guide} is missing: the tests run outside a source tree")
    text = guide.read_text(encoding="utf-8")
    for module in (annotations, annotation_fields):
        table = [line for line in (module.__doc__ or "").splitlines() if line.startswith("|")]
        assert len(table) > 5
        assert "\n".join(table) in text, module.__name__
