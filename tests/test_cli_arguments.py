"""Invalid arguments and files on the command line: a short message, exit code 1 or 2, no traceback, nothing written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.annotation_cases import well_formed

from simplepose.cli.main import main

HUGE = "9" * 5000
SETTINGS = ["max_peaks=0", "max_peaks=true", "max_peaks=1e400", f"max_peaks={HUGE}", "num_samples=2.5", "reassign=no"]
SETTINGS += ["reassign=1", "peak_threshold=null", "peak_threshold=NaN", "join_distance=Infinity", "part_score=sum"]
SETTINGS += ["part_score=3", "min_keypoints=[1]", 'min_keypoints={"a": 1}', "=1", "max_peaks", "x=1", "x." * 200 + "=1"]
SETTINGS += ["max_peaks=" + "[" * 100_000]
TRAINING = ["model=3", "augment=1", "loss=null", "workers=100000", "lr=fast", "lr=NaN", f"seed={HUGE}", "freeze=1"]
TRAINING += [
    "val=true",
    "model.kind=x",
    "model.width=[]",
    "augment.scale=1",
    "loss.gamma=no",
    "sizes=[1]",
    "x=1",
]
DEVICES = ["foo", "", "cuda:99", "meta", "cuda:-1", "3"]

LINES: list[tuple[list[str], int]] = [
    *((["decode", "MAPS", "--set", setting], 2) for setting in SETTINGS),
    *((["decode", "MAPS", *words.split()], 2) for words in (
        "--stride 0", "--threads 0", "--skeleton no", "--stride x",
    )),
    *((["decode", *words.split()], 1) for words in (
        "MAPS --name no", "TEXT", "FOLDER", "none.npz", "NUMBER", "OBJECTS",
    )),
    (["decode", "MAPS", "--skeleton", "TEXT"], 2),
    (["decode", "MAPS", "--draw", "TEXT"], 1),
    *((["predict", "IMAGE", "--checkpoint", "tiny", "--device", device], 2 if device != "cuda:99" else 1)
      for device in DEVICES),
    *((["predict", "IMAGE", "--checkpoint", "tiny", *words.split()], 2) for words in (
        "--scales 0", "--scales nan", "--scales inf", "--size 0", "--size -3", "--batch 0", "--min-keypoints -1",
        "--boxes", "--names", "--precision float8", "--fit width", "--size " + HUGE,
    )),
    *((["predict", "IMAGE", "--checkpoint", name], 2) for name in ("", "no", "TEXT", "FOLDER", "MAPS", "x" * 5000)),
    *((["predict", name, "--checkpoint", "tiny"], 1) for name in ("FOLDER", "TEXT.mp4")),
    *((["predict", *words], 2) for words in (["", "IMAGE"], ["a.mp4", "IMAGE"], ["0", "IMAGE"])),
    *((["predict", "IMAGE", "--checkpoint", "tiny", *words.split()], 2) for words in (
        "--launcher local", "--launcher mpi --out o", "--workers 2", "--num-gpus 1", "--address auto",
        "--shard-images 9", "--retry-failed", "--launcher torchrun --out o", "--launcher torchrun --out o --workers 2",
        *(f"--launcher local --out o {option}" for option in (
            "--workers 0", "--num-gpus -1", "--num-gpus 1", "--shard-images 0", "--draw", "--track", "--address auto",
            "--min-keypoints 5",
        )),
        "--launcher local --out TEXT",
    )),
    (["predict", "a.tar"], 2),
    *((["predict", name, "--checkpoint", "tiny", "--launcher", "local", "--out", "o"], 1) for name in (
        "FOLDER", "none*.tar", "none.txt", "a{2..1}.tar", "none://a.tar",
    )),
    *((["evaluate", "--results", name, "--annotations", "PEOPLE"], code) for name, code in (
        ("TEXT", 1), ("none.json", 2), ("FOLDER", 2), ("NUMBER", 1),
    )),
    (["evaluate", "tiny", "--results", "TEXT", "--annotations", "PEOPLE"], 2),
    *((["evaluate", "--oracle", "clean", "--annotations", name], 1) for name in (
        "TEXT", "FOLDER", "none.json", "MAPS",
    )),
    *((["evaluate", "--oracle", "clean", "--annotations", "PEOPLE", *words.split()], 2) for words in (
        "--ids 7", "--ids x", "--limit 0", "--limit -1", "--skeleton no", "--set x=1", "--flip", "--scales 2",
        "--out o.json", "--maps MAPS", "--backend cuda", "--ids " + HUGE,
    )),
    *((["evaluate", "--maps", name, "--annotations", "PEOPLE"], 1) for name in (
        "TEXT", "MAPS", "none.npz", "NUMBER", "IDS",
    )),
    (["evaluate", "--annotations", "PEOPLE"], 2),
    (["evaluate", "tiny", "--annotations", "PEOPLE", "--images", "TEXT"], 2),
    (["evaluate", "tiny", "--annotations", "PEOPLE", "--images", "FOLDER", "--skeleton", "coco"], 2),
    *((["train", "--preset", "tiny", "--data", "PEOPLE", "--out", "run", "--set", setting], 2) for setting in TRAINING),
    *((["train", "--out", "run", "--preset", "tiny", "--data", name], 1) for name in ("TEXT", "none", "synth:x,y")),
    *((["train", *words.split()], 2) for words in ("", "--out run", "--out run --data PEOPLE --preset no",
                                                 "--out run --data PEOPLE --stop-step 0")),
    (["train", "--resume", "FOLDER"], 1),
    (["train", "--resume", "RUN"], 1),
    *((["synth", "out", *words.split()], 2) for words in (
        "--images 0", "--images -1", "--size 3", "--size 99999", "--people 0", "--people 99", "--workers 0",
        "--seed -1", "--seed " + "9" * 30, "--images " + HUGE,
    )),
    *((["convert", name, "out.safetensors"], 1) for name in ("TEXT", "FOLDER", "none", "MAPS")),
    *((["export", name, "out.onnx"], 1) for name in ("TEXT", "FOLDER", "none")),
    *((["info", name], 2) for name in ("TEXT", "FOLDER", "none", "MAPS", "x" * 5000)),
    *((["inspect", "PEOPLE", *words.split()], 2) for words in ("--count 0", "--first -1", "--size 0", "--skeleton no")),
    *((["inspect", name], 2) for name in ("FOLDER", "none")),
    (["inspect", "TEXT"], 1),
    (["bench", "--rounds", "0"], 2),
    *((["web", *words.split()], 2) for words in (
        "--port -1", "--port 65536", "--port x", "--max-upload 0", "--max-upload nan", "--max-megapixels 81",
        "--engine x", "--checkpoint no", "--checkpoint TEXT", "--device foo",
    )),
    (["web", "--host", ""], 2),
    *((["demo", *words.split()], 2) for words in ("--seed -1", "--checkpoint no", "--checkpoint TEXT")),
]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of every kind by the name that stands for it in the command lines."""
    folder = tmp_path_factory.mktemp("files")
    names = {"MAPS": "maps.npz", "NUMBER": "number.npz", "OBJECTS": "objects.npz", "IDS": "ids.npz", "IMAGE": "a.png"}
    names |= {"PEOPLE": "people.json", "TEXT": "text.txt", "TEXT.mp4": "text.mp4", "FOLDER": "empty", "RUN": "run"}
    paths = {name: folder / file for name, file in names.items()}
    maps = np.zeros((48, 4, 4), np.float32)
    np.savez(paths["MAPS"], maps=maps)
    np.savez(paths["NUMBER"], maps=np.float32(1), image_ids=1)
    np.savez(paths["OBJECTS"], maps=np.array([None], object))
    np.savez(paths["IDS"], maps=maps[None, :5], image_ids=[1])
    cv2.imwrite(str(paths["IMAGE"]), np.zeros((16, 16, 3), np.uint8))
    paths["PEOPLE"].write_text(json.dumps(well_formed()))
    for name in ("TEXT", "TEXT.mp4"):
        paths[name].write_text("nothing of any kind")
    paths["FOLDER"].mkdir()
    paths["RUN"].mkdir()
    (paths["RUN"] / "config.json").write_text('{"config": 3}')
    return paths


@pytest.mark.parametrize(("words", "code"), LINES, ids=lambda v: " ".join(v)[:60] if isinstance(v, list) else str(v))
def test_an_invalid_command_line_gets_a_short_message(
    words: list[str], code: int, files: dict[str, Path], tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        found: Any = main([str(files.get(word, word)) for word in words])
    except SystemExit as end:
        found = end.code
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    assert found == code, printed.err
    assert printed.err.strip()
    error = printed.err.strip().splitlines()[-1]
    assert len(error) < 1500
    assert list(tmp_path.iterdir()) == []
