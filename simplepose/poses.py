"""Poses: the people detected in one image, and their JSON and COCO forms."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplepose.adapters.sleap_io import sleap_labels
from simplepose.checks import (
    UNLIMITED,
    brief,
    check_count,
    check_installed,
    check_instance,
    check_number,
    describe,
    one_line,
    show,
)
from simplepose.io.pose_table import columns
from simplepose.skeleton.skeleton import COCO, Skeleton, load_skeleton

if TYPE_CHECKING:
    import pandas
    import supervision

FORMAT = "simplepose.poses"
FORMAT_VERSION = 1

LARGEST = float(np.finfo(np.float32).max)
"""The largest number of float32. The sum of the peak scores of a pose can exceed it."""


class Poses:
    """The people detected in one image, ordered by descending score.

    Args:
        keypoints: ``[N, J, 3]`` float32: x, y in image pixels (pixel centers at integers) and score of each keypoint,
            in network order; a missing keypoint is (NaN, NaN, 0).
        scores: ``[N]`` float32, descending.
        skeleton: the ``J`` keypoint types.
        truncated: whether a keypoint type had more candidates than ``DecodeConfig.max_peaks``.
        track_ids: ``[N]`` int64: the identities of the people in a video (`simplepose.inference.tracker.Tracker`), -1
            for people without a track; None: the people were not tracked.
        covariance: ``[N, J, 2, 2]`` float32: the covariance in x and y of the keypoint's response, in pixels^2
            (docs/design.md, Covariance); NaN where it is not defined; None: it was not asked for.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
    """

    __slots__ = ("covariance", "keypoints", "scores", "skeleton", "track_ids", "truncated")

    def __init__(
        self,
        keypoints: NDArray[np.float32],
        scores: NDArray[np.float32],
        skeleton: Skeleton = COCO,
        truncated: bool = False,
        track_ids: NDArray[np.int64] | None = None,
        covariance: NDArray[np.float32] | None = None,
    ) -> None:
        check_instance("skeleton", skeleton, Skeleton)
        arrays = {"keypoints": keypoints, "scores": scores}
        for name, array in (arrays if covariance is None else {**arrays, "covariance": covariance}).items():
            if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray) or array.dtype.kind != "f":
                raise TypeError(f"{name}: expected a float32 array, got {describe(array)}")
        if keypoints.ndim != 3 or keypoints.shape[1:] != (skeleton.num_keypoints, 3):
            raise ValueError(f"keypoints: expected [N, {skeleton.num_keypoints}, 3], got {describe(keypoints)}")
        if scores.shape != keypoints.shape[:1]:
            raise ValueError(f"scores: expected one for each of {len(keypoints)} people, got {describe(scores)}")
        self.keypoints = keypoints
        self.scores = scores
        self.skeleton = skeleton
        self.truncated = truncated
        if track_ids is not None:
            if not isinstance(track_ids, np.ndarray) or track_ids.dtype != np.int64:
                raise TypeError(f"track_ids: expected an int64 array, got {describe(track_ids)}")
            if track_ids.shape != scores.shape:
                raise ValueError(f"track_ids: expected one for each of {len(scores)} people, got {describe(track_ids)}")
        self.track_ids = track_ids
        if covariance is not None and covariance.shape != (*keypoints.shape[:2], 2, 2):
            shape = f"[{len(scores)}, {skeleton.num_keypoints}, 2, 2]"
            raise ValueError(f"covariance: expected {shape}, got {describe(covariance)}")
        self.covariance = covariance

    @classmethod
    def empty(cls, skeleton: Skeleton = COCO) -> Poses:
        """Poses of an image without people."""
        return cls(np.empty((0, skeleton.num_keypoints, 3), np.float32), np.empty(0, np.float32), skeleton)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int | slice | NDArray[np.bool_] | NDArray[np.integer[Any]]) -> Poses:
        """The selected people as Poses; an integer selects one person.

        Raises:
            IndexError: the integer is out of range.
        """
        if isinstance(index, int | np.integer):
            if not -len(self) <= index < len(self):
                raise IndexError(f"pose {index} of {len(self)}")
            index = slice(index, index + 1 or None)
        tracks = None if self.track_ids is None else self.track_ids[index]
        covariance = None if self.covariance is None else self.covariance[index]
        return Poses(self.keypoints[index], self.scores[index], self.skeleton, self.truncated, tracks, covariance)

    def __iter__(self) -> Iterator[Poses]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        cut = ", truncated" if self.truncated else ""
        return f"Poses({len(self)} people, skeleton {self.skeleton.name!r}{cut})"

    @property
    def visible(self) -> NDArray[np.bool_]:
        """``[N, J]`` bool: whether the keypoint was detected."""
        return self.keypoints[..., 2] > 0

    @property
    def boxes(self) -> NDArray[np.float32]:
        """``[N, 4]`` float32 boxes of the detected keypoints: left, top, right, bottom in image pixels.

        The box of a person without detected keypoints is NaN.
        """
        if not len(self):
            return np.empty((0, 4), np.float32)
        xy = self.keypoints[..., :2]
        visible = self.visible[..., None]
        low, high = np.where(visible, xy, np.inf).min(1), np.where(visible, xy, -np.inf).max(1)
        boxes = np.concatenate([low, high], 1).astype(np.float32)
        boxes[~self.visible.any(1)] = np.nan
        return boxes

    def with_tracks(self, track_ids: NDArray[np.int64]) -> Poses:
        """The same people with the identities ``track_ids [N]`` int64.

        Raises:
            TypeError, ValueError: ``track_ids`` is not as described.
        """
        return Poses(self.keypoints, self.scores, self.skeleton, self.truncated, track_ids, self.covariance)

    def _track_fields(self) -> list[dict[str, Any]]:
        """The JSON field ``track_id`` of each person; nothing if the people were not tracked."""
        if self.track_ids is None:
            return [{} for _ in self.scores]
        return [{"track_id": number if number > 0 else None} for number in self.track_ids.tolist()]

    def _covariance_fields(self) -> list[dict[str, Any]]:
        """The JSON field ``covariance`` of each person; nothing if it was not asked for."""
        if self.covariance is None:
            return [{} for _ in self.scores]
        rows = self.covariance.reshape(*self.keypoints.shape[:2], 4)[..., [0, 1, 3]].tolist()
        return [{"covariance": [v if all(map(math.isfinite, v)) else None for v in row]} for row in rows]

    @property
    def unbounded(self) -> int:
        """The number of people whose score exceeds the range of float32; JSON has null in place of it."""
        return int(np.isinf(self.scores).sum())

    def at_least(self, keypoints: int = 1, score: float = 0.0) -> Poses:
        """The people with at least ``keypoints`` detected keypoints and at least the score ``score``.

        Raises:
            TypeError, ValueError: ``keypoints`` is not a count, or ``score`` is not a finite number.
        """
        check_count("keypoints", keypoints, 0)
        check_number("score", score)
        return self[(self.visible.sum(1) >= keypoints) & (self.scores >= score)]

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """COCO keypoint results, with keypoints in dataset order; missing keypoints are zeros.

        A person without any keypoint of the data set, for example with only a neck, is left out. A score beyond the
        range of float32 (infinity) is the largest number of float32. Tracked people have the field ``track_id``, which
        is null for those without a track.

        Args:
            image_id: the image's id in the annotations.
            category_id: the category of people in the annotations.

        Raises:
            TypeError, ValueError: an id is not an integer of at most 64 bits.
        """
        check_count("image_id", image_id, -UNLIMITED, UNLIMITED)
        check_count("category_id", category_id, -UNLIMITED, UNLIMITED)
        rows = self.keypoints[:, self.skeleton.dataset_index].astype(float)
        rows[rows[..., 2] <= 0] = 0
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": [round(v, 3) for v in row.ravel().tolist()],
                "score": float(min(score, LARGEST)),
                **track,
            }
            for row, score, track in zip(rows, self.scores, self._track_fields(), strict=True)
            if (row[:, 2] > 0).any()
        ]

    def to_sleap(self, source: str | Path, frame: int = 0) -> Any:
        """These people as a `sleap_io.Labels` of one frame (extra ``animals``); ``.save("poses.slp")`` writes it.

        For several frames see `simplepose.adapters.sleap_io.sleap_labels`.

        Args:
            source: the video or image file.
            frame: the number of the frame in it, from 0.

        Raises:
            TypeError, ValueError: an argument is not as described.
            ModuleNotFoundError: sleap-io is missing.
        """
        return sleap_labels([(source, frame, self)])

    def to_dataframe(self) -> pandas.DataFrame:
        """A pandas table with one row for each person (extra ``tables``).

        The columns are ``person`` (index from 0), ``track_id`` (Int64, missing without a track), ``score``,
        ``truncated``, the box ``box_left_px`` to ``box_bottom_px``, and for each keypoint in network order
        ``NAME_x_px``, ``NAME_y_px`` and ``NAME_score``; with a covariance also ``NAME_var_x_px2``, ``NAME_cov_xy_px2``
        and ``NAME_var_y_px2``. Positions of missing keypoints are NaN.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        check_installed("to_dataframe", "pandas", "tables")
        import pandas

        table = columns(self)
        ids = table["track_id"]
        return pandas.DataFrame({**table, "track_id": pandas.arrays.IntegerArray(ids, ids < 1)})

    def to_supervision(self) -> supervision.KeyPoints:
        """These people for the annotators of supervision 0.29 and later (extra ``tables``).

        Keypoints are in dataset order, and missing ones are (0, 0), of confidence 0 and not visible. The class is 0.
        The scores are ``detection_confidence``; ``data`` holds ``tracker_id`` (-1: no track) of tracked people, and
        ``covariance`` ``[N, D, 2, 2]`` if the poses have one.

        Raises:
            ModuleNotFoundError: supervision is not installed.
        """
        check_installed("to_supervision", "supervision", "tables")
        import supervision

        order = self.skeleton.dataset_index
        visible = self.visible[:, order]
        rows = np.where(visible[..., None], self.keypoints[:, order], np.float32(0))
        data: dict[str, Any] = {} if self.track_ids is None else {"tracker_id": self.track_ids}
        if self.covariance is not None:
            data["covariance"] = self.covariance[:, order]
        return supervision.KeyPoints(
            xy=rows[..., :2],
            class_id=np.zeros(len(self), int),
            keypoint_confidence=rows[..., 2],
            detection_confidence=self.scores,
            visible=visible,
            data=data,
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON values with keypoints in network order; ``from_dict`` restores the Poses without loss.

        ``{"format": "simplepose.poses", "version": 1, "skeleton": name, "keypoint_names": [J], "truncated": bool,
        "people": [{"score": float or None, "keypoints": [J x ([x, y, score] or None)]}]}``. A score of None is beyond
        the range of float32 (infinity, which JSON does not have). Tracked people also have ``"track_id"``: int or None.
        Poses with a covariance also have ``"covariance": [J x ([xx, xy, yy] or None)]`` in pixels^2.
        """
        people = []
        fields = zip(self._track_fields(), self._covariance_fields(), strict=True)
        for row, score, more in zip(self.keypoints.tolist(), self.scores.tolist(), fields, strict=True):
            finite = score if score < math.inf else None
            people.append({"score": finite, "keypoints": [k if k[2] > 0 else None for k in row], **more[0], **more[1]})
        return {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "skeleton": self.skeleton.name,
            "keypoint_names": list(self.skeleton.keypoints),
            "truncated": self.truncated,
            "people": people,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], skeleton: Skeleton | None = None) -> Poses:
        """Poses from the dictionary of ``to_dict``.

        Args:
            data: the dictionary.
            skeleton: the skeleton; only needed if it does not ship with the package.

        Raises:
            ValueError: the format, its version, the skeleton or a person is invalid.
        """
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise ValueError(f"data: expected a dictionary with format {FORMAT!r}")
        if data.get("version") != FORMAT_VERSION:
            raise ValueError(f"data: expected version {FORMAT_VERSION}, got {brief(data.get('version'))}")
        skeleton = load_skeleton(one_line(data.get("skeleton"), 255)) if skeleton is None else skeleton
        if list(skeleton.keypoints) != data.get("keypoint_names"):
            raise ValueError(f"data: its keypoint_names are not those of skeleton {skeleton.name!r}")
        people, truncated = data.get("people"), data.get("truncated", False)
        if not isinstance(people, list):
            raise ValueError(f"data: people are not a list, got {brief(people)}")
        if not isinstance(truncated, bool):
            raise ValueError(f"data: truncated: expected true or false, got {brief(truncated)}")
        try:
            rows = [_person(f"people[{i}]", person, skeleton.num_keypoints) for i, person in enumerate(people)]
        except (TypeError, ValueError) as error:
            each = f"[score, {skeleton.num_keypoints} keypoints] each"
            raise ValueError(f"data: people are not {each}: {error}") from None
        keypoints = np.array([row for row, _ in rows], np.float32).reshape(-1, skeleton.num_keypoints, 3)
        scores = np.array([score for _, score in rows], np.float32)
        return cls(keypoints, scores, skeleton, truncated, _tracks(people), _covariances(people, skeleton))


def _tracks(people: list[Mapping[str, Any]]) -> NDArray[np.int64] | None:
    """The identities of the entries of "people"; None if no entry has the field. ValueError if one is invalid."""
    given = [person.get("track_id") for person in people if "track_id" in person]
    if not given:
        return None
    if len(given) < len(people):
        raise ValueError(f"data: {len(given)} of {len(people)} people have a track_id; expected all or none")
    try:
        ids = [-1 if v is None else check_count("data: track_id", v, 1, 2**62) for v in given]
    except TypeError as error:
        raise ValueError(str(error)) from None
    return np.array(ids, np.int64)


def _covariances(people: list[Mapping[str, Any]], skeleton: Skeleton) -> NDArray[np.float32] | None:
    """The covariances of the entries of "people"; None if no entry has the field. ValueError if one is invalid."""
    given = [person.get("covariance") for person in people if "covariance" in person]
    if not given:
        return None
    if len(given) < len(people):
        raise ValueError(f"data: {len(given)} of {len(people)} people have a covariance; expected all or none")
    count = skeleton.num_keypoints
    result = np.full((len(people), count, 2, 2), math.nan, np.float32)
    for person, rows in enumerate(given):
        if not isinstance(rows, list) or len(rows) != count:
            raise ValueError(f"data: covariance: expected {count} of [xx, xy, yy] or null, got {show(rows)}")
        for keypoint, row in enumerate(rows):
            if row is None:
                continue
            if not isinstance(row, list) or len(row) != 3:
                raise ValueError(f"data: covariance: expected [xx, xy, yy] or null, got {brief(row)}")
            try:
                xx, xy, yy = (check_number("data: covariance", v, least=-LARGEST, most=LARGEST) for v in row)
            except TypeError as error:
                raise ValueError(str(error)) from None
            result[person, keypoint] = [[xx, xy], [xy, yy]]
    return result


def _person(place: str, person: Any, count: int) -> tuple[list[list[float]], float]:
    """The keypoints and the score of an entry of "people"; TypeError or ValueError if it is not one."""
    if not isinstance(person, Mapping):
        raise TypeError(f"{place}: expected an object with score and keypoints, got {brief(person)}")
    expected = f"{count} keypoints of 3 numbers or null"
    score, keypoints = person.get("score", ""), person.get("keypoints")
    if score is not None:
        check_number(f"{place}.score", score, least=-LARGEST, most=LARGEST)
    if not isinstance(keypoints, list) or len(keypoints) != count:
        raise ValueError(f"{place}: expected a score and {expected}, got {show(keypoints)}")
    rows = []
    for index, keypoint in enumerate(keypoints):
        if keypoint is None:
            rows.append([math.nan, math.nan, 0.0])
            continue
        if not isinstance(keypoint, list) or len(keypoint) != 3:
            raise ValueError(f"{place}: expected a score and {expected}, got {brief(keypoint)} as number {index}")
        rows.append([check_number(f"{place}.keypoints[{index}]", v, least=-LARGEST, most=LARGEST) for v in keypoint])
    return rows, math.inf if score is None else score
