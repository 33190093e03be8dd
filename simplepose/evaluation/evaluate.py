"""Evaluation of a predictor on COCO images: resumable, shared out over processes, judged by pycocotools."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from simplepose.evaluation.coco import Annotations, Result, evaluate_keypoints, person_category
from simplepose.io.atomic import atomic_write, write_json
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton

Find = Callable[[Iterable[Path]], Iterator[Poses | Exception]]
"""People of images by path, in order; an image that could not be read gives its error instead."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation measured."""

    metrics: dict[str, float]  # pycocotools' ten numbers
    images: int
    people_found: int
    failed: dict[str, str]  # images that could not be read, with the reason; they count as images without people
    seconds: float  # of this run, without the images that an earlier run had done


def evaluate_images(
    find: Find,
    annotations: Annotations,
    folder: Path,
    skeleton: Skeleton,
    image_ids: Iterable[int],
    *,
    out: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Evaluation | None:
    """Find the people of all images and judge them.

    Under torchrun the images are shared out over the processes and gathered again; only the first process gets a
    result, the others None.

    Args:
        find: the predictor.
        annotations: the truth.
        folder: where the image files lie, under the names that the annotations give.
        skeleton: what the keypoints are.
        image_ids: which images.
        out: results file in COCO's format, written whole at the end. While the run goes on, each image's people
            stand in ``OUT.partial`` files, so that a killed run goes on where it was.
        settings: what makes results comparable (checkpoint, scales, ...); a run goes on only with the same ones.

    Raises:
        ValueError: the partial file is of other settings; the message says so.
    """
    ids = list(image_ids)
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    mine = ids[rank::world]
    start = time.perf_counter()
    suffix = ".partial" if world == 1 else f".partial{rank}of{world}"
    journal = Journal(out.with_name(out.name + suffix) if out else None, {**(settings or {}), "ids": ids})
    category = person_category(annotations)
    with journal:
        todo = [i for i in mine if i not in journal.done]
        paths = [folder / _file_name(annotations, i) for i in todo]
        for image_id, poses in zip(todo, find(paths), strict=True):
            if isinstance(poses, Exception):
                journal.add(image_id, [], str(poses))
            else:
                journal.add(image_id, poses.to_coco(image_id, category), "")
        done = {image_id: journal.done[image_id] for image_id in mine}
    gathered = _gather(done, rank, world)
    if rank != 0:
        return None
    merged = {image_id: entry for part in gathered for image_id, entry in part.items()}
    results: list[Result] = [result for i in ids for result in merged[i][0]]
    failed = {str(annotations.images[i]["file_name"]): merged[i][1] for i in ids if merged[i][1]}
    metrics = evaluate_keypoints(annotations, results, ids, skeleton)
    report = Evaluation(metrics, len(ids), len(results), failed, time.perf_counter() - start)
    if out:
        write_json(out, results)
        for partial in out.parent.glob(f"{out.name}.partial*"):
            partial.unlink()
    return report


class Journal:
    """The people found so far: one JSON line an image, after a first line with the settings.

    A line that a killed run left half-written is dropped; its image is done again.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]) -> None:
        self.done: dict[int, tuple[list[Result], str]] = {}
        self._path = path
        self._head = json.dumps({"simplepose": "evaluation", **settings}, sort_keys=True)
        self._file: IO[str] | None = None
        if path and path.exists():
            self._read(path)

    def _read(self, path: Path) -> None:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        head, *entries = [line for line in lines if line.endswith("\n")] or [self._head + "\n"]
        if head.rstrip("\n") != self._head:
            raise ValueError(
                f"{path}: was left by a run with other settings ({head.strip()}); remove it or use another results file"
            )
        for line in entries:
            entry = json.loads(line)
            if not entry["error"]:  # what could not be read is tried again
                self.done[entry["image_id"]] = (entry["results"], "")

    def __enter__(self) -> Journal:
        if self._path:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._path) as temporary:  # without the line that was cut off, if there is one
                lines = [self._head, *(_entry_line(i, *entry) for i, entry in self.done.items())]
                temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            self._file = self._path.open("a", encoding="utf-8")
        return self

    def add(self, image_id: int, results: list[Result], error: str) -> None:
        """Note that an image is done."""
        self.done[image_id] = (results, error)
        if self._file:
            self._file.write(_entry_line(image_id, results, error) + "\n")
            self._file.flush()

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def _file_name(annotations: Annotations, image_id: int) -> str:
    name = annotations.images[image_id].get("file_name")
    if not isinstance(name, str):
        raise ValueError(f"{annotations.path}: image {image_id} lacks its file_name")
    return name


def _entry_line(image_id: int, results: list[Result], error: str) -> str:
    return json.dumps({"image_id": image_id, "results": results, "error": error})


def _gather(done: dict[int, Any], rank: int, world: int) -> list[dict[int, Any]]:
    """What every process has done, on the first one."""
    if world == 1:
        return [done]
    from datetime import timedelta

    import torch.distributed as distributed

    alone = not distributed.is_initialized()  # in training the processes have come together before
    if alone:
        distributed.init_process_group("gloo", timeout=timedelta(days=1))  # a process may finish hours before another
    try:
        gathered: list[Any] = [None] * world
        distributed.all_gather_object(gathered, done)
    finally:
        if alone:
            distributed.destroy_process_group()
    return gathered if rank == 0 else []


def to_dict(report: Evaluation) -> dict[str, Any]:
    """The ten numbers and everything else on one level, for JSON."""
    values = asdict(report)
    return {**values.pop("metrics"), **values}
