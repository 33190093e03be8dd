"""The formats of result files by name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from simplepose.io.formats import coco, csv_table, openpose, parquet, sleap, yolo
from simplepose.io.formats.source import Content, Inputs, Write

Writer: TypeAlias = Callable[[Path, Inputs, Content], AbstractContextManager[Write]]


class Format(NamedTuple):
    """A format of result files."""

    result: str  # what is named after a run: a file or folder in the output folder
    files: Callable[[Path, Inputs], dict[Path, list[str]]]
    """The files that a run writes or replaces, by folder; arguments: the output folder, the inputs."""
    writer: Writer
    """Writes the files until the block ends; arguments: the output folder, the inputs, what the people have. Files of
    all images are replaced at the end, those of single images at once."""
    covariance: bool = False  # whether the format can hold covariances
    module: str = ""  # a module that the format needs, if any
    extra: str = ""  # the extra that installs it


FORMATS = {
    "coco": Format(coco.RESULTS, coco.files, coco.writer),
    "openpose": Format(openpose.FOLDER, openpose.files, openpose.writer),
    "yolo": Format(yolo.LABELS, yolo.files, yolo.writer),
    "csv": Format(csv_table.PEOPLE, csv_table.files, csv_table.writer, covariance=True),
    "parquet": Format(parquet.PEOPLE, parquet.files, parquet.writer, module="pyarrow", extra="bulk"),
    "sleap": Format(sleap.PEOPLE, sleap.files, sleap.writer, module="sleap_io", extra="animals"),
}
