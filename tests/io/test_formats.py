"""Result files of every format, read by the programs they are made for where those are installed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import simplepose as sp
from simplepose.io.atomic import write_json
from simplepose.io.formats import openpose, yolo
from simplepose.io.formats.image_files import frame_name
from simplepose.io.formats.json_list import json_list
from simplepose.io.formats.registry import FORMATS
from simplepose.io.formats.source import Content, Inputs, Source
from simplepose.poses import Poses

SIZE = (120, 200)
NECK = sp.COCO.keypoints.index("neck")

WITHOUT_NECK = sp.Skeleton(
    "without-neck",
    tuple(k for k in sp.COCO.keypoints if k != "neck"),
    tuple(p for p in sp.COCO.parts if "neck" not in p),
    sp.COCO.left_right,
)


def people(count: int, seed: int, tracked: bool = False, skeleton: sp.Skeleton = sp.COCO) -> Poses:
    """People with missing keypoints; the last has no keypoint but the first that is derived, or none."""
    random = np.random.default_rng(seed)
    shape = (count, skeleton.num_keypoints)
    keypoints = np.concatenate([random.uniform(0, 119, (*shape, 2)), random.uniform(0.1, 1.1, (*shape, 1))], 2)
    keypoints[random.random(shape) < 0.3] = (np.nan, np.nan, 0)
    if count > 1 and skeleton is sp.COCO:
        keypoints[-1] = (np.nan, np.nan, 0)
        keypoints[-1, NECK] = (50, 60, 0.5)
    scores = np.sort(random.uniform(0.5, 12, count))[::-1]
    ids = np.array([7, -1, 3, 12][:count], np.int64) if tracked else None
    root = random.normal(size=(*shape, 2, 2))
    covariance = np.where((keypoints[..., 2] > 0)[..., None, None], root @ root.swapaxes(-1, -2), np.nan)
    arrays = (a.astype(np.float32) for a in (keypoints, scores, covariance))
    keypoints, scores, covariance = arrays
    return Poses(keypoints, scores, skeleton, seed == 1, ids, covariance)


Images = list[tuple[Source, Poses]]


def image_run(skeleton: sp.Skeleton = sp.COCO) -> Images:
    """Three images in two folders, two of the same name, one without people."""
    counts = {"a/one.jpg": 3, "b/one.png": 2, "a/two.jpg": 0}
    return [(Source(Path(n), SIZE), people(c, i, False, skeleton)) for i, (n, c) in enumerate(counts.items())]


def video_run() -> Images:
    """Four frames of a video with tracked people; the third has none."""
    counts = (2, 3, 0, 4)
    return [(Source(Path("clips/c.mp4"), SIZE, i, i / 25), people(n, i, True)) for i, n in enumerate(counts)]


RUNS = {"images": image_run(), "video": video_run()}


def write(name: str, folder: Path, images: Images, failed: str = "") -> None:
    """Write the people of a run, and an image that could not be read."""
    video = images[0][0].frame is not None
    paths = tuple(dict.fromkeys([source.path for source, _ in images]))
    poses = images[0][1]
    content = Content(poses.skeleton, poses.track_ids is not None, poses.covariance is not None)
    folder.mkdir(exist_ok=True)
    with FORMATS[name].writer(folder, Inputs(paths, video), content) as add:
        for number, (source, found) in enumerate(images):
            if failed and number == 1:
                add(Source(Path(failed)), None, f"{failed}: damaged")
            add(source, found, "")


def rounded(poses: Poses, order: np.ndarray) -> np.ndarray:
    """``[N, K, 3]`` keypoints with 3 decimals, missing ones as zeros."""
    rows = np.where(poses.visible[..., None], poses.keypoints, 0)[:, order]
    return np.round(rows.astype(float), 3)


@pytest.mark.parametrize("items", [[], [1], [{"a": [1, {"b": []}], "c": "x\ny"}, [], "é", [[1.5, None]]]])
def test_a_list_written_by_items_has_the_text_of_the_whole_list(items: list, tmp_path: Path):
    with json_list(tmp_path / "a.json") as add:
        for item in items:
            add(item)
    write_json(tmp_path / "b.json", items)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FORMATS)
def test_a_failed_run_replaces_complete_files_of_single_frames_alone(name: str, tmp_path: Path):
    pytest.importorskip(FORMATS[name].module or "json", reason=f"{FORMATS[name].module} is not installed")
    write(name, tmp_path, RUNS["video"])
    before = content_of(tmp_path)
    source, poses = RUNS["video"][1]
    arguments = (Inputs((source.path,), True), Content(sp.COCO, True, True))

    def stop() -> None:
        with FORMATS[name].writer(tmp_path, *arguments) as add:
            add(source, poses[:1], "")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stop()
    after = content_of(tmp_path)
    assert after.keys() == before.keys()
    single = {"openpose": openpose.ENDING, "yolo": yolo.ENDING}
    changed = {frame_name(source.path, 1, single[name])} if name in single else set()
    assert {file for file in after if after[file] != before[file]} == changed


@pytest.mark.parametrize("run", RUNS)
def test_coco_results_are_read_by_pycocotools(run: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from pycocotools.coco import COCO

    write("coco", tmp_path, RUNS[run], failed="bad.jpg")
    images = json.loads((tmp_path / "images.json").read_text())
    assert [image["file_name"] for image in images] == [source.name for source, _ in RUNS[run]]
    if run == "video":
        assert [(image["frame_id"], image["time"]) for image in images] == [(i, i / 25) for i in range(4)]
    truth = COCO()
    truth.dataset = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    truth.createIndex()
    results = truth.loadRes(str(tmp_path / "results.json"))
    for image, (_, poses) in zip(images, RUNS[run], strict=True):
        found = results.loadAnns(results.getAnnIds(imgIds=[image["id"]]))
        kept = poses[poses.visible[:, sp.COCO.dataset_index].any(1)]
        rows = np.array([result["keypoints"] for result in found]).reshape(-1, 17, 3)
        np.testing.assert_array_equal(rows, rounded(kept, sp.COCO.dataset_index))
        assert [result["score"] for result in found] == kept.scores.astype(float).tolist()
        if kept.track_ids is not None:
            assert [result["track_id"] or -1 for result in found] == kept.track_ids.tolist()


@pytest.mark.parametrize("run", RUNS)
def test_openpose_files_have_its_keys_and_order(run: str, tmp_path: Path):
    write("openpose", tmp_path, RUNS[run], failed="bad.jpg")
    index = json.loads((tmp_path / "images.json").read_text())
    names = [f"c_00000000000{i}_keypoints.json" for i in range(4)]
    names = ["one_keypoints.json", "one_2_keypoints.json", "two_keypoints.json"] if run == "images" else names
    assert [entry["results"] for entry in index] == names
    assert sorted(path.name for path in (tmp_path / "keypoints").iterdir()) == sorted(names)
    for name, (_, poses) in zip(names, RUNS[run], strict=True):
        data = json.loads((tmp_path / "keypoints" / name).read_text())
        assert data["version"] == 1.3
        expected = [-1] * len(poses) if poses.track_ids is None else poses.track_ids.tolist()
        assert [person["person_id"] for person in data["people"]] == [[number] for number in expected]
        found = np.array([person["pose_keypoints_2d"] for person in data["people"]]).reshape(-1, 18, 3)
        np.testing.assert_array_equal(found, rounded(poses, np.arange(18)))
        for person in data["people"]:
            assert set(person) == {"person_id", "pose_keypoints_2d", *openpose.EMPTY}
            assert [person[key] for key in openpose.EMPTY] == [[]] * 7


def test_the_order_of_openpose_does_not_depend_on_that_of_the_skeleton():
    names = tuple(sorted(openpose.KEYPOINTS))
    poses = people(2, 0)
    other = sp.Skeleton("other", names, sp.COCO.parts, sp.COCO.left_right)
    moved = Poses(poses.keypoints[:, [sp.COCO.keypoints.index(name) for name in names]], poses.scores, other)
    assert openpose.text(moved) == openpose.text(poses)
    hand = sp.load_skeleton("hand21")
    assert openpose.keypoint_order(hand) == list(range(21))


def read_yolo(path: Path, num_keypoints: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``[N, 4]`` and keypoints ``[N, K, 3]`` of a label file, checked as its documented layout demands."""
    rows = [line.split() for line in path.read_text().splitlines()]
    values = np.array(rows, float).reshape(-1, 5 + 3 * num_keypoints)
    assert (values[:, 0] == 0).all(), "class"
    keypoints = values[:, 5:].reshape(-1, num_keypoints, 3)
    assert ((values[:, 1:5] >= 0) & (values[:, 1:5] <= 1)).all()
    assert ((keypoints[..., :2] >= 0) & (keypoints[..., :2] <= 1)).all()
    assert set(np.unique(keypoints[..., 2])) <= {0, 2}
    return values[:, 1:5], keypoints


@pytest.mark.parametrize("run", RUNS)
def test_yolo_labels_have_the_documented_layout(run: str, tmp_path: Path):
    write("yolo", tmp_path, RUNS[run], failed="bad.jpg")
    index = json.loads((tmp_path / "images.json").read_text())
    assert sorted(path.name for path in (tmp_path / "labels").iterdir()) == sorted(e["results"] for e in index)
    height, width = SIZE
    for entry, (_, poses) in zip(index, RUNS[run], strict=True):
        boxes, keypoints = read_yolo(tmp_path / "labels" / entry["results"], 17)
        kept = poses.keypoints[:, sp.COCO.dataset_index]
        kept = kept[(kept[..., 2] > 0).any(1)]
        assert len(boxes) == len(kept)
        found = kept[..., 2] > 0
        np.testing.assert_array_equal(keypoints[..., 2] > 0, found)
        np.testing.assert_allclose(keypoints[found][:, :2] * [width, height], kept[found][:, :2], atol=2e-4)
        for (x, y, w, h), row in zip(boxes * [width, height, width, height], kept, strict=True):
            xy = row[row[:, 2] > 0, :2]
            np.testing.assert_allclose(
                [x - w / 2, y - h / 2, x + w / 2, y + h / 2], [*xy.min(0), *xy.max(0)], atol=1e-3
            )


def test_yolo_positions_outside_of_the_image_are_clipped():
    poses = people(1, 0)
    poses.keypoints[0, 0] = (-0.4, 130, 0.5)
    line = yolo.text(Source(Path("a.jpg"), SIZE), poses).split()
    assert line[5:8] == ["0.000000", "1.000000", "2"]


def test_yolo_data_describes_the_keypoints():
    lines = dict(line.split(": ", 1) for line in yolo.data_text(sp.COCO).splitlines() if ": " in line)
    assert lines["kpt_shape"] == "[17, 3]"
    assert json.loads(lines["flip_idx"]) == [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    text = yolo.data_text(sp.load_skeleton("hand21"))
    assert "kpt_shape: [21, 3]" in text
    assert f"flip_idx: {list(range(21))}" in text


def test_a_shorter_video_leaves_no_frames_of_a_longer_one(tmp_path: Path):
    for name in ("openpose", "yolo"):
        folder = tmp_path / name
        other = folder / FORMATS[name].result
        write(name, folder, RUNS["video"])
        (other / "c2_000000000003.txt").write_text("of another video")
        write(name, folder, RUNS["video"][:2])
        index = json.loads((folder / "images.json").read_text())
        names = [entry["results"] for entry in index]
        assert sorted(path.name for path in other.iterdir()) == sorted([*names, "c2_000000000003.txt"])


@pytest.mark.parametrize("run", RUNS)
def test_csv_restores_every_value(run: str, tmp_path: Path):
    write("csv", tmp_path, RUNS[run], failed="bad.jpg")
    with (tmp_path / "people.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(poses) for _, poses in RUNS[run])
    for source, poses in RUNS[run]:
        frame = "" if source.frame is None else str(source.frame)
        own = [row for row in rows if (row["image"], row["frame"]) == (str(source.path), frame)]
        assert [row["person"] for row in own] == [str(i) for i in range(len(poses))]
        for i, row in enumerate(own):
            number = -1 if poses.track_ids is None else poses.track_ids[i]
            assert row["track_id"] == ("" if number < 0 else str(number))
            assert row["truncated"] == ("true" if poses.truncated else "false")
            assert row["time_s"] == ("" if source.time is None else str(source.time))
            assert np.float32(row["score"]) == poses.scores[i]
            found = [
                [np.float32(row[f"{k}_{v}"] or "nan") for v in ("x_px", "y_px", "score")] for k in sp.COCO.keypoints
            ]
            np.testing.assert_array_equal(found, poses.keypoints[i])
            box = [np.float32(row[f"box_{side}_px"]) for side in ("left", "top", "right", "bottom")]
            np.testing.assert_array_equal(box, poses.boxes[i])


def test_csv_takes_any_file_name(tmp_path: Path):
    poses = people(1, 0)
    names = ['a, "b"\n.jpg', "\udcff.jpg", "é.jpg"]
    write("csv", tmp_path, [(Source(Path(name), SIZE), poses) for name in names])
    with (tmp_path / "people.csv").open(newline="", encoding="utf-8") as file:
        assert [row["image"] for row in csv.DictReader(file)] == [names[0], "\\udcff.jpg", names[2]]


@pytest.mark.parametrize("run", RUNS)
def test_csv_and_dataframes_agree_in_pandas(run: str, tmp_path: Path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    write("csv", tmp_path, RUNS[run])
    read = pandas.read_csv(tmp_path / "people.csv", dtype={"track_id": "Int64"})
    frames = [poses.to_dataframe() for _, poses in RUNS[run]]
    together = pandas.concat(frames, ignore_index=True)
    assert list(read.columns) == ["image", "frame", "time_s", *together.columns]
    for name in together.columns:
        pandas.testing.assert_series_equal(
            read[name].astype(together[name].dtype), together[name], check_exact=True, check_index=False
        )
    first = RUNS[run][0][1]
    assert frames[0]["nose_var_x_px2"].dtype == np.float32
    np.testing.assert_array_equal(frames[0]["nose_cov_xy_px2"], first.covariance[:, 0, 0, 1])
    assert "nose_var_x_px2" not in Poses(first.keypoints, first.scores).to_dataframe()


@pytest.mark.parametrize("run", RUNS)
def test_parquet_is_read_by_pyarrow(run: str, tmp_path: Path):
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    from simplepose.io.parquet import read_counts, read_rows

    write("parquet", tmp_path, RUNS[run], failed="bad.jpg")
    path = tmp_path / "people.parquet"
    table = pq.read_table(path)
    base = ["image", "person", "score", "box", "keypoints", "truncated", "error"]
    assert table.column_names == base + (["track_id", "frame", "time_s"] if run == "video" else [])
    expected = [(source.name, poses) for source, poses in RUNS[run]]
    expected.insert(1, ("bad.jpg", Poses.empty()))
    for image, (name, poses) in zip(read_rows(path), expected, strict=True):
        assert image.image == name
        assert image.error == ("bad.jpg: damaged" if name == "bad.jpg" else None)
        np.testing.assert_array_equal(image.keypoints, poses.keypoints)
        np.testing.assert_array_equal(image.scores, poses.scores)
        if poses.track_ids is not None:
            np.testing.assert_array_equal(image.track_ids, poses.track_ids)
    assert read_counts(path).images == len(expected)
    if run == "video":
        rows = table.to_pylist()
        assert [row["frame"] for row in rows] == [0, 0, None, 1, 1, 1, 2, 3, 3, 3, 3]
        assert [row["time_s"] for row in rows[-5:]] == [2 / 25] + [3 / 25] * 4


@pytest.mark.parametrize("run", RUNS)
def test_sleap_labels_are_read_by_sleap_io(run: str, tmp_path: Path):
    sleap_io = pytest.importorskip("sleap_io", reason="sleap-io is not installed")
    write("sleap", tmp_path, RUNS[run], failed="bad.jpg")
    labels = sleap_io.load_slp(str(tmp_path / "people.slp"), open_videos=False)
    assert len(labels) == len(RUNS[run])
    for frame, (source, poses) in zip(labels, RUNS[run], strict=True):
        assert (frame.video.filename, frame.frame_idx) == (str(source.path), source.frame or 0)
        assert len(frame.instances) == len(poses)
        for i, instance in enumerate(frame.instances):
            np.testing.assert_array_equal(instance.numpy(), poses.keypoints[i, :, :2])
            number = -1 if poses.track_ids is None else poses.track_ids[i]
            assert (instance.track.name if instance.track else "-1") == str(number)
    assert [node.name for node in labels.skeleton.nodes] == list(sp.COCO.keypoints)


def test_supervision_draws_the_people_and_their_covariances():
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    poses = people(3, 2, tracked=True)
    points = poses.to_supervision()
    order = sp.COCO.dataset_index
    assert len(points) == 3
    np.testing.assert_array_equal(points.visible, poses.visible[:, order])
    np.testing.assert_array_equal(points.xy[points.visible], poses.keypoints[:, order][points.visible][:, :2])
    np.testing.assert_array_equal(points.keypoint_confidence, poses.keypoints[:, order, 2])
    assert (points.xy[~points.visible] == 0).all()
    assert points.data["tracker_id"].tolist() == [7, -1, 3]
    np.testing.assert_array_equal(points[2].detection_confidence, poses.scores[2:])
    image = np.full((*SIZE, 3), 128, np.uint8)
    drawn = sv.EdgeAnnotator().annotate(image.copy(), points)  # finds the edges by the number of keypoints
    assert (drawn != image).any()
    drawn = sv.VertexEllipseOutlineAnnotator().annotate(image.copy(), points)
    assert (drawn != image).any()
    body = Poses(np.delete(poses.keypoints, NECK, 1), poses.scores, WITHOUT_NECK)
    np.testing.assert_allclose(points.as_detections().xyxy, body.boxes[:2])  # the third person has only a neck


def test_poses_without_people_are_empty_tables():
    sv = pytest.importorskip("supervision", reason="supervision is not installed")
    assert len(Poses.empty().to_supervision()) == 0
    assert isinstance(Poses.empty().to_supervision(), sv.KeyPoints)


@pytest.mark.parametrize(("method", "package"), [("to_dataframe", "pandas"), ("to_supervision", "supervision")])
def test_a_missing_package_is_named_with_its_extra(method: str, package: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=rf"{method} needs {package}: pip install 'simplepose\[tables\]'"):
        getattr(Poses.empty(), method)()
