"""Synthetic people: deterministic files, valid COCO annotations, and labels that match the images."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simplepose.skeleton.skeleton import COCO
from simplepose.synth.dataset import write_dataset
from simplepose.synth.person import cover
from simplepose.synth.renderer import BEHIND
from simplepose.synth.scene import HIDDEN_LABEL_PROBABILITY, Scene, SynthConfig, encode_rle, render_scene

NAMES = COCO.dataset_keypoints
SMALL = SynthConfig(size=96, people=(1, 3), person_size=(40.0, 110.0), crowds=0.5, unlabeled=0.3)


def decode(segmentation: dict[str, Any]) -> np.ndarray:
    """The mask of uncompressed run lengths, written independently of the encoder."""
    height, width = segmentation["size"]
    values = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"])
    return values.reshape(width, height).T.astype(bool)


def keypoints_of(annotation: dict[str, Any]) -> np.ndarray:
    return np.array(annotation["keypoints"], float).reshape(17, 3)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_scene(7, i) for i in range(60)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "data"
    write_dataset(out, 12, 5, SMALL, progress=False)
    return out


# Determinism


def test_scene_depends_on_seed_and_index_only():
    first = render_scene(3, 4, SMALL)
    render_scene(3, 0, SMALL)
    again = render_scene(3, 4, SMALL)
    assert first.jpeg == again.jpeg
    assert first.annotations == again.annotations
    others = {render_scene(3, 5, SMALL).jpeg, render_scene(4, 4, SMALL).jpeg, first.jpeg}
    assert len(others) == 3


def test_bytes_do_not_depend_on_the_number_of_workers(dataset: Path, tmp_path: Path):
    write_dataset(tmp_path, 12, 5, SMALL, workers=2, progress=False)
    ours = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    theirs = {p.relative_to(dataset): p.read_bytes() for p in dataset.rglob("*") if p.is_file()}
    assert len(ours) == 13
    assert ours == theirs


def test_the_image_file_contains_the_image_of_the_scene(dataset: Path):
    cv2 = pytest.importorskip("cv2")
    scene = render_scene(5, 0, SMALL)
    data = json.loads((dataset / "annotations.json").read_text())
    image = cv2.imread(str(dataset / "images" / data["images"][0]["file_name"]))
    np.testing.assert_array_equal(image, scene.image)
    assert image.shape == (96, 96, 3)
    kept = [
        {k: v for k, v in a.items() if k not in ("id", "image_id")} for a in data["annotations"] if a["image_id"] == 1
    ]
    assert kept == scene.annotations


# Valid COCO


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools 2.0 with NumPy 2
def test_pycocotools_reads_masks_and_boxes(dataset: Path):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(dataset / "annotations.json"))
    mask_tools = pytest.importorskip("pycocotools.mask")
    crowds = unlabeled = 0
    assert len(coco.getImgIds()) == 12
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation)
        assert mask.shape == (96, 96)
        assert mask.sum() == annotation["area"]
        assert mask_tools.toBbox(coco.annToRLE(annotation)).tolist() == annotation["bbox"]
        crowds += annotation["iscrowd"]
        unlabeled += annotation["num_keypoints"] == 0 and not annotation["iscrowd"]
    assert crowds >= 2
    assert unlabeled >= 2


def test_perfect_detections_have_ap_1(dataset: Path):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(dataset / "annotations.json"))
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    labeled = [a for a in coco.loadAnns(coco.getAnnIds()) if a["num_keypoints"]]
    results = [{k: a[k] for k in ("image_id", "category_id", "keypoints")} | {"score": 0.9} for a in labeled]
    evaluator = evaluation.COCOeval(coco, coco.loadRes(results), "keypoints")
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    assert evaluator.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize("first", [False, True])
def test_run_lengths_decode_to_the_mask(first: bool):
    mask = np.random.default_rng(1).random((7, 5)) < 0.5
    mask[0, 0] = first
    np.testing.assert_array_equal(decode(encode_rle(mask)), mask)


# Correct labels


def test_annotations_are_within_the_image(scenes: list[Scene]):
    for scene in scenes:
        assert 1 <= len(scene.people) <= 8
        for annotation in scene.annotations:
            x, y, width, height = annotation["bbox"]
            assert x >= 0
            assert y >= 0
            assert x + width <= scene.width
            assert y + height <= scene.height
            points = keypoints_of(annotation)
            assert annotation["num_keypoints"] == (points[:, 2] > 0).sum()
            assert (points[points[:, 2] == 0] == 0).all()
            assert (points[:, :2] >= 0).all()
            assert (points[:, :2] <= [scene.width - 1, scene.height - 1]).all()


def test_keypoints_off_the_image_are_unlabeled_and_hidden_ones_are_labeled_with_their_probability(scenes: list[Scene]):
    missing = 0
    hidden, labeled = np.zeros(17), np.zeros(17)
    for scene in scenes:
        for annotation, person in zip(scene.annotations, scene.people, strict=False):
            inside = (person.keypoints[:, :2] > 0).all(1)
            inside &= (person.keypoints[:, :2] < [scene.width - 1, scene.height - 1]).all(1)
            if annotation["num_keypoints"]:
                visibility = keypoints_of(annotation)[:, 2]
                assert not (visibility[~inside] > 0).any()
                missing += int((~inside).sum())
                hidden += inside & (visibility < 2)
                labeled += visibility == 1
    assert missing > 50  # image borders cut people
    for group in (slice(0, 5), slice(5, 7), slice(7, 9), slice(9, 11), slice(11, 13), slice(13, 17)):
        spread = 4 * np.sqrt(0.25 / hidden[group].sum())
        assert abs(labeled[group].sum() / hidden[group].sum() - HIDDEN_LABEL_PROBABILITY[group].mean()) < spread


def test_visible_keypoints_lie_on_the_persons_mask_and_hidden_ones_are_occluded(scenes: list[Scene]):
    hidden = by_others = 0
    for scene in scenes:
        masks = [decode(a["segmentation"]) for a in scene.annotations]
        for number, person in enumerate(scene.people):
            others = np.any([m for i, m in enumerate(masks) if i != number] or [np.zeros_like(masks[0])], axis=0)
            layer = cover(person, scene.height, scene.width)
            assert layer is not None
            depth = np.full((scene.height, scene.width), BEHIND)
            depth[layer.window] = layer.depth
            points = keypoints_of(scene.annotations[number])
            for (x, y, visibility), z in zip(points.tolist(), person.keypoints[:, 2].tolist(), strict=True):
                around = np.s_[max(round(y) - 1, 0) : round(y) + 2, max(round(x) - 1, 0) : round(x) + 2]
                if visibility == 2:
                    assert masks[number][around].any()
                    assert masks[number][round(y), round(x)] or not others[round(y), round(x)]
                elif visibility == 1:
                    hidden += 1
                    by_others += bool(others[round(y), round(x)])
                    assert others[around].any() or depth[around].max() > z
    assert hidden > 200
    assert by_others > 30


def test_masks_of_people_do_not_overlap(scenes: list[Scene]):
    for scene in scenes[:20]:
        assert np.sum([decode(a["segmentation"]) for a in scene.annotations], axis=0).max() == 1


def test_the_yaw_determines_the_image_side_of_the_left_shoulder(scenes: list[Scene]):
    left, right = NAMES.index("left_shoulder"), NAMES.index("right_shoulder")
    agree = []
    for person in itertools.chain.from_iterable(scene.people for scene in scenes):
        facing = np.cos(np.radians(person.yaw))
        if abs(facing) > 0.7 and person.kind in ("stand", "walk", "sit"):
            agree.append((person.keypoints[left, 0] > person.keypoints[right, 0]) == (facing > 0))
    assert len(agree) > 60
    assert np.mean(agree) > 0.98  # a twisted spine may turn the shoulders back


# Body proportions


def test_bodies_have_the_relative_mask_areas_of_annotated_people(scenes: list[Scene]):
    """OKS tolerances grow with the area, so evaluation on thin bodies would be too strict.

    Reference: mask area over box area of the 417 people with 10 keypoints or more in 255 images of COCO val2017:
    quartiles 0.432, 0.522 and 0.597.
    """
    ratios = [
        annotation["area"] / (annotation["bbox"][2] * annotation["bbox"][3])
        for annotation in itertools.chain.from_iterable(scene.annotations for scene in scenes)
        if annotation["num_keypoints"] >= 10
    ]
    assert len(ratios) > 150
    low, middle, high = np.percentile(ratios, [25, 50, 75])
    assert 0.432 < middle < 0.597
    assert low == pytest.approx(0.432, abs=0.06)
    assert high == pytest.approx(0.597, abs=0.06)


def test_image_and_person_sizes_are_within_the_settings():
    config = SynthConfig(size=(160, 240), people=(1, 6), person_size=(50.0, 90.0))
    for index in range(8):
        scene = render_scene(1, index, config)
        assert scene.image.shape == (160, 240, 3)
        assert 1 <= len(scene.people) <= 6
        for person in scene.people:
            left, top, right, bottom = person.box
            assert 50 - 1e-6 <= max(right - left, bottom - top) <= 90 + 1e-6


# Errors


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size": 16}, ValueError, "size"),
        ({"size": "big"}, TypeError, "size"),
        ({"size": (256, 0)}, ValueError, "size"),
        ({"people": (0, 3)}, ValueError, "people"),
        ({"people": (5, 3)}, ValueError, "people"),
        ({"people": 3}, TypeError, "people"),
        ({"person_size": (4.0, 100.0)}, ValueError, "person_size"),
        ({"noise": (-1.0, 5.0)}, ValueError, "noise"),
        ({"blur": (0.0, float("nan"))}, ValueError, "blur"),
        ({"jpeg_quality": (50, 101)}, ValueError, "jpeg_quality"),
        ({"crowds": 1.5}, ValueError, "crowds"),
        ({"unlabeled": True}, TypeError, "unlabeled"),
    ],
)
def test_invalid_settings_are_named(changes: dict[str, Any], error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        SynthConfig(**changes)


@pytest.mark.parametrize(
    ("images", "seed", "error", "message"),
    [
        (0, 1, ValueError, "images"),
        (1.5, 1, TypeError, "images"),
        (1, -1, ValueError, "seed"),
        (1, "1", TypeError, "seed"),
    ],
)
def test_invalid_counts_are_rejected_and_nothing_is_written(
    tmp_path: Path, images: Any, seed: Any, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        write_dataset(tmp_path / "out", images, seed)
    assert not (tmp_path / "out").exists()


def test_negative_index_is_rejected():
    with pytest.raises(ValueError, match="index"):
        render_scene(0, -1)


def test_folders_with_content_are_rejected(tmp_path: Path, dataset: Path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="has content"):
        write_dataset(tmp_path, 1, 1, SMALL)
    with pytest.raises(FileExistsError, match="is a file"):
        write_dataset(tmp_path / "mine.txt", 1, 1, SMALL)
    with pytest.raises(OSError, match="cannot create"):
        write_dataset(tmp_path / "mine.txt" / "below", 1, 1, SMALL)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_an_error_removes_the_written_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import simplepose.synth.dataset as synth

    def fail(seed: int, index: int, config: SynthConfig) -> Scene:
        if index == 2:
            raise KeyboardInterrupt
        return render_scene(seed, index, config)

    monkeypatch.setattr(synth, "render_scene", fail)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "out", 4, 1, SMALL, progress=False)
    assert not any((tmp_path / "out").iterdir())
    monkeypatch.undo()
    write_dataset(tmp_path / "out", 1, 1, SMALL, progress=False)  # the empty folder is accepted


def test_progress_is_plain_lines_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_dataset(tmp_path, 2, 1, SMALL)
    assert capsys.readouterr().err.splitlines() == ["synth: 1 of 2 images", "synth: 2 of 2 images"]
