"""Formats with one file for each image or frame, and ``images.json``, which names the file of each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from simplepose.io.atomic import atomic_write
from simplepose.io.file_names import file_names, with_ending
from simplepose.io.formats.json_list import json_list
from simplepose.io.formats.source import Inputs, Source, Write
from simplepose.poses import Poses

INDEX = "images.json"
"""A list of objects with ``file_name``, ``results`` and, of frames, ``frame_id`` and ``time``."""

FRAME_DIGITS = 12
"""Digits of the index of a frame in a file name, as OpenPose writes it."""


def frame_name(path: Path, frame: int, ending: str) -> str:
    """The file name of a frame: the stem of the video, the index with `FRAME_DIGITS` digits, the ending."""
    return with_ending(path.stem, f"_{frame:0{FRAME_DIGITS}d}{ending}")


def present_frames(folder: Path, path: Path, ending: str) -> list[str]:
    """The files in a folder that have the name of a frame of the video, such as those of an earlier run."""
    before, after = frame_name(path, 0, ending).rsplit("0" * FRAME_DIGITS, 1)
    pattern = re.compile(f"{re.escape(before)}[0-9]{{{FRAME_DIGITS}}}{re.escape(after)}")
    return sorted(file.name for file in folder.iterdir() if pattern.fullmatch(file.name)) if folder.is_dir() else []


def image_files(folder: Path, inputs: Inputs, ending: str) -> list[str]:
    """The files that a run writes or replaces in ``folder``; of a video, those that are there already."""
    if inputs.video:
        return present_frames(folder, inputs.paths[0], ending)
    return list(file_names(inputs.paths, ending).values())


@contextmanager
def image_file_writer(
    folder: Path, index: Path, inputs: Inputs, ending: str, text: Callable[[Source, Poses], str]
) -> Iterator[Write]:
    """Writes a text file for each image that could be read; of a video, removes those of frames that it has not.

    Args:
        folder: of the files.
        index: the file `INDEX`.
        inputs: of the run.
        ending: of the file names.
        text: the content of a file.
    """
    names = {} if inputs.video else file_names(inputs.paths, ending)
    left = set(present_frames(folder, inputs.paths[0], ending)) if inputs.video else set()
    folder.mkdir(parents=True, exist_ok=True)
    with json_list(index) as add:

        def write(source: Source, poses: Poses | None, error: str) -> None:
            if poses is None:
                return
            name = names[source.path] if source.frame is None else frame_name(source.path, source.frame, ending)
            with atomic_write(folder / name) as temporary:
                temporary.write_text(text(source, poses), encoding="utf-8")
            left.discard(name)
            add({**source.entry, "results": name})

        yield write
        for name in left:
            (folder / name).unlink(missing_ok=True)
