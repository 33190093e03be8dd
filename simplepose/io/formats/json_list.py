"""A JSON list that is written item by item, so that a long video needs no more memory than a short one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simplepose.io.atomic import atomic_write
from simplepose.io.json_text import to_json


@contextmanager
def json_list(path: Path) -> Iterator[Callable[[Any], None]]:
    """A function that adds an item to the list in ``path``, which is replaced at the end of the block.

    The text is that of `simplepose.io.atomic.write_json` for the whole list.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        count = 0

        def add(item: Any) -> None:
            nonlocal count
            file.write(",\n " if count else "[\n ")
            file.write(to_json(item, indent=1).replace("\n", "\n "))
            count += 1

        yield add
        file.write("\n]\n" if count else "[]\n")
