"""Name-level operations on skeletons: mirrored names, connectivity, the spanning tree; and their error."""

from __future__ import annotations

NamePair = tuple[str, str]

SIDES = (("left", "right"), ("Left", "Right"), ("L", "R"), ("_l", "_r"))
"""Texts that distinguish the names of a pair."""


class SkeletonError(ValueError):
    """An invalid skeleton; ``field`` and ``names`` locate the error."""

    def __init__(self, message: str, field: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.names = names


def mirror_names(left_right: tuple[NamePair, ...]) -> dict[str, str]:
    """The mirrored name of each paired keypoint: left to right and right to left."""
    return {a: b for pair in left_right for a, b in (pair, pair[::-1])}


def connected(keypoints: tuple[str, ...], parts: tuple[NamePair, ...]) -> set[str]:
    """The keypoints that are connected to the first one by a chain of parts."""
    reached = {keypoints[0]}
    while True:
        neighbors = {k for part in parts if reached & set(part) for k in part}
        if neighbors <= reached:
            return reached
        reached |= neighbors


def tree_parts(keypoints: tuple[str, ...], parts: tuple[NamePair, ...]) -> tuple[NamePair, ...]:
    """The parts of a spanning tree: in order, every part that closes no cycle with the chosen ones."""
    group = {k: k for k in keypoints}
    tree = []
    for part in parts:
        a, b = group[part[0]], group[part[1]]
        if a != b:
            tree.append(part)
            group = {k: a if g == b else g for k, g in group.items()}
    return tuple(tree)


def pair_sides(keypoints: tuple[str, ...], pairs: tuple[NamePair, ...]) -> tuple[NamePair, ...]:
    """``pairs`` with the left name first, and the pairs ``left_...``, ``right_...`` that are missing among them."""
    ordered = [pair[::-1] if _is_left(pair[1], pair[0]) else pair for pair in pairs]
    used = {name for pair in ordered for name in pair}
    for name in keypoints:
        other = "right_" + name.removeprefix("left_")
        if name.startswith("left_") and other in keypoints and not {name, other} & used:
            ordered.append((name, other))
    return tuple((a, b) for a, b in ordered)


def _is_left(name: str, other: str) -> bool:
    """Whether two names differ only in a text of `SIDES`, and ``name`` has the left one."""
    return any(left in name and name.replace(left, right) == other for left, right in SIDES)
