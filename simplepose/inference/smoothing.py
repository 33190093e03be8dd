"""Smoothing of keypoints over time: the one-euro filter (Casiez et al., CHI 2012, doi:10.1145/2207676.2208639)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_instance, check_number, describe
from simplepose.poses import Poses

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SmoothConfig:
    """Settings of `Smoother`. The size of a person is the diagonal of the box of its keypoints."""

    min_cutoff: float = 1.5  # Hz: cutoff frequency of a keypoint at rest; a lower one removes more jitter
    beta: float = 6.0  # Hz per (size / s): a moving keypoint has a higher cutoff, and less lag
    speed_cutoff: float = 1.0  # Hz: cutoff frequency of the speed
    max_gap: float = 0.5  # seconds after which a keypoint that was missing starts anew

    def __post_init__(self) -> None:
        check_number("min_cutoff", self.min_cutoff, least=1e-6)
        check_number("beta", self.beta, least=0)
        check_number("speed_cutoff", self.speed_cutoff, least=1e-6)
        check_number("max_gap", self.max_gap, least=0)


@dataclass
class _State:
    """The filter of one person's ``J`` keypoints."""

    xy: Floats  # [J, 2] filtered positions
    speed: Floats  # [J, 2] filtered velocities in pixels/s
    time: Floats  # [J] seconds, of the last detection; minus infinity: none


class Smoother:
    """Filters the keypoints of tracked people, frame by frame.

    Scores, covariances and missing keypoints stay as they are.

    Args:
        config: the settings.
    """

    def __init__(self, config: SmoothConfig | None = None) -> None:
        self.config = SmoothConfig() if config is None else config
        check_instance("config", self.config, SmoothConfig)
        self._states: dict[int, _State] = {}

    def update(self, poses: Poses, frame_time: float) -> Poses:
        """The poses with filtered keypoints.

        Args:
            poses: the people of the next frame, with ``track_ids``. People without a track are not changed.
            frame_time: seconds, greater than that of the frame before.

        Raises:
            TypeError, ValueError: an argument is invalid, or the poses have no ``track_ids``.
        """
        check_instance("poses", poses, Poses)
        if poses.track_ids is None:
            raise ValueError(f"poses: expected track_ids, got {describe(poses)} without them")
        now = float(check_number("frame_time", frame_time))
        keypoints = poses.keypoints.copy()
        found = poses.visible & np.isfinite(keypoints).all(-1)
        for row, number in enumerate(poses.track_ids.tolist()):
            if number > 0 and found[row].any():
                keypoints[row, :, :2] = self._filter(number, keypoints[row, :, :2].astype(float), found[row], now)
        latest = {number: state for number, state in self._states.items() if now - state.time.max() <= 60}
        self._states = latest  # people who left a minute ago
        kept = (poses.scores, poses.skeleton, poses.truncated, poses.track_ids, poses.covariance)
        return Poses(keypoints, *kept)

    def _filter(self, number: int, xy: Floats, found: NDArray[np.bool_], now: float) -> Floats:
        """``[J, 2]`` filtered positions of a person's found keypoints; the others as given."""
        config = self.config
        start = _State(np.zeros_like(xy), np.zeros_like(xy), np.full(len(xy), -np.inf))
        state = self._states.setdefault(number, start)
        seconds = now - state.time[found]
        known = seconds <= config.max_gap
        seconds = np.where(known, seconds, 1.0)[:, None]
        size = max(float(np.linalg.norm(np.ptp(xy[found], axis=0))), 1.0)
        before, given = np.where(known[:, None], state.xy[found], xy[found]), xy[found]
        speed = np.where(known[:, None], state.speed[found], 0.0)
        speed += _weight(np.full_like(seconds, config.speed_cutoff), seconds) * ((given - before) / seconds - speed)
        cutoff = config.min_cutoff + config.beta * np.linalg.norm(speed, axis=1, keepdims=True) / size
        filtered = before + _weight(cutoff, seconds) * (given - before)
        state.xy[found], state.speed[found], state.time[found] = filtered, speed, now
        out = xy.copy()
        out[found] = filtered
        return out


def _weight(cutoff: Floats, seconds: Floats) -> Floats:
    """The weight of the new value in a low-pass filter of a cutoff in Hz, ``seconds`` after the value before."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
