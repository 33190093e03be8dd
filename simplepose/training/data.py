"""What a training run reads: its data sets, made first where they are synthetic, and the batches of each step."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from simplepose.data.annotations import Annotations, find_data, read_annotations
from simplepose.data.augment import AugmentConfig
from simplepose.data.dataset import COCODataset
from simplepose.evaluation.coco import check_people
from simplepose.skeleton.skeleton import Skeleton
from simplepose.training.config import TrainConfig
from simplepose.training.distributed import Process

SYNTH = re.compile(r"synth:(\d+),(\d+)")
"""Synthetic people instead of a path: synth:IMAGES,SEED."""


class TrainData(NamedTuple):
    """What `open_data` found."""

    samples: COCODataset
    shown: COCODataset  # whole images for the pictures
    annotations: Annotations  # of the images for the AP
    image_ids: list[int]  # which of them count
    name: str  # "validation", or "training images" where there is no other data


class BatchSampler(Sampler[list[int]]):
    """Which samples this process takes, in each forward pass of each step.

    The order depends on (seed, epoch) alone; a step's batch is the same whatever the number of processes and passes
    it is shared out over. Samples that do not fill a last batch are left out; another epoch has others.

    Raises:
        ValueError: there are fewer samples than a batch, or a batch cannot be shared out evenly.
    """

    def __init__(self, samples: int, config: TrainConfig, process: Process) -> None:
        if samples < config.batch:
            raise ValueError(f"batch: expected at most {samples}, as many as there are samples, got {config.batch}")
        if config.batch % (config.accumulate * process.world):
            raise ValueError(
                f"batch: expected a multiple of accumulate x processes = {config.accumulate} x {process.world}, "
                f"got {config.batch}"
            )
        self.samples, self.config, self.process = samples, config, process
        self.steps = samples // config.batch  # in an epoch
        self.epoch, self.first = 0, 0

    def start(self, epoch: int, step: int) -> None:
        """Begin with that step of that epoch."""
        self.epoch, self.first = epoch, step

    def __len__(self) -> int:
        return (self.steps - self.first) * self.config.accumulate

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng((self.config.seed, self.epoch)).permutation(self.samples)
        for step in range(self.first, self.steps):
            batch = order[step * self.config.batch : (step + 1) * self.config.batch]
            for part in np.split(batch, self.config.accumulate):
                yield part[self.process.rank :: self.process.world].tolist()


def open_data(config: TrainConfig, skeleton: Skeleton, run: Path, process: Process) -> TrainData:
    """Open the run's data; synthetic data are drawn into ``RUN/data`` unless they are there.

    Raises:
        FileNotFoundError: annotations or images are missing; the message names the first.
        ValueError: the data are empty, or not what they should be.
    """
    if process.first:
        for source in (config.data, config.val):
            draw_synthetic(source, config, run)
    process.barrier()
    learned_from = find_data(*_located(config.data, config.images, run))
    learned = read_annotations(*learned_from, skeleton)
    samples = COCODataset(
        learned,
        size=config.size,
        augment=config.augment,
        seed=config.seed,
        cache_bytes=config.cache_mb << 20,
    )
    validated = find_data(*_located(config.val, config.val_images, run)) if config.val else learned_from
    annotations = learned if validated == learned_from else read_annotations(*validated, skeleton)
    shown = COCODataset(annotations, size=config.size, augment=AugmentConfig.none())
    evaluated = list(annotations.images)[: config.validate_images]
    check_people(annotations, evaluated)
    if process.first:
        for line in dict.fromkeys((*learned.warnings, *annotations.warnings)):
            print(f"simplepose train: warning: {line}", file=sys.stderr)
        for dataset in (samples, shown):
            used = sorted({record for record, _ in dataset.samples})
            _check_images(dataset.annotations, [dataset.records[i].path for i in used])
        _check_images(annotations.path, [annotations.images[i].path for i in evaluated])
    return TrainData(samples, shown, annotations, evaluated, "validation" if config.val else "training images")


def draw_synthetic(source: str | None, config: TrainConfig, run: Path) -> None:
    """Draw the images of a ``synth:`` source; those that a killed run left unfinished are drawn again."""
    from simplepose.synth.dataset import write_dataset
    from simplepose.synth.scene import SynthConfig

    found = SYNTH.fullmatch(source or "")
    if not found:
        if source and source.startswith("synth:"):
            raise ValueError(f"data: expected synth:IMAGES,SEED such as synth:1000,1, got {source!r}")
        return
    folder = _synthetic_folder(source or "", run)
    if (folder / "annotations.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    size = SynthConfig(size=config.size, person_size=(max(16.0, config.size * 40 / 256), config.size * 300 / 256))
    write_dataset(folder, int(found[1]), int(found[2]), size, workers=max(config.workers, 1))


def _synthetic_folder(source: str, run: Path) -> Path:
    return run / "data" / source.replace(":", "-").replace(",", "-")


def _located(source: str, images: str | None, run: Path) -> tuple[Path, str | None]:
    return (_synthetic_folder(source, run), None) if SYNTH.fullmatch(source) else (Path(source), images)


def _check_images(annotations: Path, paths: list[Path]) -> None:
    """Now, not in the middle of the run."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: no such image file; {len(missing)} of the {len(paths)} images of {annotations} are missing"
        )
