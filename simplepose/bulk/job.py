"""A job of bulk prediction: what a worker needs to know, and the processing of one shard into one Parquet file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from simplepose.bulk.shards import Shard
from simplepose.bulk.sources import images_of
from simplepose.checks import one_line
from simplepose.inference.bulk import PosePredictor
from simplepose.inference.config import PredictorConfig
from simplepose.io.atomic import atomic_write
from simplepose.io.parquet import Counts, ImageRows, pose_schema, read_counts, write_rows


@dataclass(frozen=True)
class Job:
    """What every worker of a run gets. It can be pickled."""

    checkpoint: str  # name of shipped weights, or an absolute path
    config: PredictorConfig
    device: str  # "auto", "cpu", "cuda" or "cuda:N"
    folder: str  # what relative addresses are relative to
    out: str  # the folder of the parts, absolute
    program: str  # its mark in the parts

    def predictor(self, device: str | None = None) -> PosePredictor:
        """The predictor of a worker, on ``device`` if it is given."""
        return PosePredictor(self.checkpoint, device or self.device, self.config)

    def part(self, shard: Shard) -> Path:
        """The output file of a shard. If it exists, the shard is done."""
        return Path(self.out) / shard.part

    def run(self, predictor: PosePredictor, shard: Shard, watch: Callable[[], None] = lambda: None) -> Result:
        """Process a shard. Its part gets its name when it is complete. A shard that is done is not processed again.

        Args:
            predictor: made by `predictor`.
            shard: the images.
            watch: called for each image; an exception that it raises ends the work.

        Returns:
            The numbers of the part, or the error that prevented it.
        """
        path = self.part(shard)
        notes = {"made_by": self.program, "shard": shard.name}
        schema = pose_schema(predictor.predictor.skeleton.to_dict(), notes=notes)

        def rows() -> Iterator[ImageRows]:
            for row in predictor.rows(images_of(shard, self.folder)):
                watch()
                yield row

        began = time.time()
        try:
            if path.exists():
                return Result(shard, read_counts(path), began, began)
            with atomic_write(path) as temporary:
                counts = write_rows(temporary, rows(), schema)
            return Result(shard, counts, began, time.time())
        except Exception as error:  # of this shard; the others are processed
            return Result(shard, None, began, time.time(), one_line(error) or type(error).__name__)


@dataclass(frozen=True)
class Result:
    """What became of a shard in this run."""

    shard: Shard
    counts: Counts | None  # None: it is not done
    began: float = 0.0  # seconds since the epoch
    ended: float = 0.0
    error: str = ""  # the reason why it is not done
