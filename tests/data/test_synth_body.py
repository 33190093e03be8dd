"""Synthetic bodies: joint limits, surfaces at their exact depth, and left and right in the image."""

from __future__ import annotations

import numpy as np
import pytest

from simplepose.skeleton.skeleton import COCO
from simplepose.synth.body import Build, SurfaceList, body_surfaces, pose_bones, rotation
from simplepose.synth.looks import sample_look
from simplepose.synth.person import Person, cover, label_keypoints, make_person
from simplepose.synth.pose import GESTURE_WEIGHTS, GESTURES, LIMITS, PAIRED, POSES, limits_of, sample_pose
from simplepose.synth.renderer import BEHIND, Camera, place, rasterize

NAMES = COCO.dataset_keypoints


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


@pytest.mark.parametrize("number", range(4))
def test_left_is_on_the_right_of_the_image_for_people_who_face_the_camera(number: int):
    pairs = [(NAMES.index(a), NAMES.index(b)) for a, b in COCO.left_right]
    for yaw, sign in ((0, 1), (30, 1), (150, -1), (180, -1)):
        person, _ = standing(yaw, number)
        for left, right in pairs:
            assert sign * (person.keypoints[left, 0] - person.keypoints[right, 0]) > 0


@pytest.mark.parametrize("number", range(4))
def test_visibility_from_the_front_the_back_and_the_side(number: int):
    body = {"shoulder", "elbow", "wrist", "knee", "ankle"}  # without the hip, which the hanging arm may hide
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
    """The middle of the skull has the skin color from the front and the hair color from behind."""
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


def test_poses_are_within_the_joint_limits():
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


def test_probabilities_of_poses_and_gestures_sum_to_1():
    assert sum(weight for weight, _ in POSES.values()) == pytest.approx(1)
    assert sum(GESTURE_WEIGHTS.values()) == pytest.approx(1)
    assert set(GESTURE_WEIGHTS) == set(GESTURES)


def test_keypoints_lie_inside_the_body():
    """Joints are inside the surfaces; the keypoints of the face are on the skull, not in front of it."""
    for yaw in range(-180, 180, 40):
        person, _ = standing(yaw)
        layer = cover(person, 200, 200)
        assert layer is not None
        depth = np.full((200, 200), BEHIND)
        depth[layer.window] = layer.depth
        for name, (x, y, z) in zip(NAMES, person.keypoints.tolist(), strict=True):
            around = depth[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2]
            assert around.max() >= z - 0.012 * person.stature, name


def test_depth_of_a_ball_and_a_rod_is_exact():
    surfaces = SurfaceList()
    surfaces.ball("torso", "top", np.array([0.0, 0.0, 0.0]), 20.3)
    surfaces.rod("torso", "top", (np.array([40.0, 25.4, 3.0]), np.array([40.0, -25.4, 3.0])), (8.3, 8.3), np.eye(3))
    camera = Camera(np.eye(3), 1e9, 1.0, (50.0, 50.0))  # a distant camera: no perspective distortion
    layer = rasterize(place(surfaces.pack(), camera), 100, 100)
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
