"""Damaged files for the readers of bulk prediction: Parquet files of people, and tars of images."""

from __future__ import annotations

import io
import random
import tarfile
import tempfile
from pathlib import Path

import numpy as np

import simplepose as sp
from fuzzing.mutations import damage_bytes
from fuzzing.readers import Fuzzer


def bulk(seed: int) -> Fuzzer:
    """Parquet files of people and tars of images, plain and compressed."""
    import cv2

    from simplepose.bulk.shards import Shard
    from simplepose.bulk.sources import images_of
    from simplepose.data.images import as_image
    from simplepose.io.parquet import ImageRows, pose_schema, read_counts, read_rows, write_rows

    noise = np.random.default_rng(0)
    rows = [ImageRows.failed("broken.png", "broken", sp.COCO.num_keypoints)]
    for count in (0, 1, 3):
        keypoints = noise.random((count, sp.COCO.num_keypoints, 3), np.float32)
        scores, boxes = noise.random(count, np.float32), noise.random((count, 4), np.float32)
        rows.append(ImageRows(f"{count}.png", keypoints, scores, boxes))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        write_rows(path, rows, pose_schema(sp.COCO.to_dict()))
        whole = path.read_bytes()
    picture = cv2.imencode(".png", noise.integers(0, 256, (8, 8, 3), np.uint8))[1].tobytes()
    tars = []
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as tar:
            for number in range(3):
                member = tarfile.TarInfo(f"{number}.png")
                member.size = len(picture)
                tar.addfile(member, io.BytesIO(picture))
        tars.append(buffer.getvalue())

    def parquet(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_bytes(rng, whole))
        try:
            list(read_rows(path))
        finally:
            read_counts(path)

    def tar(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_bytes(rng, rng.choice(tars)))
        for _, image in list(images_of(Shard("tar", (str(path),)), str(path.parent))):
            if isinstance(image, Exception):
                raise image
            as_image(image)

    return Fuzzer([parquet, tar], seed)
