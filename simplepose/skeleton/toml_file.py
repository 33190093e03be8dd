"""TOML files of skeletons: reading, and the line that an error is about."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from simplepose.skeleton.names import SkeletonError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and the content of a TOML file.

    Raises:
        SkeletonError: the file is not TOML; the message begins with the path.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError:
        raise SkeletonError(f"{path}: not a TOML file, its bytes are no text", "toml") from None
    except tomllib.TOMLDecodeError as error:
        raise SkeletonError(f"{path}: {error}", "toml") from None


def line_of(text: str, label: str, names: tuple[str, ...]) -> int:
    """The line of ``text`` where field ``label`` lists ``names`` in a row; the field's first line if it does not.

    Names that repeat (a, a or a, b, a, b) are doubled: the second place counts. A field that is not there is the
    whole text.
    """
    text = re.sub("#.*", "", text)
    head = re.search(rf"^[ \t]*(\[?){re.escape(label)}[ \t]*[=\]]", text, re.MULTILINE)
    start, end = 0, len(text)
    if head:
        start = head.start()
        following = r"^[ \t]*\[\w+\]" if head[1] else r"^[ \t]*(\w+[ \t]*=|\[\w+\])"
        after = re.compile(following, re.MULTILINE).search(text, head.end())
        end = after.start() if after else end
    half = names[: len(names) // 2]
    attempts = [(_in_a_row(names), 0)]
    if half * 2 == names:
        attempts.append((f"{_in_a_row(half)}|{_in_a_row(half[::-1])}", 1))
    for pattern, which in attempts:
        hits = list(re.finditer(pattern, text[start:end]))
        if len(hits) > which:
            return text.count("\n", 0, start + hits[which].end()) + 1
    return text.count("\n", 0, start) + 1


def _in_a_row(names: tuple[str, ...]) -> str:
    """A pattern for names with commas between them, quoted or, as keys and numbers are, bare."""
    items = []
    for name in map(re.escape, names):
        bare = rf"|(?<![\w\"']){name}(?![\w\"'])" if name else ""
        items.append(rf"(?:\"{name}\"|'{name}'{bare})")
    return r"\s*,\s*".join(items)
