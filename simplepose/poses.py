"""Poses: the people detected in one image, and their JSON and COCO forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.skeleton.skeleton import COCO, Skeleton, load_skeleton

FORMAT = "simplepose.poses"
FORMAT_VERSION = 1


class Poses:
    """The people detected in one image, ordered by descending score.

    Args:
        keypoints: ``[N, J, 3]`` float32: x, y in image pixels (pixel centers at integers) and score of each keypoint,
            in network order; a missing keypoint is (NaN, NaN, 0).
        scores: ``[N]`` float32, descending.
        skeleton: the ``J`` keypoint types.
        truncated: whether a keypoint type had more candidates than ``DecodeConfig.max_peaks``.
    """

    __slots__ = ("keypoints", "scores", "skeleton", "truncated")

    def __init__(
        self,
        keypoints: NDArray[np.float32],
        scores: NDArray[np.float32],
        skeleton: Skeleton = COCO,
        truncated: bool = False,
    ) -> None:
        self.keypoints = keypoints
        self.scores = scores
        self.skeleton = skeleton
        self.truncated = truncated

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
        return Poses(self.keypoints[index], self.scores[index], self.skeleton, self.truncated)

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

    def at_least(self, keypoints: int = 1, score: float = 0.0) -> Poses:
        """The people with at least ``keypoints`` detected keypoints and at least the score ``score``."""
        return self[(self.visible.sum(1) >= keypoints) & (self.scores >= score)]

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """COCO keypoint results, with keypoints in dataset order; missing keypoints are zeros.

        A person without any keypoint of the data set, for example with only a neck, is left out.

        Args:
            image_id: the image's id in the annotations.
            category_id: the category of people in the annotations.
        """
        rows = self.keypoints[:, self.skeleton.dataset_index].astype(float)
        rows[rows[..., 2] <= 0] = 0
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": [round(v, 3) for v in row.ravel().tolist()],
                "score": float(score),
            }
            for row, score in zip(rows, self.scores, strict=True)
            if (row[:, 2] > 0).any()
        ]

    def to_dict(self) -> dict[str, Any]:
        """JSON values with keypoints in network order; ``from_dict`` restores the Poses without loss.

        ``{"format": "simplepose.poses", "version": 1, "skeleton": name, "keypoint_names": [J], "truncated": bool,
        "people": [{"score": float, "keypoints": [J x ([x, y, score] or None)]}]}``
        """
        people = []
        for row, score in zip(self.keypoints.tolist(), self.scores.tolist(), strict=True):
            people.append({"score": score, "keypoints": [k if k[2] > 0 else None for k in row]})
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
            raise ValueError(f"data: expected version {FORMAT_VERSION}, got {data.get('version')!r}")
        skeleton = load_skeleton(str(data.get("skeleton"))) if skeleton is None else skeleton
        if list(skeleton.keypoints) != data.get("keypoint_names"):
            raise ValueError(f"data: its keypoint_names are not those of skeleton {skeleton.name!r}")
        poses = cls.empty(skeleton)
        people = data.get("people", [])
        missing = [float("nan"), float("nan"), 0.0]
        try:
            rows = [[missing if k is None else k for k in person["keypoints"]] for person in people]
            keypoints = np.array(rows, np.float32) if rows else poses.keypoints
            scores = np.array([float(person["score"]) for person in people], np.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"data: people are not [score, {skeleton.num_keypoints} keypoints] each: {error}"
            ) from None
        if keypoints.shape != (len(people), skeleton.num_keypoints, 3) or scores.shape != (len(people),):
            raise ValueError(
                f"data: expected a score and {skeleton.num_keypoints} keypoints of 3 numbers for each of "
                f"{len(people)} people, got arrays {list(scores.shape)} and {list(keypoints.shape)}"
            )
        poses.keypoints, poses.scores, poses.truncated = keypoints, scores, bool(data.get("truncated", False))
        return poses
