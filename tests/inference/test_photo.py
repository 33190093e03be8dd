"""The shipped network for photos: its size, its settings, and that it finds people in photos."""

from __future__ import annotations

from pathlib import Path

from helpers.shared_data import shared

import simplepose as sp
from simplepose.data.annotations import read_annotations
from simplepose.evaluation.evaluate import evaluate_images
from simplepose.inference.predictor import Predictor
from simplepose.network.checkpoint import find_checkpoint, load_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.mobile import MobilePose

NOTICE = Path(__file__).parents[2] / "NOTICE"


def test_it_is_small_and_names_its_origin() -> None:
    assert find_checkpoint("photo").stat().st_size <= 14e6
    checkpoint = load_checkpoint("photo")
    assert checkpoint.config == ModelConfig.preset("photo")
    assert "MoveNet" in checkpoint.notes["encoder"]
    assert "MoveNet MultiPose Lightning" in NOTICE.read_text(encoding="utf-8")


def test_it_loads_by_name_with_its_own_settings() -> None:
    assert isinstance(sp.load_model("photo"), MobilePose)
    shown = sp.Predictor.from_checkpoint("photo", device="cpu")
    assert (shown.size, shown.config.fit, shown.config.decode.peak_threshold) == (576, "longer", 0.1)
    ranked = sp.Predictor.from_checkpoint("photo", device="cpu", purpose="evaluation")
    assert (ranked.config.decode.peak_threshold, ranked.config.decode.part_threshold) == (0.015, 0.03)


def test_it_finds_people_in_photos() -> None:
    folder = shared("data/photos")
    annotations = read_annotations(folder / "person_keypoints.json", folder)
    predictor = Predictor.from_checkpoint("photo", device="cpu", purpose="evaluation")

    def find(files):
        return (found.poses for found in predictor.predict_many(files))

    report = evaluate_images(find, annotations, list(annotations.images)[:8])
    assert report is not None
    assert report.images == 8
    assert report.metrics["AP"] >= 0.45  # 0.524 with the first weights
