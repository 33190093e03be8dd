"""Identities of people through a video: poses are joined to tracks by OKS."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_instance, check_number
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton

Floats = NDArray[np.float64]

NO_TRACK = -1
"""The id of a pose that belongs to no track: a weak pose that no track explains."""

MIN_COMMON = 3
"""An OKS over fewer common keypoints counts the others as 0: one keypoint alone does not identify a person."""

MIN_SIDE = 0.3
"""Least short side of a box as a fraction of its long side: people seen from the side have narrow boxes."""

LARGEST, FAR = 1e9, 1e15
"""Bound of coordinates that are used, and the coordinate of a missing keypoint: its square is a float32."""

START_SPEED = 2.0
"""Standard deviation of the velocity of a keypoint that is detected for the first time, in sizes / s."""


@dataclass(frozen=True)
class TrackerConfig:
    """Settings of `Tracker`. Lengths are relative to a person's size: the square root of its box area."""

    sure: float = 0.2  # least mean keypoint score, missing ones as 0, of a sure pose; only these start tracks
    min_oks: float = 0.05  # least OKS of a pose with the predicted keypoints of a track
    max_gap: float = 2.0  # seconds after which a track that found no pose ends
    short_gap: float = 0.4  # seconds during which predicted keypoints are used; later, the movement since then
    reach: float = 1.0  # after a short gap: greatest distance from the predicted path ...
    reach_rate: float = 0.6  # ... and its growth in each second
    max_growth: float = 1.7  # after a short gap: greatest ratio of sizes
    measurement: float = 0.03  # standard deviation of a detected keypoint
    acceleration: float = 8.0  # standard deviation of a keypoint's acceleration, in sizes / s^2
    settling: float = 0.3  # seconds in which the movement of a keypoint relative to the body decays to 1/e

    def __post_init__(self) -> None:
        for name in ("sure", "min_oks"):
            check_number(name, getattr(self, name), least=0, most=1)
        for name in ("max_gap", "short_gap", "reach", "reach_rate"):
            check_number(name, getattr(self, name), least=0)
        for name in ("measurement", "acceleration", "settling"):
            check_number(name, getattr(self, name), least=1e-6)
        check_number("max_growth", self.max_growth, least=1)


class Tracker:
    """Gives the poses of one video identities, frame by frame. Needs SciPy: the extra ``track``.

    A track contains a position and a velocity of each keypoint, estimated by a Kalman filter of constant velocity. Each
    frame has three rounds of assignment, each optimal (Hungarian method): sure poses to current tracks by the OKS with
    the predicted keypoints; weak poses to the remaining current tracks; the remaining sure poses to lost tracks, by the
    distance from the path that the track would have taken. The other sure poses start tracks.

    Args:
        skeleton: that of all poses; its sigmas define the OKS.
        config: the settings.

    Raises:
        TypeError: an argument is of another type.
        ModuleNotFoundError: SciPy is missing (``pip install 'simplepose[track]'``).
    """

    def __init__(self, skeleton: Skeleton = COCO, config: TrackerConfig | None = None) -> None:
        try:
            from scipy.optimize import linear_sum_assignment
        except ModuleNotFoundError:
            raise ModuleNotFoundError("Tracker needs scipy: pip install 'simplepose[track]'") from None
        config = TrackerConfig() if config is None else config
        check_instance("skeleton", skeleton, Skeleton)
        check_instance("config", config, TrackerConfig)
        self.skeleton, self.config = skeleton, config
        self._assign: Any = linear_sum_assignment
        self._index = np.asarray(skeleton.dataset_index)
        self._variance = (2 * np.array(skeleton.sigmas)) ** 2  # of the OKS, for a person of size 1
        self._next_id = 1
        self._time: float | None = None
        self._tracks = _Tracks.at(np.empty((0, len(self._index), 2)), np.empty((0, len(self._index)), np.bool_), 0.0, 1)

    def update(self, poses: Poses, frame_time: float) -> NDArray[np.int64]:
        """The identities of the people of the next frame.

        Args:
            poses: the ``N`` people of the frame.
            frame_time: seconds, greater than that of the frame before.

        Returns:
            ``[N]`` int64: the id of each person's track, 1 or more, or `NO_TRACK`. An id is never used again.

        Raises:
            TypeError, ValueError: an argument is invalid, or the poses have another skeleton; the message names it.
        """
        check_instance("poses", poses, Poses)
        if poses.skeleton != self.skeleton:
            raise ValueError(f"poses: expected skeleton {self.skeleton.name!r}, got {poses.skeleton.name!r}")
        now = float(check_number("frame_time", frame_time))
        if self._time is not None and now <= self._time:
            raise ValueError(
                f"frame_time: expected more than {self._time:g} s, that of the frame before, got {now:g} s"
            )
        config, tracks = self.config, self._tracks
        if self._time is not None:
            alive = now - tracks.seen_time <= config.max_gap + 1e-9
            tracks = tracks if alive.all() else tracks.keep(alive)
            tracks.predict(now - self._time, config)
        self._time = now

        keypoints = poses.keypoints[:, self._index].astype(float)
        score, xy = keypoints[..., 2], keypoints[..., :2]
        found = (score > 0) & (np.abs(xy) < LARGEST).all(-1)
        xy[~found] = 0
        some = found.any(1)
        sure = some & (np.where(found, score, 0).mean(1) >= config.sure)
        match = np.full(len(poses), -1)  # row of the track of each pose
        if len(tracks.ids) and len(poses):
            current = now - tracks.seen_time <= config.short_gap + 1e-9
            oks = self._oks(tracks, xy, found)
            oks[oks < config.min_oks] = 0
            self._round(oks, current, sure, match)
            self._round(oks, current, some & ~sure, match)
            lost, rest = _free(~current, match), np.flatnonzero(sure & (match < 0))
            if len(lost) and len(rest):
                closeness = np.zeros_like(oks)
                closeness[np.ix_(lost, rest)] = self._closeness(tracks.keep(lost), xy[rest], found[rest], now)
                self._round(closeness, ~current, sure, match)
        matched = np.flatnonzero(match >= 0)
        tracks.correct(match[matched], xy[matched], found[matched], now, config)
        ids = np.full(len(poses), NO_TRACK, np.int64)
        ids[matched] = tracks.ids[match[matched]]
        born = np.flatnonzero(sure & (match < 0))
        ids[born] = self._next_id + np.arange(len(born))
        self._tracks = tracks.joined(_Tracks.at(xy[born], found[born], now, self._next_id)) if len(born) else tracks
        self._next_id += len(born)
        return ids

    def _oks(self, tracks: _Tracks, xy: Floats, found: NDArray[np.bool_]) -> Floats:
        """``[T, N]`` OKS of predicted and detected keypoints.

        The variance of a prediction is added to that of the OKS, and the similarity of the keypoint is scaled down in
        turn, as the density of a Gaussian: an uncertain track must not win a pose from a certain one.
        """
        variance = self._variance * tracks.size[:, None] ** 2  # [T, K]
        total = variance + tracks.covariance[0]
        away = np.zeros((len(total), *found.shape), np.float32)  # [T, N, K] squared distances
        for axis in (0, 1):
            pose = np.where(found, xy[..., axis], FAR).astype(np.float32)
            difference = tracks.xy[:, None, :, axis].astype(np.float32) - pose
            difference *= difference
            away += difference
        away *= (-0.5 / total)[:, None].astype(np.float32)
        similarity = np.exp(away, out=away)
        certainty = np.where(tracks.known, variance / total, 0).astype(np.float32)
        common = tracks.known.astype(np.float32) @ found.T.astype(np.float32)
        return np.asarray((similarity @ certainty[..., None])[..., 0] / np.maximum(common, MIN_COMMON), float)

    def _closeness(self, lost: _Tracks, xy: Floats, found: NDArray[np.bool_], now: float) -> Floats:
        """``[T, N]`` 1 on the path of a lost track from its last position to the predicted one, 0 from the reach on."""
        common = lost.known[:, None] & found  # [T, N, K]
        count = common.sum(2)
        moved = np.where(common[..., None], xy - lost.seen_xy[:, None], 0).sum(2) / np.maximum(count, 1)[..., None]
        gap = now - lost.seen_time
        path = (lost.mean_velocity() * gap[:, None])[:, None]  # [T, 1, 2]
        along = (moved * path).sum(2) / np.maximum((path * path).sum(2), 1e-9)
        away = np.linalg.norm(moved - np.clip(along, 0, 1)[..., None] * path, axis=2)
        reach = (self.config.reach + self.config.reach_rate * gap) * lost.size
        ratio = _spread(xy, common) / np.maximum(_spread(lost.seen_xy[:, None], common), 1e-9)
        fits = (count >= MIN_COMMON) & (np.maximum(ratio, 1 / np.maximum(ratio, 1e-9)) <= self.config.max_growth)
        return np.where(fits, np.maximum(0, 1 - away / reach[:, None]), 0)

    def _round(
        self, likeness: Floats, tracks: NDArray[np.bool_], poses: NDArray[np.bool_], match: NDArray[np.intp]
    ) -> None:
        """Assign the chosen, free tracks and poses to each other with the greatest sum of likeness; set ``match``."""
        rows, columns = _free(tracks, match), np.flatnonzero(poses & (match < 0))
        if len(rows) and len(columns):
            values = likeness[np.ix_(rows, columns)]
            i, j = self._assign(values, maximize=True)
            good = values[i, j] > 0
            match[columns[j[good]]] = rows[i[good]]


def _free(tracks: NDArray[np.bool_], match: NDArray[np.intp]) -> NDArray[np.intp]:
    """The rows of the chosen tracks that have no pose yet."""
    free = tracks.copy()
    free[match[match >= 0]] = False
    return np.flatnonzero(free)


def _spread(xy: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """The root mean square distance of the chosen keypoints from their mean; ``[..., K, 2]`` to ``[...]``."""
    count = np.maximum(chosen.sum(-1), 1)[..., None]
    mean = np.where(chosen[..., None], xy, 0).sum(-2) / count
    away = np.where(chosen[..., None], xy - mean[..., None, :], 0)
    return np.sqrt((away**2).sum((-1, -2)) / count[..., 0])


@dataclass
class _Tracks:
    """``T`` tracks of ``K`` keypoints. Unknown keypoints, which were never detected, have position 0."""

    ids: NDArray[np.int64]  # [T]
    xy: Floats  # [T, K, 2] predicted, then corrected positions
    velocity: Floats  # [T, K, 2] pixels/s
    covariance: Floats  # [3, T, K] of position, of position and velocity, of velocity; the same for x and y
    known: NDArray[np.bool_]  # [T, K]
    size: Floats  # [T] square root of the area of the box of the known keypoints
    seen_xy: Floats  # [T, K, 2] positions at the last pose
    seen_time: Floats  # [T] of the last pose

    @classmethod
    def at(cls, xy: Floats, found: NDArray[np.bool_], now: float, first_id: int) -> _Tracks:
        """New tracks at the poses ``xy [N, K, 2]`` with the detected keypoints ``found [N, K]``."""
        count = len(xy)
        covariance, size = np.zeros((3, *found.shape)), _size(xy, found)
        covariance[2] = (START_SPEED * size[:, None]) ** 2
        ids = first_id + np.arange(count)
        return cls(ids, xy, np.zeros_like(xy), covariance, found, size, xy.copy(), np.full(count, now))

    def keep(self, rows: NDArray[Any]) -> _Tracks:
        """The tracks of the given rows (a mask or indices)."""
        values = (self.known, self.size, self.seen_xy, self.seen_time)
        first = (self.ids[rows], self.xy[rows], self.velocity[rows], self.covariance[:, rows])
        return _Tracks(*first, *(value[rows] for value in values))

    def joined(self, other: _Tracks) -> _Tracks:
        """These tracks and then the other ones."""
        pairs = [(getattr(self, f.name), getattr(other, f.name), f.name == "covariance") for f in fields(self)]
        return _Tracks(*(np.concatenate([a, b], int(second)) for a, b, second in pairs))

    def mean_velocity(self) -> Floats:
        """``[T, 2]`` velocity of the body: the mean of its known keypoints."""
        return np.einsum("tkd,tk->td", self.velocity, self.known) / self.known.sum(1)[:, None]

    def predict(self, seconds: float, config: TrackerConfig) -> None:
        """Move the keypoints on; their velocities approach that of the body."""
        body = self.mean_velocity()[:, None]
        self.xy += self.velocity * seconds
        self.velocity = body + (self.velocity - body) * np.exp(-seconds / config.settling)
        noise = (config.acceleration * self.size[:, None]) ** 2
        position, mixed, velocity = self.covariance
        position += seconds * (2 * mixed + seconds * velocity) + noise * (seconds**4 / 4)
        mixed += seconds * velocity + noise * (seconds**3 / 2)
        velocity += noise * seconds**2

    def correct(
        self, rows: NDArray[np.intp], xy: Floats, found: NDArray[np.bool_], now: float, config: TrackerConfig
    ) -> None:
        """Correct the tracks of the given rows by their poses ``xy [M, K, 2]``."""
        new = found & ~self.known[rows]
        body = self.mean_velocity()[rows, None]
        position, mixed, velocity = self.covariance[:, rows]
        total = position + (config.measurement * self.size[rows, None]) ** 2
        gain, pull = (np.where(found, value / total, 0) for value in (position, mixed))
        error = xy - self.xy[rows]
        self.xy[rows] += gain[..., None] * error
        self.velocity[rows] += pull[..., None] * error
        covariance = np.stack([position * (1 - gain), mixed * (1 - gain), velocity - pull * mixed])
        if new.any():  # keypoints that are detected for the first time
            self.xy[rows] = np.where(new[..., None], xy, self.xy[rows])
            self.velocity[rows] = np.where(new[..., None], body, self.velocity[rows])
            covariance[:2, new] = 0
            covariance[2] = np.where(new, (START_SPEED * self.size[rows, None]) ** 2, covariance[2])
            self.known[rows] |= found
        self.covariance[:, rows] = covariance
        self.size[rows] = _size(self.xy[rows], self.known[rows])
        self.seen_xy[rows], self.seen_time[rows] = self.xy[rows], now


def _size(xy: Floats, known: NDArray[np.bool_]) -> Floats:
    """``[T]`` square root of the area of the box of the known keypoints, in pixels."""
    sides = np.where(known[..., None], xy, -np.inf).max(1) - np.where(known[..., None], xy, np.inf).min(1)
    long = np.maximum(sides.max(1), 1.0)
    return np.sqrt(long * np.maximum(sides.min(1), MIN_SIDE * long))
