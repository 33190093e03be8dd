"""The encoder "movenet" against the original graph, and the conversion of its weights."""

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from simplepose.network.checkpoint import WEIGHTS, load_checkpoint
from simplepose.network.movenet import HEADS, MoveNetEncoder, load_movenet
from simplepose.network.tensors import CheckpointError

ROOT = Path(__file__).resolve().parents[2]
EXPECTED = json.loads(Path(__file__).with_name("movenet_expected.json").read_text(encoding="utf-8"))
"""Values of the original graph's nodes on `synthetic_image`, run by TensorFlow.js (scripts/verify_movenet.mjs)."""


def load_script():
    spec = importlib.util.spec_from_file_location("convert_movenet", ROOT / "scripts" / "convert_movenet.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


convert_movenet = load_script()


def synthetic_image():
    """``[1, 3, H, W]`` in [0, 1], BGR: the image of scripts/verify_movenet.mjs, which is RGB."""
    height, width = EXPECTED["image"]
    y, x = np.mgrid[:height, :width]
    rgb = [((x * x + 3 * y * y + 40 * c * x + x * y) // (16 + 8 * c)) % 256 for c in range(3)]
    return torch.from_numpy(np.stack(rgb[::-1]).astype(np.float32)[None] / 255)


def assert_like_the_graph(name, maps):
    """Relative to the node's largest value: the mean and every sample within 1e-3."""
    node = EXPECTED["nodes"][name]
    assert list(maps.shape) == node["shape"], name
    values = maps.double()
    samples = values.flatten()[:: node["step"]][: len(node["samples"])]
    difference = (samples - torch.tensor(node["samples"], dtype=torch.float64)).abs().max()
    assert float(difference) <= 1e-3 * node["max"], name
    assert abs(float(values.mean()) - node["mean"]) <= 1e-3 * node["max"], name
    assert float(values.abs().max()) == pytest.approx(node["max"], rel=1e-3), name


def test_every_node_equals_the_original_graph():
    path = os.environ.get("SIMPLEPOSE_MOVENET")
    if not path:
        pytest.skip("SIMPLEPOSE_MOVENET does not name the file that scripts/convert_movenet.py wrote")
    encoder = MoveNetEncoder(all_heads=True)
    load_movenet(encoder, path)
    with torch.inference_mode():
        features = encoder.body(synthetic_image())
        features |= encoder.outputs(features["p2"])
    assert features.keys() == EXPECTED["nodes"].keys()
    for name, maps in features.items():
        assert_like_the_graph(name, maps)


def test_the_features_that_photo_kept_equal_the_original_graph():
    if not (WEIGHTS / "photo.safetensors").is_file():
        pytest.skip("this build contains no weights named photo")
    checkpoint = load_checkpoint("photo")
    kept = checkpoint.notes.get("unchanged_features", ())
    if not kept:
        pytest.skip("all features of photo were trained further")
    with torch.inference_mode():
        features = checkpoint.build().encoder.body(synthetic_image())
    for name in kept:
        assert_like_the_graph(name, features[name])


@pytest.fixture
def constants():
    """Constants of the graph's names and shapes, with random values."""
    encoder = MoveNetEncoder(all_heads=True)
    found = {}
    for source in convert_movenet.sources():
        weight = encoder.get_parameter(f"{source.layer}.weight").detach().numpy()
        axes = (2, 3, 0, 1) if source.depthwise else (2, 3, 1, 0)
        found[source.weight] = weight.transpose(axes).astype(np.float16)
        if source.bias:
            found[source.bias] = encoder.get_parameter(f"{source.layer}.bias").detach().numpy().astype(np.float16)
    for name, value in convert_movenet.SCALING.items():
        found[convert_movenet.ROOT + name] = np.array(value, np.float16)
    found["StatefulPartitionedCall/Greater/y"] = np.array(0.1, np.float16)  # of the decoding: not needed
    found["StatefulPartitionedCall/Reshape_1/shape"] = np.array([1, 2], np.int32)
    return found, encoder


def test_the_conversion_restores_every_tensor(constants, tmp_path):
    found, encoder = constants
    tensors = convert_movenet.convert(found)
    assert {name: t.tolist() for name, t in tensors.items() if t.ndim == 1} == {
        name: t.half().tolist() for name, t in encoder.state_dict().items() if t.ndim == 1
    }
    assert all(torch.equal(tensors[name], t.half()) for name, t in encoder.state_dict().items())
    path = tmp_path / "movenet.safetensors"
    path.write_bytes(convert_movenet.save(tensors))
    used = MoveNetEncoder()
    load_movenet(used, path)
    assert torch.equal(used.last.weight.half(), tensors["last.weight"])
    path.write_bytes(convert_movenet.save({n: t for n, t in tensors.items() if n != "last.bias"}))
    with pytest.raises(CheckpointError, match=r"missing last\.bias"):
        load_movenet(used, path)


def test_missing_unused_and_misshapen_constants_are_listed(constants):
    found, _ = constants
    stem = convert_movenet.NETWORK + "model/Conv1/Conv2D_weights"
    found[stem] = found[stem][:2]
    del found[f"{convert_movenet.ROOT}center_0/conv2d_4/BiasAdd/ReadVariableOp"]
    found["StatefulPartitionedCall/extra"] = np.zeros((2, 2), np.float16)
    found[convert_movenet.ROOT + "truediv"] = np.array(1 / 255, np.float16)
    with pytest.raises(ValueError, match="4 constants are not as expected") as caught:
        convert_movenet.convert(found)
    lines = str(caught.value).splitlines()[1:]
    assert lines[0].startswith(f"  misshapen {stem} [2, 3, 3, 48]: stem.weight is [48, 3, 3, 3]")
    assert "missing StatefulPartitionedCall/center_0/conv2d_4/BiasAdd/ReadVariableOp, for heads.center" in lines[1]
    assert "another scaling of the input" in lines[2]
    assert lines[3] == "  unused StatefulPartitionedCall/extra [2, 2]"


def test_a_package_is_read_with_the_length_of_its_data_checked(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    weights = [
        {"name": "a", "shape": [2], "dtype": "float32", "quantization": {"dtype": "float16"}},
        {"name": "b", "shape": [], "dtype": "int32"},
    ]
    (folder / "movenet-multipose.json").write_text(json.dumps({"weightsManifest": [{"weights": weights}]}))
    data = np.array([1.5, -2], np.float16).tobytes() + np.array(7, np.int32).tobytes()
    (folder / "movenet-multipose.bin").write_bytes(data)
    constants = convert_movenet.read_constants(*convert_movenet.read_package(tmp_path))
    assert {name: value.tolist() for name, value in constants.items()} == {"a": [1.5, -2.0], "b": 7}
    manifest = (folder / "movenet-multipose.json").read_bytes()
    with pytest.raises(ValueError, match="the data end within b: 6 bytes"):
        convert_movenet.read_constants(manifest, data[:-2])
    with pytest.raises(ValueError, match="expected 8 bytes of data as in the manifest, got 9"):
        convert_movenet.read_constants(manifest, data + b"x")


def test_the_expected_nodes_are_all_of_the_encoder():
    assert list(EXPECTED["nodes"])[-6:] == list(HEADS)
    assert len(EXPECTED["nodes"]) == 15
