"""The skeleton: keypoints, body parts and symmetry by name, and the index tables derived from the names."""

from __future__ import annotations

import colorsys
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import brief, check_readable, one_line
from simplepose.skeleton.names import NamePair, SkeletonError, mirror_names, tree_parts
from simplepose.skeleton.sleap import sleap_fields
from simplepose.skeleton.toml_file import line_of, read_toml
from simplepose.skeleton.validate import check_skeleton

EXTRA_CHANNELS = 2
"""The person mask and the keypoint envelope: the channels after the part and keypoint channels."""

SHIPPED = Path(__file__).parent / "files"
"""The folder of the skeleton files that ship with the package."""

MOST_NUMBER = 1e6
"""The largest OKS constant of a skeleton file."""

Color = tuple[int, int, int]


@dataclass(frozen=True, repr=False)
class Skeleton:
    """The definition of a skeleton, which rendering, loss, decoding, evaluation and drawing share.

    Keypoints and parts are given by name. Index tables, flip permutations and the spanning tree are derived.

    Args:
        name: the name of the skeleton in files and messages.
        keypoints: the ``J`` keypoint types in network order.
        parts: the ``L`` body parts in network order, each a (from, to) pair of keypoint names.
        left_right: (left, right) pairs of keypoints that are swapped in a mirrored image.
        dataset_keypoints: the keypoint order of annotation files; default: all keypoints that are not derived.
        derived: keypoints that are not annotated but computed as the mean of others, with their sources:
            ``(("neck", ("left_shoulder", "right_shoulder")),)``.
        sigmas: the OKS constant of each dataset keypoint (COCO's per-keypoint standard deviation).
        colors: the RGB color of each keypoint, 0 to 255; a part has the color of its second keypoint.
        drawn_parts: the parts that drawing shows; default: those of the spanning tree.
        allow_unconnected: whether the parts may form several components, or leave keypoints without a part. Each
            component becomes a pose of its own, unless rule 5 of docs/decoding.md joins them.

    Raises:
        SkeletonError: a name is unknown or repeated, a part joins a keypoint to itself or is repeated, a left or right
            name has no counterpart, a part has no mirrored part, or the parts do not connect all keypoints and
            ``allow_unconnected`` is not set.
    """

    name: str
    keypoints: tuple[str, ...]
    parts: tuple[NamePair, ...]
    left_right: tuple[NamePair, ...] = ()
    dataset_keypoints: tuple[str, ...] = ()
    derived: tuple[tuple[str, tuple[str, ...]], ...] = ()
    sigmas: tuple[float, ...] = ()
    colors: tuple[Color, ...] = ()
    drawn_parts: tuple[NamePair, ...] = ()
    allow_unconnected: bool = False
    _hash: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_types()
        derived_names = {name for name, _ in self.derived}
        if not self.dataset_keypoints:
            self._set("dataset_keypoints", tuple(k for k in self.keypoints if k not in derived_names))
        if not self.sigmas:
            self._set("sigmas", (0.05,) * len(self.dataset_keypoints))
        if not self.colors:
            self._set("colors", _default_colors(len(self.keypoints)))
        check_skeleton(self)
        if not self.drawn_parts:
            self._set("drawn_parts", tree_parts(self.keypoints, self.parts))
        self._set("_hash", hash((self.name, self.keypoints, self.parts, self.dataset_keypoints)))

    def _check_types(self) -> None:
        """Check the types of the fields and make tuples of lists."""
        if not isinstance(self.name, str):
            raise SkeletonError(f"name: expected a string, got {brief(self.name)}", "name")
        for name in ("keypoints", "dataset_keypoints"):
            self._set(name, _strings(getattr(self, name), name))
        for name in ("parts", "left_right", "drawn_parts"):
            self._set(name, _string_pairs(getattr(self, name), name))
        derived = []
        for item in _items(self.derived, "derived"):
            if not isinstance(item, list | tuple) or len(item) != 2 or not isinstance(item[0], str):
                raise SkeletonError(f"derived: expected pairs of a name and its sources, got {brief(item)}", "derived")
            derived.append((item[0], _strings(item[1], "derived")))
        self._set("derived", tuple(derived))
        self._set("sigmas", _numbers(self.sigmas, "sigmas"))
        self._set("colors", tuple(_color(c) for c in _items(self.colors, "colors")))
        _flag(self.allow_unconnected, "allow_unconnected")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __hash__(self) -> int:
        return self._hash  # computed once: skeletons are the cache keys of every decode call

    def __repr__(self) -> str:
        return f"Skeleton({self.name!r}, {self.num_keypoints} keypoints, {self.num_parts} parts)"

    @property
    def num_keypoints(self) -> int:
        """J, the number of keypoint types."""
        return len(self.keypoints)

    @property
    def num_parts(self) -> int:
        """L, the number of body-part types."""
        return len(self.parts)

    @property
    def num_channels(self) -> int:
        """L + J + 2: part channels, keypoint channels, person mask, keypoint envelope."""
        return self.num_parts + self.num_keypoints + EXTRA_CHANNELS

    @cached_property
    def part_index(self) -> NDArray[np.int32]:
        """``[L, 2]`` keypoint indices (from, to) of each part."""
        return _read_only(np.array(self._pairs(self.parts), np.int32).reshape(-1, 2))

    @cached_property
    def drawn_index(self) -> NDArray[np.int32]:
        """``[D, 2]`` keypoint indices (from, to) of the parts that drawing shows."""
        return _read_only(np.array(self._pairs(self.drawn_parts), np.int32).reshape(-1, 2))

    @cached_property
    def keypoint_flip(self) -> NDArray[np.int32]:
        """``[J]`` flip permutation: type ``j`` in a mirrored image is type ``keypoint_flip[j]`` in the original."""
        mirror = mirror_names(self.left_right)
        return _read_only(np.array([self.keypoints.index(mirror.get(k, k)) for k in self.keypoints], np.int32))

    @cached_property
    def part_flip(self) -> NDArray[np.int32]:
        """``[L]`` flip permutation of the parts; the direction of a part does not matter in its map."""
        mirror = mirror_names(self.left_right)
        index = {frozenset(part): i for i, part in enumerate(self.parts)}
        flipped = [index[frozenset(mirror.get(k, k) for k in part)] for part in self.parts]
        return _read_only(np.array(flipped, np.int32))

    @cached_property
    def channel_flip(self) -> NDArray[np.int32]:
        """``[L + J + 2]`` flip permutation of the network's channels."""
        first = self.num_parts
        extra = np.arange(EXTRA_CHANNELS) + first + self.num_keypoints
        return _read_only(np.concatenate([self.part_flip, self.keypoint_flip + first, extra]).astype(np.int32))

    @cached_property
    def dataset_index(self) -> NDArray[np.int32]:
        """``[D]`` keypoint type of each dataset keypoint."""
        return _read_only(np.array([self.keypoints.index(k) for k in self.dataset_keypoints], np.int32))

    def from_dataset(self, keypoints: NDArray[Any]) -> NDArray[np.float32]:
        """Convert annotated keypoints from dataset order to network order, and compute the derived ones.

        Args:
            keypoints: ``[..., D, 3]`` x, y in pixels and COCO visibility, in dataset order.

        Returns:
            ``[..., J, 3]`` float32. A derived keypoint is the mean of its sources if all are labeled, with the lowest
            of their visibilities. Unlabeled keypoints are (0, 0, 0).

        Raises:
            TypeError, ValueError: ``keypoints`` is not such an array.
        """
        check_readable("keypoints", keypoints)
        try:
            keypoints = np.asarray(keypoints, np.float32)
        except (TypeError, ValueError, OverflowError) as error:
            raise TypeError(f"keypoints: expected an array of numbers, {one_line(error)}") from None
        if keypoints.shape[-2:] != (len(self.dataset_keypoints), 3):
            raise ValueError(
                f"keypoints: expected [..., {len(self.dataset_keypoints)}, 3] for skeleton {self.name!r}, "
                f"got {list(keypoints.shape)}"
            )
        out = np.zeros((*keypoints.shape[:-2], self.num_keypoints, 3), np.float32)
        out[..., self.dataset_index, :] = np.where(keypoints[..., 2:] > 0, keypoints, 0)
        for name, sources in self.derived:
            source = out[..., [self.keypoints.index(s) for s in sources], :]
            labeled = (source[..., 2] > 0).all(-1, keepdims=True)
            mean = np.concatenate([source[..., :2].mean(-2), source[..., 2].min(-1, keepdims=True)], -1)
            out[..., self.keypoints.index(name), :] = np.where(labeled, mean, 0)
        return out

    def spanning_tree(self) -> Skeleton:
        """The skeleton reduced to the parts of a spanning tree, chosen in part order.

        This is the "w/ MST" row of the paper's Table 1. The paper's method gains accuracy from the redundant parts.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init}
        values.update(name=f"{self.name}-tree", parts=tree_parts(self.keypoints, self.parts))
        return Skeleton(**values)

    def to_dict(self) -> dict[str, Any]:
        """The skeleton as lists, strings and numbers for TOML or JSON; ``from_dict`` is the inverse."""
        return {
            "name": self.name,
            "keypoints": list(self.keypoints),
            "parts": [list(p) for p in self.parts],
            "left_right": [list(p) for p in self.left_right],
            "dataset_keypoints": list(self.dataset_keypoints),
            "derived": {name: list(sources) for name, sources in self.derived},
            "sigmas": list(self.sigmas),
            "colors": [list(c) for c in self.colors],
            "drawn_parts": [list(p) for p in self.drawn_parts],
            **({"allow_unconnected": True} if self.allow_unconnected else {}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Skeleton:
        """A skeleton from the content of ``to_dict`` or of a TOML file.

        Raises:
            SkeletonError: a field is unknown, missing or invalid.
        """
        known = {f.name for f in fields(cls) if f.init}
        if not isinstance(data, Mapping):
            raise SkeletonError(f"data: expected the fields of a skeleton by name, got {brief(data)}", "data")
        for key in data:
            if key not in known:
                raise SkeletonError(f"unknown field {brief(key)}, known are {', '.join(sorted(known))}", one_line(key))
        for key in ("name", "keypoints", "parts"):
            if key not in data:
                raise SkeletonError(f"field {key!r} is missing", key)
        derived = data.get("derived", {})
        if not isinstance(derived, Mapping):
            raise SkeletonError("derived: expected a table of name = [sources]", "derived")
        return cls(**{**data, "derived": tuple(derived.items())})

    @classmethod
    def from_toml(cls, path: str | Path) -> Skeleton:
        """Load a skeleton from a TOML file; ``simplepose/skeleton/files/`` holds examples.

        Raises:
            SkeletonError: the file is not TOML or its skeleton is invalid; the message begins with path and line.
            OSError: the file cannot be read.
        """
        text, data = read_toml(Path(path))
        try:
            return cls.from_dict(data)
        except SkeletonError as error:
            line = line_of(text, error.field, error.names)
            raise SkeletonError(f"{path}:{line}: {one_line(error)}", error.field, error.names) from None

    @classmethod
    def from_sleap(cls, skeleton: Any) -> Skeleton:
        """The skeleton of a `sleap_io.Skeleton`: nodes are keypoints, edges are parts, symmetries are left-right pairs.

        Names ``left_...`` and ``right_...`` are paired even without a symmetry. Unconnected nodes are allowed.

        Raises:
            TypeError: it is no such skeleton.
            SkeletonError: no edge connects the counterparts of an edge's nodes, or names or edges are repeated.
        """
        return cls(**sleap_fields(skeleton))

    def _pairs(self, pairs: Iterable[NamePair]) -> list[tuple[int, int]]:
        return [(self.keypoints.index(a), self.keypoints.index(b)) for a, b in pairs]


def load_skeleton(name_or_path: str | Path) -> Skeleton:
    """A skeleton that ships with the package (``coco``, ``coco-mst``, ``crowdpose14``, ``hand21``) or a TOML file.

    Raises:
        ValueError: there is neither a shipped skeleton nor a file of that name; the message lists the names.
    """
    name = str(name_or_path)
    for derived in (COCO, COCO_MST):
        if name == derived.name:
            return derived
    shipped = {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}
    path = shipped.get(name, Path(name))
    if os.path.isfile(path):  # false for a name that is too long, unlike Path.is_file
        return Skeleton.from_toml(path)
    known = ", ".join(sorted([*shipped, COCO_MST.name]))
    raise ValueError(f"skeleton: no file {brief(name, 260)} and no skeleton of that name (known: {known})")


def _default_colors(count: int) -> tuple[Color, ...]:
    hues = [colorsys.hsv_to_rgb(i / max(count, 1), 0.75, 1.0) for i in range(count)]
    return tuple((round(255 * r), round(255 * g), round(255 * b)) for r, g, b in hues)


def _items(value: Any, label: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise SkeletonError(f"{label}: expected a list, got {brief(value)}", label)
    return tuple(value)


def _strings(value: Any, label: str) -> tuple[str, ...]:
    items = _items(value, label)
    for item in items:
        if not isinstance(item, str):
            raise SkeletonError(f"{label}: expected strings, got {brief(item)}", label, (brief(item),))
    return items


def _string_pairs(value: Any, label: str) -> tuple[NamePair, ...]:
    pairs = []
    for item in _items(value, label):
        names = _strings(item, label)
        if len(names) != 2:
            raise SkeletonError(f"{label}: expected pairs of names, got {brief(list(names))}", label, names)
        pairs.append((names[0], names[1]))
    return tuple(pairs)


def _numbers(value: Any, label: str) -> tuple[float, ...]:
    items = _items(value, label)
    for item in items:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise SkeletonError(f"{label}: expected numbers, got {brief(item)}", label, (brief(item),))
        if not abs(item) < math.inf or abs(item) > MOST_NUMBER:
            raise SkeletonError(f"{label}: expected finite numbers up to {MOST_NUMBER:g}, got {brief(item)}", label)
    return tuple(float(item) for item in items)


def _flag(value: Any, label: str) -> None:
    if not isinstance(value, bool):
        raise SkeletonError(f"{label}: expected true or false, got {brief(value)}", label)


def _color(value: Any) -> Color:
    channels = _items(value, "colors")
    if len(channels) != 3 or not all(type(c) is int and 0 <= c <= 255 for c in channels):
        raise SkeletonError(f"colors: expected [red, green, blue] from 0 to 255, got {brief(list(channels))}", "colors")
    return (channels[0], channels[1], channels[2])


def _read_only(array: NDArray[np.int32]) -> NDArray[np.int32]:
    array.setflags(write=False)
    return array


COCO = Skeleton.from_toml(SHIPPED / "coco.toml")
"""The COCO keypoint skeleton with the paper's neck and 30 redundant parts (docs/design.md, Skeleton)."""

COCO_MST = replace(COCO.spanning_tree(), name="coco-mst")
"""`COCO` with the parts of a spanning tree only, for the "w/ MST" row of the paper's Table 1."""
