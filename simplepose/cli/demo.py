"""`simplepose demo`: find the people in a photo and in a synthetic scene, draw them and print tables."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.cli.options import UsageError, add_overwrite_option, outputs_of, print_json, say, table, usage_errors
from simplepose.data.annotations import Annotations, annotations_from
from simplepose.evaluation import oracle
from simplepose.evaluation.coco import evaluate_keypoints
from simplepose.ops.decode import decode
from simplepose.poses import Poses
from simplepose.skeleton.channels import MapChannels, map_channels
from simplepose.skeleton.skeleton import COCO

Image = NDArray[np.uint8]

PHOTO = Path(__file__).parent / "astronaut.jpg"
"""The photo of the demo: the astronaut Eileen Collins; NASA, public domain (NOTICE)."""

PHOTO_SIZE = 512
"""Input size of the network `photo` for photos, in pixels."""

PHOTO_SCALES = (0.4, 0.7)
"""Input scales for photos: people who fill a photo are found at small ones (docs/photo.md)."""

SHOWN = 3
"""Minimum number of keypoints of a person that is drawn and counted in the tables."""


class Found(NamedTuple):
    """The people of one image, and the maps that they were decoded from."""

    image: Image
    name: str  # of the image, for titles and tables
    source: str  # of the maps: the name of the network, or "ground truth"
    heatmaps: NDArray[np.float32]  # [C, h, w]
    channels: MapChannels  # of the heatmaps
    cell_size: tuple[float, float]  # image pixels between two cells, in x and in y
    poses: Poses
    maps_ms: float  # time to compute the maps
    decode_ms: float  # time to decode them
    annotations: Annotations | None = None  # the ground truth with image id 1, of a scene

    def report(self) -> dict[str, Any]:
        """The values of the tables as JSON."""
        shown = self.poses.at_least(SHOWN)
        values: dict[str, Any] = {
            "image": self.name,
            "maps": self.source,
            "people_found": len(shown),
            "keypoints_found": int(shown.visible.sum()),
            "maps_milliseconds": self.maps_ms,
            "decode_milliseconds": self.decode_ms,
            "people": [
                {"score": float(score), "keypoints": int(count), "box": [round(float(side), 1) for side in box]}
                for score, count, box in zip(shown.scores, shown.visible.sum(1), shown.boxes, strict=True)
            ],
        }
        if self.annotations is not None:
            metrics = evaluate_keypoints(self.annotations, self.poses.to_coco(1))
            values["people_annotated"] = len(self.annotations.keypoints(1))
            values |= {name: metrics[name] for name in ("AP", "AP50")}
        return values


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", type=Path, help="an image of your own; default: a photo and a scene")
    parser.add_argument("--out", type=Path, default=Path("demo.png"), help="the image file to write")
    parser.add_argument("--seed", type=int, default=7, help="seed of the synthetic scene")
    parser.add_argument(
        "--checkpoint",
        help="name of shipped weights or a file, whose own input size and thresholds are used; default: photo for "
        "photos, tiny for the scene",
    )
    parser.add_argument(
        "--oracle", choices=["clean", "noisy"], help="the scene alone, with maps rendered from the ground truth"
    )
    add_overwrite_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if options.oracle and options.checkpoint:
        raise UsageError("--oracle uses no network: expected --oracle or --checkpoint, got both")
    if options.oracle and options.image:
        raise UsageError("--oracle needs the ground truth of the scene: expected --oracle or an image, got both")
    with usage_errors():
        outputs = outputs_of(options, {"image": options.image})
        outputs.writes("--out", options.out)
        outputs.check()
    found = list(_find_people(options))
    draw_demo(options.out, found, outputs.program)
    reports = [each.report() for each in found]
    if options.json:
        print_json({"picture": str(options.out), "images": reports})
        return 0
    print(f"{_tables(reports)}\n")
    say(f"picture: {options.out}")
    return 0


def _find_people(options: argparse.Namespace) -> list[Found]:
    from simplepose.data.images import read_image

    if options.image:
        return [_by_network(read_image(options.image), options.image.name, options.checkpoint or "photo")]
    scene, annotations = make_scene(options.seed)
    if options.oracle:
        return [_by_oracle(scene, annotations, options.seed if options.oracle == "noisy" else None)]
    photo = _by_network(read_image(PHOTO), PHOTO.name, options.checkpoint or "photo")
    return [photo, _by_network(scene, "synthetic scene", options.checkpoint or "tiny", annotations)]


def make_scene(seed: int, size: int = 512) -> tuple[Image, Annotations]:
    """A synthetic image of 5 to 8 people, and its annotations with image id 1.

    Args:
        seed: the same seed gives the same scene.
        size: height and width of the image in pixels.

    Raises:
        UsageError: an argument is invalid.
    """
    from simplepose.synth.scene import SynthConfig, render_scene

    with usage_errors():
        config = SynthConfig(size=size, people=(5, 8), person_size=(120.0, 400.0), unlabeled=0.0, crowds=0.0)
        scene = render_scene(seed, 0, config)
    people = [{**a, "id": i + 1, "image_id": 1, "category_id": 1} for i, a in enumerate(scene.annotations)]
    image = {"id": 1, "width": scene.width, "height": scene.height, "file_name": "scene.jpg"}
    category = {"id": 1, "name": "person", "keypoints": list(COCO.dataset_keypoints)}
    data = {"images": [image], "annotations": people, "categories": [category]}
    return scene.image, annotations_from(data, Path("scene"))


def draw_demo(path: Path, found: list[Found], program: str = "") -> None:
    """Write one image file with the mark of ``program``: people, keypoint maps and part maps, a row for each image."""
    from simplepose.data.images import write_image
    from simplepose.drawing.heatmaps import draw_heatmaps, part_strength, side_by_side
    from simplepose.drawing.people import draw_poses

    rows = []
    for image, name, source, heatmaps, channels, cell_size, poses, *_ in found:
        kinds = (heatmaps[channels.keypoints], part_strength(heatmaps[channels.parts], channels.encoding))
        overlays = [draw_heatmaps(image, maps, cell_size=cell_size) for maps in kinds]
        titles = [f"{name}, {source}", "keypoint maps", "part maps"]
        rows.append(side_by_side([draw_poses(image, poses.at_least(SHOWN)), *overlays], titles))
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    write_image(path, np.concatenate(padded), program)


def _by_network(image: Image, name: str, checkpoint: str, annotations: Annotations | None = None) -> Found:
    from simplepose.inference.predictor import Predictor

    with usage_errors():
        scales = PHOTO_SCALES if annotations is None else (1.0,)
        predictor = Predictor.from_checkpoint(checkpoint, flip=True, scales=scales)
        if checkpoint == "photo" and annotations is None:
            predictor.config = predictor.config.with_changes(size=PHOTO_SIZE)
        if annotations is not None and predictor.skeleton != COCO:
            raise ValueError(
                f"--checkpoint: expected skeleton {COCO.name!r} for the demo's scene, got {predictor.skeleton.name!r}; "
                "give an image of your own: simplepose demo IMAGE --checkpoint FILE"
            )
    start = time.perf_counter()
    averaged = predictor.heatmaps(image)
    heatmaps = averaged.maps.cpu().numpy()
    maps_ms = 1000 * (time.perf_counter() - start)
    poses, decode_ms = _timed(lambda: predictor.decode(averaged))
    layout = (heatmaps, predictor.channels, averaged.cell_size)
    return Found(image, name, Path(checkpoint).stem, *layout, poses, maps_ms, decode_ms, annotations)


def _by_oracle(image: Image, annotations: Annotations, noise_seed: int | None) -> Found:
    start = time.perf_counter()
    heatmaps = oracle.oracle_maps(annotations.keypoints(1), image.shape[:2], noise_seed=noise_seed)
    maps_ms = 1000 * (time.perf_counter() - start)
    poses, decode_ms = _timed(lambda: decode(heatmaps)[0])
    source = "ground truth" if noise_seed is None else "ground truth with synthetic errors"
    layout = (heatmaps, map_channels(COCO, "parts"), (4.0, 4.0))
    return Found(image, "synthetic scene", source, *layout, poses, maps_ms, decode_ms, annotations)


def _tables(reports: list[dict[str, Any]]) -> str:
    """A table of the images, then a table of their people."""
    images = [["image", "maps from", "people", "annotated", "keypoints", "AP", "maps ms", "decode ms"]]
    people = [["image", "person", "score", "keypoints", "left", "top", "right", "bottom"]]
    for r in reports:
        ground_truth = [str(r["people_annotated"]), f"{r['AP']:.3f}"] if "AP" in r else ["-", "-"]
        row = [r["image"], r["maps"], str(r["people_found"]), ground_truth[0], str(r["keypoints_found"])]
        images.append([*row, ground_truth[1], f"{r['maps_milliseconds']:.0f}", f"{r['decode_milliseconds']:.2f}"])
        for number, person in enumerate(r["people"], 1):
            box = [f"{side:.0f}" for side in person["box"]]
            people.append([r["image"], str(number), f"{person['score']:.2f}", str(person["keypoints"]), *box])
    return f"{table(images)}\n\n{table(people)}"


def _timed(call: Callable[[], Poses], repeats: int = 5) -> tuple[Poses, float]:
    """The result of a call and its median time in milliseconds, after one warm-up call."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        poses = call()
        times.append(1000 * (time.perf_counter() - start))
    return poses, float(np.median(times[1:]))
