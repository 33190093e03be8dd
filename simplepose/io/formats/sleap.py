"""Labels of SLEAP: ``people.slp``, through sleap-io (`simplepose.adapters.sleap_io`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simplepose.adapters.sleap_io import sleap_labels
from simplepose.io.atomic import atomic_write
from simplepose.io.formats.source import Content, Inputs, Source, Write
from simplepose.poses import Poses

PEOPLE = "people.slp"


def files(folder: Path, inputs: Inputs) -> dict[Path, list[str]]:
    """The names of the files by folder."""
    return {folder: [PEOPLE]}


@contextmanager
def writer(folder: Path, inputs: Inputs, content: Content) -> Iterator[Write]:
    """Writes the labels at the end: the people of all images are in memory until then."""
    frames: list[tuple[str | Path, int, Poses]] = []

    def write(source: Source, poses: Poses | None, error: str) -> None:
        if poses is not None:
            frames.append((source.path, source.frame or 0, poses))

    yield write
    labels = sleap_labels(frames)
    with atomic_write(folder / PEOPLE) as temporary:
        labels.save(str(temporary), format="slp", embed=False)
