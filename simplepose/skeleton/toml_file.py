"""Skeleton files in TOML: reading, and the line number of an error."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from simplepose.checks import one_line
from simplepose.skeleton.names import SkeletonError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text and the parsed content of a TOML file.

    Raises:
        SkeletonError: the file is not TOML; the message begins with the path.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError:
        raise SkeletonError(f"{path}: not a TOML file, it is not UTF-8 text", "toml") from None
    except (ValueError, RecursionError) as error:  # also for numbers of too many digits
        raise SkeletonError(f"{path}: not a TOML file ({one_line(error)})", "toml") from None


def line_of(text: str, label: str, names: tuple[str, ...]) -> int:
    """The line number where field ``label`` lists ``names`` one after the other; else the first line of the field.

    A sequence of the form (a, a) or (a, b, a, b) stands for a repeated entry: the line of its second occurrence is
    returned. If the field does not exist, the whole text is searched.
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
    """A regular expression for comma-separated names, quoted or bare (as keys and numbers are)."""
    items = []
    for name in map(re.escape, names):
        bare = rf"|(?<![\w\"']){name}(?![\w\"'])" if name else ""
        items.append(rf"(?:\"{name}\"|'{name}'{bare})")
    return r"\s*,\s*".join(items)
