"""Random settings and skeletons. Settings are drawn from the fields of a dataclass: new fields need no change here."""

from __future__ import annotations

import types
import typing
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np

import simplepose as sp

INTEGERS = (0, 1, 2, 3, 4, 5, 7, 8, 10, 16, 20)
NUMBERS = (
    0.0,
    1e-6,
    0.01,
    0.05,
    0.1,
    0.2,
    0.25,
    0.3,
    0.4,
    0.5,
    0.7,
    0.8,
    0.9,
    1.0,
    1.5,
    2.0,
    3.0,
    4.0,
    6.0,
    10.0,
    50.0,
)
"""Candidates for the value of a number; those that a field refuses are left out."""


@cache
def field_values(kind: type) -> dict[str, tuple[Any, ...]]:
    """The values to draw from for each field of a settings dataclass.

    They are those that it accepts next to the defaults, or with one other field changed.
    """
    hints = typing.get_type_hints(kind)
    candidates = {f.name: _candidates(hints[f.name], f.default) for f in fields(kind)}

    def usable(name: str, value: Any) -> bool:
        others = ({other: v} for other, values in candidates.items() if other != name for v in values)
        return any(_accepts(kind, {name: value, **changed}) for changed in ({}, *others))

    return {name: tuple(v for v in values if usable(name, v)) for name, values in candidates.items()}


def _candidates(hint: Any, default: Any) -> list[Any]:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return list(options)
    if origin in (typing.Union, types.UnionType):
        return [value for option in options for value in _candidates(option, default)]
    if hint is bool:
        return [False, True]
    if hint is int:
        return [*INTEGERS, default]
    if hint is float:
        near = [default / 2, default * 2, default] if isinstance(default, float) else []
        return [*NUMBERS, *near]
    return [None] if hint is type(None) else [default]


def _accepts(kind: type, values: dict[str, Any]) -> bool:
    try:
        kind(**values)
    except (TypeError, ValueError):
        return False
    return True


def draw_settings(rng: np.random.Generator, kind: type, base: dict[str, Any] | None = None) -> Any:
    """An instance of a settings dataclass: of each field the default (or the value in ``base``) or a drawn value."""
    values = field_values(kind)
    share = rng.choice((0.0, 0.2, 0.5, 1.0))
    while True:
        chosen = dict(base or {})
        chosen |= {name: v[rng.integers(len(v))] for name, v in values.items() if rng.random() < share}
        if _accepts(kind, chosen):
            return kind(**chosen)
        share *= 0.9  # a combination that the class refuses


def number_values(config: Any) -> list[float]:
    """The floating-point numbers among the settings: values near them are the edges of comparisons."""
    return [v for f in fields(config) if isinstance(v := getattr(config, f.name), float)]


def named_skeletons() -> tuple[sp.Skeleton, ...]:
    """The skeletons that ship with the package, and a spanning tree."""
    return (sp.COCO, sp.COCO.spanning_tree(), sp.load_skeleton("crowdpose14"), sp.load_skeleton("hand21"))


def draw_skeleton(rng: np.random.Generator) -> sp.Skeleton:
    """A random connected skeleton of 1 to 5 keypoints, with redundant parts and parts in both directions."""
    count = int(rng.choice((1, 2, 2, 2, 2, 2, 3, 3, 4, 5)))
    names = tuple(f"k{i}" for i in range(count))
    pairs = [(int(rng.integers(i)), i) for i in range(1, count)]
    others = [(i, j) for i in range(count) for j in range(i + 1, count) if (i, j) not in pairs]
    pairs += [others[i] for i in rng.permutation(len(others))[: rng.integers(0, 3)]]
    parts = [(names[j], names[i]) if rng.random() < 0.5 else (names[i], names[j]) for i, j in pairs]
    return sp.Skeleton("drawn", names, tuple(parts[i] for i in rng.permutation(len(parts))))
