"""Evaluation of a predictor: it counts all images, resumes after a kill, and divides the images among processes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.processes import run_python

import simplepose as sp
from simplepose.data.annotations import annotations_from
from simplepose.evaluation.evaluate import evaluate_images, to_dict


def dataset(count=6):
    """Annotations of images with one person each."""
    rng = np.random.default_rng(0)
    keypoints = np.concatenate([rng.uniform(10, 90, (count, 17, 2)), np.full((count, 17, 1), 2.0)], -1)
    images = [{"id": i, "width": 100, "height": 100, "file_name": f"{i}.jpg"} for i in range(count)]
    people = [
        {"id": i + 1, "image_id": i, "category_id": 1, "iscrowd": 0, "area": 6400.0, "num_keypoints": 17}
        | {"bbox": [10, 10, 80, 80], "keypoints": k.ravel().tolist()}
        for i, k in enumerate(keypoints)
    ]
    category = {"id": 1, "name": "person", "keypoints": list(sp.COCO.dataset_keypoints)}
    return annotations_from({"images": images, "annotations": people, "categories": [category]}, Path("memory"))


class Finder:
    """A predictor that returns the ground truth, records the requested images, and fails for chosen ones."""

    def __init__(self, annotations, broken=(), die_at=None):
        self.annotations, self.broken, self.die_at, self.requested = annotations, broken, die_at, []

    def __call__(self, files):
        for path in (file.path for file in files):
            if path.name == self.die_at:
                raise KeyboardInterrupt
            self.requested.append(path.name)
            if path.name in self.broken:
                yield ValueError(f"{path}: broken")
                continue
            keypoints = self.annotations.keypoints(int(path.stem))
            yield sp.Poses(keypoints, np.ones(len(keypoints), np.float32))


def evaluate(finder, out=None, **settings):
    annotations = finder.annotations
    return evaluate_images(finder, annotations, annotations.images, out=out, settings=settings)


def test_unreadable_images_count_as_empty_and_are_reported():
    annotations = dataset()
    report = evaluate(Finder(annotations, broken={"4.jpg"}))
    assert report.images == 6
    assert report.people_found == 5
    assert list(report.failed) == ["4.jpg"]
    assert 0.5 < report.metrics["AP"] < 0.9  # five of six people are found
    assert evaluate(Finder(annotations)).metrics["AP"] == pytest.approx(1.0)


def test_a_killed_run_resumes_with_the_first_missing_image(tmp_path):
    annotations, out = dataset(), tmp_path / "results.json"
    first = Finder(annotations, die_at="3.jpg")
    with pytest.raises(KeyboardInterrupt):
        evaluate(first, out, checkpoint="a")
    assert first.requested == ["0.jpg", "1.jpg", "2.jpg"]
    assert not out.exists()
    partial = tmp_path / "results.json.partial"
    partial.write_text(partial.read_text()[:-10])  # the kill truncated the last line
    second = Finder(annotations)
    report = evaluate(second, out, checkpoint="a")
    assert second.requested == ["2.jpg", "3.jpg", "4.jpg", "5.jpg"]
    assert report.metrics["AP"] == pytest.approx(1.0)
    assert len(json.loads(out.read_text())) == 6
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_a_partial_file_with_other_settings_is_refused(tmp_path):
    annotations, out = dataset(), tmp_path / "results.json"
    with pytest.raises(KeyboardInterrupt):
        evaluate(Finder(annotations, die_at="1.jpg"), out, checkpoint="a")
    with pytest.raises(ValueError, match="other settings"):
        evaluate(Finder(annotations), out, checkpoint="b")


WORKER = """
import json
from evaluation import test_evaluate
from simplepose.evaluation.evaluate import to_dict
report = test_evaluate.evaluate(test_evaluate.Finder(test_evaluate.dataset(), broken={"4.jpg"}))
if report is not None:
    print("RESULT " + json.dumps(to_dict(report)))
"""


def test_two_processes_give_the_result_of_one(tmp_path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    done = run_python("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", script)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert len(lines) == 1, done.stderr
    both = json.loads(lines[0].removeprefix("RESULT "))
    alone = to_dict(evaluate(Finder(dataset(), broken={"4.jpg"})))
    both.pop("seconds"), alone.pop("seconds")
    assert both == alone
