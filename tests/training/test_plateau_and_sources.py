"""Training on several annotation files, the end of a run that does not improve, and the list of presets."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from helpers.train_cases import QUICK

from simplepose.cli.main import main
from simplepose.data.annotations import merge_annotations, read_annotations
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig
from simplepose.training import loop
from simplepose.training.config import PRESETS, TrainConfig
from simplepose.training.data import open_data

pytestmark = pytest.mark.usefixtures("one_thread")
ALONE = SimpleNamespace(is_main=True, barrier=lambda: None)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two annotation files of four and two images; the ids of the second begin at 101."""
    root = tmp_path_factory.mktemp("sources")
    for name, count, first in (("a", 4, 0), ("b", 2, 100)):
        write_dataset(root / name, count, first, SynthConfig(size=64, people=(1, 1), person_size=(40.0, 60.0)))
        path = root / name / "annotations.json"
        data = json.loads(path.read_text())
        for image in data["images"]:
            image["id"] += first
        for annotation in data["annotations"]:
            annotation["image_id"] += first
        path.write_text(json.dumps(data))
    return [root / name / "annotations.json" for name in "ab"]


def test_several_files_are_one_training_set(files, tmp_path):
    folders = tuple(str(path.parent / "images") for path in files)
    config = replace(QUICK, data=tuple(map(str, files)), images=folders)
    data = open_data(config, loop.COCO, tmp_path, ALONE)
    paths = {record.path.parent.parent.name for record in data.samples.records}
    assert (len(data.samples.records), paths) == (6, {"a", "b"})
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="images: expected one folder for each of 2 data, got 1"):
        replace(config, images=folders[:1])


def test_files_that_do_not_fit_together_are_named(files):
    one, other = (read_annotations(path) for path in files)
    with pytest.raises(ValueError, match=r"a.annotations\.json: image 1: expected an id that no other file has"):
        merge_annotations([one, one])
    with pytest.raises(ValueError, match=r"b.annotations\.json: expected category 1 as in .*, got 2"):
        merge_annotations([one, replace(other, category=2)])


def test_a_list_of_images_has_no_people(files, tmp_path):
    data = json.loads(files[0].read_text())
    del data["annotations"]
    path = tmp_path / "image_info_test.json"
    path.write_text(json.dumps(data))
    found = read_annotations(path, files[0].parent / "images", image_list=True)
    assert [len(record.people) for record in found.images.values()] == [0] * 4
    assert not found.annotated
    assert read_annotations(files[0], image_list=True).annotated
    with pytest.raises(ValueError, match="it has no list 'annotations'"):
        read_annotations(path)


def test_a_run_ends_after_validations_without_a_higher_ap(files, tmp_path, monkeypatch):
    aps = iter([0.1, 0.3, 0.2, 0.3, 0.9, 0.9])
    validate = loop._validate
    monkeypatch.setattr(loop, "_validate", lambda *a: {**validate(*a), "AP": next(aps)})
    config = replace(QUICK, data=str(files[0]), epochs=6, stop_after=2, validate_images=1)
    report = loop.train(config, tmp_path / "run")
    assert (report.steps, report.best) == (4, 0.3)  # one step an epoch: two validations after the second gain nothing
    again = loop.train(config, tmp_path / "run", resume=True)
    assert again.steps == 4
    with pytest.raises(ValueError, match="stop_after: expected at least 0, got -1"):
        replace(config, stop_after=-1)


def test_the_presets_are_listed_with_one_line_each(capsys):
    assert main(["train", "--list-presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    by_name = {line.split()[0]: line for line in lines}
    assert by_name["cmu3-368-paf"].endswith("cmu, 3 stacks, part affinity fields; 368 px, stride 8; L2; 60 epochs")
    assert by_name["imhn3-384-mst"].endswith("skeleton coco-mst")
    assert "no channel attention" in by_name["imhn3-384-no-channel"]


def test_an_encoding_by_set_changes_the_channels(files, tmp_path):
    small = ["model.width=16", "model.growth=4", "model.input_size=64", "batch=2", "workers=0", "checkpoint_steps=1"]
    arguments = ["--preset", "overfit", "--data", str(files[0]), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main(["train", *arguments, "--stop-step", "1", "--set", "model.encoding=paf", *small]) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert (config["model"]["encoding"], config["model"]["channels"]) == ("paf", 80)
