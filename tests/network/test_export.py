"""ONNX export, compared with torch."""

import json
import os

import numpy as np
import pytest
import torch
from helpers.model_cases import random_image, random_model

from simplepose.network import export
from simplepose.network.config import ModelConfig
from simplepose.network.export import export_onnx
from simplepose.skeleton.skeleton import COCO


def test_onnxruntime_gives_the_networks_maps_at_any_batch_and_size(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = random_model(ModelConfig(stacks=1, width=16, growth=2))
    path = tmp_path / "model.onnx"
    export_onnx(model, path)
    assert os.listdir(tmp_path) == ["model.onnx"]
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for shape in ((1, 64, 64), (3, 128, 64), (2, 64, 192)):
        image = random_image(*shape)
        with torch.inference_mode():
            expected = model(image).numpy()
        (maps,) = session.run(["heatmaps"], {"image": image.numpy()})
        assert maps.shape == expected.shape
        assert np.abs(maps - expected).max() < 1e-5 * np.abs(expected).max()
    assert json.loads(session.get_modelmeta().custom_metadata_map["skeleton"]) == COCO.to_dict()


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(export.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="export needs onnx and onnxscript: pip install"):
        export_onnx(random_model(ModelConfig(stacks=1, width=16, growth=0)), tmp_path / "x.onnx")
