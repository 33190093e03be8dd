"""Every script in examples/ runs with small inputs, detects people and writes its files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import simplepose as sp

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py"))


def run_example(name: str, *arguments: object, folder: Path) -> str:
    """The output of the script, run in `folder` with the same simplepose as the tests."""
    package = str(Path(sp.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_is_short_and_has_help_and_a_line_in_the_readme(name, tmp_path):
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 60
    assert f"python examples/{name}" in run_example(name, "--help", folder=tmp_path)
    assert f"[{name}]({name})" in (EXAMPLES / "README.md").read_text(encoding="utf-8")


def test_decode_heatmaps_detects_the_rendered_people(tmp_path):
    printed = run_example("decode_heatmaps.py", "--out", "poses.json", folder=tmp_path)
    assert "image 1: 3 people" in printed
    assert "image 2: 1 people" in printed
    assert "the tensor gives the same people: True" in printed
    results = json.loads((tmp_path / "poses.json").read_text())
    assert [result["image_id"] for result in results] == [1, 1, 1, 2]
    noses = sorted(result["keypoints"][0] for result in results if result["image_id"] == 1)
    assert noses == pytest.approx([100, 250, 400], abs=0.5)


def test_decode_heatmaps_reads_stored_maps(tmp_path):
    np.save(tmp_path / "maps.npy", np.zeros((48, 16, 16), np.float32))
    assert "image 1: 0 people" in run_example("decode_heatmaps.py", "--maps", "maps.npy", folder=tmp_path)
    assert json.loads((tmp_path / "poses.json").read_text()) == []


def test_train_own_skeleton_detects_dogs(tmp_path):
    printed = run_example(
        "train_own_skeleton.py", "--out", "dogs", "--set", "epochs=12", "validate_epochs=12", folder=tmp_path
    )
    best = float(re.search(r"best AP (\d\.\d+)", printed).group(1))
    assert best > 0.5
    found = re.findall(r"^\d\.png: (\d+) found", printed, re.MULTILINE)
    assert len(found) == 4
    assert sum(map(int, found)) >= 4
    assert cv2.imread(str(tmp_path / "dogs" / "1.png")).shape == (128, 128, 3)
    skeleton = json.loads((tmp_path / "dogs" / "val" / "annotations.json").read_text())["categories"][0]["keypoints"]
    assert tuple(skeleton) == sp.Skeleton.from_toml(EXAMPLES / "dog.toml").keypoints


def test_video_people_writes_a_video_and_reads_it(tmp_path):
    printed = run_example("video_people.py", "--frames", 4, "--out", "first.mp4", folder=tmp_path)
    people = [int(count) for count in re.findall(r"^frame \d: (\d+) people", printed, re.MULTILINE)]
    assert len(people) == 4
    assert min(people) >= 1
    printed = run_example(
        "video_people.py", "--video", "first.mp4", "--frames", 2, "--out", "second.mp4", folder=tmp_path
    )
    assert len(re.findall(r"^frame \d: \d+ people", printed, re.MULTILINE)) == 2
    video = cv2.VideoCapture(str(tmp_path / "second.mp4"))
    assert video.read()[1].shape == (256, 256, 3)
    video.release()
