"""The training data: uint8 samples and batches from COCO keypoint annotations and image files.

Workers send images, keypoints and small masks; the target maps are rendered on the device (`simplepose.data.targets`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from simplepose.data.annotations import Annotations, ImageRecord, Person, find_data, read_annotations
from simplepose.data.augment import (
    AugmentConfig,
    Transform,
    draw_outlines,
    draw_transform,
    transform_keypoints,
    warp_image,
)
from simplepose.data.images import read_image
from simplepose.skeleton.skeleton import COCO, Skeleton

NO_PERSON = -1
"""The person index of a sample that shows a whole image."""


class Sample(NamedTuple):
    """One training sample."""

    image: NDArray[np.uint8]  # [S, S, 3] BGR
    keypoints: NDArray[np.float32]  # [P, J, 3] x, y in input pixels, COCO visibility; people with labeled keypoints
    person_mask: NDArray[np.uint8]  # [S/s, S/s] 255 x the fraction of each cell that people and crowds cover
    loss_mask: NDArray[np.uint8]  # [S/s, S/s] 255 x the fraction that no ignored person or crowd covers
    image_id: int


class Batch(NamedTuple):
    """A batch of samples, made by `collate`."""

    images: Tensor  # [B, S, S, 3] uint8 BGR
    keypoints: Tensor  # [B, P, J, 3] float32, padded with visibility 0
    person_mask: Tensor  # [B, S/s, S/s] uint8
    loss_mask: Tensor  # [B, S/s, S/s] uint8
    image_ids: Tensor  # [B] int64

    def to(self, device: str | torch.device, non_blocking: bool = False) -> Batch:
        """The batch on another device; the image ids stay on the CPU."""
        moved = (t.to(device, non_blocking=non_blocking) for t in self[:-1])
        return Batch(*moved, self.image_ids)  # type: ignore[call-arg]  # mypy does not count starred arguments

    def inputs(self) -> Tensor:
        """The network's input: ``[B, 3, S, S]`` float32 BGR from 0 to 1, in channels-last memory."""
        return self.images.permute(0, 3, 1, 2).float().div_(255)


class COCODataset(Dataset[Sample]):
    """Samples of a COCO keypoint annotation file and its images, for any skeleton, each augmented by one affine warp.

    With ``augment.frame == "person"`` there is one sample for each main person (`main_people`), who is moved to the
    center. With ``"image"`` there is one sample for each image with a labeled person, and it shows the whole image. A
    sample contains all people of its image. It depends only on (seed, epoch, index), not on the number of workers.

    Args:
        data: an annotation file, a folder with one (`find_data`), or the result of `read_annotations`.
        images: the image folder; default: searched for beside the file.
        skeleton: the keypoints to learn; the file contains its ``dataset_keypoints``. `Annotations` have their own
            skeleton, which replaces this one.
        size: the side of the samples in pixels, a multiple of the stride.
        augment: the augmentation; default: the paper's.
        seed: the seed of all random numbers.
        stride: pixels of a cell of the masks.
        cache_bytes: bytes of decoded images that each worker may keep; useful if all images fit.

    Raises:
        FileNotFoundError: the annotation file or the image folder is missing.
        ValueError: the file is not a valid annotation file or has no person to train on. The message names the file.
    """

    def __init__(
        self,
        data: str | Path | Annotations,
        images: str | Path | None = None,
        *,
        skeleton: Skeleton = COCO,
        size: int = 512,
        augment: AugmentConfig | None = None,
        seed: int = 0,
        stride: int = 4,
        cache_bytes: int = 0,
    ) -> None:
        if size < stride or size % stride:
            raise ValueError(f"size: expected a multiple of the stride {stride}, got {size}")
        if seed < 0:
            raise ValueError(f"seed: expected at least 0, got {seed}")
        source = data if isinstance(data, Annotations) else read_annotations(*find_data(data, images), skeleton)
        self.annotations, self.skeleton, self.warnings = source.path, source.skeleton, source.warnings
        self.size, self.stride, self.seed = size, stride, seed
        self.augment = augment or AugmentConfig()
        self.records = list(source.images.values())
        self.samples = _choose_samples(self.records, self.augment)
        if not self.samples:
            raise ValueError(
                f"{self.annotations}: no person to train on in {len(self.records)} images{source.left_out()}"
            )
        for record in (self.records[index] for index, _ in self.samples):
            if not record.height or not record.width:
                raise ValueError(
                    f"{self.annotations}: image {record.id}: expected 'height' and 'width', got nothing, "
                    f"and {record.path} cannot be read"
                )
        # shared memory: persistent workers must see the epoch that the main process sets
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._cache = _ImageCache(cache_bytes)

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Select the random numbers of an epoch in all workers; call it before iterating over a loader."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int | tuple[int, int]) -> Sample:
        """Sample ``index`` of the epoch; a pair (index, size) asks for another size than the data set's.

        Raises:
            ImageError: the image is missing, corrupt or not of the annotated size; the message begins with its path.
        """
        index, size = index if isinstance(index, tuple) else (index, self.size)
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, got {index}")
        record_index, person = self.samples[index]
        record = self.records[record_index]
        transform = self._draw(record, person, size, np.random.default_rng((self.seed, int(self._epoch), index)))
        image = self._cache.get(record, _reduction(transform))
        # a cached image, or one that is not a JPEG, has its full size
        reduced = round(max(record.height, record.width) / max(image.shape[:2]))
        return Sample(
            warp_image(image, transform, size, self.augment.border, reduced),
            self._keypoints(record, transform),
            *self._masks(record, transform, size),
            record.id,
        )

    def _draw(self, record: ImageRecord, person: int, size: int, rng: np.random.Generator) -> Transform:
        if person == NO_PERSON:
            box, side = (0.0, 0.0, float(record.width), float(record.height)), float(size)
        else:
            box, side = record.people[person].box, self.augment.person_size * size
        # place a whole image as the Predictor does: the output of the network depends on the position
        return draw_transform(self.augment, rng, box, size, side, corner=person == NO_PERSON)

    def _keypoints(self, record: ImageRecord, transform: Transform) -> NDArray[np.float32]:
        annotated = [p.keypoints for p in record.people if not p.ignored]
        keypoints = np.reshape(annotated, (-1, len(self.skeleton.dataset_keypoints), 3))
        return transform_keypoints(self.skeleton.from_dataset(keypoints), transform, self.skeleton.keypoint_flip)

    def _masks(
        self, record: ImageRecord, transform: Transform, size: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Person mask and loss mask, area-averaged to the grid."""
        ignored = [p for p in record.people if p.ignored]
        shape = (record.height, record.width)
        try:
            covered = draw_outlines((p for p in record.people if not p.ignored), transform.matrix, size, shape)
            cells = size // self.stride
            if not ignored:
                return _to_grid(covered, cells), np.full((cells, cells), 255, np.uint8)
            hidden = draw_outlines(ignored, transform.matrix, size, shape)
        except ValueError as error:
            raise ValueError(f"{self.annotations}: image {record.id}: {error}") from None
        return _to_grid(np.maximum(covered, hidden), cells), 255 - _to_grid(hidden, cells)


def main_people(people: Sequence[Person], config: AugmentConfig) -> list[int]:
    """The indices of the main people of an image; each of them gets a sample.

    People are considered in the order of the file. A main person is not a crowd, has at least ``min_keypoints`` labeled
    keypoints (or half of the skeleton's, rounded up, if that is less) and at least the area ``min_area``. The distance
    of its box center from that of every earlier main person exceeds ``min_distance`` times the longer side of the
    earlier one's box.
    """
    chosen: list[int] = []
    for index, person in enumerate(people):
        needed = min(config.min_keypoints, (len(person.keypoints) + 1) // 2)
        if person.ignored or person.labeled < needed or person.area < config.min_area:
            continue
        x, y = _center(person)
        others = (people[i] for i in chosen)
        if all(
            np.hypot(x - _center(other)[0], y - _center(other)[1]) > config.min_distance * max(other.box[2:])
            for other in others
        ):
            chosen.append(index)
    return chosen


def collate(samples: Sequence[Sample]) -> Batch:
    """A batch of samples; people are padded with visibility 0 to the largest number of people in the batch."""
    people = max(len(s.keypoints) for s in samples)
    keypoints = np.zeros((len(samples), people, *samples[0].keypoints.shape[1:]), np.float32)
    for row, sample in zip(keypoints, samples, strict=True):
        row[: len(sample.keypoints)] = sample.keypoints
    return Batch(
        torch.from_numpy(np.stack([s.image for s in samples])),
        torch.from_numpy(keypoints),
        torch.from_numpy(np.stack([s.person_mask for s in samples])),
        torch.from_numpy(np.stack([s.loss_mask for s in samples])),
        torch.tensor([s.image_id for s in samples]),
    )


def make_loader(dataset: Dataset[Sample], *, workers: int = 0, **options: Any) -> DataLoader[Sample]:
    """A `DataLoader` of `Batch` objects; its workers stay alive between epochs and have one thread each.

    With workers, OpenCV is permanently limited to one thread in this process too: its thread pool does not survive a
    fork, and a call that uses the pool in the forked process would never return.

    Args:
        dataset: a `COCODataset` or a subset of one.
        workers: number of worker processes; 0 loads in this process.
        options: other arguments of the `DataLoader`: batch_size, sampler, shuffle, drop_last, pin_memory, ...
    """
    if workers > 0:
        cv2.setNumThreads(1)
        options = {"persistent_workers": True, "worker_init_fn": _init_worker, **options}
    return DataLoader(dataset, num_workers=workers, collate_fn=collate, **options)


def _init_worker(worker: int) -> None:
    cv2.setNumThreads(1)  # spawned workers do not inherit the limit


class _ImageCache:
    """Decoded images of one worker; images that exceed the limit are not kept."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.images: dict[int, NDArray[np.uint8]] = {}

    def get(self, record: ImageRecord, reduced: int) -> NDArray[np.uint8]:
        """The image at full size if it fits the cache, else read at ``1 / reduced`` of its size."""
        if record.id in self.images:
            return self.images[record.id]
        needed = record.height * record.width * 3
        if needed > self.limit:
            return read_image(record.path, (record.height, record.width), reduced)
        self.limit -= needed
        return self.images.setdefault(record.id, read_image(record.path, (record.height, record.width)))


def _choose_samples(records: Sequence[ImageRecord], config: AugmentConfig) -> list[tuple[int, int]]:
    """(record, person) of each sample."""
    if config.frame == "image":
        return [(i, NO_PERSON) for i, record in enumerate(records) if not all(p.ignored for p in record.people)]
    return [(i, person) for i, record in enumerate(records) for person in main_people(record.people, config)]


def _center(person: Person) -> tuple[float, float]:
    x, y, width, height = person.box
    return x + width / 2, y + height / 2


def _reduction(transform: Transform) -> int:
    """The largest reduction in decoding with which the warp does not enlarge the image."""
    scale = float(np.sqrt(abs(np.linalg.det(transform.matrix[:, :2]))))
    return next(r for r in (8, 4, 2, 1) if scale * r <= 1 or r == 1)


def _to_grid(mask: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    """The area average ``[cells, cells]`` of a square mask."""
    grid: Any = mask
    while grid.shape[0] % (2 * cells) == 0:  # two halvings take OpenCV a sixth of the time of one reduction by four
        grid = cv2.resize(grid, (grid.shape[1] // 2, grid.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(grid, (cells, cells), interpolation=cv2.INTER_AREA), np.uint8)
