"""The page of the paper's tables: it is the generated one, and every command runs, for one step of a small network."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from simplepose.cli.main import main
from simplepose.network.checkpoint import load_checkpoint
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig

SCRIPT = Path(__file__).parents[1] / "scripts" / "paper_rows.py"


def load_script():
    spec = importlib.util.spec_from_file_location("paper_rows", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


paper = load_script()
ROWS = [row for rows in paper.TABLES.values() for row in rows]

SMALL = ["model.stacks=1", "model.width=16", "model.input_size=64", "epochs=1", "batch=2", "validate_images=1"]
SMALL += ["workers=0", "precision=float32", "norm=batch", "augment.frame=image", "l2_epochs=0"]


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """A folder as COCO's, with two synthetic training images, one validation image and one test image."""
    root = tmp_path_factory.mktemp("coco")
    (root / "annotations").mkdir()
    scenes = SynthConfig(size=64, people=(1, 1), person_size=(40.0, 60.0), unlabeled=0.0, crowds=0.0)
    for (path, folder), count, first in ((paper.TRAIN, 2, 0), (paper.VAL, 1, 100)):
        made = root / f"made-{folder}"
        write_dataset(made, count, first, scenes)
        data = json.loads((made / "annotations.json").read_text())
        for image in data["images"]:
            image["id"] += first
        for annotation in data["annotations"]:
            annotation["image_id"] += first
        (root / path).write_text(json.dumps(data))
        shutil.move(made / "images", root / folder)
    path, folder = paper.TEST_DEV
    (root / folder).mkdir()
    cv2.imwrite(str(root / folder / "7.jpg"), np.zeros((48, 64, 3), np.uint8))
    images = [{"id": 7, "file_name": "7.jpg", "height": 48, "width": 64}]
    (root / path).write_text(json.dumps({"images": images, "categories": [{"id": 1, "name": "person"}]}))
    return root


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.run + "-" + row.test)
def test_the_commands_of_a_row_run(row, coco, monkeypatch, capsys):
    monkeypatch.chdir(coco)
    growth = [] if row.preset.startswith(("cmu", "hourglass")) else ["model.growth=4"]
    before = [other for other in ROWS if row.init and (other.preset, other.with_val) == (row.init, row.with_val)]
    for run in (*before[:1], row):
        if not (coco / run.run).exists():
            arguments = run.train_command().split()[1:]
            assert main([*arguments, "--device", "cpu", "--set", *SMALL, *growth]) == 0, capsys.readouterr().err
    arguments = row.evaluate_command().split()[1:]
    assert main([*arguments, "--device", "cpu"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    skeleton = load_checkpoint(coco / row.run / "best.safetensors").skeleton
    assert skeleton.name == ("coco-mst" if row.preset.endswith("-mst") else "coco")
    if row.with_val:
        results = Path("results") / row.run / row.test / "person_keypoints_test-dev2017_best_results.json"
        assert f"{results}: no annotations: results only" in printed
        assert isinstance(json.loads(results.read_text()), list)
    else:
        assert "AP" in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--annotations", paper.TEST_DEV[0], "--images", "test2017"], "--out: .* has no annotations"),
        (["--annotations", paper.VAL[0], "--images", "val2017", "--stride", "8"], "--stride needs --oracle or --maps"),
        (
            ["--annotations", paper.VAL[0], "--images", "val2017", "--test", "long-768", "--size", "64"],
            "--size: expected none with --test long-768, which sets it",
        ),
    ],
)
def test_options_that_do_not_fit_are_named(change, message, coco, monkeypatch, capsys):
    monkeypatch.chdir(coco)
    assert main(["evaluate", "tiny", "--device", "cpu", *change]) == 2
    assert re.search(message, capsys.readouterr().err)


COST = re.compile(r"\| \d+ \| \d+\.\d \| \|")


def test_the_page_is_the_generated_one(monkeypatch):
    text = paper.DOCS.read_text(encoding="utf-8")
    preset = "cmu3-368"  # counting the multiply-adds of every network takes long
    cost = f"| {paper.multiply_adds(preset):.0f} | {paper.gpu_days(preset):.1f} | |"
    assert f"`{preset}` {cost}" in text
    monkeypatch.setattr(paper, "multiply_adds", lambda preset: 0.0)
    assert COST.sub("", paper.page(text)) == COST.sub("", text)
