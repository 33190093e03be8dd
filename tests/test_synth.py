"""Synthetic people: the same bytes everywhere, valid COCO, and labels that say what the pictures show."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simplepose.skeleton import COCO
from simplepose.synth import Scene, SynthConfig, encode_rle, render_scene, write_dataset
from simplepose.synth_body import Build, SurfaceList, body_surfaces, pose_bones, rotation
from simplepose.synth_looks import sample_look
from simplepose.synth_paint import BEHIND, Camera, place, rasterise
from simplepose.synth_person import Person, cover, label_keypoints, make_person
from simplepose.synth_pose import GESTURE_WEIGHTS, GESTURES, LIMITS, PAIRED, POSES, limits_of, sample_pose

NAMES = COCO.dataset_keypoints
SMALL = SynthConfig(size=96, people=(1, 3), person_size=(40.0, 110.0), crowds=0.5, unlabelled=0.3)


def decode(segmentation: dict[str, Any]) -> np.ndarray:
    """The mask of uncompressed run lengths, written independently of the encoder."""
    height, width = segmentation["size"]
    values = np.repeat(np.arange(len(segmentation["counts"])) % 2, segmentation["counts"])
    return values.reshape(width, height).T.astype(bool)


def keypoints_of(annotation: dict[str, Any]) -> np.ndarray:
    return np.array(annotation["keypoints"], float).reshape(17, 3)


def upright() -> dict[str, float]:
    """The angles of a person who stands still, arms a little away from the body."""
    angles = {name: 0.0 for name in LIMITS if name not in PAIRED}
    angles.update({f"{side}_{name}": 0.0 for side in ("left", "right") for name in PAIRED})
    return angles | {"left_shoulder_abduction": 14.0, "right_shoulder_abduction": 14.0}


def standing(yaw: float, number: int = 0) -> tuple[Person, np.ndarray]:
    """A person who stands alone in a 200 x 200 image, turned by ``yaw`` degrees, and its labels ``[17, 3]``."""
    look = sample_look(np.random.default_rng(number))
    person = make_person("stand", upright(), look, rotation(yaw, 0, 0), 5.0, yaw).moved(180, 100, 100)
    layer = cover(person, 200, 200)
    assert layer is not None
    owner = np.full((200, 200), -1, np.int16)
    owner[layer.window][layer.surface >= 0] = 0
    return person, label_keypoints(person, layer, owner, 0, -1)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [render_scene(7, i) for i in range(60)]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "data"
    write_dataset(out, 12, 5, SMALL, progress=False)
    return out


# The same bytes for a seed


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


def test_file_is_the_image_of_the_scene(dataset: Path):
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
    crowds = unlabelled = 0
    assert len(coco.getImgIds()) == 12
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation)
        assert mask.shape == (96, 96)
        assert mask.sum() == annotation["area"]
        assert mask_tools.toBbox(coco.annToRLE(annotation)).tolist() == annotation["bbox"]
        crowds += annotation["iscrowd"]
        unlabelled += annotation["num_keypoints"] == 0 and not annotation["iscrowd"]
    assert crowds >= 2
    assert unlabelled >= 2


def test_perfect_detections_have_ap_1(dataset: Path):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(dataset / "annotations.json"))
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    labelled = [a for a in coco.loadAnns(coco.getAnnIds()) if a["num_keypoints"]]
    results = [{k: a[k] for k in ("image_id", "category_id", "keypoints")} | {"score": 0.9} for a in labelled]
    judge = evaluation.COCOeval(coco, coco.loadRes(results), "keypoints")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1.0)


@pytest.mark.parametrize("first", [False, True])
def test_run_lengths_give_back_the_mask(first: bool):
    mask = np.random.default_rng(1).random((7, 5)) < 0.5
    mask[0, 0] = first
    np.testing.assert_array_equal(decode(encode_rle(mask)), mask)


# Labels are true


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


def test_off_the_image_and_only_there_keypoints_are_unlabelled(scenes: list[Scene]):
    missing = 0
    for scene in scenes:
        for annotation, person in zip(scene.annotations, scene.people, strict=False):
            inside = (person.keypoints[:, :2] > 0).all(1)
            inside &= (person.keypoints[:, :2] < [scene.width - 1, scene.height - 1]).all(1)
            if annotation["num_keypoints"]:
                np.testing.assert_array_equal(keypoints_of(annotation)[:, 2] > 0, inside)
                missing += int((~inside).sum())
    assert missing > 50  # borders do cut people


def test_visible_keypoints_lie_on_the_own_mask_and_hidden_ones_are_covered(scenes: list[Scene]):
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
    assert hidden > 300
    assert by_others > 40


def test_masks_of_people_do_not_overlap(scenes: list[Scene]):
    for scene in scenes[:20]:
        assert np.sum([decode(a["segmentation"]) for a in scene.annotations], axis=0).max() == 1


@pytest.mark.parametrize("number", range(4))
def test_left_is_on_the_right_of_the_image_for_people_who_face_the_camera(number: int):
    pairs = [(NAMES.index(a), NAMES.index(b)) for a, b in COCO.left_right]
    for yaw, sign in ((0, 1), (30, 1), (150, -1), (180, -1)):
        person, _ = standing(yaw, number)
        for left, right in pairs:
            assert sign * (person.keypoints[left, 0] - person.keypoints[right, 0]) > 0


def test_in_scenes_the_yaw_tells_the_side_of_the_left_shoulder(scenes: list[Scene]):
    left, right = NAMES.index("left_shoulder"), NAMES.index("right_shoulder")
    agree = []
    for person in itertools.chain.from_iterable(scene.people for scene in scenes):
        facing = np.cos(np.radians(person.yaw))
        if abs(facing) > 0.7 and person.kind in ("stand", "walk", "sit"):
            agree.append((person.keypoints[left, 0] > person.keypoints[right, 0]) == (facing > 0))
    assert len(agree) > 60
    assert np.mean(agree) > 0.98  # a twisted spine may turn the shoulders back


@pytest.mark.parametrize("number", range(4))
def test_what_is_visible_from_the_front_the_back_and_the_side(number: int):
    body = {"shoulder", "elbow", "wrist", "knee", "ankle"}  # the arm hangs before the hip
    for yaw, seen, unseen in (
        (0, {"nose", "left_eye", "right_eye"}, set()),
        (180, set(), {"nose", "left_eye", "right_eye"}),
        (90, {"right_ear"}, {"left_eye", "left_ear", "left_shoulder", "left_elbow", "left_hip"}),
        (-90, {"left_ear"}, {"right_eye", "right_ear", "right_shoulder", "right_elbow", "right_hip"}),
    ):
        person, labels = standing(yaw, number)
        skirt = "skirt" in person.surfaces.material
        near = {0: ("left", "right"), 180: ("left", "right"), 90: ("right",), -90: ("left",)}[yaw]
        seen = seen | {f"{side}_{stem}" for side in near for stem in body if not (skirt and stem == "knee")}
        visible = {name for name, visibility in zip(NAMES, labels[:, 2], strict=True) if visibility == 2}
        assert seen <= visible
        assert not unseen & visible


def test_faces_are_drawn_in_front_and_hair_behind():
    """The skull's middle has the colour of skin from the front and of hair from behind."""
    person, _ = standing(0, 1)
    face = person.look.face
    for yaw, expected in ((0, face.skin), (180, face.crown)):
        person, _ = standing(yaw, 1)
        layer = cover(person, 200, 200)
        assert layer is not None
        nose = person.keypoints[NAMES.index("nose")]
        eyes = person.keypoints[[NAMES.index("left_eye"), NAMES.index("right_eye")]].mean(0)
        x, y = np.round((nose + 3 * eyes)[:2] / 4).astype(int).tolist()
        pixel = np.array([(y - layer.top) * layer.surface.shape[1] + x - layer.left])
        color = person.paint(layer, pixel, np.array([0.0, 0.0, 1.0]), 1.0)[0]
        assert np.abs(color - expected).max() < 0.08 * 255


# Bodies are human


def test_poses_keep_to_the_joint_limits():
    rng = np.random.default_rng(2)
    kinds = set()
    for _ in range(300):
        kind, angles = sample_pose(rng)
        kinds.add(kind)
        assert set(angles) == set(upright())
        for name, value in angles.items():
            low, high = limits_of(name)
            assert low <= value <= high
        points, frames = (bones := pose_bones(angles, Build())).points, bones.frames
        for side in ("left", "right"):
            shank = points[f"{side}_ankle"] - points[f"{side}_knee"]
            forearm = points[f"{side}_wrist"] - points[f"{side}_elbow"]
            # Knees bend backwards only, elbows forwards only: the third column of a frame is its front.
            assert shank @ frames[f"{side}_thigh"][:, 2] <= 1e-9
            assert forearm @ frames[f"{side}_upper_arm"][:, 2] >= -1e-9
            assert np.linalg.norm(shank) == pytest.approx(0.246)
            assert np.linalg.norm(forearm) == pytest.approx(0.146)
    assert kinds == set(POSES)


def test_shares_of_poses_and_gestures_sum_to_1():
    assert sum(weight for weight, _ in POSES.values()) == pytest.approx(1)
    assert sum(GESTURE_WEIGHTS.values()) == pytest.approx(1)
    assert set(GESTURE_WEIGHTS) == set(GESTURES)


def test_keypoints_lie_inside_the_body():
    """The bones' ends are inside the surfaces; the face's points are on the skull, not before it."""
    for yaw in range(-180, 180, 40):
        person, _ = standing(yaw)
        layer = cover(person, 200, 200)
        assert layer is not None
        depth = np.full((200, 200), BEHIND)
        depth[layer.window] = layer.depth
        for name, (x, y, z) in zip(NAMES, person.keypoints.tolist(), strict=True):
            around = depth[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2]
            assert around.max() >= z - 0.012 * person.stature, name


def test_bodies_are_as_thick_as_annotated_people(scenes: list[Scene]):
    """OKS scales with the area, so thin bodies would make it too strict.

    Mask area over box area of the 417 people with 10 keypoints or more in 255 images of COCO val2017: quartiles 0.432,
    0.522 and 0.597.
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


def test_sizes_keep_to_the_config():
    config = SynthConfig(size=(160, 240), people=(1, 6), person_size=(50.0, 90.0))
    for index in range(8):
        scene = render_scene(1, index, config)
        assert scene.image.shape == (160, 240, 3)
        assert 1 <= len(scene.people) <= 6
        for person in scene.people:
            left, top, right, bottom = person.box
            assert 50 - 1e-6 <= max(right - left, bottom - top) <= 90 + 1e-6


# The renderer


def test_depth_of_a_ball_and_a_rod_is_exact():
    surfaces = SurfaceList()
    surfaces.ball("torso", "top", np.array([0.0, 0.0, 0.0]), 20.3)
    surfaces.rod("torso", "top", (np.array([40.0, 25.4, 3.0]), np.array([40.0, -25.4, 3.0])), (8.3, 8.3), np.eye(3))
    camera = Camera(np.eye(3), 1e9, 1.0, (50.0, 50.0))  # so far away that nothing is foreshortened
    layer = rasterise(place(surfaces.pack(), camera), 100, 100)
    assert layer is not None
    depth, surface = np.full((100, 100), BEHIND), np.full((100, 100), -1)
    depth[layer.window], surface[layer.window] = layer.depth, layer.surface
    y, x = np.mgrid[:100, :100] - 50.0
    square = 20.3**2 - x**2 - y**2
    np.testing.assert_array_equal(surface == 0, square > 0)
    np.testing.assert_allclose(depth[surface == 0], np.sqrt(square[surface == 0]), atol=2e-3)
    across = 8.3**2 - (x - 40) ** 2
    np.testing.assert_array_equal(surface == 1, (across > 0) & (np.abs(y) <= 25.4))
    np.testing.assert_allclose(depth[surface == 1], 3 + np.sqrt(across[surface == 1]), atol=2e-3)


def test_every_surface_has_a_material():
    rng = np.random.default_rng(0)
    for hair in ("short", "long", "tail", "cap"):
        surfaces = body_surfaces(pose_bones(upright(), Build()), Build(), hair, skirt=True)
        assert set(surfaces.material) <= set(sample_look(rng).materials)


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
        ({"unlabelled": True}, TypeError, "unlabelled"),
    ],
)
def test_wrong_config_is_refused_by_name(changes: dict[str, Any], error: type[Exception], message: str):
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
def test_wrong_counts_are_refused_and_nothing_is_written(
    tmp_path: Path, images: Any, seed: Any, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        write_dataset(tmp_path / "out", images, seed)
    assert not (tmp_path / "out").exists()


def test_negative_index_is_refused():
    with pytest.raises(ValueError, match="index"):
        render_scene(0, -1)


def test_folders_with_content_are_refused(tmp_path: Path, dataset: Path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="has content"):
        write_dataset(tmp_path, 1, 1, SMALL)
    with pytest.raises(FileExistsError, match="is a file"):
        write_dataset(tmp_path / "mine.txt", 1, 1, SMALL)
    with pytest.raises(OSError, match="cannot make"):
        write_dataset(tmp_path / "mine.txt" / "below", 1, 1, SMALL)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_an_error_takes_back_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import simplepose.synth as synth

    def fail(seed: int, index: int, config: SynthConfig) -> Scene:
        if index == 2:
            raise KeyboardInterrupt
        return render_scene(seed, index, config)

    monkeypatch.setattr(synth, "render_scene", fail)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "out", 4, 1, SMALL, progress=False)
    assert not any((tmp_path / "out").iterdir())
    monkeypatch.undo()
    write_dataset(tmp_path / "out", 1, 1, SMALL, progress=False)  # the empty folder is taken


def test_progress_is_plain_lines_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_dataset(tmp_path, 2, 1, SMALL)
    assert capsys.readouterr().err.splitlines() == ["synth: 1 of 2 images", "synth: 2 of 2 images"]
