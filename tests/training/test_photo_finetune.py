"""Fine-tuning the network for photos with another skeleton, in one command."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from finetune_photo import FACE, SKELETON, write_own

from simplepose.cli.main import main
from simplepose.data.annotations import find_data, read_annotations
from simplepose.inference.predictor import Predictor
from simplepose.network.checkpoint import load_checkpoint
from simplepose.skeleton.skeleton import COCO, load_skeleton
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig
from simplepose.training import loop

pytestmark = pytest.mark.usefixtures("one_thread")

BODY = load_skeleton(SKELETON)


@pytest.fixture
def own(tmp_path):
    """A data folder of two images, annotated with the skeleton of 14 keypoints."""
    write_dataset(tmp_path / "coco", 2, 3, SynthConfig(size=128), progress=False)
    annotations = read_annotations(*find_data(tmp_path / "coco"))
    write_own(tmp_path / "own", annotations, list(annotations.images), BODY)
    return tmp_path / "own"


def test_own_annotations_have_coco_points_and_a_head(own):
    people = read_annotations(*find_data(own), BODY)
    coco = read_annotations(*find_data(own.parent / "coco"))
    for i in coco.images:
        expected, found = coco.keypoints(i), people.keypoints(i)
        shared = [name for name in BODY.keypoints if name != "head"]
        columns = [COCO.keypoints.index(name) for name in shared]
        assert np.array_equal(found[:, [BODY.keypoints.index(name) for name in shared]], expected[:, columns])
        face = expected[:, [COCO.keypoints.index(name) for name in FACE]]
        head = found[:, BODY.keypoints.index("head")]
        assert np.array_equal(head[:, 2] > 0, (face[..., 2] > 0).any(1))


def test_the_preset_continues_from_photo(own, tmp_path, monkeypatch, capsys):
    validated = []

    class Recorded(Predictor):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            validated.append(self.config)

    monkeypatch.setattr(loop, "Predictor", Recorded)
    changes = ("--set", "epochs=1", "batch=2", "sizes=[64]")
    arguments = [
        "train",
        "--preset",
        "photo-finetune",
        "--skeleton",
        SKELETON,
        "--data",
        own,
        "--out",
        tmp_path / "run",
    ]
    assert main([str(a) for a in (*arguments, *changes, "--json")]) == 0
    out, err = capsys.readouterr()
    assert "init: photo has another skeleton; maps that start anew: neck-head, head-right_shoulder" in err
    assert json.loads(out)["steps"] == 1
    photo, tuned = load_checkpoint("photo"), load_checkpoint(tmp_path / "run" / "last.safetensors")
    assert (tuned.skeleton, tuned.use) == (BODY, photo.use)
    assert all(torch.equal(t, tuned.state[name]) for name, t in photo.state.items() if name.startswith("encoder."))
    elbow = [s.num_parts + s.keypoints.index("left_elbow") for s in (COCO, BODY)]
    before, after = (c.state["heads.0.predict.weight"][i] for c, i in zip((photo, tuned), elbow, strict=True))
    torch.testing.assert_close(after, before, atol=1e-3, rtol=0)
    (config,) = validated  # as the commands use these weights
    use = photo.use
    assert (config.size, config.fit) == (use["size"], use["fit"])
    assert config.decode.peak_threshold == use["evaluation"]["peak_threshold"]
