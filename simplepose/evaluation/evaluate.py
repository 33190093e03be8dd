"""Evaluation of a predictor on COCO images by pycocotools: resumable, on one or several processes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from simplepose.checks import one_line, show
from simplepose.data.annotations import Annotations
from simplepose.data.images import SizedImage
from simplepose.evaluation.coco import Result, check_people, check_results, evaluate_keypoints
from simplepose.io.atomic import atomic_write, errors_of, is_stream, write_json
from simplepose.io.json_text import parse_json, read_json_lines, to_json
from simplepose.poses import Poses

Find = Callable[[Iterable[SizedImage]], Iterator[Poses | Exception]]
"""Finds the people of image files, in order; yields the error instead for an image that cannot be read."""


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation."""

    metrics: dict[str, float]  # the ten metrics of pycocotools; empty without annotations
    images: int
    people_found: int
    failed: dict[str, str]  # paths of images that could not be read, with the reason; they count as empty images
    seconds: float  # of this run, without images that an interrupted run had already processed


def evaluate_images(
    find: Find,
    annotations: Annotations,
    image_ids: Iterable[int],
    *,
    out: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    score: bool = True,
) -> Evaluation | None:
    """Find the people of all images and evaluate them.

    Under torchrun the images are divided among the processes and the results are gathered on the first process. The
    other processes return None.

    Args:
        find: the predictor.
        annotations: the ground truth, with the paths of the image files.
        image_ids: the images to evaluate.
        out: results file in COCO's format, written atomically at the end. During the run, the people of finished
            images are stored in ``OUT.partial`` files, so that a killed run can resume.
        settings: the settings that determine the results (checkpoint, scales, ...). A run resumes only with equal
            settings.
        score: False: the annotations are a list of images (`Annotations.annotated`); the report has no metrics.

    Raises:
        ValueError: there is no person to evaluate, or the partial file was written with other settings.
    """
    ids = list(image_ids)
    if score:
        check_people(annotations, ids)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    mine = ids[rank::world]
    start = time.perf_counter()
    suffix = ".partial" if world == 1 else f".partial{rank}of{world}"
    resumable = out is not None and not is_stream(out)
    partial = out.with_name(out.name + suffix) if out is not None and resumable else None
    journal = Journal(partial, {**(settings or {}), "ids": ids})
    for finished, _ in journal.done.values():
        check_results(finished, annotations, f"{partial}: results")
    with journal:
        todo = [i for i in mine if i not in journal.done]
        files = [SizedImage(r.path, r.height, r.width) for r in map(annotations.images.__getitem__, todo)]
        for image_id, poses in zip(todo, find(files), strict=True):
            if isinstance(poses, Exception):
                journal.add(image_id, [], str(poses))
            else:
                journal.add(image_id, poses.to_coco(image_id, annotations.category), "")
        done = {image_id: journal.done[image_id] for image_id in mine}
    gathered = _gather(done, rank, world)
    if rank != 0:
        return None
    merged = {image_id: entry for part in gathered for image_id, entry in part.items()}
    results: list[Result] = [result for i in ids for result in merged[i][0]]
    failed = {str(annotations.images[i].path): merged[i][1] for i in ids if merged[i][1]}
    metrics = evaluate_keypoints(annotations, results, ids) if score else {}
    report = Evaluation(metrics, len(ids), len(results), failed, time.perf_counter() - start)
    if out:
        write_json(out, results)
        if resumable:
            _remove_journals(out)
    return report


class Journal:
    """The people found so far: a first line with the settings, then one JSON line per image.

    An incomplete last line of a killed run is dropped, and its image is processed again.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.done: dict[int, tuple[list[Result], str]] = {}
        self._path = path
        self._head = to_json({"simplepose": "evaluation", **settings}, sort_keys=True)
        self._file: IO[str] | None = None
        if path and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        settings = parse_json(self._head, path)
        try:
            for number, (place, value) in enumerate(read_json_lines(path)):
                if number:
                    self._read_entry(place, value)
                elif value != settings:
                    raise ValueError(f"{path}: a run with other settings wrote it ({one_line(to_json(value))})")
        except ValueError as error:
            raise ValueError(f"{error}; remove the file or use another results file") from None

    def _read_entry(self, place: str, entry: Mapping[str, Any]) -> None:
        image_id, results, error = (entry.get(name) for name in ("image_id", "results", "error"))
        if isinstance(image_id, bool) or not isinstance(image_id, int) or not isinstance(error, str):
            raise ValueError(f"{place}: expected an image_id and an error, got {show(image_id)} and {show(error)}")
        if error:
            return  # an image that could not be read is tried again
        if not isinstance(results, list) or not all(
            isinstance(r, dict) and r.get("image_id") == image_id for r in results
        ):
            raise ValueError(f"{place}: expected results of image {image_id}, got {show(results)}")
        self.done[image_id] = (results, "")

    def __enter__(self) -> Journal:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as temporary:  # without an incomplete last line
                lines = [self._head, *(_entry_line(i, *entry) for i, entry in self.done.items())]
                temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def add(self, image_id: int, results: list[Result], error: str) -> None:
        """Record the result of an image."""
        self.done[image_id] = (results, error)
        if self._file and self._path:
            with errors_of(self._path):
                self._file.write(_entry_line(image_id, results, error) + "\n")
                self._file.flush()

    def __exit__(self, *error: object) -> None:
        if self._file:
            with suppress(OSError) if error[0] else nullcontext():  # the error of a full disk comes again
                self._file.close()


def _remove_journals(out: Path) -> None:
    """Remove ``OUT.partial`` and ``OUT.partialKofN``, and no other file."""
    name = re.compile(re.escape(out.name) + r"\.partial(\d+of\d+)?")
    for path in list(out.parent.iterdir()):
        if name.fullmatch(path.name):
            path.unlink()


def _entry_line(image_id: int, results: list[Result], error: str) -> str:
    return to_json({"image_id": image_id, "results": results, "error": error})


def _gather(done: dict[int, Any], rank: int, world: int) -> list[dict[int, Any]]:
    """The results of all processes, on the first process."""
    if world == 1:
        return [done]
    from datetime import timedelta

    import torch.distributed as distributed

    own_group = not distributed.is_initialized()  # in training the process group exists already
    if own_group:
        distributed.init_process_group("gloo", timeout=timedelta(days=1))  # processes may finish hours apart
    try:
        gathered: list[Any] = [None] * world
        distributed.all_gather_object(gathered, done)
    finally:
        if own_group:
            distributed.destroy_process_group()
    return gathered if rank == 0 else []


def to_dict(report: Evaluation) -> dict[str, Any]:
    """The report as a flat dictionary for JSON, with the metrics at the top level."""
    values = asdict(report)
    return {**values.pop("metrics"), **values}
