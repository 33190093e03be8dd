"""The validation of skeletons."""

from __future__ import annotations

from typing import Protocol

from simplepose.skeleton.names import NamePair, SkeletonError, connected, mirror_names

MAX_KEYPOINTS = 256
"""The native grouping stores the keypoint types of a pose in a bit set of this many bits."""


class SkeletonFields(Protocol):
    """The fields that `check_skeleton` reads."""

    @property
    def keypoints(self) -> tuple[str, ...]: ...
    @property
    def parts(self) -> tuple[NamePair, ...]: ...
    @property
    def left_right(self) -> tuple[NamePair, ...]: ...
    @property
    def dataset_keypoints(self) -> tuple[str, ...]: ...
    @property
    def derived(self) -> tuple[tuple[str, tuple[str, ...]], ...]: ...
    @property
    def sigmas(self) -> tuple[float, ...]: ...
    @property
    def colors(self) -> tuple[tuple[int, int, int], ...]: ...
    @property
    def drawn_parts(self) -> tuple[NamePair, ...]: ...
    @property
    def allow_unconnected(self) -> bool: ...


def check_skeleton(skeleton: SkeletonFields) -> None:
    """Raise SkeletonError for the first error found."""
    names = set(skeleton.keypoints)
    if not 1 <= len(skeleton.keypoints) <= MAX_KEYPOINTS:
        raise SkeletonError(f"keypoints: expected 1 to {MAX_KEYPOINTS}, got {len(skeleton.keypoints)}", "keypoints")
    _check_names("keypoints", skeleton.keypoints, names)
    _check_parts("parts", skeleton.parts, names)
    _check_left_right(skeleton, names)
    derived = tuple(name for name, _ in skeleton.derived)
    _check_names("derived", derived, names)
    for name, sources in skeleton.derived:
        _check_names("derived", sources, names)
        if not sources or set(sources) & set(derived):
            raise SkeletonError(f"derived: {name!r} needs sources that are not derived themselves", "derived", (name,))
    _check_names("dataset_keypoints", skeleton.dataset_keypoints, names - set(derived))
    missing = names - set(derived) - set(skeleton.dataset_keypoints)
    if missing:
        raise SkeletonError(
            f"dataset_keypoints: {sorted(missing)} are neither dataset keypoints nor derived", "dataset_keypoints"
        )
    for label, values, count in (
        ("sigmas", skeleton.sigmas, len(skeleton.dataset_keypoints)),
        ("colors", skeleton.colors, len(names)),
    ):
        if len(values) != count:
            raise SkeletonError(f"{label}: expected {count}, got {len(values)}", label)
    if not all(s > 0 for s in skeleton.sigmas):
        raise SkeletonError("sigmas: expected positive numbers", "sigmas")
    _check_parts("drawn_parts", skeleton.drawn_parts, names)
    reached = connected(skeleton.keypoints, skeleton.parts)
    if reached != names and not skeleton.allow_unconnected:
        unconnected = tuple(k for k in skeleton.keypoints if k not in reached)
        raise SkeletonError(f"parts: they do not connect {list(unconnected)} with the other keypoints", "parts")


def _check_names(label: str, given: tuple[str, ...], known: set[str]) -> None:
    seen: set[str] = set()
    for name in given:
        if name in seen:
            raise SkeletonError(f"{label}: {name!r} is repeated", label, (name, name))
        if not name or name not in known:
            raise SkeletonError(f"{label}: unknown keypoint {name!r}", label, (name,))
        seen.add(name)


def _check_parts(label: str, parts: tuple[NamePair, ...], names: set[str]) -> None:
    seen: set[frozenset[str]] = set()
    for part in parts:
        for name in part:
            if name not in names:
                raise SkeletonError(f"{label}: unknown keypoint {name!r} in {list(part)}", label, (name,))
        if part[0] == part[1]:
            raise SkeletonError(f"{label}: {list(part)} joins a keypoint to itself", label, part)
        if frozenset(part) in seen:
            raise SkeletonError(f"{label}: {list(part)} is repeated", label, (*part, *part))
        seen.add(frozenset(part))


def _check_left_right(skeleton: SkeletonFields, names: set[str]) -> None:
    seen: set[str] = set()
    for pair in skeleton.left_right:
        for name in pair:
            if name not in names:
                raise SkeletonError(f"left_right: unknown keypoint {name!r} in {list(pair)}", "left_right", (name,))
            if name in seen or pair[0] == pair[1]:
                raise SkeletonError(
                    f"left_right: {name!r} must be in one pair only, with another keypoint", "left_right", pair
                )
        seen.update(pair)
    for name in sorted(names - seen):
        for side, opposite in (("left_", "right_"), ("right_", "left_")):
            mirrored = opposite + name.removeprefix(side)
            if name.startswith(side) and mirrored in names:
                raise SkeletonError(f"left_right: {name!r} and {mirrored!r} are not paired", "left_right", (name,))
    mirror = mirror_names(skeleton.left_right)
    known = {frozenset(part) for part in skeleton.parts}
    for part in skeleton.parts:
        mirrored_part = [mirror.get(k, k) for k in part]
        if frozenset(mirrored_part) not in known:
            raise SkeletonError(f"parts: {list(part)} has no mirrored part {mirrored_part}", "parts", part)
