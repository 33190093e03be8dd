"""A skeleton from one of SLEAP (sleap_io.Skeleton): nodes are keypoints, edges are parts, symmetries are pairs."""

from __future__ import annotations

from typing import Any

from simplepose.checks import describe, one_line
from simplepose.skeleton.names import NamePair, connected

SIDES = (("left", "right"), ("Left", "Right"), ("L", "R"), ("_l", "_r"))
"""Texts that distinguish the names of a pair."""


def sleap_fields(skeleton: Any) -> dict[str, Any]:
    """The fields of a `Skeleton` for a `sleap_io.Skeleton`; sleap-io itself is not imported.

    Raises:
        TypeError: it has no ``node_names``, ``edge_names`` and ``symmetry_names``.
    """
    try:
        keypoints = tuple(str(name) for name in skeleton.node_names)
        edges = tuple((str(a), str(b)) for a, b in skeleton.edge_names)
        symmetries = tuple((str(a), str(b)) for a, b in skeleton.symmetry_names)
        name = skeleton.name
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"skeleton: expected a sleap_io.Skeleton, got {describe(skeleton)}") from None
    return {
        "name": one_line(name or "sleap"),
        "keypoints": keypoints,
        "parts": edges,
        "left_right": paired(keypoints, symmetries),
        "drawn_parts": edges,
        "allow_unconnected": bool(keypoints) and connected(keypoints, edges) != set(keypoints),
    }


def paired(keypoints: tuple[str, ...], pairs: tuple[NamePair, ...]) -> tuple[NamePair, ...]:
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
