"""`simplepose bench`: times of every stage from image to people, and sweeps over numbers of people and batch sizes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from simplepose.checks import check_count
from simplepose.cli.options import (
    UsageError,
    add_decode_options,
    add_predictor_options,
    chosen_predictor_config,
    print_json,
    table,
    usage_errors,
)
from simplepose.info import machine

PEOPLE = (1, 5, 10, 20, 30)
BATCHES = (1, 8, 32)
NETWORK_ROUNDS = 3  # a batch of 32 takes seconds on a CPU


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", help="name of shipped weights or a file; default: photo")
    parser.add_argument("--preset", help="random weights of this network instead, such as imhn4-512")
    parser.add_argument("--image", help="the image file; default: a synthetic scene")
    parser.add_argument("--rounds", type=int, default=20, help="number of timed calls of each stage")
    add_predictor_options(parser)
    add_decode_options(parser, "display")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    with usage_errors():
        check_count("--rounds", options.rounds, 1)
    predictor = _predictor(options)
    stages = time_stages(predictor, options.image, options.rounds)
    sweeps = {
        "decode only, by people": people_sweep(options.rounds),
        "decode only, by batch": batch_sweep(options.rounds),
        "network only, by batch": network_sweep(predictor, min(options.rounds, NETWORK_ROUNDS)),
    }
    if predictor.device.type == "cuda":
        sweeps["decode on the GPU, by batch"] = batch_sweep(options.rounds, predictor.device)
    report = {
        "machine": machine(),
        "command": " ".join(["simplepose", *sys.argv[1:]]),
        "device": str(predictor.device),
        "input_height": predictor.size,
        "stages_ms": stages,
        **{name.replace(",", "").replace(" ", "_"): rows for name, rows in sweeps.items()},
    }
    if options.json:
        print_json(report)
        return 0
    print(f"{report['machine']}; network on {report['device']}; input height {predictor.size}")
    rows = [["stage", "p50 ms", "p95 ms"]]
    rows += [[name, f"{row['p50']:.3f}", f"{row['p95']:.3f}"] for name, row in stages.items()]
    print(table(rows))
    for name, sweep in sweeps.items():
        print(f"\n{name}")
        rows = [[name.split()[-1], "p50 ms", "p95 ms", "images/s"]]
        rows += [[k, f"{r['p50']:.3f}", f"{r['p95']:.3f}", f"{r['images_per_second']:.0f}"] for k, r in sweep.items()]
        print(table(rows))
    return 0


def _predictor(options: argparse.Namespace) -> Any:
    from simplepose.cli.options import make_predictor

    if options.preset is None:
        return make_predictor(argparse.Namespace(**{**vars(options), "checkpoint": options.checkpoint or "photo"}))
    if options.checkpoint:
        raise UsageError("--preset: expected none with --checkpoint, got both")
    from simplepose.inference.predictor import Predictor
    from simplepose.network.build import build_model
    from simplepose.network.config import ModelConfig

    with usage_errors():
        model = build_model(ModelConfig.preset(options.preset)).eval()
        return Predictor(model, config=chosen_predictor_config(options), device=options.device)


def time_stages(predictor: Any, image_path: str | None, rounds: int) -> dict[str, dict[str, float]]:
    """p50 and p95 of each stage in milliseconds. The decoding ops are timed on rendered maps of a synthetic scene."""
    import cv2

    import simplepose as sp
    from simplepose.cli.demo import make_scene
    from simplepose.data.images import read_image
    from simplepose.drawing.people import draw_poses
    from simplepose.evaluation.oracle import oracle_maps

    scene, annotations = make_scene(seed=7)
    encoded = cv2.imencode(".jpg", scene)[1]
    image = read_image(image_path) if image_path else scene
    read = (lambda: read_image(image_path)) if image_path else (lambda: cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    prepared = [predictor.prepare(image)]
    outputs = predictor.run_network(prepared)
    predictor.average(prepared, outputs)
    maps = oracle_maps(annotations.keypoints(1), scene.shape[:2])
    peaks = sp.find_peaks(maps)
    parts = sp.match_parts(maps, peaks)
    poses = sp.assign_keypoints(peaks, parts)[0]
    calls: dict[str, Callable[[], Any]] = {
        "read": read,
        "resize and pad": lambda: predictor.prepare(image),
        "network only": lambda: _finished(predictor, predictor.run_network(prepared)),
        "average": lambda: _finished(predictor, predictor.average(prepared, outputs)),
        "find_peaks": lambda: sp.find_peaks(maps, threads=1),
        "match_parts": lambda: sp.match_parts(maps, peaks),
        "assign_keypoints": lambda: sp.assign_keypoints(peaks, parts),
        "draw": lambda: draw_poses(scene, poses),
        "end to end (image to people, no drawing)": lambda: predictor(image),
    }
    return {name: _percentiles(call, rounds) for name, call in calls.items()}


def people_sweep(rounds: int) -> dict[str, dict[str, float]]:
    """Times of decode on one thread, for one image at 512 x 512 with an increasing number of synthetic people."""
    from simplepose.ops.decode import decode

    rows = {}
    for people in PEOPLE:
        maps = _crowd(people)
        rows[f"{people} people"] = _percentiles(lambda maps=maps: decode(maps, threads=1), rounds)  # type: ignore[misc]
    return rows


def batch_sweep(rounds: int, device: Any = None) -> dict[str, dict[str, float]]:
    """Times of decode for batches of images with 10 people, on all threads; with ``device``, of tensors on it."""
    from simplepose.ops.decode import decode

    rows = {}
    for batch in BATCHES:
        maps: Any = np.stack([_crowd(10, seed) for seed in range(batch)])
        if device is not None:
            import torch

            maps = torch.from_numpy(maps).to(device)
        row = _percentiles(lambda maps=maps: decode(maps), rounds)  # type: ignore[misc]
        rows[f"batch {batch}"] = {**row, "images_per_second": row["images_per_second"] * batch}
    return rows


def network_sweep(predictor: Any, rounds: int) -> dict[str, dict[str, float]]:
    """Times of the network alone, at the predictor's scales, on batches of a synthetic scene."""
    from simplepose.cli.demo import make_scene

    image, _ = make_scene(seed=7)
    rows = {}
    for batch in BATCHES:
        prepared = [predictor.prepare(image)] * batch
        row = _percentiles(lambda inputs=prepared: _finished(predictor, predictor.run_network(inputs)), rounds)  # type: ignore[misc]
        rows[f"batch {batch}"] = {**row, "images_per_second": row["images_per_second"] * batch}
    return rows


def _crowd(people: int, seed: int = 0) -> Any:
    """Maps of a 512 x 512 image with ``people`` copies of one synthetic person at random positions."""
    from simplepose.cli.demo import make_scene
    from simplepose.ops.render_targets import render_targets

    _, annotations = make_scene(seed=7)
    person = annotations.keypoints(1)[:1]
    rng = np.random.default_rng([people, seed])
    crowd = np.repeat(person, people, 0)
    center = crowd[..., :2].mean(1, keepdims=True)
    new_center = rng.uniform(60, 452, (people, 1, 2)).astype(np.float32)
    crowd[..., :2] = (crowd[..., :2] - center) * 0.5 + new_center
    return render_targets(crowd, (512, 512))


def _finished(predictor: Any, value: Any) -> Any:
    """Wait until the device has computed ``value``, then return it."""
    if predictor.device.type == "cuda":
        import torch

        torch.cuda.synchronize(predictor.device)
    return value


def _percentiles(call: Callable[[], Any], rounds: int) -> dict[str, float]:
    """p50 and p95 of a call in milliseconds after one warm-up call, and the calls per second at p50."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50": 1000 * float(p50), "p95": 1000 * float(p95), "images_per_second": 1 / float(p50)}
