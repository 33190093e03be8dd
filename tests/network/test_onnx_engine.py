"""Networks in ONNX Runtime: the maps of PyTorch at every input size, shared sessions, and no file left behind."""

from __future__ import annotations

import importlib.util
import tempfile

import pytest
import torch
from helpers.model_cases import random_model

from simplepose.network import onnx_engine
from simplepose.network.config import ModelConfig
from simplepose.network.onnx_engine import OnnxModel

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {
    "imhn": ModelConfig(stacks=1, width=16, growth=2),
    "mobile": ModelConfig.preset("photo", width=32),
}


@pytest.fixture(autouse=True)
def no_sessions(monkeypatch):
    monkeypatch.setattr(onnx_engine, "_sessions", {})


@pytest.mark.parametrize("kind", SMALL)
def test_the_maps_are_those_of_pytorch_at_every_input_size(kind):
    model = random_model(SMALL[kind])
    converted = OnnxModel(model)
    for shape in ((1, 3, 64, 64), (3, 3, 128, 64), (2, 3, 64, 192)):
        image = torch.rand(shape).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            expected = model(image)
            maps = converted(image)
        assert maps.shape == expected.shape
        assert maps.dtype == torch.float32
        assert (maps - expected).abs().max() < 1e-4 * expected.abs().max()


def test_equal_weights_share_a_session_and_the_oldest_is_dropped(monkeypatch):
    monkeypatch.setattr(onnx_engine, "MAX_SESSIONS", 1)
    first = OnnxModel(random_model(SMALL["imhn"]))
    assert OnnxModel(random_model(SMALL["imhn"])).session is first.session
    assert OnnxModel(random_model(SMALL["imhn"], seed=1)).session is not first.session
    assert len(onnx_engine._sessions) == 1
    assert OnnxModel(random_model(SMALL["imhn"])).session is not first.session


def test_no_file_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    OnnxModel(random_model(SMALL["imhn"]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnxruntime", "onnx"])
def test_a_missing_package_is_named_with_the_extra(missing, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == missing else find(name, *rest))
    with pytest.raises(ModuleNotFoundError, match=rf"needs {missing}: pip install 'simplepose\[onnx\]'"):
        OnnxModel(random_model(SMALL["imhn"]))
