"""`simplepose evaluate --results`: people that were written before get the AP that their predictor got."""

from __future__ import annotations

import json
import shutil

import pytest
from helpers.bulk_cases import job_of

from simplepose.bulk.shards import find_shards
from simplepose.cli.main import main
from simplepose.io.parquet import ImageRows, pose_schema, write_rows
from simplepose.skeleton.skeleton import COCO
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("one_thread")
COUNT = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_thread):
    """A data set, its people in Parquet files and in JSON, and the report of `evaluate` on the network."""
    root = tmp_path_factory.mktemp("data")
    write_dataset(root / "set", COUNT, 3, SynthConfig(size=128), progress=False)
    (root / "parts").mkdir()
    job = job_of(root / "parts")
    predictor = job.predictor()
    shards, _ = find_shards([str(root / "set/images")], 4)
    assert all(job.run(predictor, shard).counts for shard in shards)
    network = ["tiny", "--images", str(root / "set/images"), "--out", str(root / "coco.json")]
    assert main(["evaluate", *network, "--annotations", str(root / "set/annotations.json"), "--size", "96"]) == 0
    named = ["predict", str(root / "set/images"), "--checkpoint", "tiny", "--size", "96", "--out", str(root / "named")]
    assert main(named) == 0
    return root


def evaluate(results, folder, capsys, *words):
    """The exit code, the JSON object and the text on stderr."""
    capsys.readouterr()
    arguments = ["--results", str(results), "--annotations", str(folder / "set/annotations.json"), "--json", *words]
    code = main(["evaluate", *arguments])
    printed = capsys.readouterr()
    return code, json.loads(printed.out or "{}"), printed.err


def test_every_form_gets_the_same_ap(folder, capsys):
    reports = [evaluate(folder / name, folder, capsys) for name in ("parts", "coco.json", "named/results.json")]
    assert [code for code, _, _ in reports] == [0, 0, 0]
    aps = [report["AP"] for _, report, _ in reports]
    assert aps[0] > 0.05
    assert aps == pytest.approx([aps[0]] * 3, abs=1e-3)  # JSON rounds the keypoints
    assert all(report["images"] == COUNT for _, report, _ in reports)


def test_results_of_predict_have_ids_of_their_own(folder, tmp_path, capsys):
    """`predict` counts its images; images.json has their names, here in another order than the annotations."""
    before = evaluate(folder / "named/results.json", folder, capsys)[1]["AP"]
    results = json.loads((folder / "named/results.json").read_text())
    for result in results:
        result["image_id"] += 1000
    (tmp_path / "results.json").write_text(json.dumps(results))
    images = json.loads((folder / "named/images.json").read_text())
    shifted = [{**image, "id": image["id"] + 1000} for image in reversed(images)]
    (tmp_path / "images.json").write_text(json.dumps(shifted))
    assert evaluate(tmp_path / "results.json", folder, capsys)[1]["AP"] == pytest.approx(before)


def test_images_without_results_are_named(folder, tmp_path, capsys):
    part = sorted((folder / "parts").glob("*.parquet"))[0]
    shutil.copy(part, tmp_path)
    code, report, printed = evaluate(tmp_path / part.name, folder, capsys)
    assert code == 1
    assert sorted(report["failed"]) == ["0000005.jpg", "0000006.jpg"]
    assert "0000005.jpg: not among the results" in printed
    assert evaluate(tmp_path / part.name, folder, capsys, "--limit", "4")[0] == 0


def people(path, *images):
    write_rows(path, images, pose_schema(COCO.to_dict()))
    return path


def failed(key):
    return ImageRows.failed(key, f"{key}: broken", COCO.num_keypoints)


def test_errors_and_other_images_are_reported(folder, tmp_path, capsys):
    none = failed("x/elsewhere.jpg")
    other = ImageRows(none.image, none.keypoints, none.scores, none.boxes)
    rows = [failed(f"a.tar/{i:07d}.jpg") for i in range(1, COUNT + 1)]
    code, report, printed = evaluate(people(tmp_path / "a.parquet", *rows, failed("b.tar"), other), folder, capsys)
    assert code == 1
    assert report["failed"]["0000002.jpg"] == "a.tar/0000002.jpg: broken"
    assert (report["AP"], report["people_found"]) == (0, 0)
    assert "b.tar: broken" in printed
    assert report["warnings"][0].endswith("left out")
    assert "1 images are not in" in report["warnings"][0]


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("a.json", b"{}", 1, "expected a list of COCO keypoint results"),
        ("a.json", b'[{"image_id": 99}]', 1, "a.json[0].image_id: expected the id of an annotated image, got 99"),
        ("a.json", b"no", 1, "a.json: not valid JSON"),
        ("a.parquet", b"PAR1", 1, "a.parquet: not a Parquet file"),
        ("none.json", None, 2, "no such file"),
        ("empty", None, 2, "the folder contains no Parquet files"),
    ],
)
def test_damaged_results_are_named(name, content, code, message, folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found, _, printed = evaluate(tmp_path / name, folder, capsys)
    assert (found, message in printed) == (code, True), printed


def test_an_image_that_comes_twice_is_refused(folder, tmp_path, capsys):
    path = people(tmp_path / "a.parquet", failed("a/0000001.jpg"), failed("b/0000001.jpg"))
    code, _, printed = evaluate(path, folder, capsys)
    assert code == 1
    assert "a.parquet: image b/0000001.jpg: expected each image once" in printed


@pytest.mark.parametrize("words", [["tiny"], ["--flip"], ["--images", "a"], ["--scales", "2"], ["--skeleton", "coco"]])
def test_options_of_the_network_are_refused(words, folder, capsys):
    code, _, printed = evaluate(folder / "parts", folder, capsys, *words)
    assert code == 2
    assert "expected none with" in printed
