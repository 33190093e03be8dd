"""`simplepose demo`: render a synthetic scene, detect its people, draw them and print a table."""

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
from simplepose.ops.backend import choose
from simplepose.ops.config import Backend
from simplepose.ops.decode import decode
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO

Image = NDArray[np.uint8]

SHOWN = 3
"""Minimum number of keypoints of a person that is drawn and counted in the table."""


class Maps(NamedTuple):
    """Heatmaps of the scene and their source."""

    heatmaps: NDArray[np.float32]  # [C, h, w]
    cell_size: tuple[float, float]  # image pixels between two cells, in x and in y
    source: str  # a sentence for the output of the command
    milliseconds: float  # time to compute them


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo.png"), help="the image file to write")
    parser.add_argument("--seed", type=int, default=7, help="seed of the scene")
    parser.add_argument("--checkpoint", default="tiny", help="name of shipped weights or a file")
    parser.add_argument(
        "--oracle", choices=["clean", "noisy"], help="use maps rendered from the ground truth, no network"
    )
    add_overwrite_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if options.oracle and options.checkpoint != "tiny":
        raise UsageError("--oracle uses no network: expected --oracle or --checkpoint, got both")
    with usage_errors():
        outputs = outputs_of(options, {})
        outputs.writes("--out", options.out)
        outputs.check()
    image, annotations = make_scene(options.seed)
    maps = _oracle_maps(annotations, image, options) if options.oracle else _network_maps(image, options.checkpoint)
    fastest: Backend = "native" if choose("decode", "auto").implementation == "cpp" else "torch"
    backends: tuple[Backend, Backend] = (fastest, "reference")
    decoders: dict[str, Callable[[], Poses]] = {
        backend: lambda backend=backend: decode(maps.heatmaps, backend=backend)[0]  # type: ignore[misc]
        for backend in backends
    }
    times = {backend: _milliseconds(call) for backend, call in decoders.items()}
    poses = _on_image(decoders[backends[0]](), maps)
    draw_demo(options.out, image, poses, maps, outputs.program)
    shown = poses.at_least(SHOWN)
    metrics = evaluate_keypoints(annotations, poses.to_coco(1))
    report: dict[str, Any] = {
        "picture": str(options.out),
        "people_annotated": len(annotations.keypoints(1)),
        "people_found": len(shown),
        "keypoints_found": int(shown.visible.sum()),
        "AP": metrics["AP"],
        "AP50": metrics["AP50"],
        "maps_milliseconds": maps.milliseconds,
        "milliseconds": times,
    }
    if options.json:
        print_json(report)
        return 0
    print(f"A synthetic scene. {maps.source} in {maps.milliseconds:.0f} ms.")
    rows = [["decoder", "people", "of", "keypoints", "AP", "AP50", "decode ms"]]
    for backend, ms in times.items():
        counts = [str(report[name]) for name in ("people_found", "people_annotated", "keypoints_found")]
        rows.append([backend, *counts, f"{metrics['AP']:.3f}", f"{metrics['AP50']:.3f}", f"{ms:.3f}"])
    print(table(rows))
    say(f"picture: {options.out}")
    return 0


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


def draw_demo(path: Path, image: Image, poses: Poses, maps: Maps, program: str = "") -> None:
    """Write one image file with the mark of ``program``: people, keypoint maps and part maps side by side."""
    from simplepose.data.images import write_image
    from simplepose.drawing.heatmaps import draw_heatmaps, side_by_side
    from simplepose.drawing.people import draw_poses

    parts, keypoints = poses.skeleton.num_parts, poses.skeleton.num_keypoints
    channels = (maps.heatmaps[parts : parts + keypoints], maps.heatmaps[:parts])
    overlays = [draw_heatmaps(image, maps_of_kind, cell_size=maps.cell_size) for maps_of_kind in channels]
    panels = [draw_poses(image, poses), *overlays]
    write_image(path, side_by_side(panels, ["people", "keypoint maps", "part maps"]), program)


def _network_maps(image: Image, checkpoint: str) -> Maps:
    from simplepose.inference.predictor import Predictor

    with usage_errors():
        predictor = Predictor.from_checkpoint(checkpoint, flip=True)
        if predictor.skeleton != COCO:
            raise ValueError(f"--checkpoint: expected skeleton {COCO.name!r}, got {predictor.skeleton.name!r}")
    start = time.perf_counter()
    averaged = predictor.heatmaps(image)
    heatmaps = averaged.maps.cpu().numpy()
    milliseconds = 1000 * (time.perf_counter() - start)
    source = f"The network {Path(checkpoint).name} computed its maps with flip testing"
    return Maps(heatmaps, averaged.cell_size, source, milliseconds)


def _oracle_maps(annotations: Annotations, image: Image, options: argparse.Namespace) -> Maps:
    start = time.perf_counter()
    seed = options.seed if options.oracle == "noisy" else None
    heatmaps = oracle.oracle_maps(annotations.keypoints(1), image.shape[:2], noise_seed=seed)
    milliseconds = 1000 * (time.perf_counter() - start)
    kind = "without errors" if seed is None else "with synthetic errors"
    return Maps(heatmaps, (4.0, 4.0), f"Its maps were rendered from the ground truth {kind}", milliseconds)


def _on_image(poses: Poses, maps: Maps) -> Poses:
    """Map positions to image pixels: `decode` assumes cells of 4 pixels, those of the maps may have another size."""
    poses.keypoints[..., :2] = (poses.keypoints[..., :2] + 0.5) * (np.array(maps.cell_size, np.float32) / 4) - 0.5
    return poses


def _milliseconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """The median time of a call in milliseconds, after one warm-up call."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))
