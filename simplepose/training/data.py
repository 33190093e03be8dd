"""The data of a training run: data sets, synthetic ones rendered first, and the samples of each batch."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch.utils.data import Sampler

from simplepose.data.annotations import Annotations, find_data, merge_annotations, read_annotations
from simplepose.data.augment import AugmentConfig
from simplepose.data.dataset import COCODataset
from simplepose.evaluation.coco import check_people
from simplepose.skeleton.skeleton import Skeleton
from simplepose.training.config import TrainConfig
from simplepose.training.distributed import Process

SYNTH = re.compile(r"synth:(\d+),(\d+)")
"""A data source of synthetic people: synth:IMAGES,SEED."""


SIZE_STREAM = 1
"""Distinguishes the random numbers of the input sizes from others of the same seed and epoch."""


class TrainData(NamedTuple):
    """The data sets that `open_data` opened."""

    samples: COCODataset  # augmented training samples
    preview: COCODataset  # whole images of the evaluation data, for the pictures of predictions
    annotations: Annotations  # ground truth for the AP
    image_ids: list[int]  # of the images that the AP counts
    warnings: tuple[str, ...]  # of the annotation files, one line each
    split: str  # "validation", or "training images" where there is no validation data


class BatchSampler(Sampler[list[Any]]):
    """Sample indices of this process, one list for each forward pass of each optimizer step.

    The shuffling depends on (seed, epoch) only. A step's batch holds the same samples for any number of processes
    and of accumulated passes. The samples that do not fill the last batch of an epoch are dropped.

    With ``config.sizes`` each index is a pair (index, input size). The size of a step depends on (seed, epoch, step).

    Raises:
        ValueError: there are fewer samples than a batch, or a batch cannot be divided evenly.
    """

    def __init__(self, num_samples: int, config: TrainConfig, process: Process) -> None:
        if num_samples < config.batch:
            raise ValueError(f"batch: expected at most {num_samples}, the number of samples, got {config.batch}")
        if config.batch % (config.accumulate * process.world_size):
            raise ValueError(
                f"batch: expected a multiple of accumulate x processes = {config.accumulate} x {process.world_size}, "
                f"got {config.batch}"
            )
        self.num_samples, self.config, self.process = num_samples, config, process
        self.steps_per_epoch = num_samples // config.batch
        self.epoch, self.first_step = 0, 0

    def start_at(self, epoch: int, step: int) -> None:
        """Let the next iteration begin at ``step`` of ``epoch``."""
        self.epoch, self.first_step = epoch, step

    def __len__(self) -> int:
        return (self.steps_per_epoch - self.first_step) * self.config.accumulate

    def __iter__(self) -> Iterator[list[Any]]:
        order = np.random.default_rng((self.config.seed, self.epoch)).permutation(self.num_samples)
        for step in range(self.first_step, self.steps_per_epoch):
            batch = order[step * self.config.batch : (step + 1) * self.config.batch]
            for part in np.split(batch, self.config.accumulate):
                indices = part[self.process.rank :: self.process.world_size].tolist()
                yield [(index, self._size(step)) for index in indices] if self.config.sizes else indices

    def _size(self, step: int) -> int:
        rng = np.random.default_rng((self.config.seed, self.epoch, step, SIZE_STREAM))
        return self.config.sizes[rng.integers(len(self.config.sizes))]


def open_data(config: TrainConfig, skeleton: Skeleton, run: Path, process: Process) -> TrainData:
    """Open the data sets of a run; missing synthetic data are rendered into ``RUN/data`` first.

    Raises:
        FileNotFoundError: annotations or images are missing; the message names the first one.
        ValueError: the data are empty or invalid.
    """
    if process.is_main:
        for source in (*config.sources, config.val):
            render_synthetic(source, config, run)
    process.barrier()
    sources = zip(config.sources, config.image_folders, strict=True)
    learned_from = [find_data(*_located(source, images, run)) for source, images in sources]
    learned = merge_annotations([read_annotations(*place, skeleton) for place in learned_from])
    samples = COCODataset(
        learned,
        size=config.size,
        augment=config.augment,
        seed=config.seed,
        stride=config.model.stride,
        cache_bytes=config.cache_mb << 20,
    )
    validated = [find_data(*_located(config.val, config.val_images, run))] if config.val else learned_from
    annotations = learned if validated == learned_from else read_annotations(*validated[0], skeleton)
    preview = COCODataset(annotations, size=config.size, augment=AugmentConfig.none(), stride=config.model.stride)
    image_ids = list(annotations.images)[: config.validate_images]
    check_people(annotations, image_ids)
    warnings = tuple(dict.fromkeys((*learned.warnings, *annotations.warnings)))
    if process.is_main:
        for line in warnings:
            print(f"simplepose train: warning: {line}", file=sys.stderr)
        for dataset in (samples, preview):
            used = sorted({record for record, _ in dataset.samples})
            _check_images(dataset.annotations, [dataset.records[i].path for i in used])
        _check_images(annotations.path, [annotations.images[i].path for i in image_ids])
    return TrainData(
        samples=samples,
        preview=preview,
        annotations=annotations,
        image_ids=image_ids,
        warnings=warnings,
        split="validation" if config.val else "training images",
    )


def render_synthetic(source: str | None, config: TrainConfig, run: Path) -> None:
    """Render the images of a ``synth:`` source. An unfinished data set of a killed run is rendered again.

    Raises:
        ValueError: the source is not ``synth:IMAGES,SEED``.
    """
    from simplepose.synth.dataset import write_dataset
    from simplepose.synth.scene import SynthConfig

    match = SYNTH.fullmatch(source or "")
    if not match:
        if source and source.startswith("synth:"):
            raise ValueError(f"data: expected synth:IMAGES,SEED such as synth:1000,1, got {source!r}")
        return
    folder = _synthetic_folder(source or "", run)
    if (folder / "annotations.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    scenes = SynthConfig(size=config.size, person_size=(max(16.0, config.size * 40 / 256), config.size * 300 / 256))
    write_dataset(folder, int(match[1]), int(match[2]), scenes, workers=max(config.workers, 1))


def _synthetic_folder(source: str, run: Path) -> Path:
    return run / "data" / source.replace(":", "-").replace(",", "-")


def _located(source: str, images: str | None, run: Path) -> tuple[Path, str | None]:
    return (_synthetic_folder(source, run), None) if SYNTH.fullmatch(source) else (Path(source), images)


def _check_images(annotations: Path, paths: list[Path]) -> None:
    """Fail before the first step if an image file is missing."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: no such image file; {len(missing)} of the {len(paths)} images of {annotations} are missing"
        )
