"""Stored results for the evaluation: Parquet files of people, or a JSON file of COCO keypoint results.

A row of a Parquet file names its image. It belongs to the annotated image whose file name it ends with, as a path: the
key ``shards/0001.tar/a/7.jpg`` belongs to ``a/7.jpg`` or, if there is none, to ``7.jpg``. In JSON, results have the id
of the image. The ids of `simplepose predict` count its images; the file ``images.json`` beside the results names them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simplepose.checks import show
from simplepose.data.annotations import Annotations
from simplepose.evaluation.coco import Result, check_people, check_results, evaluate_keypoints
from simplepose.evaluation.evaluate import Evaluation
from simplepose.io.json_text import parse_json
from simplepose.io.parquet import read_notes, read_rows
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import Skeleton

IMAGES = "images.json"
"""The file in which `simplepose predict` names the images of its results."""


@dataclass
class StoredResults:
    """What was read."""

    results: list[Result] = field(default_factory=list)  # of annotated images
    seen: set[int] | None = None  # ids of the images that were processed; None: they are not known
    failed: dict[int, str] = field(default_factory=dict)  # ids of images that could not be read, with the reason
    errors: list[str] = field(default_factory=list)  # of inputs that are no annotated images, such as a broken tar
    others: int = 0  # images that are not annotated; their people are left out


def parquet_files(path: Path) -> list[Path]:
    """The Parquet files of a folder, or the file itself; none if it is a JSON file.

    Raises:
        FileNotFoundError, ValueError: there is no such file, or none in the folder.
    """
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise ValueError(f"{path}: the folder contains no Parquet files")
        return files
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as file:
        return [path] if file.read(4) == b"PAR1" else []


def stored_skeleton(files: Iterable[Path]) -> Skeleton:
    """The skeleton of Parquet files; ValueError if they differ."""
    found: dict[str, Any] = {}
    for file in files:
        data = read_notes(file)["skeleton"]
        if found and data != found:
            raise ValueError(f"{file}: its skeleton differs from that of the other files")
        found = data
    return Skeleton.from_dict(found)


def read_parquet(files: Iterable[Path], annotations: Annotations) -> StoredResults:
    """The results of Parquet files.

    Raises:
        OSError, ValueError: a file is damaged, or contains an image twice; the message names it.
    """
    ids = _ids_by_name(annotations)
    found = StoredResults(seen=set())
    assert found.seen is not None
    for file in files:
        for rows in read_rows(file):
            image_id = _find(rows.image, ids)
            if image_id is None:
                if rows.error is not None:
                    found.errors.append(rows.error)
                found.others += rows.error is None
                continue
            if image_id in found.seen:
                raise ValueError(f"{file}: image {rows.image}: expected each image once, got it a second time")
            found.seen.add(image_id)
            if rows.error is not None:
                found.failed[image_id] = rows.error
            poses = Poses(rows.keypoints, rows.scores, annotations.skeleton)
            found.results += poses.to_coco(image_id, annotations.category)
    return found


def read_json(path: Path, annotations: Annotations) -> StoredResults:
    """The results of a JSON file.

    Raises:
        OSError, TypeError, ValueError: the file is damaged, or a result is not as `check_results` requires.
    """
    results = parse_json(path.read_bytes(), path)
    if not isinstance(results, list):
        raise ValueError(f"{path}: expected a list of COCO keypoint results, got {show(results)}")
    found = StoredResults()
    names = path.with_name(IMAGES)
    if names.is_file() and names != path:
        ids = _ids_by_name(annotations)
        by_number = {number: _find(name, ids) for number, name in _listed(names).items()}
        unknown = [r for r in results if not isinstance(r, dict) or r.get("image_id") not in by_number]
        if unknown:
            raise ValueError(f"{names}: expected the name of each image of {path}, got none for {show(unknown[0])}")
        found.seen = {i for i in by_number.values() if i is not None}
        found.others = sum(i is None for i in by_number.values())
        renamed = ({**result, "image_id": by_number[result["image_id"]]} for result in results)
        results = [result for result in renamed if result["image_id"] is not None]
    check_results(results, annotations, str(path))
    found.results = results
    return found


def evaluate_results(stored: StoredResults, annotations: Annotations, image_ids: Iterable[int]) -> Evaluation:
    """Evaluate stored results as `evaluate_images` evaluates those of a predictor.

    Images that could not be read, and images that were not processed, count as empty, and the report names them.

    Raises:
        ValueError: there is no person to evaluate.
    """
    start = time.perf_counter()
    ids = list(image_ids)
    check_people(annotations, ids)
    chosen = set(ids)
    results = [result for result in stored.results if result["image_id"] in chosen]
    failed: dict[str, str] = {}
    for i in ids:
        path = annotations.images[i].path
        if i in stored.failed:
            failed[str(path)] = stored.failed[i]
        elif stored.seen is not None and i not in stored.seen:
            failed[str(path)] = f"{path}: not among the results"
    metrics = evaluate_keypoints(annotations, results, ids)
    return Evaluation(metrics, len(ids), len(results), failed, time.perf_counter() - start)


def _ids_by_name(annotations: Annotations) -> dict[str, int]:
    names: dict[str, int] = {}
    for image_id, image in annotations.images.items():
        name = image.path.as_posix()
        if image.path == Path():
            raise ValueError(f"{annotations.path}: image {image_id}: expected a file name, which the results refer to")
        if name in names:
            raise ValueError(f"{annotations.path}: images: expected different file names, got {name} twice")
        names[name] = image_id
    return names


def _find(key: str, ids: Mapping[str, int]) -> int | None:
    """The annotated image of a key: the one with the longest file name that is the end of the key."""
    name = key.replace("\\", "/") if key not in ids else key
    while name not in ids:
        _, slash, name = name.partition("/")
        if not slash:
            return None
    return ids[name]


def _listed(path: Path) -> dict[int, str]:
    """The names of the images in a file ``images.json``, by their ids."""
    entries = parse_json(path.read_bytes(), path)
    valid = isinstance(entries, list) and all(
        isinstance(e, dict) and isinstance(e.get("id"), int) and isinstance(e.get("file_name"), str) for e in entries
    )
    if not valid:
        raise ValueError(f"{path}: expected a list of objects with id and file_name, got {show(entries)}")
    return {entry["id"]: entry["file_name"] for entry in entries}
