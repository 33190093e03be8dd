"""A predictor whose results are rows of Parquet files, for bulk prediction and for Ray Data (docs/guides/bulk.md)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from simplepose.data.images import EncodedImage, ImageError
from simplepose.inference.config import PredictorConfig, PredictorOptions
from simplepose.inference.predictor import Predictor
from simplepose.io.formats.parquet import image_rows
from simplepose.io.parquet import ImageRows, pose_schema, to_table

if TYPE_CHECKING:
    import pyarrow as pa
    from typing_extensions import Unpack

    from simplepose.data.images import ImageLike


class PosePredictor:
    """A callable that maps batches of images to tables of people: the class for ``ray.data.Dataset.map_batches``.

    It loads the network once, in the process that constructs it::

        images = ray.data.read_binary_files("photos", include_paths=True)
        people = images.map_batches(
            PosePredictor,
            fn_constructor_kwargs={"checkpoint": "photo"},
            compute=ray.data.ActorPoolStrategy(size=2),
            batch_size=32,
        )
        people.write_parquet("people")

    The attributes `predictor` and `schema` hold the `Predictor` and the schema of the tables.

    Args:
        checkpoint: name of shipped weights, or a file.
        device: "auto", "cpu", "cuda" or "cuda:N".
        config: the settings; default: those of the checkpoint (`Predictor.from_checkpoint`).
        images: the column of a batch with the images: the bytes of image files, paths, or arrays in BGR.
        keys: the column of a batch with the names of the images.
        options: fields of `PredictorConfig` that replace those of the settings.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        FileNotFoundError, CheckpointError, TypeError, ValueError, RuntimeError: see `Predictor.from_checkpoint`.
    """

    def __init__(
        self,
        checkpoint: str | Path = "photo",
        device: str | torch.device = "auto",
        config: PredictorConfig | None = None,
        *,
        images: str = "bytes",
        keys: str = "path",
        **options: Unpack[PredictorOptions],
    ) -> None:
        self._images, self._keys = images, keys
        self.predictor = Predictor.from_checkpoint(checkpoint, device, config, **options)
        self.schema = pose_schema(self.predictor.skeleton.to_dict())

    def __call__(self, batch: Mapping[str, Any]) -> pa.Table:
        """The people of a batch of images.

        Args:
            batch: columns of equal length by name, as Ray Data passes them with ``batch_format="numpy"``.

        Returns:
            A table with the columns of `simplepose.io.parquet`. An image that cannot be read is a row with an error.

        Raises:
            ValueError: the batch lacks a column.
        """
        for name in (self._images, self._keys):
            if name not in batch:
                raise ValueError(f"batch: expected a column {name!r}, got {', '.join(map(repr, batch))}")
        keys = [str(key) for key in batch[self._keys]]
        sources = ((key, _as_source(key, value)) for key, value in zip(keys, batch[self._images], strict=True))
        return to_table(self.rows(sources), self.schema)

    def rows(self, images: Iterable[tuple[str, ImageLike | Exception]]) -> Iterator[ImageRows]:
        """The people of each image, in order, as in `Predictor.predict_many`.

        Args:
            images: the name of each image, and the image or the error that prevented reading it; read lazily.
        """
        count = self.predictor.skeleton.num_keypoints
        waiting: deque[tuple[str, Exception | None]] = deque()  # names that were read, and not yet returned

        def readable() -> Iterator[ImageLike]:
            for key, image in images:
                if isinstance(image, Exception):
                    waiting.append((key, image))
                else:
                    waiting.append((key, None))
                    yield image

        def errors() -> Iterator[ImageRows]:
            while waiting and (error := waiting[0][1]) is not None:
                yield ImageRows.failed(waiting.popleft()[0], error, count)

        for prediction in self.predictor.predict_many(readable()):
            yield from errors()
            key, _ = waiting.popleft()
            error = prediction.error
            yield ImageRows.failed(key, error, count) if error else image_rows(key, prediction.poses)
        yield from errors()


def _as_source(key: str, value: Any) -> ImageLike | Exception:
    """An image of a batch for `Predictor.predict_many`."""
    if isinstance(value, bytes | bytearray | memoryview):
        return EncodedImage(key, bytes(value))
    return ImageError(f"{key}: expected an image, got nothing") if value is None else value
