"""Synthetic datasets in COCO format: pictures of drawn people with keypoints, masks, crowds and unlabeled people."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from simplepose.checks import check_count
from simplepose.skeleton.skeleton import COCO
from simplepose.synth.scene import Scene, SynthConfig, encode_rle, render_scene

__all__ = ["Scene", "SynthConfig", "encode_rle", "render_scene", "write_dataset"]

MOST_IMAGES = 10_000_000
"""File names have seven digits and the scenes of one seed are numbered from 0."""


def write_dataset(
    out: str | Path,
    images: int,
    seed: int,
    config: SynthConfig | None = None,
    *,
    workers: int = 1,
    progress: bool = True,
) -> Path:
    """Write ``OUT/images/*.jpg`` and ``OUT/annotations.json``, a COCO keypoint dataset.

    The bytes depend on ``images``, ``seed`` and ``config`` only, and image ``i`` does not depend on ``images``. The
    annotations are written last and at once: a folder without them is unfinished. What was written is removed when
    an error or an interrupt ends the work.

    Args:
        out: the folder; made with its parents if it is not there.
        images: how many, 1 or more.
        seed: 0 or more.
        config: what scenes are like.
        workers: processes that draw.
        progress: whether to tell how far it is on stderr: a bar where that is a terminal, otherwise a plain line
            every tenth of the way.

    Returns:
        The path of the annotations.

    Raises:
        TypeError, ValueError: an argument is wrong.
        FileExistsError: the folder has content.
        OSError: the folder cannot be written.
    """
    check_count("images", images, 1, MOST_IMAGES)
    check_count("seed", seed, 0, 2**63 - 1)
    check_count("workers", workers, 1, 1024)
    config = config or SynthConfig()
    if not isinstance(config, SynthConfig):
        raise TypeError(f"config: expected SynthConfig or None, got {config!r}")
    out = Path(out)
    folder = _make_folder(out)
    height, width = config.shape
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    try:
        with _pool(workers) as run:
            drawn = run(partial(_write_scene, folder, seed, config), range(images))
            for index, found in enumerate(_show(drawn, images, progress)):
                image_id = index + 1
                records.append({"id": image_id, "file_name": _file_name(index), "width": width, "height": height})
                for annotation in found:
                    annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
        info = {"description": "simplepose synthetic people", "seed": seed, "config": config.to_dict()}
        _write_json(out, {"info": info, "licenses": [], **_categories(), "images": records, "annotations": annotations})
    except BaseException:
        _remove(out, folder)
        raise
    return out / "annotations.json"


def _file_name(index: int) -> str:
    return f"{index + 1:07d}.jpg"


def _make_folder(out: Path) -> Path:
    """Make ``OUT/images``; only an empty ``OUT`` is taken."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"out: expected a folder, {out} is a file")
    if out.is_dir() and any(out.iterdir()):
        unfinished = (out / "images").is_dir() and not (out / "annotations.json").exists()
        hint = "an unfinished dataset: delete it" if unfinished else "choose another folder"
        raise FileExistsError(f"out: expected an empty folder, {out} has content ({hint})")
    try:
        (out / "images").mkdir(parents=True)
    except OSError as error:
        raise type(error)(f"out: cannot make {out / 'images'}: {error.strerror or error}") from None
    return out / "images"


def _write_scene(folder: Path, seed: int, config: SynthConfig, index: int) -> list[dict[str, Any]]:
    """Draw one scene and write its picture; returns its annotations."""
    scene = render_scene(seed, index, config)
    (folder / _file_name(index)).write_bytes(scene.jpeg)
    return scene.annotations


@contextmanager
def _pool(workers: int) -> Iterator[Any]:
    """A ``map`` that keeps the order, over processes if there are more than one."""
    if workers == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(workers, _limit_threads) as pool:
        yield partial(pool.imap, chunksize=8)


def _limit_threads() -> None:
    """The processes are the parallelism: OpenCV's threads would fight over the cores."""
    import cv2

    cv2.setNumThreads(1)


def _show(items: Any, count: int, progress: bool) -> Iterator[Any]:
    """Pass on ``items`` and show how far it is: a bar on a terminal, else a line every tenth."""
    if not progress:
        yield from items
    elif sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=count, unit="image", desc="synth")
    else:
        for done, item in enumerate(items, 1):
            yield item
            if done * 10 // count > (done - 1) * 10 // count:
                print(f"synth: {done} of {count} images", file=sys.stderr, flush=True)


def _categories() -> dict[str, Any]:
    order = COCO.dataset_keypoints
    pairs = [[order.index(a) + 1, order.index(b) + 1] for a, b in COCO.drawn_parts if {a, b} <= set(order)]
    person = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(order), "skeleton": pairs}
    return {"categories": [person]}


def _write_json(out: Path, data: dict[str, Any]) -> None:
    part = out / "annotations.json.part"
    with part.open("w", encoding="utf-8") as file:
        json.dump(data, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, out / "annotations.json")


def _remove(out: Path, folder: Path) -> None:
    """Take back what was written; the folder itself may have been there before."""
    for path in (*folder.glob("*.jpg"), out / "annotations.json.part"):
        path.unlink(missing_ok=True)
    folder.rmdir()
