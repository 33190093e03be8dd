"""The training data: COCO-style keypoint annotations and image files in, uint8 samples and batches out.

Workers ship images, keypoints and small masks; the target maps are rendered on the device (`simplepose.data.targets`).
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

from simplepose.data.annotations import ImageRecord, Person, find_data, read_annotations
from simplepose.data.augment import (
    AugmentConfig,
    Transform,
    draw_outlines,
    draw_transform,
    transform_keypoints,
    warp_image,
)
from simplepose.skeleton.skeleton import COCO, Skeleton

NO_PERSON = -1
"""The person of a sample that shows a whole image."""

REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
"""How a JPEG is decoded at a fraction of its size."""


class Sample(NamedTuple):
    """One training sample."""

    image: NDArray[np.uint8]  # [S, S, 3] BGR
    keypoints: NDArray[np.float32]  # [P, J, 3] x, y in input pixels, COCO visibility; who has any labelled
    person_mask: NDArray[np.uint8]  # [S/4, S/4] 255 x the share of each cell that people and crowds cover
    loss_mask: NDArray[np.uint8]  # [S/4, S/4] 255 x the share that no ignored person or crowd covers
    image_id: int


class Batch(NamedTuple):
    """Samples put together by `collate`."""

    images: Tensor  # [B, S, S, 3] uint8 BGR
    keypoints: Tensor  # [B, P, J, 3] float32, padded with visibility 0
    person_mask: Tensor  # [B, S/4, S/4] uint8
    loss_mask: Tensor  # [B, S/4, S/4] uint8
    image_ids: Tensor  # [B] int64

    def to(self, device: str | torch.device, non_blocking: bool = False) -> Batch:
        """The batch on another device; the image ids stay where they are."""
        moved = (t.to(device, non_blocking=non_blocking) for t in self[:-1])
        return Batch(*moved, self.image_ids)  # type: ignore[call-arg]  # mypy does not count starred arguments

    def inputs(self) -> Tensor:
        """The network's input: ``[B, 3, S, S]`` float32 BGR from 0 to 1, channels last in memory."""
        return self.images.permute(0, 3, 1, 2).float().div_(255)


class COCODataset(Dataset[Sample]):
    """Samples of a COCO keypoint json and its images, for any skeleton, augmented by one affine each.

    With ``augment.frame == "person"`` there is a sample for each main person (`main_people`), who comes to the centre;
    with ``"image"`` one for each image with a person to learn from, all of it in view. All people of the image are in
    each of its samples. A sample depends on (seed, epoch, index) alone, whatever the number of workers.

    Args:
        data: an annotation file, or a folder with one (`find_data`).
        images: the image folder; default: found beside the file.
        skeleton: the keypoints to learn; the file holds its ``dataset_keypoints``.
        size: the side of the samples in pixels, a multiple of the stride.
        augment: what is done to the samples; default: the paper's augmentation.
        seed: of all random numbers.
        stride: pixels of a cell of the masks.
        cache_bytes: how many bytes of decoded images each worker may keep; worth it where all of them fit.

    Raises:
        FileNotFoundError: the annotation file or the image folder is missing.
        ValueError: the file is no COCO keypoint json or has nobody to learn from. The message names the file.
    """

    def __init__(
        self,
        data: str | Path,
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
        self.annotations, folder = find_data(data, images)
        self.skeleton, self.size, self.stride, self.seed = skeleton, size, stride, seed
        self.augment = augment or AugmentConfig()
        self.records = read_annotations(self.annotations, folder, skeleton)
        self.samples = _choose_samples(self.records, self.augment)
        if not self.samples:
            raise ValueError(f"{self.annotations}: nobody to learn from in {len(self.records)} images")
        # shared memory: persistent workers must see the epoch that the main process sets
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        self._cache = _ImageCache(cache_bytes)

    def __len__(self) -> int:
        return len(self.samples)

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of an epoch, in all workers; call it before iterating over a loader."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int | tuple[int, int]) -> Sample:
        """Sample ``index`` of the epoch; a pair (index, size) asks for another size than the data set's.

        Raises:
            OSError: the image is missing or unreadable.
            ValueError: the image is corrupt or not of the annotated size. Both name its path.
        """
        index, size = index if isinstance(index, tuple) else (index, self.size)
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected 0 to {len(self) - 1}, got {index}")
        record_index, person = self.samples[index]
        record = self.records[record_index]
        transform = self._draw(record, person, size, np.random.default_rng((self.seed, int(self._epoch), index)))
        image = self._cache.get(record, _reduction(transform))
        # a cached image, or one that is no JPEG, comes in full
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
        # a whole image lies where the Predictor puts it: the network need not give the same at other places
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
    """The people of an image that get a sample of their own, as indices.

    Taken in the order of the file: no crowd; at least ``min_keypoints`` labelled keypoints (at most half of what the
    skeleton has, rounded up, is asked for) and ``min_area``; and a box centre further from each one taken before than
    ``min_distance`` times the longer side of that one's box.
    """
    chosen: list[int] = []
    for index, person in enumerate(people):
        needed = min(config.min_keypoints, (len(person.keypoints) + 1) // 2)
        if person.ignored or person.labelled < needed or person.area < config.min_area:
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
    """A batch of samples; people are padded with visibility 0 to the largest number in it."""
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
    """A `DataLoader` that gives `Batch` objects, its workers kept between epochs and with one thread each.

    With workers, OpenCV is set to one thread in this process too, and for good: its thread pool does not live on in a
    forked process, where the next call that touches it waits forever.

    Args:
        dataset: a `COCODataset` or a subset of one.
        workers: how many processes; 0 loads in this one.
        options: the loader's other arguments: batch_size, sampler, shuffle, drop_last, pin_memory, ...
    """
    if workers > 0:
        cv2.setNumThreads(1)
        options = {"persistent_workers": True, "worker_init_fn": _init_worker, **options}
    return DataLoader(dataset, num_workers=workers, collate_fn=collate, **options)


def _init_worker(worker: int) -> None:
    cv2.setNumThreads(1)  # for workers that were spawned, which do not inherit it


def read_image(record: ImageRecord, reduced: int = 1) -> NDArray[np.uint8]:
    """``[H, W, 3]`` BGR; a JPEG at ``1 / reduced`` (1, 2, 4, 8) of its size, rounded up, anything else in full.

    Raises:
        OSError: the file is missing or unreadable.
        ValueError: it is no image, is cut short, or has not the annotated size. Both name the path.
    """
    data = record.path.read_bytes()
    jpeg = data[:2] == b"\xff\xd8"
    # OpenCV fills the rest of a JPEG that was cut short with grey and says nothing
    if not data or (jpeg and data.rfind(b"\xff\xd9", len(data) // 2) < 0):
        raise ValueError(f"{record.path}: the image file is {'cut short' if data else 'empty'}")
    reduced = reduced if jpeg else 1
    flags, buffer = REDUCED_FLAGS[reduced], np.frombuffer(data, np.uint8)
    expected = (-(-record.height // reduced), -(-record.width // reduced))
    image = cv2.imdecode(buffer, flags)
    if image is not None and image.shape[:2] != expected:  # annotated without regard to the camera's orientation?
        image = cv2.imdecode(buffer, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise ValueError(f"{record.path}: not an image that OpenCV can read")
    if image.shape[:2] != expected:
        size = [side * reduced for side in image.shape[:2]]
        raise ValueError(f"{record.path}: expected {record.height} x {record.width} pixels as annotated, got {size}")
    return np.asarray(image, np.uint8)


class _ImageCache:
    """Decoded images of one worker: kept until the bytes are used up, and then no more."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.images: dict[int, NDArray[np.uint8]] = {}

    def get(self, record: ImageRecord, reduced: int) -> NDArray[np.uint8]:
        """The image at full size if there is room to keep it, else read at ``1 / reduced``."""
        if record.id in self.images:
            return self.images[record.id]
        needed = record.height * record.width * 3
        if needed > self.limit:
            return read_image(record, reduced)
        self.limit -= needed
        return self.images.setdefault(record.id, read_image(record))


def _choose_samples(records: Sequence[ImageRecord], config: AugmentConfig) -> list[tuple[int, int]]:
    """(record, person) of each sample."""
    if config.frame == "image":
        return [(i, NO_PERSON) for i, record in enumerate(records) if not all(p.ignored for p in record.people)]
    return [(i, person) for i, record in enumerate(records) for person in main_people(record.people, config)]


def _center(person: Person) -> tuple[float, float]:
    x, y, width, height = person.box
    return x + width / 2, y + height / 2


def _reduction(transform: Transform) -> int:
    """How far the image may be reduced in decoding so that the warp still does not enlarge it."""
    scale = float(np.sqrt(abs(np.linalg.det(transform.matrix[:, :2]))))
    return next(r for r in (8, 4, 2, 1) if scale * r <= 1 or r == 1)


def _to_grid(mask: NDArray[np.uint8], cells: int) -> NDArray[np.uint8]:
    """The area average ``[cells, cells]`` of a square mask."""
    grid: Any = mask
    while grid.shape[0] % (2 * cells) == 0:  # OpenCV halves twice six times faster than it divides by four
        grid = cv2.resize(grid, (grid.shape[1] // 2, grid.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(grid, (cells, cells), interpolation=cv2.INTER_AREA), np.uint8)
