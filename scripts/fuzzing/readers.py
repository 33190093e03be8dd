"""Damaged files for every reader: each gives a result, or an error of one line that names the file."""

from __future__ import annotations

import io
import json
import random
import resource
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import simplepose as sp
from fuzzing.mutations import ODD, TEXTS, damage_bytes, damage_json, damage_value

MOST_SECONDS = 1.0
"""Processor seconds that one file may take."""

MOST_MEMORY = 1 << 30
"""Bytes by which one file may raise the peak of memory; the largest image that is allowed has 240 MB."""

LONGEST = 1200
"""Characters of an error message, without the path."""

Attempt = Callable[[random.Random, Path], None]
"""Writes one damaged file and reads it; raises what the reader raises."""


class Fuzzer:
    """Runs the attempts of one kind of file.

    Args:
        attempts: the attempts, one for each format of file.
        seed: with the number of a case it determines everything.
        lines: whether error messages must be a single line.
        most_seconds: processor seconds that one file may take.
    """

    def __init__(
        self, attempts: list[Attempt], seed: int, lines: bool = True, most_seconds: float = MOST_SECONDS
    ) -> None:
        self.attempts, self.seed, self.lines, self.most_seconds = attempts, seed, lines, most_seconds
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "input"

    def run(self, number: int) -> tuple[int, list[str]]:
        """Run case ``number``: returns 1, and what is wrong."""
        rng = random.Random(f"{self.seed} {number}")
        attempt = self.attempts[number % len(self.attempts)]
        start, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = self._try(attempt, rng)
        seconds = time.process_time() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) * 1024
        if seconds > self.most_seconds:
            found.append(f"took {seconds:.1f} s")
        if grown > MOST_MEMORY:
            found.append(f"took {grown >> 20} MB")
        return 1, [f"{attempt.__name__}: {line}" for line in found]

    def _try(self, attempt: Attempt, rng: random.Random) -> list[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                attempt(rng, self.path)
            except (ValueError, OSError) as error:
                text = str(error)
                wrong = [] if str(self.path) in text else ["the message does not name the file"]
                if self.lines and "\n" in text:
                    wrong.append("the message has several lines")
                if self.lines and len(text) > LONGEST + len(str(self.path)):
                    wrong.append(f"the message has {len(text)} characters")
                return [f"{line}: {text[:300]!r}" for line in wrong]
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                return [f"{type(error).__name__}: {str(error)[:200]} ({frame.filename}:{frame.lineno})"]
        return []

    def close(self) -> None:
        """Remove the files."""
        self.folder.cleanup()


def _people() -> dict[str, Any]:
    """Annotations of two people and a crowd with a run-length mask."""
    xy = np.random.default_rng(0).uniform(5, 60, (17, 2)).round(1)
    points = [v for x, y in xy.tolist() for v in (x, y, 2)]
    common = {"image_id": 1, "category_id": 1, "num_keypoints": 17, "keypoints": points, "bbox": [5, 5, 55, 55]}
    outline = [[5.0, 5.0, 60.0, 5.0, 60.0, 60.0]]
    runs = {"size": [64, 96], "counts": [64 * 20, 64 * 10, 64 * 66]}
    return {
        "images": [{"id": 1, "file_name": "1.jpg", "height": 64, "width": 96}],
        "annotations": [
            {"id": 1, "iscrowd": 0, "area": 900.0, "segmentation": outline, **common},
            {"id": 2, "iscrowd": 1, "area": 640.0, "segmentation": runs, **common},
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(sp.COCO.dataset_keypoints)}],
    }


def _use(annotations: Any) -> None:
    """Draw the masks of accepted annotations and evaluate them against themselves."""
    from simplepose.data.augment import draw_outlines
    from simplepose.evaluation.coco import evaluate_keypoints

    results = []
    for key, image in annotations.images.items():
        if image.height and image.height * image.width < 10**6:
            matrix = np.array([[0.5, 0.0, 0], [0, 0.5, 0]])
            draw_outlines(image.people, matrix, 64, (image.height, image.width))
        keypoints = annotations.keypoints(key)
        keypoints[..., 2] = keypoints[..., 2] > 0
        results += sp.Poses(keypoints, np.ones(len(keypoints), np.float32)).to_coco(key, annotations.category)
    evaluate_keypoints(annotations, results)


def masks(seed: int) -> Fuzzer:
    """Run lengths and polygons in annotation files, drawn by pycocotools where they are accepted."""
    from pycocotools import mask as coco_mask

    from simplepose.data.annotations import annotations_from
    from simplepose.data.run_lengths import run_counts

    def run_lengths(rng: random.Random, path: Path) -> None:
        noise = np.random.default_rng(rng.randrange(2**32)).random((rng.choice((64, 64, 1, 7)), 96))
        mask = np.asfortranarray(noise < rng.choice((0.0, 0.1, 0.5, 1.0)), np.uint8)
        encoded = coco_mask.encode(mask)
        runs: dict[str, Any] = {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}
        if rng.random() < 0.6:
            runs["counts"] = run_counts({"size": runs["size"], "counts": runs["counts"]})[: rng.choice((5, 10_000))]
        elif rng.random() < 0.7:
            runs["counts"] = damage_bytes(rng, runs["counts"].encode()).decode("latin-1")
        runs = runs if rng.random() < 0.1 else damage_value(rng, runs)
        data = _people()
        data["annotations"][rng.randrange(2)]["segmentation"] = runs
        _use(annotations_from(data, path))

    def polygons(rng: random.Random, path: Path) -> None:
        count = rng.choice((0, 1, 2, 5, 6, 7, 8, 40))
        value = [[rng.choice((rng.uniform(-50, 150), rng.choice((0, -1e9, 1e8, 1e-30)))) for _ in range(count)]]
        data = _people()
        data["annotations"][0]["segmentation"] = value if rng.random() < 0.3 else damage_value(rng, value)
        _use(annotations_from(data, path))

    return Fuzzer([run_lengths, polygons], seed)


def json_files(seed: int) -> Fuzzer:
    """Annotation files, poses, and the settings, log and journal of runs."""
    from simplepose.data.annotations import read_annotations
    from simplepose.evaluation.evaluate import Journal
    from simplepose.training.config import TrainConfig
    from simplepose.training.log import read_log
    from simplepose.training.run_folder import read_run

    keypoints = np.full((2, 18, 3), 5, np.float32)
    poses = sp.Poses(keypoints, np.ones(2, np.float32)).to_dict()
    settings = {"format_version": 1, "config": TrainConfig().to_dict(), "skeleton": sp.COCO.to_dict()}
    records = [{"step": i, "loss": 0.5, "AP": 0.1, "AP_of": "1 image", "lr": 0.1} for i in range(3)]
    result = {"image_id": 1, "category_id": 1, "keypoints": [1.0] * 51, "score": 0.5}
    entries = [{"image_id": i, "results": [result], "error": ""} for i in range(3)]
    head = {"simplepose": "evaluation", "ids": [0, 1, 2]}

    def annotations(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_json(rng, _people()))
        _use(read_annotations(path))

    def people(rng: random.Random, path: Path) -> None:
        value = damage_value(rng, poses)
        try:
            found = sp.Poses.from_dict(value)
        except ValueError as error:
            named = str(error).startswith(("data:", "skeleton:"))  # the argument, in place of a file
            raise ValueError(f"{path}: {error}" if named else str(error)) from None
        found.to_dict(), found.to_coco(1), found.boxes, found.at_least(3)

    def run_settings(rng: random.Random, path: Path) -> None:
        folder = path.with_name("run")
        folder.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        (folder / "config.json").write_bytes(damage_json(rng, settings))
        _named(path, folder / "config.json", lambda: read_run(folder))

    def log(rng: random.Random, path: Path) -> None:
        folder = path.with_name("run")
        folder.mkdir(exist_ok=True)
        (folder / "log.jsonl").write_bytes(_damaged_lines(rng, records))
        _named(path, folder / "log.jsonl", lambda: read_log(folder))

    def journal(rng: random.Random, path: Path) -> None:
        path.write_bytes(_damaged_lines(rng, [head, *entries]))
        with Journal(path, {"ids": [0, 1, 2]}) as found:
            json.dumps(list(found.done.values()), allow_nan=False)

    return Fuzzer([annotations, people, run_settings, log, journal], seed)


def _damaged_lines(rng: random.Random, values: list[Any]) -> bytes:
    """One JSON value a line, one of the lines damaged."""
    lines = [json.dumps(v, sort_keys=True).encode() for v in values]
    index = rng.randrange(len(lines))
    lines[index] = damage_json(rng, values[index])
    return b"\n".join(lines) + rng.choice((b"\n", b"\n", b""))


def _named(path: Path, file: Path, read: Callable[[], Any]) -> None:
    """Read; an error that names ``file`` counts as one that names ``path``."""
    try:
        read()
    except (ValueError, OSError) as error:
        raise ValueError(str(error).replace(str(file), str(path))) from None


def toml(seed: int) -> Fuzzer:
    """Skeleton files."""
    files = sorted((Path(sp.__file__).parent / "skeleton" / "files").glob("*.toml"))
    sources = [path.read_bytes() for path in files]

    def text(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_bytes(rng, rng.choice(sources), TEXTS))
        sp.load_skeleton(path).spanning_tree()

    def values(rng: random.Random, path: Path) -> None:
        value = damage_value(rng, sp.COCO.to_dict())
        lines = (f"{key} = {json.dumps(item)}" for key, item in value.items() if key != "derived")
        path.write_text("\n".join(lines) if isinstance(value, dict) else "", encoding="utf-8", errors="replace")
        sp.load_skeleton(path).spanning_tree()

    return Fuzzer([text, values], seed)


def npz(seed: int) -> Fuzzer:
    """Stored maps in NPZ and NPY files."""
    from simplepose.cli.decode import read_maps
    from simplepose.evaluation.oracle import stored_maps
    from simplepose.ops.inputs import all_maps, image_maps

    maps = np.random.default_rng(0).random((1, 48, 4, 5)).astype(np.float32)

    def content(rng: random.Random) -> bytes:
        buffer = io.BytesIO()
        odd = [np.array(v, object if isinstance(v, list | dict) else None) for v in ODD if not isinstance(v, int)]
        odd += [maps.astype(k) for k in (np.int16, np.float64, np.float16, np.complex64, ">f4", np.uint8)]
        first = rng.choice(odd) if rng.random() < 0.4 else maps
        ids = rng.choice(odd) if rng.random() < 0.4 else np.array([7])
        if rng.random() < 0.3:
            np.save(buffer, first)
        else:
            (np.savez_compressed if rng.random() < 0.5 else np.savez)(buffer, maps=first, image_ids=ids)
        data = buffer.getvalue()
        return data if rng.random() < 0.3 else damage_bytes(rng, data)

    def decode(rng: random.Random, path: Path) -> None:
        path.write_bytes(content(rng))
        found = read_maps(str(path), None)
        try:
            sp.decode(image_maps(str(path), found, all_maps(sp.COCO, sp.DecodeConfig())), backend="native", threads=1)
        except TypeError as error:
            raise ValueError(str(error)) from None

    def evaluate(rng: random.Random, path: Path) -> None:
        path.write_bytes(content(rng))
        ids, source = stored_maps(str(path))
        for key in ids:
            source(key)

    return Fuzzer([decode, evaluate], seed)


def checkpoints(seed: int) -> Fuzzer:
    """Checkpoints of this package and of the released code, whole files and headers."""
    import torch
    from safetensors.torch import save

    from simplepose.network.checkpoint import load_checkpoint, save_checkpoint
    from simplepose.network.config import ModelConfig
    from simplepose.network.imhn import IMHN

    torch.set_num_threads(1)
    model = IMHN(ModelConfig(stacks=1, width=16, growth=4, input_size=64))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        save_checkpoint(path, model, use={"size": 64, "decode": {"peak_threshold": 0.2}})
        whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(json.loads(whole[8 : 8 + length])["__metadata__"]["simplepose"])
    buffer = io.BytesIO()
    torch.save({"weights": {f"module.{n}": t for n, t in list(model.state_dict().items())[:20]}}, buffer)

    def safetensors(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_bytes(rng, whole[: rng.choice((len(whole), 8 + length))]))
        load_checkpoint(path)

    def headers(rng: random.Random, path: Path) -> None:
        text = damage_json(rng, header).decode("latin-1")
        path.write_bytes(save({"a": torch.zeros(2)}, {"simplepose": text}))
        load_checkpoint(path)

    def released(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_bytes(rng, buffer.getvalue()))
        load_checkpoint(path)

    return Fuzzer([safetensors, headers, headers, released], seed, lines=False, most_seconds=10.0)


def images(seed: int) -> Fuzzer:
    """Image files of every format that can be written."""
    import cv2
    import PIL.Image

    from simplepose.data.images import image_size, read_image

    pixels = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 2)
    sources = [cv2.imencode(s, pixels)[1].tobytes() for s in (".jpg", ".png", ".bmp", ".ppm")]
    picture = PIL.Image.fromarray(pixels)
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    for name, options in (
        ("JPEG", {"exif": exif}), ("JPEG", {"progressive": True}), ("PNG", {"exif": exif}), ("GIF", {}), ("TIFF", {}),
        ("WEBP", {}), ("TIFF", {"compression": "tiff_lzw"}), ("JPEG2000", {}),
    ):  # fmt: skip
        buffer = io.BytesIO()
        picture.save(buffer, name, **options)
        sources.append(buffer.getvalue())
    deep = io.BytesIO()
    PIL.Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(deep, "PNG")
    sources.append(deep.getvalue())

    def read(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_bytes(rng, rng.choice(sources)))
        size = (24, 40) if rng.random() < 0.2 else None
        found = read_image(path, size, rng.choice((1, 1, 2, 4, 8)))
        assert found.ndim == 3
        assert found.dtype == np.uint8
        assert found.shape[2] == 3

    def measure(rng: random.Random, path: Path) -> None:
        path.write_bytes(damage_bytes(rng, rng.choice(sources)))
        image_size(path)

    return Fuzzer([read, measure], seed)
