"""Predictor(engine="onnxruntime"): the people of the PyTorch path, and errors for what does not go together."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import simplepose as sp
from simplepose.cli.demo import PHOTO, make_scene
from simplepose.data.images import read_image
from simplepose.inference.predictor import PredictorConfig

pytestmark = pytest.mark.usefixtures("one_thread")

PIXELS = 0.05
"""The largest distance of a keypoint between the engines, in image pixels: positions have steps of 1/64 pixel."""


def images():
    """A photo and scenes, of several sizes."""
    scenes = [make_scene(seed)[0] for seed in (7, 8)]
    return [read_image(PHOTO), scenes[0], scenes[1][:300]]


@pytest.mark.parametrize(("weights", "options"), [("photo", {}), ("tiny", {"flip": True, "scales": (0.5, 1)})])
def test_both_engines_find_the_same_people(weights, options):
    pytest.importorskip("onnxruntime")
    expected, found = (
        sp.Predictor.from_checkpoint(weights, "cpu", engine=engine, **options)(images())
        for engine in ("torch", "onnxruntime")
    )
    assert sum(map(len, expected)) >= 5
    for a, b in zip(expected, found, strict=True):
        assert np.array_equal(a.visible, b.visible)
        np.testing.assert_allclose(b.keypoints[..., :2], a.keypoints[..., :2], atol=PIXELS)
        np.testing.assert_allclose(b.scores, a.scores, rtol=1e-3)


def test_auto_is_the_cpu(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert sp.Predictor.from_checkpoint("tiny", engine="onnxruntime").device == torch.device("cpu")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorrt"}, "engine: expected one of 'torch', 'onnxruntime', got 'tensorrt'"),
        ({"precision": "bfloat16"}, "precision: expected float32 with engine 'onnxruntime', got 'bfloat16'"),
        ({"optimize": False}, "optimize: expected True with engine 'onnxruntime', got False"),
    ],
)
def test_settings_that_do_not_go_together_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PredictorConfig(**{"engine": "onnxruntime", **options})


def test_a_cuda_device_is_refused():
    with pytest.raises(ValueError, match="device: expected 'auto' or 'cpu' with engine 'onnxruntime', got 'cuda'"):
        sp.Predictor.from_checkpoint("tiny", "cuda", engine="onnxruntime")


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="model: expected a PoseNetwork"):
        sp.Predictor(lambda x: torch.zeros(1, 50, 16, 16), engine="onnxruntime")
