"""The command `simplepose decode`: its files, messages and exit codes."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from helpers.command_line import run
from scenes import scene_maps

import simplepose as sp


def test_decode_writes_people_and_draws_them(capsys, tmp_path):
    maps = scene_maps(3, 0)
    np.savez(tmp_path / "maps.npz", maps=np.round(maps * 1024).astype(np.int16))
    cv2.imwrite(str(tmp_path / "image.png"), np.full((512, 512, 3), 127, np.uint8))
    drawing = ["--draw", tmp_path / "image.png", "--drawing", tmp_path / "drawn.png"]
    code, out, _ = run(capsys, "decode", tmp_path / "maps.npz", "--out", tmp_path / "poses.json", *drawing, "--json")
    assert code == 0
    report = json.loads(out)
    assert report == json.loads((tmp_path / "poses.json").read_text())
    poses = sp.Poses.from_dict(report["images"][0])
    expected = sp.decode(np.round(maps * 1024).astype(np.float32) / 1024)[0]
    assert np.array_equal(poses.keypoints, expected.keypoints, equal_nan=True)
    assert len(np.unique(cv2.imread(str(tmp_path / "drawn.png")))) > 10


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": np.zeros(3), "more": np.zeros(3)}, "no array 'maps or heatmaps'; its arrays: other, more"),
        ({"maps": np.zeros((47, 8, 8), np.float32)}, "expected 48"),
        ({"maps": np.zeros((48, 8, 8), np.int32)}, "int16 in units of 1/1024, got int32"),
    ],
)
def test_decode_names_a_file_without_valid_maps(capsys, tmp_path, arrays, message):
    path = tmp_path / "maps.npz"
    np.savez(path, **arrays)
    code, _, err = run(capsys, "decode", path)
    assert code == 1
    assert message in err
    assert str(path) in err


def test_decode_of_a_damaged_file_gives_exit_code_1(capsys, tmp_path):
    path = tmp_path / "maps.npz"
    np.savez_compressed(path, maps=scene_maps(1, 0))
    valid = path.read_bytes()
    damaged = valid[:200] + bytes(100) + valid[300:]
    for content in (b"nothing", valid[:-100], damaged):
        path.write_bytes(content)
        code, _, err = run(capsys, "decode", path)
        assert code == 1
        assert f"{path}: not an NPZ or NPY file" in err
    code, _, err = run(capsys, "decode", tmp_path / "none.npz")
    assert code == 1
    assert "none.npz" in err


def test_scores_beyond_float32_are_null_and_reported(capsys, tmp_path):
    maps = np.zeros((48, 8, 8), np.float32)
    maps[30:, 4, 4] = 3e38
    np.savez(tmp_path / "maps.npz", maps=maps)
    code, out, err = run(capsys, "decode", tmp_path / "maps.npz", "--out", tmp_path / "poses.json", "--json")
    assert code == 0
    for text in (out, (tmp_path / "poses.json").read_text()):
        report = json.loads(text, parse_constant=pytest.fail)  # Infinity and NaN are not JSON
        assert report["warnings"] == [line.partition("warning: ")[2] for line in err.splitlines()]
    scores = [person["score"] for person in report["images"][0]["people"]]
    assert (None in scores) == bool(report["warnings"])
