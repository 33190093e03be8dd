"""A CSV file with one row for each person: ``people.csv``."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.io.atomic import atomic_write
from simplepose.io.formats.source import Content, Inputs, Source, Write
from simplepose.io.pose_table import column_names, columns
from simplepose.poses import Poses

PEOPLE = "people.csv"
SOURCE = ("image", "frame", "time_s")
"""The columns before those of `simplepose.io.pose_table`; frame and time are empty for images."""


def files(folder: Path, inputs: Inputs) -> dict[Path, list[str]]:
    """The names of the files by folder."""
    return {folder: [PEOPLE]}


@contextmanager
def writer(folder: Path, inputs: Inputs, content: Content) -> Iterator[Write]:
    """Writes the rows of each image as it comes; an image without people has no row.

    UTF-8, comma, ``\\n``. Numbers have the digits that restore their float32 values. Missing values are empty.
    """
    with (
        atomic_write(folder / PEOPLE) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*SOURCE, *column_names(content.skeleton, content.covariance)])

        def write(source: Source, poses: Poses | None, error: str) -> None:
            if poses is None:
                return
            frame, time = ("" if value is None else value for value in (source.frame, source.time))
            cells = [_cells(name, column) for name, column in columns(poses).items()]
            table.writerows([source.path, frame, time, *row] for row in zip(*cells, strict=True))

        yield write


def _cells(name: str, column: NDArray[Any]) -> list[str]:
    """The texts of a column; NaN and the track -1 are empty."""
    if column.dtype == bool:
        return ["true" if value else "false" for value in column]
    missing = column < 1 if name == "track_id" else np.isnan(column)
    return ["" if gap else str(value) for value, gap in zip(column, missing, strict=True)]
