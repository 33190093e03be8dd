"""Checkpoints: round trips, conversion, atomic writes, and invalid files."""

import copy
import io
import json
import os
import pickle
import zipfile

import pytest
import torch
from helpers.model_cases import ARM, SMALL, random_image, random_model
from helpers.shared_data import shared
from safetensors.torch import save_file

from simplepose.io.atomic import atomic_write
from simplepose.network import checkpoint as checkpoint_module
from simplepose.network.checkpoint import find_checkpoint, load_checkpoint, load_model, save_checkpoint
from simplepose.network.config import ModelConfig
from simplepose.network.convert import convert_checkpoint
from simplepose.network.released_names import released_name
from simplepose.network.tensors import CheckpointError
from simplepose.skeleton.skeleton import COCO


class CreatesFile:
    """An object whose unpickling creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture(scope="module")
def model():
    return random_model()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The bytes of a checkpoint of ``model``."""
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_checkpoint(path, model, notes={"command": "train"})
    return path.read_bytes()


@pytest.fixture(scope="module")
def released(model):
    """The tensors of ``model`` in the released layout."""
    return {released_name(name): tensor for name, tensor in model.state_dict().items()}


def test_a_checkpoint_round_trip_restores_everything(model, saved, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.config, checkpoint.skeleton, checkpoint.notes) == (SMALL, COCO, {"command": "train"})
    loaded = load_model(path)
    assert not loaded.training
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True)
    )
    with torch.inference_mode():
        assert torch.equal(loaded(random_image()), model(random_image()))
    assert all(p.requires_grad for p in loaded.parameters())  # fine-tuning starts from it


def test_a_checkpoint_keeps_its_own_skeleton_and_variant(tmp_path):
    config = ModelConfig.baseline(ARM, stacks=1, width=16)
    save_checkpoint(tmp_path / "arm.safetensors", random_model(config), ARM)
    checkpoint = load_checkpoint(tmp_path / "arm.safetensors")
    assert (checkpoint.config, checkpoint.skeleton) == (config, ARM)


def test_half_precision_halves_the_file_and_loads_as_float32(model, saved, tmp_path):
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, copy.deepcopy(model).to(memory_format=torch.channels_last), half=True)
    assert path.stat().st_size < 0.65 * len(saved)  # the names take the rest
    state = load_model(path).state_dict()
    assert all(t.dtype in (torch.float32, torch.int64) for t in state.values())
    assert all(torch.equal(t, model.state_dict()[n].half().float()) for n, t in state.items() if t.is_floating_point())


def test_values_beyond_half_precision_are_rejected(tmp_path):
    model = random_model(ModelConfig(stacks=1, width=16, growth=0))
    model.stem.conv.norm.running_var[0] = 1e6
    with pytest.raises(ValueError, match="running_var has values beyond"):
        save_checkpoint(tmp_path / "x.safetensors", model, half=True)


def test_a_skeleton_with_other_channels_is_rejected(model, tmp_path):
    with pytest.raises(ValueError, match="channels: expected 7 for skeleton 'arm', got 50"):
        save_checkpoint(tmp_path / "x.safetensors", model, ARM)
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file_unchanged(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail_half_way():
        with atomic_write(path) as temporary:
            temporary.write_bytes(b"ne")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FileNotFoundError, match="there is no folder"), atomic_write(tmp_path / "no" / "file"):
        pass


# Released layout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["as released", "module.", "bare", "legacy"])
def test_every_form_of_the_released_layout_loads_and_converts(form, model, released, tmp_path):
    weights = {f"module.{name}" if form == "module." else name: tensor for name, tensor in released.items()}
    source, target = tmp_path / "x.pth", tmp_path / "x.safetensors"
    content = weights if form == "bare" else {"weights": weights, "optimizer_weight": {}, "epoch": 52}
    torch.save(content, source, _use_new_zipfile_serialization=form != "legacy")
    written = convert_checkpoint(source, target, input_size=384)
    assert written.config == ModelConfig(stacks=2, width=16, growth=4, input_size=384)
    converted = load_checkpoint(target)
    assert (converted.config, converted.notes) == (written.config, {"converted_from": "x.pth"})
    assert all(torch.equal(tensor, converted.state[name]) for name, tensor in model.state_dict().items())
    assert load_model(source).config == SMALL


def test_variants_are_inferred_from_their_tensors(tmp_path):
    for changes in ({"channel_attention": False}, {"spatial_attention": False}, {"stacks": 1}):
        config = ModelConfig(**{"stacks": 2, "width": 16, "growth": 4, **changes})
        state = random_model(config).state_dict()
        torch.save({released_name(name): tensor for name, tensor in state.items()}, tmp_path / "x.pth")
        assert load_checkpoint(tmp_path / "x.pth").config == config


def test_the_golden_checkpoint_converts(tmp_path):
    written = convert_checkpoint(shared("golden/net_small_ckpt.pth"), tmp_path / "small.safetensors")
    assert written.config == ModelConfig(stacks=2, width=32, growth=16)
    assert load_model(tmp_path / "small.safetensors").config == written.config


def test_every_wrong_tensor_is_listed_and_nothing_is_written(released, tmp_path):
    weights = dict(released)
    del weights["posenet.pre.bn1.bias"]
    del weights["posenet.outs.1.4.conv.bias"]
    weights["posenet.extra"] = torch.zeros(3)
    weights["posenet.pre.conv1.weight"] = torch.zeros(4, 3, 5, 5)
    weights["posenet.pre.bn1.weight"] = "text"
    torch.save({"weights": weights}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError) as caught:
        convert_checkpoint(tmp_path / "x.pth", tmp_path / "y.safetensors")
    assert str(caught.value).splitlines() == [
        f"{tmp_path / 'x.pth'}: 2 missing, 1 unknown and 2 misshapen tensors",
        "  missing posenet.pre.bn1.bias [4]",
        "  missing posenet.outs.1.4.conv.bias [50]",
        "  unknown posenet.extra [3]",
        "  misshapen posenet.pre.conv1.weight: expected [4, 3, 7, 7], got [4, 3, 5, 5]",
        "  misshapen posenet.pre.bn1.weight: expected [4], got str",
    ]
    assert os.listdir(tmp_path) == ["x.pth"]


def test_another_skeleton_is_checked_when_converting(released, tmp_path):
    torch.save(released, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="channels: expected 7 for skeleton 'arm', got 50"):
        convert_checkpoint(tmp_path / "x.pth", tmp_path / "y.safetensors", skeleton=ARM)


def test_converting_a_checkpoint_halves_it(saved, tmp_path):
    (tmp_path / "x").write_bytes(saved)
    written = convert_checkpoint(tmp_path / "x", tmp_path / "y", half=True, input_size=64)
    assert (tmp_path / "y").stat().st_size < 0.6 * len(saved)
    assert written.config == load_checkpoint(tmp_path / "y").config == SMALL  # its own, not what was asked for
    assert written.notes == {"command": "train", "converted_from": "x"}


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
def test_code_in_a_pickle_is_rejected_without_running(form, tmp_path):
    path, trace = tmp_path / "x.pth", tmp_path / "trace"
    if form == "bare pickle":
        path.write_bytes(pickle.dumps({"weights": CreatesFile(trace)}, protocol=2))
    else:
        torch.save({"weights": CreatesFile(trace)}, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError, match=r"x\.pth: rejected: its pickle refers to \S*open"):
        load_checkpoint(path)
    assert not trace.exists()


# Wrong files ----------------------------------------------------------------------------------------------------------


def zipped(**files):
    """The bytes of a zip file that is not a PyTorch checkpoint."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda saved: b"", "the file is empty"),
        (lambda saved: b"\xff\xd8\xff\xe0" + bytes(100), "neither a safetensors nor a PyTorch file"),
        (lambda saved: b"abc", "neither a safetensors nor a PyTorch file"),
        (lambda saved: saved[: len(saved) // 2], "damaged or cut short"),
        (lambda saved: saved[:40], "damaged or cut short"),
        (lambda saved: zipped(readme="hello"), "damaged or cut short"),
        (lambda saved: b"\x80\x04" + bytes(range(50)), "damaged"),
        (lambda saved: pickle.dumps({"weights": CreatesFile("trace")}, protocol=4), "no code in it was run"),
    ],
)
def test_an_invalid_file_is_named_with_the_cause(content, message, saved, tmp_path):
    path = tmp_path / "wrong.bin"
    path.write_bytes(content(saved))
    with pytest.raises(CheckpointError, match=f"wrong.bin: .*{message}"):
        load_checkpoint(path)


def test_a_truncated_pth_is_damaged(released, tmp_path):
    path = tmp_path / "x.pth"
    torch.save({"weights": released}, path)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match=r"x\.pth: damaged or cut short"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": {"layer.weight": torch.zeros(2)}}, "not in the released layout: posenet.hourglass"),
        ({"weights": 3}, "expected a dictionary of tensors, got dict"),
        ([torch.zeros(2)], "expected a dictionary of tensors, got list"),
    ],
)
def test_a_foreign_pth_is_named(content, message, tmp_path):
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.update(format_version=2), "format version 2, this version of simplepose reads 1"),
        (lambda header: header.pop("skeleton"), "its header lacks 'skeleton'"),
        (lambda header: header["model"].update(stacks=99), "its header is wrong: stacks: expected 1 to 16, got 99"),
        (lambda header: header["model"].update(width=32), "misshapen stem.conv.conv.weight"),
        (lambda header: header["model"].update(channels=40), "channels: expected 50"),
        (lambda header: header["skeleton"].update(keypoints=["nose"]), "its header is wrong"),
        (lambda header: header.update(model=None), "its header is wrong"),
    ],
)
def test_a_wrong_header_is_named(change, message, model, tmp_path):
    header = {"format_version": 1, "model": SMALL.to_dict(), "skeleton": COCO.to_dict(), "notes": {}}
    change(header)
    path = tmp_path / "x.safetensors"
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, path, {"simplepose": json.dumps(header)})
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_named(metadata, tmp_path):
    save_file({"w": torch.zeros(2)}, tmp_path / "x.safetensors", metadata)
    with pytest.raises(CheckpointError, match="without the 'simplepose' header"):
        load_checkpoint(tmp_path / "x.safetensors")


def test_missing_files_and_unknown_names(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"no file 'resnet' and no weights .* \(known: tiny, photo\)$"):
        load_model("resnet")
    with pytest.raises(FileNotFoundError, match="imhn4-512 is a preset whose weights are not shipped"):
        load_model("imhn4-512")
    with pytest.raises(CheckpointError, match="this is a folder"):
        load_model(tmp_path)
    monkeypatch.setattr(checkpoint_module, "WEIGHTS", tmp_path)
    with pytest.raises(CheckpointError, match="this build of simplepose contains no 'tiny' weights"):
        load_model("tiny")
    (tmp_path / "tiny.safetensors").touch()
    assert find_checkpoint("tiny") == tmp_path / "tiny.safetensors"
