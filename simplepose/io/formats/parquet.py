"""A Parquet file with one row for each person: ``people.parquet``, with the columns of `simplepose.io.parquet`.

Files of videos also have the columns ``frame``, the index from 0, and ``time_s``, in seconds. Their ``image`` is the
path of the video with the index of the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from simplepose.io.atomic import atomic_write
from simplepose.io.formats.source import Content, Inputs, Source, Write
from simplepose.io.json_text import to_json
from simplepose.io.parquet import COUNTS, ROWS, Counts, ImageRows, pose_schema, pyarrow, to_table
from simplepose.poses import Poses

PEOPLE = "people.parquet"


def image_rows(image: str, poses: Poses) -> ImageRows:
    """The rows of the people of an image; ``image`` is its name."""
    return ImageRows(image, poses.keypoints, poses.scores, poses.boxes, poses.truncated, poses.track_ids)


def files(folder: Path, inputs: Inputs) -> dict[Path, list[str]]:
    """The names of the files by folder."""
    return {folder: [PEOPLE]}


@contextmanager
def writer(folder: Path, inputs: Inputs, content: Content) -> Iterator[Write]:
    """Writes the rows of all images, `simplepose.io.parquet.ROWS` at a time."""
    pa = pyarrow()
    skeleton = content.skeleton
    schema = pose_schema(skeleton.to_dict(), tracked=content.tracked)
    more = [pa.field("frame", pa.int64()), pa.field("time_s", pa.float64())] if inputs.video else []
    full = schema
    for field in more:
        full = full.append(field)
    waiting: list[tuple[Source, ImageRows]] = []
    rows, counts = 0, Counts()
    with (
        atomic_write(folder / PEOPLE) as temporary,
        pa.parquet.ParquetWriter(str(temporary), full, compression="zstd") as file,
    ):

        def flush() -> None:
            table = to_table([image for _, image in waiting], schema)
            places = [(s.frame, s.time) for s, image in waiting for _ in range(max(1, len(image.scores)))]
            for number, field in enumerate(more):
                table = table.append_column(field, pa.array([place[number] for place in places], field.type))
            file.write_table(table)
            waiting.clear()

        def write(source: Source, poses: Poses | None, error: str) -> None:
            nonlocal rows, counts
            if poses is None:
                image = ImageRows.failed(source.name, error, skeleton.num_keypoints)
            else:
                image = image_rows(source.name, poses)
            waiting.append((source, image))
            counts = counts.with_image(image)
            rows += max(1, len(image.scores))
            if rows >= ROWS:
                flush()
                rows = 0

        yield write
        if waiting:
            flush()
        file.add_key_value_metadata({COUNTS: to_json(asdict(counts)).encode()})
