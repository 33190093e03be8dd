"""`simplepose demo`: from nothing to people in one picture and one table."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose import native, oracle
from simplepose.coco import annotations_from, evaluate_keypoints
from simplepose.commands import print_json, table, usage_errors
from simplepose.decode import decode
from simplepose.poses import Poses
from simplepose.skeleton import COCO


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo.png"), help="the picture")
    parser.add_argument("--seed", type=int, default=7, help="which scene")
    parser.add_argument("--noisy", action="store_true", help="maps with weak and missing responses, and noise")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    image, annotations = make_scene(options.seed)
    height, width = image.shape[:2]
    keypoints = annotations.keypoints(1)
    maps = oracle.oracle_maps(keypoints, (height, width), noise_seed=options.seed if options.noisy else None)
    backends = ["native", "reference"] if native.load_native()[0] else ["reference"]
    decoders: dict[str, Callable[[], Poses]] = {
        backend: lambda backend=backend: decode(maps, backend=backend)[0]  # type: ignore[misc]
        for backend in backends
    }
    times = {backend: _milliseconds(call) for backend, call in decoders.items()}
    poses = decoders[backends[0]]()
    draw_demo(options.out, image, poses, maps)
    metrics = evaluate_keypoints(annotations, poses.to_coco(1))
    report: dict[str, Any] = {
        "picture": str(options.out),
        "people_annotated": len(keypoints),
        "people_found": len(poses),
        "keypoints_found": int(poses.visible.sum()),
        "AP": metrics["AP"],
        "milliseconds": times,
    }
    if options.json:
        print_json(report)
        return 0
    print("A made-up scene: maps rendered from its people, as a perfect network would give them, then decoded.")
    rows = [["backend", "people", "of", "keypoints", "AP", "decode ms"]]
    for backend, ms in times.items():
        people = [str(len(poses)), str(len(keypoints)), str(poses.visible.sum())]
        rows.append([backend, *people, f"{metrics['AP']:.3f}", f"{ms:.3f}"])
    print(table(rows))
    print(f"picture: {options.out}")
    return 0


def make_scene(seed: int, size: int = 512) -> tuple[NDArray[np.uint8], Any]:
    """A synthetic picture of several people, and its annotations with image id 1."""
    from simplepose.synth import SynthConfig, render_scene

    with usage_errors():
        config = SynthConfig(size=size, people=(5, 8), person_size=(120.0, 400.0), unlabelled=0.0, crowds=0.0)
        scene = render_scene(seed, 0, config)
    people = [{**a, "id": i + 1, "image_id": 1, "category_id": 1} for i, a in enumerate(scene.annotations)]
    image = {"id": 1, "width": scene.width, "height": scene.height, "file_name": "scene.jpg"}
    category = {"id": 1, "name": "person", "keypoints": list(COCO.dataset_keypoints)}
    data = {"images": [image], "annotations": people, "categories": [category]}
    return scene.image, annotations_from(data, Path("scene"))


def draw_demo(path: Path, image: NDArray[np.uint8], poses: Poses, maps: NDArray[np.float32]) -> None:
    """People, keypoint maps and part maps side by side."""
    from simplepose.draw import draw_heatmaps, side_by_side
    from simplepose.images import write_image

    parts = poses.skeleton.num_parts
    keypoint_maps = maps[parts : parts + poses.skeleton.num_keypoints]
    panels = [poses.draw(image), draw_heatmaps(image, keypoint_maps), draw_heatmaps(image, maps[:parts])]
    write_image(path, side_by_side(panels, ["people", "keypoint maps", "part maps"]))


def _milliseconds(call: Callable[[], Any], repeats: int = 5) -> float:
    """The median time of a call, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        call()
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))
