"""The one-euro filter: less jitter at rest, little lag in motion, and state by track and keypoint."""

from __future__ import annotations

import numpy as np
import pytest

from simplepose.inference.smoothing import SmoothConfig, Smoother
from simplepose.poses import Poses

RATE = 25.0
FIGURE = np.stack(np.meshgrid([0.0, 30.0], np.linspace(0, 100, 9)), -1).reshape(18, 2)


def person(x: float, track: int = 1, noise: np.ndarray | float = 0.0) -> Poses:
    keypoints = np.ones((1, 18, 3), np.float32)
    keypoints[0, :, :2] = FIGURE + np.array([x, 0]) + noise
    return Poses(keypoints, np.ones(1, np.float32), track_ids=np.array([track], np.int64))


def run(frames: list[Poses], config: SmoothConfig | None = None) -> np.ndarray:
    """``[F, 18, 2]`` filtered positions of the first person of each frame."""
    smoother = Smoother(config)
    return np.stack([smoother.update(poses, i / RATE).keypoints[0, :, :2] for i, poses in enumerate(frames)])


def test_jitter_of_a_person_at_rest_is_reduced():
    noise = np.random.default_rng(0).normal(0, 2, (200, 18, 2))
    out = run([person(50, noise=n) for n in noise])[50:] - FIGURE - np.array([50, 0])
    assert out.std() < 0.6 * 2
    assert abs(out.mean()) < 0.1


def test_the_lag_of_a_moving_person_is_bounded():
    speed = 100.0  # pixels/s, about one person's size
    out = run([person(speed * i / RATE) for i in range(75)])
    lag = (speed * 74 / RATE - (out[-1] - FIGURE)[:, 0]) / speed
    assert (lag > 0).all()
    assert (lag < 0.03).all(), "seconds"


def test_no_speed_term_is_a_plain_low_pass_filter():
    step = [person(0)] + [person(10)] * 4
    out = run(step, SmoothConfig(min_cutoff=1.0, beta=0.0))[:, 0, 0]
    weight = 1 / (1 + RATE / (2 * np.pi))
    np.testing.assert_allclose(out, [10 * (1 - (1 - weight) ** i) for i in range(5)], atol=1e-4)


def test_people_are_filtered_by_track_and_not_by_place():
    out = run([person(0, 1), person(300, 2), person(0, 1)])
    np.testing.assert_array_equal(out[1], FIGURE + np.array([300, 0]))
    np.testing.assert_array_equal(out[2], FIGURE)


def test_people_without_a_track_and_missing_keypoints_stay_as_they_are():
    frames = [person(0), person(20)]
    frames[1].keypoints[0, 3] = (np.nan, np.nan, 0)
    smoother = Smoother()
    smoother.update(frames[0], 0.0)
    out = smoother.update(frames[1], 0.04)
    assert np.isnan(out.keypoints[0, 3, :2]).all()
    assert (out.keypoints[0, 4, 0] < frames[1].keypoints[0, 4, 0]).all()
    np.testing.assert_array_equal(out.keypoints[..., 2], frames[1].keypoints[..., 2])
    loose = person(90, -1)
    np.testing.assert_array_equal(smoother.update(loose, 0.08).keypoints, loose.keypoints)


def test_a_keypoint_starts_anew_after_a_gap():
    smoother = Smoother()
    smoother.update(person(0), 0.0)
    np.testing.assert_array_equal(smoother.update(person(100), 0.6).keypoints, person(100).keypoints)


def test_poses_without_identities_are_refused():
    poses = person(0)
    with pytest.raises(ValueError, match=r"^poses: expected track_ids"):
        Smoother().update(Poses(poses.keypoints, poses.scores), 0.0)


@pytest.mark.parametrize(("name", "value"), [("min_cutoff", 0), ("beta", -1), ("speed_cutoff", "a"), ("max_gap", -1)])
def test_a_bad_setting_is_named(name: str, value: object):
    with pytest.raises((TypeError, ValueError), match=f"^{name}"):
        SmoothConfig(**{name: value})  # type: ignore[arg-type]
