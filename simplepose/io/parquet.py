"""People in Parquet files: the schema, and the conversion between images and rows. Needs pyarrow.

Each person is one row. An image without people is one row whose ``person`` is null, and an image that could not be read
is one row with an ``error``: every image that was processed has at least one row. The columns:

| column | type | content |
|---|---|---|
| ``image`` | string | the key of the image |
| ``person`` | int32 | index of the person in the image, 0 for the highest score; null: no people, or an error |
| ``score`` | float32 | score of the person |
| ``box`` | fixed-size list of 4 float32 | left, top, right, bottom of the detected keypoints, in image pixels |
| ``keypoints`` | fixed-size list [J, 3] of float32 | x and y in image pixels and score; missing: (NaN, NaN, 0) |
| ``truncated`` | bool | whether a keypoint type had too many candidates; null for errors |
| ``error`` | string | the reason why the image could not be read; null if it could |
| ``track_id`` | int64 | only in files of tracked people: the identity, null for people without a track |

The key `METADATA` of the file's metadata holds a JSON object: the format, its version, the skeleton
(`Skeleton.to_dict`) and the values that the writer adds. The key `COUNTS` holds the numbers of `Counts`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import brief, one_line
from simplepose.io.atomic import errors_of
from simplepose.io.json_text import parse_json, to_json

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "simplepose.poses"
FORMAT_VERSION = 1

METADATA = b"simplepose"
"""The key of the JSON object in the metadata of a file."""

COUNTS = b"simplepose.counts"
"""The key of the numbers of images and people in the metadata of a file."""

NO_PYARROW = "Parquet files need pyarrow: pip install pyarrow"

ROWS = 4096
"""A row group is written when this many rows have been added."""


@dataclass(frozen=True)
class ImageRows:
    """One image: its people, or the error that prevented reading it. The fields are those of `Poses`."""

    image: str
    keypoints: NDArray[np.float32]  # [N, J, 3]
    scores: NDArray[np.float32]  # [N]
    boxes: NDArray[np.float32]  # [N, 4]
    truncated: bool = False
    track_ids: NDArray[np.int64] | None = None  # [N], -1 for people without a track
    error: str | None = None

    @classmethod
    def failed(cls, image: str, error: object, num_keypoints: int) -> ImageRows:
        """An image that could not be read."""
        none = np.empty(0, np.float32)
        keypoints, boxes = none.reshape(0, num_keypoints, 3), none.reshape(0, 4)
        return cls(image, keypoints, none, boxes, error=one_line(error) or type(error).__name__)


@dataclass(frozen=True)
class Counts:
    """The content of a file in numbers."""

    images: int = 0  # with those that failed
    people: int = 0
    without_people: int = 0  # images that were read and show nobody
    failed: int = 0  # images, or other inputs, that could not be read

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def with_image(self, image: ImageRows) -> Counts:
        """The numbers with one more image."""
        count, failed = len(image.scores), image.error is not None
        return self + Counts(1, count, int(not count and not failed), int(failed))


def pyarrow() -> Any:
    """The module pyarrow, with its module ``parquet`` imported.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise ModuleNotFoundError(NO_PYARROW, name="pyarrow") from None
    return pyarrow


def pose_schema(
    skeleton: Mapping[str, Any], *, tracked: bool = False, notes: Mapping[str, Any] | None = None
) -> pa.Schema:
    """The schema of a file.

    Args:
        skeleton: `Skeleton.to_dict` of the people's skeleton.
        tracked: whether there is a column ``track_id``.
        notes: JSON values that are added to the metadata.
    """
    pa = pyarrow()
    columns = {
        "image": pa.string(),
        "person": pa.int32(),
        "score": pa.float32(),
        "box": pa.list_(pa.float32(), 4),
        "keypoints": pa.list_(pa.list_(pa.float32(), 3), len(skeleton["keypoints"])),
        "truncated": pa.bool_(),
        "error": pa.string(),
        **({"track_id": pa.int64()} if tracked else {}),
    }
    content = {"format": FORMAT, "version": FORMAT_VERSION, "skeleton": dict(skeleton), **(notes or {})}
    fields = [pa.field(name, kind, nullable=name != "image") for name, kind in columns.items()]
    return pa.schema(fields, metadata={METADATA: to_json(content).encode()})


def to_table(images: Iterable[ImageRows], schema: pa.Schema) -> pa.Table:
    """The rows of images, in order, with the columns of `pose_schema`."""
    pa = pyarrow()
    names: list[str] = []
    people: list[int | None] = []
    truncated: list[bool | None] = []
    errors: list[str | None] = []
    tracks: list[int | None] = []
    source: list[ImageRows] = []
    for image in images:
        count = len(image.scores)
        rows = max(1, count)
        names += [_text(image.image)] * rows
        people += range(count) if count else [None]
        truncated += [None if image.error else image.truncated] * rows
        errors += [None if image.error is None else _text(image.error)] * rows
        ids = [-1] * count if image.track_ids is None else image.track_ids.tolist()
        tracks += [number if number > 0 else None for number in ids] if count else [None]
        source.append(image)
    num_keypoints = schema.field("keypoints").type.list_size
    empty = np.array([person is None for person in people], bool)

    def lists(arrays: Iterable[NDArray[np.float32]], *shape: int) -> Any:
        """Fixed-size lists of the people's values [N, *shape], with nulls for rows without a person."""
        values = np.full((len(names), *shape), np.nan, np.float32)
        given = list(arrays)
        if given:
            values[~empty] = np.concatenate(given)
        array = pa.array(values.reshape(-1))
        for size in shape[:0:-1]:
            array = pa.FixedSizeListArray.from_arrays(array, size)
        if not shape:
            return pa.array(values, mask=empty)
        return pa.FixedSizeListArray.from_arrays(array, shape[0], mask=pa.array(empty))

    columns = {
        "image": pa.array(names, pa.string()),
        "person": pa.array(people, pa.int32()),
        "score": lists(image.scores for image in source),
        "box": lists((image.boxes for image in source), 4),
        "keypoints": lists((image.keypoints for image in source), num_keypoints, 3),
        "truncated": pa.array(truncated, pa.bool_()),
        "error": pa.array(errors, pa.string()),
        "track_id": pa.array(tracks, pa.int64()),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _text(name: str) -> str:
    """A text that Arrow takes: bytes of a file name that are not text are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def write_rows(path: str | Path, images: Iterable[ImageRows], schema: pa.Schema) -> Counts:
    """Write the rows of images, `ROWS` at a time; ``images`` may be a generator. The path is written in place.

    Raises:
        OSError: the file cannot be written; the message names it.
    """
    pa = pyarrow()
    waiting: list[ImageRows] = []
    rows, counts = 0, Counts()
    with errors_of(Path(path)), pa.parquet.ParquetWriter(os.fspath(path), schema, compression="zstd") as writer:
        for image in images:
            waiting.append(image)
            counts = counts.with_image(image)
            rows += max(1, len(image.scores))
            if rows >= ROWS:
                writer.write_table(to_table(waiting, schema))
                waiting, rows = [], 0
        if waiting:
            writer.write_table(to_table(waiting, schema))
        writer.add_key_value_metadata({COUNTS: to_json(asdict(counts)).encode()})
    return counts


def read_notes(path: str | Path) -> dict[str, Any]:
    """The JSON object in the metadata of a file: format, version, skeleton and the notes of the writer.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is damaged, or `pose_schema` did not make its schema; the message names it.
    """
    with _opened(path) as file:
        return _notes(path, file.schema_arrow.metadata)


def read_counts(path: str | Path) -> Counts:
    """The numbers of images and people of a file that `write_rows` wrote; errors as in `read_notes`."""
    with _opened(path) as file:
        values = parse_json((file.metadata.metadata or {}).get(COUNTS, b"null"), path)
    names = tuple(Counts.__dataclass_fields__)
    if not isinstance(values, dict) or any(not isinstance(values.get(name), int) for name in names):
        raise ValueError(f"{path}: expected the numbers of images in the metadata, got {brief(values)}")
    return Counts(*(values[name] for name in names))


def read_rows(path: str | Path) -> Iterator[ImageRows]:
    """The images of a file, in order. Each row whose person is 0 or null begins an image.

    Raises:
        OSError: the file cannot be read.
        ValueError: as in `read_notes`; or the rows are not as described; the message names the file and the row.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
        notes = _notes(path, schema.metadata)
        expected = pose_schema(notes["skeleton"], tracked="track_id" in schema.names)
        for name in expected.names:
            if name not in schema.names or schema.field(name).type != expected.field(name).type:
                raise ValueError(f"{path}: column {name}: expected the type {expected.field(name).type}")
        num_keypoints, row = len(notes["skeleton"]["keypoints"]), 0
        waiting: list[dict[str, Any]] = []
        for batch in file.iter_batches(ROWS, columns=expected.names):
            for values in _values(batch, num_keypoints):
                values["row"], row = row, row + 1
                if waiting and not values["person"]:
                    yield _image(path, waiting, num_keypoints)
                    waiting = []
                waiting.append(values)
        if waiting:
            yield _image(path, waiting, num_keypoints)


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    """The open file. The errors of pyarrow, which do not name it, become ValueError."""
    pa = pyarrow()
    try:
        with pa.parquet.ParquetFile(os.fspath(path)) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"{path}: not a Parquet file, or damaged ({one_line(error)})") from None


def _notes(path: str | Path, metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    if not metadata or METADATA not in metadata:
        raise ValueError(
            f"{path}: a Parquet file without the metadata {METADATA.decode()!r}, not written by simplepose"
        )
    notes = parse_json(metadata[METADATA], path)
    if not isinstance(notes, dict) or notes.get("format") != FORMAT:
        raise ValueError(f"{path}: expected the format {FORMAT!r} in the metadata")
    if notes.get("version") != FORMAT_VERSION:
        raise ValueError(f"{path}: expected version {FORMAT_VERSION}, got {brief(notes.get('version'))}")
    skeleton = notes.get("skeleton")
    if not isinstance(skeleton, dict) or not isinstance(skeleton.get("keypoints"), list) or not skeleton["keypoints"]:
        raise ValueError(f"{path}: expected a skeleton with keypoints in the metadata, got {brief(skeleton)}")
    return notes


def _values(batch: Any, num_keypoints: int) -> Iterator[dict[str, Any]]:
    """The rows of a record batch; the lists as arrays."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    plain = {name: column.to_pylist() for name, column in columns.items() if name not in ("box", "keypoints")}
    present = [person is not None for person in plain["person"]]
    lists = {"box": (4,), "keypoints": (num_keypoints, 3)}
    arrays = {name: _dense(columns[name], len(present), shape) for name, shape in lists.items()}
    for i in range(len(present)):
        yield {**{name: values[i] for name, values in plain.items()}, **{name: a[i] for name, a in arrays.items()}}


def _dense(column: Any, rows: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A column of fixed-size lists as ``[rows, *shape]``; null lists and values are NaN."""
    values = np.full((rows, *shape), np.nan, np.float32)
    valid = column.is_valid().to_numpy(zero_copy_only=False)
    flat = column.flatten()  # without the null lists
    for _ in shape[1:]:
        flat = flat.flatten()
    values[valid] = flat.to_numpy(zero_copy_only=False).reshape(-1, *shape)
    return values


def _image(path: str | Path, rows: Sequence[Mapping[str, Any]], num_keypoints: int) -> ImageRows:
    """The image of consecutive rows."""
    first = rows[0]
    place = f"{path}: row {first['row']}"
    if first["image"] is None:
        raise ValueError(f"{place}: image: expected a text, got nothing")
    if first["error"] is not None:
        return ImageRows.failed(first["image"], first["error"], num_keypoints)
    if first["person"] is None and len(rows) == 1:
        rows = []
    if [(row["image"], row["person"]) for row in rows] != [(first["image"], i) for i in range(len(rows))]:
        raise ValueError(f"{place}: person: expected the indices 0 to {len(rows) - 1} of the people of an image")
    if any(row["score"] is None for row in rows):
        raise ValueError(f"{place}: score: expected a number for each person, got nothing")
    tracks = None
    if "track_id" in first:
        tracks = np.array([row["track_id"] or -1 for row in rows], np.int64)
    return ImageRows(
        first["image"],
        np.array([row["keypoints"] for row in rows], np.float32).reshape(-1, num_keypoints, 3),
        np.array([row["score"] for row in rows], np.float32),
        np.array([row["box"] for row in rows], np.float32).reshape(-1, 4),
        bool(first["truncated"]),
        tracks,
    )
