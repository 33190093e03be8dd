"""The one reader of annotation files: each kind of fault is treated the same by everything that reads annotations."""

from __future__ import annotations

import argparse
import copy
import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from pycocotools import mask as coco_mask
from scenes import FIGURE

import simplepose as sp
from simplepose.cli import evaluate as evaluate_command
from simplepose.cli.main import main
from simplepose.data import annotation_fields, annotations
from simplepose.data.annotations import Annotations, annotations_from, read_annotations
from simplepose.data.augment import AugmentConfig, decode_masks, draw_outlines
from simplepose.data.images import ImageError
from simplepose.data.run_lengths import mask_box, run_counts
from simplepose.evaluation.coco import evaluate_keypoints
from simplepose.network.checkpoint import save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.training.config import TrainConfig
from simplepose.training.data import open_data
from simplepose.training.distributed import Process

pytestmark = pytest.mark.usefixtures("one_thread")

NAMES = list(sp.COCO.dataset_keypoints)
HEIGHT, WIDTH = 96, 128
NAN, INFINITY = float("nan"), float("inf")

Data = dict[str, Any]


def person(key: int, image: int, height: float, x: float, y: float, unlabeled: tuple[int, ...] = ()) -> Data:
    """An upright person of ``height`` pixels with a box outline, its head at (x, y)."""
    points = np.round(FIGURE * height + (x, y), 2)
    keypoints = [v for i, p in enumerate(points) for v in ((0, 0, 0) if i in unlabeled else (*p.tolist(), 2))]
    low, high = np.floor(points.min(0)).tolist(), np.ceil(points.max(0)).tolist()
    (x0, y0), (x1, y1) = low, high
    return {
        "id": key,
        "image_id": image,
        "category_id": 1,
        "keypoints": keypoints,
        "num_keypoints": 17 - len(unlabeled),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]],
        "area": (x1 - x0) * (y1 - y0),
        "iscrowd": 0,
    }


def well_formed() -> Data:
    """Three people to learn from and to evaluate, one without keypoints, and a crowd."""
    runs = {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * 100, HEIGHT * 20, HEIGHT * 8]}
    nobody = {"keypoints": [0] * 51, "num_keypoints": 0, "area": 400.0, "bbox": [100, 10, 20, 20], "category_id": 1}
    return {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": HEIGHT, "width": WIDTH} for i in (1, 2)],
        "annotations": [
            person(1, 1, 80, 30, 8, unlabeled=(3, 4)),
            person(2, 1, 70, 90, 12),
            person(3, 2, 85, 50, 6, unlabeled=(0,)),
            {**nobody, "id": 4, "image_id": 2, "iscrowd": 0, "segmentation": []},
            {**nobody, "id": 5, "image_id": 2, "iscrowd": 1, "segmentation": runs},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(NAMES)}],
    }


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
    """`simplepose evaluate` builds its network once for all tests: it has no say in what is refused."""
    build = evaluate_command.make_predictor

    def make_predictor(options: argparse.Namespace) -> sp.Predictor:
        if folder not in PREDICTORS:
            PREDICTORS[folder] = build(options)
        return PREDICTORS[folder]

    monkeypatch.setattr(evaluate_command, "make_predictor", make_predictor)


PREDICTORS: dict[Path, sp.Predictor] = {}

CONFIG = TrainConfig(model=ModelConfig(stacks=1, width=16, growth=4, input_size=64), augment=AugmentConfig.none())


def train(path: Path, folder: Path, tmp: Path) -> None:
    """What `simplepose train --data` does before its first step."""
    config = replace(CONFIG, data=str(path), images=str(folder / "images"))
    assert len(open_data(config, sp.COCO, tmp, Process(0, 1, torch.device("cpu"))).samples)


def validate(path: Path, folder: Path, tmp: Path) -> None:
    """The same with the file as `--val`."""
    images = str(folder / "images")
    config = replace(CONFIG, data=str(folder / "good.json"), images=images, val=str(path), val_images=images)
    assert open_data(config, sp.COCO, tmp, Process(0, 1, torch.device("cpu"))).image_ids


def command(*arguments: object) -> None:
    """A command line in this process; a failure is a ValueError, as it is in the library."""
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
    """What a consumer did with a file: whether it took it, the lines about the file, and what it printed."""

    def __init__(self, consumer: Callable[..., None], path: Path, folder: Path, tmp: Path, capsys: Any) -> None:
        capsys.readouterr()
        text = ""
        try:
            consumer(path, folder, tmp)
            self.taken = True
        except (ValueError, FileNotFoundError) as error:  # anything else is a traceback
            self.taken, text = False, str(error)
        printed = capsys.readouterr()
        self.out = printed.out
        lines = [*printed.err.splitlines(), text]
        self.said = {line[line.index(str(path)) :] for line in lines if str(path) in line}


def outcomes(content: Data | bytes, folder: Path, tmp: Path, capsys: Any) -> dict[str, Outcome]:
    path = tmp / "people.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return {c.__name__: Outcome(c, path, folder, tmp, capsys) for c in CONSUMERS}


def everyone(**fields: Any) -> Callable[[Data], None]:
    """Set fields of all annotations of people to learn from; `...` removes one."""

    def change(data: Data) -> None:
        for entry in data["annotations"][:3]:
            for name, value in fields.items():
                entry[name] = value(entry) if callable(value) else copy.deepcopy(value)
                if value is ...:
                    del entry[name]

    return change


def one(**fields: Any) -> Callable[[Data], None]:
    """Set fields of the second annotation."""
    return lambda data: data["annotations"][1].update(fields)


def crowd(**fields: Any) -> Callable[[Data], None]:
    """Set fields of the crowd's run lengths."""
    return lambda data: data["annotations"][4]["segmentation"].update(fields)


def part(name: str, index: int = 0, **fields: Any) -> Callable[[Data], None]:
    """Set fields of an entry of a list."""
    return lambda data: data[name][index].update(fields)


def values(index: int, *numbers: Any) -> Callable[[Data], None]:
    """Set numbers among the second person's keypoints, all labeled."""

    def change(data: Data) -> None:
        data["annotations"][1]["keypoints"][index : index + len(numbers)] = numbers

    return change


def unlabeled(value: Any) -> Callable[[Data], None]:
    """Set x and y of all unlabeled keypoints of the people to learn from."""

    def change(data: Data) -> None:
        for entry in data["annotations"][:3]:
            k = entry["keypoints"]
            for i in range(0, 51, 3):
                if k[i + 2] == 0:
                    k[i] = k[i + 1] = value

    return change


def text_ids(data: Data) -> None:
    for image in data["images"]:
        image["id"] = str(image["id"])
    for entry in data["annotations"]:
        entry.update({name: str(entry[name]) for name in ("id", "image_id", "category_id")})
    data["categories"][0]["id"] = "1"


def reorder(data: Data) -> None:
    """Reverse the order of the keypoints, in the category and in the annotations."""
    data["categories"][0]["keypoints"] = NAMES[::-1]
    for entry in data["annotations"]:
        entry["keypoints"] = np.reshape(entry["keypoints"], (17, 3))[::-1].ravel().tolist()


def group_category(data: Data) -> None:
    """As Roboflow writes it: a group without keypoints that is called person, before the category with them."""
    data["categories"] = [{"id": 0, "name": "person"}, {**data["categories"][0], "name": "pose"}]


def add(name: str, entry: Any) -> Callable[[Data], None]:
    return lambda data: data[name].append(copy.deepcopy(entry))


HAND = {"id": 9, "image_id": 1, "category_id": 2, "keypoints": [1, 1, 2] * 21}

TAKEN = {
    # kind: (change, what is said); nothing about the people changes
    "well formed": (lambda data: None, []),
    "ids in text": (text_ids, ["19 .*integers in text"]),
    "category_id in text": (everyone(category_id=" 1 "), ["3 annotations: integers in text"]),
    "integral floats": (everyone(image_id=lambda a: float(a["image_id"]), category_id=1.0), []),
    "iscrowd missing": (everyone(iscrowd=...), ["3 annotations: iscrowd missing"]),
    "iscrowd null": (everyone(iscrowd=None), ["3 annotations: iscrowd missing"]),
    "iscrowd false": (everyone(iscrowd=False), []),
    "num_keypoints missing": (everyone(num_keypoints=...), ["3 annotations: num_keypoints missing"]),
    "num_keypoints null": (everyone(num_keypoints=None), ["3 annotations: num_keypoints missing"]),
    "num_keypoints 0": (everyone(num_keypoints=0), ["3 annotations: num_keypoints wrong"]),
    "num_keypoints in text": (one(num_keypoints="all"), ["1 annotation: num_keypoints wrong"]),
    "area missing": (everyone(area=...), ["3 annotations: area missing .* the segmentation's"]),
    "area null": (everyone(area=None), ["3 annotations: area missing .* the segmentation's"]),
    "area 0": (everyone(area=0), ["3 annotations: area missing or not positive, .* the segmentation's"]),
    "area negative": (everyone(area=-5.5), ["3 annotations: area missing or not positive"]),
    "area NaN": (everyone(area=NAN), ["3 annotations: area missing or not positive"]),
    "area and outline missing": (everyone(area=0, segmentation=None), ["3 annotations: area missing .* the box's"]),
    "bbox null": (everyone(bbox=None), ["3 annotations: bbox missing .* segmentation"]),
    "bbox empty": (everyone(bbox=[]), ["3 annotations: bbox missing .* segmentation"]),
    "bbox zero": (everyone(bbox=[0, 0, 0, 0]), ["3 annotations: bbox missing or without extent"]),
    "outline null": (everyone(segmentation=None), []),
    "outline of two corners": (everyone(segmentation=[[1, 2, 3, 4]]), []),
    "unlabeled NaN": (unlabeled(NAN), ["2 annotations: coordinates of unlabeled keypoints"]),
    "unlabeled Infinity": (unlabeled(INFINITY), ["2 annotations: coordinates of unlabeled keypoints"]),
    "unlabeled null": (unlabeled(None), ["2 annotations: coordinates of unlabeled keypoints"]),
    "keypoints null": (lambda data: data["annotations"][3].update(keypoints=None, num_keypoints=0), []),
    "category_id missing": (everyone(category_id=...), ["3 annotations: category_id missing, taken as 1"]),
    "another category": (lambda data: [add("categories", {"id": 2, "name": "hand", "keypoints": ["a"] * 21})(data),
                                       add("annotations", HAND)(data)], []),
    "unknown category": (add("annotations", HAND), ["1 annotation: category_id of a category that is not listed"]),
    "unlisted image": (add("annotations", person(9, 7, 50, 20, 20)), ["1 annotation: image_id .* not listed"]),
    "keypoint order": (reorder, ["1 category: keypoints in another order"]),
    "no keypoint names": (part("categories", keypoints=[]), ["1 category: no keypoint names"]),
    "no names at all": (lambda data: data.update(categories=[{"id": 1}]), ["1 category: no keypoint names"]),
    "group called person": (group_category, []),
    "run lengths as text": (
        lambda data: data["annotations"][4].update(segmentation=as_text(data["annotations"][4]["segmentation"])), []),
    "backslashes": (lambda data: [i.update(file_name=f"..\\images\\{i['file_name']}") for i in data["images"]],
                    ["2 images: backslashes in file_name"]),
}  # fmt: skip

HUGE = 10**30

REFUSED = {
    # kind: (change, place and message)
    "image id in words": (part("images", id="img1"), r"images\[0\].id: expected an integer, got 'img1'"),
    "image id missing": (lambda data: data["images"][1].pop("id"), r"images\[1\].id: expected an integer, got nothing"),
    "image id true": (part("images", id=True), r"images\[0\].id: expected an integer, got True"),
    "image id 1.5": (part("images", id=1.5), r"images\[0\].id: expected an integer, got 1.5"),
    "image id huge": (part("images", id=HUGE), r"images\[0\].id: .*64 bits, got 1000"),
    "image id huge text": (part("images", id=str(HUGE)), r"images\[0\].id: expected an integer, got '1000"),
    "image id twice": (part("images", 1, id=1), r"images\[1\].id: expected an id of its own, got 1 a second time"),
    "annotation id twice": (one(id=1), r"annotations\[1\].id: expected an id of its own, got 1 a second time"),
    "annotation id a list": (one(id=[2]), r"annotations\[1\].id: expected an integer, got \[2\]"),
    "category id twice": (add("categories", {"id": 1}), r"categories\[1\].id: expected an id of its own"),
    "category id null": (part("categories", id=None), r"categories\[0\].id: expected an integer, got nothing"),
    "image_id null": (one(image_id=None), r"annotations\[1\].image_id: expected an integer, got nothing"),
    "image_id in words": (one(image_id="one"), r"annotations\[1\].image_id: expected an integer, got 'one'"),
    "category_id in words": (one(category_id="person"), r"annotations\[1\].category_id: expected an integer"),
    "x NaN": (values(3, NAN), r"annotation 2.keypoints\[3\]: expected finite coordinates of a labeled keypoint"),
    "y Infinity": (values(4, INFINITY), r"annotation 2.keypoints\[3\]: expected finite coordinates"),
    "x null": (values(3, None), r"annotation 2.keypoints\[3\]: expected finite coordinates"),
    "x far away": (values(3, 1e30), r"annotation 2.keypoints\[3\]: expected finite coordinates"),
    "x in text": (values(3, "12"), r"annotation 2.keypoints\[3\]: expected a number, got '12'"),
    "x huge": (values(3, 10**400), r"annotation 2.keypoints: expected numbers of at most 64 bits"),
    "visibility 3": (values(5, 3), r"annotation 2.keypoints\[5\]: expected visibility 0, 1 or 2, got 3"),
    "visibility -1": (values(5, -1), r"annotation 2.keypoints\[5\]: expected visibility 0, 1 or 2, got -1"),
    "visibility null": (values(5, None), r"annotation 2.keypoints\[5\]: expected visibility 0, 1 or 2, got nothing"),
    "visibility true": (values(5, True), r"annotation 2.keypoints\[5\]: expected a number, got True"),
    "keypoints short": (one(keypoints=[1, 2, 2]), r"annotation 2.keypoints: expected 17 x .* got 3 numbers"),
    "keypoints nested": (one(keypoints=[[1, 2, 2]] * 17), r"annotation 2.keypoints: expected 17 x"),
    "keypoints in text": (one(keypoints="1,2,2"), r"annotation 2.keypoints: expected 17 x .* got '1,2,2'"),
    "bbox short": (one(bbox=[1, 2, 3]), r"annotation 2.bbox: expected x, y, width, height, got \[1, 2, 3\]"),
    "bbox NaN": (one(bbox=[1, NAN, 3, 4]), r"annotation 2.bbox: expected x, y, width, height"),
    "bbox negative": (one(bbox=[1, 2, -3, 4]), r"annotation 2.bbox: expected x, y, width, height"),
    "bbox null within": (one(bbox=[1, 2, 3, None]), r"annotation 2.bbox\[3\]: expected a number, got nothing"),
    "bbox an object": (one(bbox={"x": 1}), r"annotation 2.bbox: expected x, y, width, height"),
    "area in text": (one(area="400"), r"annotation 2.area: expected a number, got '400'"),
    "area huge": (one(area=10**400), r"annotation 2.area: expected numbers of at most 64 bits"),
    "iscrowd 2": (one(iscrowd=2), r"annotation 2.iscrowd: expected 0 or 1, got 2"),
    "iscrowd in words": (one(iscrowd="no"), r"annotation 2.iscrowd: expected an integer, got 'no'"),
    "outline a number": (one(segmentation=3), r"annotation 2.segmentation: expected polygons or run lengths, got 3"),
    "outline flat": (one(segmentation=[1, 2, 3, 4, 5, 6]), r"annotation 2.segmentation\[0\]: expected a polygon"),
    "outline NaN": (one(segmentation=[[1, 2, 3, NAN, 5, 6]]), r"annotation 2.segmentation\[0\]: expected finite"),
    "outline in text": (one(segmentation=[["1"] * 6]), r"annotation 2.segmentation\[0\]\[0\]: expected a number"),
    "runs of another size": (crowd(size=[9, 9]), r"5.segmentation: .* image's size \[96, 128\], got \[9, 9\]"),
    "runs without size": (crowd(size=None), r"annotation 5.segmentation.size: expected height and width, got nothing"),
    "runs of size text": (crowd(size=["96", "128"]), r"annotation 5.segmentation.size: expected height and width"),
    "runs of size -1": (crowd(size=[-96, -128]), r"annotation 5.segmentation.size: expected height and width"),
    "runs missing": (crowd(counts=None), r"annotation 5.segmentation.counts: expected run lengths"),
    "runs of fractions": (crowd(counts=[1.5, 2]), r"5.segmentation.counts: expected run lengths as integers"),
    "runs negative": (crowd(counts=[-1, HEIGHT * WIDTH + 1]), r"annotation 5.segmentation.counts: .* got a run of -1"),
    "runs too short": (crowd(counts=[5, 5]), r"annotation 5.segmentation.counts: .*sum to 96 x 128, got a sum of 10"),
    "runs too long": (crowd(counts=[2**40]), r"annotation 5.segmentation.counts: .*sum to 96 x 128, got a sum of"),
    "no runs": (crowd(counts=[]), r"annotation 5.segmentation.counts: .*sum to 96 x 128, got a sum of 0"),
    "runs damaged": (crowd(counts="~~~"), r"annotation 5.segmentation.counts: expected compressed run lengths"),
    "runs of other letters": (crowd(counts="é?"), r"annotation 5.segmentation.counts: expected compressed run lengths"),
    "runs cut off": (crowd(counts="P"), r"annotation 5.segmentation.counts: .*the last one is cut off"),
    "runs that never end": (crowd(counts="o" * 10**5), r"annotation 5.segmentation.counts: expected compressed"),
    "annotation a list": (add("annotations", []), r"annotations\[5\]: expected an object, got \[\]"),
    "image null": (add("images", None), r"images\[2\]: expected an object, got nothing"),
    "category a name": (add("categories", "person"), r"categories\[1\]: expected an object, got 'person'"),
    "annotations missing": (lambda data: data.pop("annotations"), "it has no list 'annotations'"),
    "images an object": (lambda data: data.update(images={}), "it has no list 'images'"),
    "no category": (lambda data: data.update(categories=[]), r"categories: expected one called 'person' .* got \[\]"),
    "two categories": (
        lambda data: data.update(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]),
        r"categories: expected one called 'person' or one alone with keypoints, got \['a', 'b'\]"),
    "two fitting categories": (
        lambda data: data.update(categories=[{"id": i, "name": "x", "keypoints": NAMES} for i in (1, 2)]),
        r"categories: expected one called 'person' or one alone with keypoints, got \['x', 'x'\]"),
    "other keypoints": (part("categories", keypoints=["a", "b"]), r"categories: expected the keypoints .* got a, b"),
    "keypoint names numbers": (part("categories", keypoints=[1, 2]), r"categories\[0\].keypoints: expected a list"),
    "height negative": (part("images", height=-96), r"image 1.height: expected an integer from 0"),
    "height in words": (part("images", height="tall"), r"image 1.height: expected an integer, got 'tall'"),
    "size huge": (part("images", height=10**9), r"image 1.height: expected at most 80 megapixels"),
    "file name a number": (part("images", file_name=7), r"image 1.file_name: expected a file name, got 7"),
}  # fmt: skip


def as_text(runs: Data) -> Data:
    """Run lengths in COCO's compressed form."""
    return {"size": runs["size"], "counts": coco_mask.frPyObjects(runs, *runs["size"])["counts"].decode()}


@pytest.fixture(scope="module")
def expected(folder: Path) -> Annotations:
    return read_annotations(folder / "good.json", folder / "images")


@pytest.mark.parametrize("kind", TAKEN)
def test_every_consumer_takes_it_and_says_the_same(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], expected: Annotations
) -> None:
    change, messages = TAKEN[kind]
    data = well_formed()
    change(data)
    found = outcomes(data, folder, tmp_path, capsys)
    assert all(outcome.taken for outcome in found.values()), {n: o.said for n, o in found.items() if not o.taken}
    said = found["evaluate"].said
    for name, outcome in found.items():
        if kind != "backslashes" or name != "oracle":  # the oracle opens no image file
            assert outcome.said == said, name
    for consumer in ("evaluate", "oracle"):
        report = json.loads(found[consumer].out)
        assert set(report["warnings"]) == found[consumer].said
    text = "\n".join(sorted(said))
    for message in messages:
        count, rest = message.split(" ", 1)
        lines = [line for line in said if re.search(rest, line)]
        assert lines, (message, text)
        if kind != "ids in text":
            assert any(f" {count} " in line for line in lines), (message, text)
    if not messages and kind != "outline null":
        assert not [line for line in said if "integers" not in line], text
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


def perfect(annotations: Annotations, image_id: int) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints with scores and pose scores of a perfect prediction."""
    keypoints = annotations.keypoints(image_id)
    keypoints[..., 2] = keypoints[..., 2] > 0
    return keypoints, np.ones(len(keypoints), np.float32)


@pytest.mark.parametrize("kind", REFUSED)
def test_every_consumer_refuses_it_in_the_same_words(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = REFUSED[kind]
    data = well_formed()
    change(data)
    found = outcomes(data, folder, tmp_path, capsys)
    assert not any(outcome.taken for outcome in found.values()), kind
    assert len({frozenset(outcome.said) for outcome in found.values()}) == 1, {n: o.said for n, o in found.items()}
    (line,) = found["train"].said
    assert re.search(message, line), line
    assert len(line) < len(str(tmp_path)) + 400


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff{", b"[1, 2]", b"null", b"[" * 100_000, b'{"images": ' + b"9" * 5000 + b"}", b'"text"'],
    ids=["empty", "brace", "bytes", "list", "null", "nested", "digits", "text"],
)
def test_every_consumer_refuses_what_is_no_annotation_file(
    content: bytes, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = outcomes(content, folder, tmp_path, capsys)
    assert not any(outcome.taken for outcome in found.values())
    assert len({frozenset(outcome.said) for outcome in found.values()}) == 1
    (line,) = found["train"].said
    assert "not a JSON file" in line or "expected an object with the lists" in line


def nobody_labeled(data: Data) -> None:
    for entry in data["annotations"]:
        entry.update(keypoints=[0] * 51, num_keypoints=0)


NOBODY = {
    "no annotations": lambda data: data.update(annotations=[]),
    "all crowds": everyone(iscrowd=1),
    "nobody labeled": nobody_labeled,
    "another category": lambda data: [e.update(category_id=7) for e in data["annotations"]],
    "other images": lambda data: [e.update(image_id=7) for e in data["annotations"]],
}


@pytest.mark.parametrize("kind", NOBODY)
def test_nobody_left_is_never_a_result(
    kind: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = well_formed()
    NOBODY[kind](data)
    for name, outcome in outcomes(data, folder, tmp_path, capsys).items():
        assert not outcome.taken, name
        assert any("nobody to learn from" in line or "nobody to evaluate" in line for line in outcome.said), name
        if kind in ("another category", "other images"):
            assert any("nobody" in line and "5 annotations: " in line for line in outcome.said), name


def test_missing_sizes_come_from_the_image_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = well_formed()
    for image, value in zip(data["images"], (None, 0), strict=True):
        image.update(height=value, width=value)
    found = outcomes(data, folder, tmp_path, capsys)
    for name in ("train", "validate", "evaluate", "inspect"):
        assert found[name].taken, name
        assert any("2 images: height or width missing, taken from the image file" in line for line in found[name].said)
    assert not found["oracle"].taken, "it opens no image file"
    assert any("image 1: expected 'height' and 'width', got nothing" in line for line in found["oracle"].said)
    record = read_annotations(tmp_path / "people.json", folder / "images").images[1]
    assert (record.height, record.width) == (HEIGHT, WIDTH)


def test_file_names_are_asked_for_where_files_are_opened(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = well_formed()
    data["images"][0]["file_name"] = None
    found = outcomes(data, folder, tmp_path, capsys)
    assert [name for name, outcome in found.items() if outcome.taken] == ["oracle"]
    lines = {line for name, outcome in found.items() if name != "oracle" for line in outcome.said}
    assert lines == {f"{tmp_path / 'people.json'}: image 1.file_name: expected a file name, got nothing"}


def test_a_literal_backslash_wins_over_a_separator(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a\\b.jpg").write_bytes((folder / "images" / "1.jpg").read_bytes())
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "c.jpg").write_bytes((folder / "images" / "1.jpg").read_bytes())
    data = well_formed()
    data["images"][0]["file_name"], data["images"][1]["file_name"] = "a\\b.jpg", "a\\c.jpg"
    found = annotations_from(data, "people.json", images=tmp_path)
    assert [image.path for image in found.images.values()] == [tmp_path / "a\\b.jpg", tmp_path / "a" / "c.jpg"]
    assert found.warnings == ("people.json: 1 image: backslashes in file_name, taken as separators of folders",)


def test_crowdpose_has_its_own_area() -> None:
    skeleton = sp.load_skeleton("crowdpose14")
    entry = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2] * 14, "bbox": [0, 0, 10, 20]}
    entry |= {"num_keypoints": 14, "iscrowd": 0, "segmentation": [[0, 0, 10, 0, 10, 10, 0, 10]]}
    data = {"images": [{"id": 1, "height": 50, "width": 50}], "annotations": [entry]}
    data["categories"] = [{"id": 1, "name": "person", "keypoints": list(skeleton.dataset_keypoints)}]
    found = annotations_from(data, "c.json", skeleton)
    assert found.images[1].people[0].area == pytest.approx(0.53 * 200)
    assert found.warnings == (
        "c.json: 1 annotation: area missing or not positive, worked out as 0.53 x the box's, CrowdPose's rule",
    )
    assert annotations_from({**data, "annotations": [{**entry, "area": 70}]}, "c.json", skeleton).warnings == ()


def test_an_area_that_can_hardly_be_right_is_said() -> None:
    """Exports with area 1 for everybody: the file's number is kept, since it may be meant, but it is said."""
    data = well_formed()
    everyone(area=1)(data)
    found = annotations_from(data, "a.json")
    assert [p.area for p in found.images[1].people] == [1, 1]
    assert found.warnings == ("a.json: 3 annotations: area outside 0.01 to 1.5 x the box's, kept as it is",)


def test_a_person_without_any_area_is_said() -> None:
    data = well_formed()
    lone = {"id": 9, "image_id": 1, "category_id": 1, "keypoints": [5, 5, 2] + [0] * 48, "iscrowd": 0}
    data["annotations"] = [{**lone, "num_keypoints": 1}]
    assert annotations_from(data, "a.json").warnings == (
        "a.json: 1 annotation: labeled keypoints without an area, no prediction can match them",
    )


def test_box_and_area_of_run_lengths_are_those_of_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for density in (0.0, 0.01, 0.3, 0.9, 1.0):
        mask = (rng.random((13, 9)) < density).astype(np.uint8)
        encoded = coco_mask.encode(np.asfortranarray(mask))
        runs = {"size": encoded["size"], "counts": encoded["counts"].decode()}
        assert mask_box(runs) == tuple(coco_mask.toBbox(encoded).tolist())
        assert sum(run_counts(runs)[1::2]) == mask.sum()
        plain = {"size": encoded["size"], "counts": run_counts(runs)}
        assert np.array_equal(decode_masks([plain], (13, 9)), mask)
        entry = {**person(1, 1, 5, 2, 2), "segmentation": runs, "bbox": None, "area": None}
        data = {"images": [{"id": 1, "height": 13, "width": 9}], "annotations": [entry]}
        found = annotations_from({**data, "categories": well_formed()["categories"]}, "r.json").images[1].people[0]
        if mask.any():
            assert found.box == tuple(coco_mask.toBbox(encoded).tolist())
            assert found.area == mask.sum()


def test_the_file_is_parsed_once_a_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_content_given_is_not_changed() -> None:
    data = well_formed()
    before = copy.deepcopy(data)
    annotations_from(data, "a.json")
    assert data == before


def swap_sizes(data: Data, images: Path) -> None:
    for image in data["images"]:
        image["height"], image["width"] = image["width"], image["height"]
    del data["annotations"][4]  # its run lengths have the right size, which would be refused first


def cut_short(data: Data, images: Path) -> None:
    content = (images / "1.jpg").read_bytes()
    (images / "1.jpg").write_bytes(content[: len(content) // 2])


def turn(data: Data, images: Path) -> None:
    """The camera's orientation makes it 128 x 96, and it is annotated with neither that nor the stored size."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.open(images / "1.jpg").save(images / "1.jpg", exif=exif)
    data["images"][0].update(height=WIDTH, width=WIDTH)


IMAGE_FAULTS = {
    swap_sizes: r"expected 128 x 96 pixels \(height x width\) as annotated, got 96 x 128",
    cut_short: r"cannot be read \(.*\): it is cut short",
    turn: r"expected 128 x 128 pixels \(height x width\) as annotated, got 128 x 96",
    lambda data, images: (images / "1.jpg").write_bytes(b""): "the file is empty",
    lambda data, images: (images / "1.jpg").write_bytes(b"text"): "not an image, or of an unknown format",
}


@pytest.mark.parametrize("fault", IMAGE_FAULTS)
def test_every_consumer_names_a_bad_image_in_the_same_words(
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
    said = set()
    for arguments in command_line.values():
        capsys.readouterr()
        with pytest.raises(ValueError, match="the command has failed"):
            command(*arguments)
        lines = [line for line in capsys.readouterr().err.splitlines() if str(bad) in line]
        said |= {line[line.index(str(bad)) :] for line in lines}
    config = replace(CONFIG, data=str(path), images=str(images))
    opened = open_data(config, sp.COCO, tmp_path, Process(0, 1, torch.device("cpu")))
    for dataset in (opened.samples, opened.preview):
        with pytest.raises(ImageError) as error:
            dataset[0]
        said.add(str(error.value))
    (line,) = said
    assert re.search(IMAGE_FAULTS[fault], line), line


def test_the_guide_has_the_table_of_rules() -> None:
    guide = Path(__file__).parents[2] / "docs" / "guides" / "annotations.md"
    if not guide.is_file():
        pytest.skip(f"{guide} is missing: the tests run outside a source tree")
    text = guide.read_text(encoding="utf-8")
    for module in (annotations, annotation_fields):
        table = [line for line in (module.__doc__ or "").splitlines() if line.startswith("|")]
        assert len(table) > 5
        assert "\n".join(table) in text, module.__name__


ODD = (None, 0, -1, 1.5, NAN, INFINITY, HUGE, 10**400, 1e300, True, "", "7", "x", [], {}, [1], [[1]], {"counts": []},
       {"size": [HEIGHT, WIDTH], "counts": "abc"}, [[1, 2, 3, 4, 5, 6, 7]], [[]], [None] * 51, "a\0b")  # fmt: skip


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container within ``value`` with each of its keys."""
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    keys += list(range(len(value))) if isinstance(value, list) else []
    return [place for key in keys for place in ((value, key), *places(value[key]))]


@pytest.mark.parametrize("seed", range(4))
def test_any_damage_gives_records_or_one_line(seed: int) -> None:
    """Values of wrong kinds at random places: never a traceback, and what is taken can be drawn and evaluated."""
    rng = random.Random(seed)
    taken = 0
    for _ in range(150):
        data = well_formed()
        for _ in range(rng.choice((1, 1, 2))):
            container, key = rng.choice([p for p in places(data) if isinstance(p[0], dict) or rng.random() < 0.1])
            container[key] = copy.deepcopy(rng.choice(ODD))
        try:
            found = annotations_from(data, "f.json")
        except ValueError as error:
            line = str(error)
            assert line.startswith("f.json: ")
            assert "\n" not in line
            assert len(line) < 600
            continue
        taken += 1
        for image in found.images.values():
            if image.height:
                draw_outlines(image.people, np.array([[0.5, 0, 0], [0, 0.5, 0]]), 64, (image.height, image.width))
        results = [r for i in found.images for r in sp.Poses(*perfect(found, i)).to_coco(i, found.category)]
        evaluate_keypoints(found, results)
    assert taken > 10
