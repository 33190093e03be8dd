"""Damage to files: changed bytes, values of wrong types in parsed JSON, and text that is not what it was."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

ODD = (
    *(None, True, False, "", "no", "1", "NaN", "x" * 5000, "\0", "\ud800", "é", "1e400", "../a"),
    *(-1, 0, 1, 2, 3.5, -0.0, 1e-320, 1e308, 2**31, 2**63, -(2**63) - 1, 10**400, float("nan"), float("inf")),
    *([], {}, [None], [[]], [1, 2], [[1, 2], [3]], {"a": 1}, [0] * 1000, [[[[[[]]]]]], {"size": [1], "counts": []}),
)
"""Values that replace others."""

TEXTS = (
    b"9" * 5000,
    b"-" + b"9" * 400,
    b"[" * 100_000,
    b'{"a":' * 5000,
    b"Infinity",
    b"NaN",
    b"1e999",
    b"\xff\xfe",
    b"\0",
)
"""Pieces of text that are inserted."""


def places(value: Any) -> list[tuple[Any, Any]]:
    """All pairs (container, key) within a value; of long lists only a few."""
    keys: list[Any] = list(value) if isinstance(value, dict) else []
    if isinstance(value, list):
        keys = list(range(len(value))) if len(value) < 8 else [0, 1, 2, 3, len(value) - 1]
    return [place for key in keys for place in ((value, key), *places(value[key]))]


def damage_value(rng: random.Random, value: Any) -> Any:
    """A copy of a JSON value with one to three places changed: replaced, removed, doubled, or swapped with another."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = places(value)
        if not found:
            return rng.choice(ODD)
        container, key = rng.choice(found)
        action = rng.randrange(8)
        if action == 0:
            del container[key]
        elif action == 1:
            other, other_key = rng.choice(found)
            container[key] = copy.deepcopy(other.get(other_key) if isinstance(other, dict) else rng.choice(ODD))
        elif action == 2 and isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
        elif action == 3 and isinstance(container, dict):
            container[str(rng.choice(ODD))[:40]] = copy.deepcopy(rng.choice(ODD))
        elif action == 4 and type(container[key]) in (int, float) and abs(container[key]) < 1e300:
            container[key] = container[key] * rng.choice((-1, 2, 0, 1000, 0.5)) + rng.choice((0, 1, -1))
        else:
            container[key] = copy.deepcopy(rng.choice(ODD))
    return value


def damage_bytes(rng: random.Random, data: bytes, texts: tuple[bytes, ...] = ()) -> bytes:
    """A copy of a file with bytes changed, removed, repeated, inserted or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not changed:
            break
        at = rng.randrange(min(len(changed), 200)) if rng.random() < 0.4 else rng.randrange(len(changed))
        action = rng.randrange(8)
        if action <= 2:
            changed[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))
        elif action == 3:
            changed[at] ^= 1 << rng.randrange(8)
        elif action == 4:
            del changed[at : at + rng.choice((1, 2, 8, 100))]
        elif action == 5:
            changed[at:at] = changed[at : at + rng.choice((1, 4, 64))]
        elif action == 6:
            del changed[at:]
        elif texts:
            changed[at:at] = rng.choice(texts)
        else:
            changed[at : at + 4] = rng.randbytes(4)
    return bytes(changed)


def damage_json(rng: random.Random, value: Any) -> bytes:
    """The text of a damaged JSON value, or the damaged text of a JSON value."""
    if rng.random() < 0.75:
        value = damage_value(rng, value)
        return json.dumps(value).encode()
    return damage_bytes(rng, json.dumps(value).encode(), TEXTS)
