"""Damaged files of runs, skeletons, stored maps and checkpoints: every error names the file, in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

import simplepose as sp
from simplepose.evaluation.evaluate import Journal
from simplepose.evaluation.oracle import stored_maps
from simplepose.network.checkpoint import load_checkpoint
from simplepose.training.config import TrainConfig
from simplepose.training.log import read_log
from simplepose.training.run_folder import read_run

ODD: list[Any] = [None, True, "no", 10**400, -1, 1.5, [], {}, [[]], float("nan"), float("inf"), "x" * 5000, [0] * 3000]
IDS = [f"{type(value).__name__} {value!r:.12}" for value in ODD]


def refused(read: Any, path: Path) -> str:
    """The error of a reader, which names the file in one line."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        read()
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 700 + len(str(path))
    return message


HEAD = {"simplepose": "evaluation", "ids": [1, 2]}


@pytest.mark.parametrize("field", ["image_id", "results", "error"])
@pytest.mark.parametrize("value", ODD, ids=IDS)
def test_a_journal_with_a_wrong_entry_is_refused(field, value, tmp_path):
    path = tmp_path / "results.json.partial"
    entry = {"image_id": 1, "results": [{"image_id": 1}], "error": "", field: value}
    path.write_text(f"{json.dumps(HEAD)}\n{json.dumps(entry)}\n")
    if (field, value) == ("results", []) or (field == "error" and isinstance(value, str)):
        assert Journal(path, {"ids": [1, 2]}).done in ({}, {1: ([], "")})
        return
    assert f"{path}:2: " in refused(lambda: Journal(path, {"ids": [1, 2]}), path)


@pytest.mark.parametrize("value", ODD, ids=IDS)
def test_a_journal_with_a_wrong_head_is_refused(value, tmp_path):
    path = tmp_path / "results.json.partial"
    path.write_text(json.dumps({**HEAD, "ids": value}) + "\n")
    assert "other settings" in refused(lambda: Journal(path, {"ids": [1, 2]}), path)


@pytest.mark.parametrize("name", ["step", "loss", "lr", "AP", "loss_stride4"])
@pytest.mark.parametrize("value", ODD, ids=IDS)
def test_a_log_with_a_wrong_number_is_refused(name, value, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps({"step": 1, "loss": 0.5}) + "\n" + json.dumps({"step": 2, name: value}) + "\n")
    if (value is None and name != "step") or (value in (-1, 1.5) and name != "step"):
        assert len(read_log(tmp_path)) == 2
    else:
        assert f"{path}:2: {name}" in refused(lambda: read_log(tmp_path), path)


@pytest.mark.parametrize("section", ["config", "skeleton", "config.model", "config.lr", "skeleton.parts"])
@pytest.mark.parametrize("value", ODD, ids=IDS)
def test_the_settings_of_a_run_are_checked(section, value, tmp_path):
    data = {"format_version": 1, "config": TrainConfig(data="x").to_dict(), "skeleton": sp.COCO.to_dict()}
    container: Any = data
    *outer, last = section.split(".")
    for name in outer:
        container = container[name]
    container[last] = value
    path = tmp_path / "config.json"
    path.write_text(json.dumps(data))
    if section == "config.lr" and value == 1.5:
        assert read_run(tmp_path)[0].lr == 1.5
    elif value == {} and section in ("config", "config.model"):
        assert read_run(tmp_path)[0].model == TrainConfig().model
    else:
        refused(lambda: read_run(tmp_path), path)


TOML = {
    "digits": b"sigmas = [" + b"9" * 5000 + b"]",
    "nested": b"parts = " + b"[" * 100_000,
    "bytes": b"\xff\xfe",
    "nan": b'name = "a"\nkeypoints = ["a", "b"]\nparts = [["a", "b"]]\nsigmas = [nan, 1.0]',
    "infinity": b'name = "a"\nkeypoints = ["a", "b"]\nparts = [["a", "b"]]\nsigmas = [inf, 1.0]',
    "booleans": b'name = "a"\nkeypoints = ["a"]\nparts = []\ncolors = [[true, true, true]]',
    "long name": b'name = "a"\nkeypoints = ["a"]\nparts = [["a", "' + b"x" * 5000 + b'"]]',
    "date": b"name = 1979-05-27",
    "table": b'keypoints = {a = 1}\nname = "a"\nparts = []',
    "empty": b"",
}


@pytest.mark.parametrize("text", TOML.values(), ids=TOML.keys())
def test_a_damaged_skeleton_file_is_named(text, tmp_path):
    path = tmp_path / "s.toml"
    path.write_bytes(text)
    refused(lambda: sp.load_skeleton(path), path)


MAPS = np.zeros((2, 48, 3, 4), np.float32)
STORED: dict[str, tuple[Any, Any]] = {
    "ids of another number": (MAPS, [1]),
    "ids twice": (MAPS, [1, 1]),
    "ids of floats": (MAPS, [1.5, 2.5]),
    "ids of text": (MAPS, ["1", "2"]),
    "one id": (MAPS, 1),
    "ids in rows": (MAPS, [[1], [2]]),
    "maps of one image": (MAPS[0], [1, 2]),
    "one number": (np.float32(1), [1]),
    "maps of integers": (MAPS.astype(np.int32), [1, 2]),
    "maps of complex numbers": (MAPS.astype(complex), [1, 2]),
    "maps of text": (MAPS.astype(str), [1, 2]),
}


@pytest.mark.parametrize("kind", STORED)
def test_stored_maps_are_checked(kind, tmp_path):
    path = tmp_path / "maps.npz"
    maps, ids = STORED[kind]
    np.savez(path, maps=maps, image_ids=np.array(ids))
    refused(lambda: stored_maps(str(path)), path)


def test_stored_maps_of_another_byte_order_are_taken(tmp_path):
    path = tmp_path / "maps.npz"
    np.savez(path, maps=np.full((1, 48, 3, 4), 512, ">i2"), image_ids=np.array([7], ">i4"))
    ids, source = stored_maps(str(path))
    assert ids == [7]
    assert np.array_equal(source(7), np.full((48, 3, 4), 0.5, np.float32))


HEADERS = {
    "not JSON": "{",
    "digits": "9" * 5000,
    "nested": "[" * 100_000,
    **{f"header {name}": json.dumps(value) for name, value in zip(IDS, ODD, strict=True)},
    **{f"model {n}": json.dumps({"format_version": 1, "model": v}) for n, v in zip(IDS, ODD, strict=True)},
}


@pytest.mark.parametrize("text", HEADERS.values(), ids=HEADERS.keys())
def test_a_wrong_header_of_a_checkpoint_is_named(text, tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(save({"a": torch.zeros(1)}, {"simplepose": text}))
    refused(lambda: load_checkpoint(path), path)


USES = [3, "x", [1], {"size": "64"}, {"fit": 3}, {"decode": 3}, {"decode": {"x": 1}}, {"decode": {"reassign": "no"}}]
USES += [{"evaluation": "x"}, {"sizes": 1}, {"size": 10**400}, {"decode": {"peak_threshold": None}}]


@pytest.mark.parametrize("use", USES, ids=lambda u: f"{u!r:.30}")
def test_wrong_settings_of_use_are_named_with_the_checkpoint(use, tmp_path, monkeypatch):
    """The settings of use are checked where a predictor takes them."""
    from simplepose.inference.predictor import use_of
    from simplepose.network.checkpoint import Checkpoint
    from simplepose.network.config import ModelConfig

    path = tmp_path / "a.safetensors"
    checkpoint = Checkpoint(ModelConfig(), sp.COCO, {}, use=use)
    refused(lambda: use_of(checkpoint, path), path)
