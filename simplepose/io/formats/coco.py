"""COCO keypoint results: ``results.json``, and ``images.json`` with the ids of the images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simplepose.io.formats.json_list import json_list
from simplepose.io.formats.source import Content, Inputs, Source, Write
from simplepose.poses import Poses

RESULTS, IMAGES = "results.json", "images.json"


def files(folder: Path, inputs: Inputs) -> dict[Path, list[str]]:
    """The names of the files by folder."""
    return {folder: [RESULTS, IMAGES]}


@contextmanager
def writer(folder: Path, inputs: Inputs, content: Content) -> Iterator[Write]:
    """Writes ``results.json`` (`Poses.to_coco`) and ``images.json``, with image ids from 1."""
    with json_list(folder / RESULTS) as add_result, json_list(folder / IMAGES) as add_image:
        count = 0

        def write(source: Source, poses: Poses | None, error: str) -> None:
            nonlocal count
            if poses is None:
                return
            count += 1
            add_image({"id": count, **source.entry})
            for result in poses.to_coco(count):
                add_result(result)

        yield write
