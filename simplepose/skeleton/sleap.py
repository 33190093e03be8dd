"""A skeleton from one of SLEAP (sleap_io.Skeleton): nodes are keypoints, edges are parts, symmetries are pairs."""

from __future__ import annotations

from typing import Any

from simplepose.checks import describe, one_line
from simplepose.skeleton.names import connected, pair_sides


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
        "left_right": pair_sides(keypoints, symmetries),
        "drawn_parts": edges,
        "allow_unconnected": bool(keypoints) and connected(keypoints, edges) != set(keypoints),
    }
