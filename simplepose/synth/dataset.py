"""Data sets of synthetic people in COCO format, with keypoints, masks, crowds and unlabeled people."""

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

from simplepose.checks import check_count, check_instance
from simplepose.io.atomic import errors_of
from simplepose.skeleton.skeleton import COCO
from simplepose.synth.clip import ClipConfig, render_clip
from simplepose.synth.scene import Scene, SynthConfig, encode_rle, render_scene

__all__ = ["Scene", "SynthConfig", "encode_rle", "render_scene", "write_clip", "write_dataset"]

MAX_IMAGES = 10_000_000
"""Upper bound of the number of images: file names have seven digits."""


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

    The files depend only on ``images``, ``seed`` and ``config``; image ``i`` does not depend on ``images``. The
    annotations are written last and atomically: a folder without them is incomplete. After an error or an interrupt
    the written files are removed.

    Args:
        out: the folder; it is created with its parents if necessary.
        images: number of images, 1 or more.
        seed: 0 or more.
        config: the settings of the scenes.
        workers: number of rendering processes.
        progress: whether to show the progress on stderr: a bar on a terminal, otherwise one line per 10% of the
            images.

    Returns:
        The path of the annotations.

    Raises:
        TypeError, ValueError: an argument is invalid.
        FileExistsError: the folder has content.
        OSError: the folder cannot be written.
    """
    check_count("images", images, 1, MAX_IMAGES)
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
            scenes = run(partial(_write_scene, folder, seed, config), range(images))
            for index, scene_annotations in enumerate(_with_progress(scenes, images, progress)):
                image_id = index + 1
                records.append({"id": image_id, "file_name": _file_name(index), "width": width, "height": height})
                for annotation in scene_annotations:
                    annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
        info = {"description": "simplepose synthetic people", "seed": seed, "config": config.to_dict()}
        _write_json(out, {"info": info, "licenses": [], **_categories(), "images": records, "annotations": annotations})
    except BaseException:
        _remove(out, folder)
        raise
    return out / "annotations.json"


def write_clip(
    out: str | Path, frames: int, seed: int, config: ClipConfig | None = None, *, progress: bool = True
) -> list[Path]:
    """Write the frames of a clip as ``OUT/images/*.jpg``, and ``OUT/annotations.json``.

    The annotations are COCO keypoints with the field ``track_id`` (`simplepose.synth.clip.render_clip`). The files
    depend only on ``frames``, ``seed`` and ``config``. Other rules as `write_dataset`.

    Args:
        out: the folder; it is created with its parents if necessary.
        frames: number of frames, 1 or more.
        seed: 0 or more.
        config: the settings of the clip.
        progress: whether to show the progress on stderr.

    Returns:
        The paths of the frames, in order.

    Raises:
        TypeError, ValueError, FileExistsError, OSError: as `write_dataset`.
    """
    check_count("frames", frames, 1, MAX_IMAGES)
    check_count("seed", seed, 0, 2**63 - 1)
    config = config or ClipConfig()
    check_instance("config", config, ClipConfig)
    out = Path(out)
    folder = _make_folder(out)
    height, width = config.size
    records: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    try:
        for index, scene in enumerate(_with_progress(render_clip(frames, seed, config), frames, progress)):
            path = folder / _file_name(index)
            with errors_of(path):
                path.write_bytes(scene.jpeg)
            record = {"id": index + 1, "file_name": _file_name(index), "width": width, "height": height}
            records.append({**record, "frame_id": index, "time": index / config.rate})
            for annotation in scene.annotations:
                annotations.append({"id": len(annotations) + 1, "image_id": index + 1, **annotation})
        info = {"description": "simplepose synthetic clip", "seed": seed, "config": config.to_dict()}
        _write_json(out, {"info": info, "licenses": [], **_categories(), "images": records, "annotations": annotations})
    except BaseException:
        _remove(out, folder)
        raise
    return [folder / record["file_name"] for record in records]


def _file_name(index: int) -> str:
    return f"{index + 1:07d}.jpg"


def _make_folder(out: Path) -> Path:
    """Create ``OUT/images``; an existing ``OUT`` must be empty."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"out: expected a folder, {out} is a file")
    if out.is_dir() and any(out.iterdir()):
        unfinished = (out / "images").is_dir() and not (out / "annotations.json").exists()
        hint = "an unfinished dataset: delete it" if unfinished else "choose another folder"
        raise FileExistsError(f"out: expected an empty folder, {out} has content ({hint})")
    try:
        (out / "images").mkdir(parents=True)
    except OSError as error:
        raise type(error)(f"out: cannot create {out / 'images'}: {error.strerror or error}") from None
    return out / "images"


def _write_scene(folder: Path, seed: int, config: SynthConfig, index: int) -> list[dict[str, Any]]:
    """Render one scene, write its image and return its annotations."""
    scene = render_scene(seed, index, config)
    path = folder / _file_name(index)
    with errors_of(path):
        path.write_bytes(scene.jpeg)
    return scene.annotations


@contextmanager
def _pool(workers: int) -> Iterator[Any]:
    """An ordered ``map``, distributed over processes if ``workers`` is more than 1."""
    if workers == 1:
        yield map
        return
    with multiprocessing.get_context("spawn").Pool(workers, _limit_threads) as pool:
        yield partial(pool.imap, chunksize=8)


def _limit_threads() -> None:
    """Limit OpenCV to one thread: the processes already occupy all cores."""
    import cv2

    cv2.setNumThreads(1)


def _with_progress(items: Any, count: int, progress: bool) -> Iterator[Any]:
    """Yield ``items`` and show the progress: a bar on a terminal, otherwise one line per 10%."""
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
    with errors_of(part), part.open("w", encoding="utf-8") as file:
        json.dump(data, file, separators=(",", ":"), allow_nan=False)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, out / "annotations.json")


def _remove(out: Path, folder: Path) -> None:
    """Remove the written files; ``OUT`` itself may have existed before."""
    for path in (*folder.glob("*.jpg"), out / "annotations.json.part"):
        path.unlink(missing_ok=True)
    folder.rmdir()
