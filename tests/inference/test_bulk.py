"""PosePredictor: batches of images as tables of people."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.bulk_cases import png

import simplepose as sp
from simplepose.data.images import ImageError
from simplepose.inference.bulk import PosePredictor
from simplepose.io.parquet import ImageRows

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def predictor(one_thread: None) -> PosePredictor:
    return PosePredictor("tiny", "cpu", size=64)


def test_a_batch_of_bytes_paths_and_arrays_becomes_a_table(predictor, tmp_path):
    """As `Predictor` finds them; an image that cannot be read is a row, at its place."""
    path = tmp_path / "c.png"
    path.write_bytes(png(3))
    array = np.full((64, 64, 3), 7, np.uint8)
    images = np.empty(5, object)
    images[:] = [png(0), b"text", str(path), array, None]
    table = predictor({"bytes": images, "path": np.array(["a", "b", "c", "d", "e"])})
    assert table.schema == predictor.schema
    errors = {row["image"]: row["error"] for row in table.to_pylist()}
    assert errors == {
        **dict.fromkeys("acd"),
        "b": "b: not an image, or of an unknown format",
        "e": "e: expected an image, got nothing",
    }
    people = predictor.predictor(path)
    scores = [row["score"] for row in table.to_pylist() if row["image"] == "c"]
    assert scores == (people.scores.tolist() or [None])
    with pytest.raises(ValueError, match="batch: expected a column 'bytes', got 'image', 'path'"):
        predictor({"image": images, "path": images})


def test_errors_stay_in_order(predictor):
    """Also the first, the last and those in a row; the predictor reads ahead."""
    broken = ImageError("broken")
    array = np.zeros((64, 64, 3), np.uint8)
    images = [(str(i), broken if i in (0, 1, 7, 8, 30, 31) else array) for i in range(32)]
    rows: list[ImageRows] = list(predictor.rows(iter(images)))
    assert [row.image for row in rows] == [key for key, _ in images]
    assert [row.error == "broken" for row in rows] == [image is broken for _, image in images]
    assert all(row.keypoints.shape == (0, sp.COCO.num_keypoints, 3) for row in rows if row.error)
