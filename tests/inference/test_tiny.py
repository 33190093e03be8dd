"""The shipped weights: file size, AP on images outside the training set, and the splits in the model card."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import cv2
import pytest
from judge_network import Split, all_heatmaps, evaluate_split

from simplepose.cli.main import main
from simplepose.inference.predictor import Predictor
from simplepose.network.checkpoint import find_checkpoint, load_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.ops.config import DecodeConfig
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import render_scene

TRAINING, CARD = (Path(__file__).parents[2] / name for name in ("scripts/train_tiny.sh", "docs/tiny.md"))

ROLES = {"train": "to train", "tune": "for the AP during", "test": "for the numbers"}
"""The words of the model card that follow the seed of each split."""

MIN_AP, MIN_AP50 = 0.5, 0.83
MAX_POSES, MAX_SWAPS = 1.5, 0.06
"""Measured on the 30 images: AP 0.563, AP50 0.884, 1.34 shown poses a person, 4.3% of left/right pairs swapped."""


def split_seeds() -> dict[str, int]:
    """The seeds of the splits in the training script, by name."""
    lines = re.findall(r"^split (\w+) \d+ (\d+)", TRAINING.read_text(), re.MULTILINE)
    return {name: int(seed) for name, seed in lines}


def test_tiny_is_small_and_records_its_number_of_training_steps() -> None:
    assert find_checkpoint("tiny").stat().st_size <= 5e6
    checkpoint = load_checkpoint("tiny")
    assert checkpoint.config == ModelConfig.preset("tiny")
    assert checkpoint.notes["step"] > 0


def test_splits_share_no_image() -> None:
    seeds = split_seeds()
    assert set(seeds) == {"train", "test", "tune"}
    images = [hashlib.sha256(render_scene(seed, i).jpeg).digest() for seed in seeds.values() for i in range(20)]
    assert len(set(images)) == 60


def test_the_model_card_states_the_splits_of_the_script() -> None:
    card, script = " ".join(CARD.read_text(encoding="utf-8").split()), TRAINING.read_text(encoding="utf-8")
    matches = {name: re.search(rf"seed (\d+) {words}[^,.]*\((\d+)", card) for name, words in ROLES.items()}
    lines = re.findall(r"^split (\w+) (\d+) (\d+)", script, re.MULTILINE)
    assert {name: (m[2], m[1]) for name, m in matches.items() if m} == {n: (i, s) for n, i, s in lines}


def test_tiny_reaches_its_ap_on_test_images(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data", 30, split_seeds()["test"], progress=False)
    split, predictor = Split.open(tmp_path / "data"), Predictor.from_checkpoint("tiny", device="cpu")
    metrics = evaluate_split(predictor, split, list(all_heatmaps(predictor, split)), DecodeConfig())
    assert metrics["AP"] >= MIN_AP
    assert metrics["AP50"] >= MIN_AP50
    assert metrics["shown_poses_per_person"] <= MAX_POSES
    assert metrics["left_right_swaps"] <= MAX_SWAPS


def test_the_demo_detects_the_people_of_its_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo.png"), "--json"]) == 0
    photo, report = json.loads(capsys.readouterr().out)["images"]
    assert (photo["maps"], report["maps"]) == ("photo", "tiny")
    assert report["AP50"] >= 0.8
    assert report["people_found"] >= report["people_annotated"] >= 5
    assert cv2.imread(str(tmp_path / "demo.png")).shape[1] > 3 * 500


def test_predict_finds_people_with_tiny(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "scene.jpg").write_bytes(render_scene(split_seeds()["test"], 0).jpeg)
    assert main(["predict", str(tmp_path / "scene.jpg"), "--checkpoint", "tiny", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out)["people"] >= 1
