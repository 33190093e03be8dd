"""People in Parquet files: the columns, the round trip and the errors of damaged files."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.fake_network import FACE

from simplepose.io.parquet import (
    ROWS,
    Counts,
    ImageRows,
    pose_schema,
    read_counts,
    read_notes,
    read_rows,
    to_table,
    write_rows,
)

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
SKELETON = FACE.to_dict()


def image(key: str, people: int, tracks: list[int] | None = None) -> ImageRows:
    rng = np.random.default_rng(people)
    keypoints = rng.random((people, 3, 3), np.float32)
    keypoints[1:2, 0] = np.nan, np.nan, 0
    scores = np.sort(rng.random(people, np.float32))[::-1]
    ids = None if tracks is None else np.array(tracks, np.int64)
    return ImageRows(key, keypoints, scores, rng.random((people, 4), np.float32), people > 2, ids)


IMAGES = [image("a.png", 2), image("b.png", 0), ImageRows.failed("c.png", "cut\nshort", 3), image("a.png", 3)]


def assert_equal(found: ImageRows, expected: ImageRows) -> None:
    for name in ("image", "truncated", "error"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("keypoints", "scores", "boxes"):
        value = getattr(found, name)
        assert value.dtype == np.float32
        assert np.array_equal(value, getattr(expected, name), equal_nan=True)


def test_images_come_back_without_loss(tmp_path):
    path = tmp_path / "a.parquet"
    many = [image(str(i), i % 3) for i in range(ROWS)]  # more than one row group
    write_rows(path, (i for i in IMAGES + many), pose_schema(SKELETON, notes={"shard": "x"}))
    for found, expected in zip(read_rows(path), IMAGES + many, strict=True):
        assert_equal(found, expected)
    assert parquet.ParquetFile(path).num_row_groups == 2
    notes = read_notes(path)
    assert (notes["shard"], notes["skeleton"]) == ("x", SKELETON)


def test_the_counts_are_in_the_file(tmp_path):
    path = tmp_path / "a.parquet"
    assert write_rows(path, IMAGES, pose_schema(SKELETON)) == read_counts(path) == Counts(4, 5, 1, 1)
    parquet.write_table(to_table(IMAGES, pose_schema(SKELETON)), path)
    with pytest.raises(ValueError, match=r"a\.parquet: expected the numbers of images"):
        read_counts(path)


def test_tracks_come_back(tmp_path):
    path = tmp_path / "a.parquet"
    write_rows(path, [image("a", 2, [7, -1]), image("b", 0, [])], pose_schema(SKELETON, tracked=True))
    assert [rows.track_ids.tolist() for rows in read_rows(path)] == [[7, -1], []]


def test_every_image_has_a_row_of_documented_types():
    table = to_table(IMAGES, pose_schema(SKELETON))
    assert table.column("image").to_pylist() == ["a.png", "a.png", "b.png", "c.png", "a.png", "a.png", "a.png"]
    assert table.column("person").to_pylist() == [0, 1, None, None, 0, 1, 2]
    assert table.column("truncated").to_pylist() == [False, False, False, None, True, True, True]
    assert table.column("error").to_pylist() == [None, None, None, "cut short", None, None, None]
    assert [table.column(n)[2].as_py() for n in ("score", "box", "keypoints")] == [None] * 3
    assert table.schema.field("keypoints").type == pa.list_(pa.list_(pa.float32(), 3), 3)
    assert table.schema.field("box").type == pa.list_(pa.float32(), 4)


def damaged(path, **columns):
    """Replace columns of the file of IMAGES."""
    table = to_table(IMAGES, pose_schema(SKELETON))
    for name, values in columns.items():
        at = table.schema.get_field_index(name)
        field = table.schema.field(name)
        table = table.set_column(at, pa.field(name, values.type, field.nullable), values)
    parquet.write_table(table, path)


DAMAGE = {
    "person": (pa.array([0, 2, None, None, 0, 1, 2], pa.int32()), "row 0: person: expected the indices 0 to 1"),
    "score": (pa.array([1, None, None, None, 1, 1, 1], pa.float32()), "row 0: score: expected a number"),
    "box": (pa.array([None] * 7, pa.string()), "column box: expected the type"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_wrong_rows_are_named(name, tmp_path):
    column, message = DAMAGE[name]
    damaged(tmp_path / "a.parquet", **{name: column})
    with pytest.raises(ValueError, match=rf"a\.parquet: {message}"):
        list(read_rows(tmp_path / "a.parquet"))


def test_other_files_are_refused_by_name(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"a\.parquet: not a Parquet file"):
        read_notes(path)
    parquet.write_table(pa.table({"image": ["a"]}), path)
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(data[:-footer] + b"\xff" * (footer - 8) + data[-8:])
    with pytest.raises(ValueError, match=r"a\.parquet: not a Parquet file, or damaged"):
        read_notes(path)
    parquet.write_table(pa.table({"image": ["a"]}), path)
    with pytest.raises(ValueError, match="not written by simplepose"):
        read_notes(path)
    with pytest.raises(OSError, match=r"none\.parquet"):
        read_notes(tmp_path / "none.parquet")
