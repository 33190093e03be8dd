"""Tables by keypoint name: mirrored names, connected keypoints, the spanning tree; and the error of a skeleton."""

from __future__ import annotations

NamePair = tuple[str, str]


class SkeletonError(ValueError):
    """A skeleton that contradicts itself; ``field`` and ``names`` say where."""

    def __init__(self, message: str, field: str, names: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.field = field
        self.names = names


def mirror_names(left_right: tuple[NamePair, ...]) -> dict[str, str]:
    """Each left name by its right one and the other way round."""
    return {a: b for pair in left_right for a, b in (pair, pair[::-1])}


def connected(keypoints: tuple[str, ...], parts: tuple[NamePair, ...]) -> set[str]:
    """The keypoints that parts connect with the first one."""
    reached = {keypoints[0]}
    while True:
        further = {k for part in parts if reached & set(part) for k in part}
        if further <= reached:
            return reached
        reached |= further


def tree_parts(keypoints: tuple[str, ...], parts: tuple[NamePair, ...]) -> tuple[NamePair, ...]:
    """The parts, in order, that do not close a cycle with those before them."""
    group = {k: k for k in keypoints}
    tree = []
    for part in parts:
        a, b = group[part[0]], group[part[1]]
        if a != b:
            tree.append(part)
            group = {k: a if g == b else g for k, g in group.items()}
    return tuple(tree)
