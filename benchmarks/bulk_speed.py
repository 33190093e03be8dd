"""Measure bulk prediction: images/s with 1 and 2 workers, and the memory of a worker.

python benchmarks/bulk_speed.py                 # photo on 640-pixel images: 1 worker on 1 core, 2 workers on 2 cores
python benchmarks/bulk_speed.py --memory        # the memory of one worker over 5,000 images

The runs with 1 and 2 workers alternate. The efficiency is images/s of 2 workers over twice images/s of 1 worker; the
median of the rounds is printed. The time to start the workers is not included. The machine must be idle.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from bulk_inputs import command, environment, write_tars


def images_per_second(inputs: str, out: Path, workers: int, options: argparse.Namespace) -> float:
    """The rate of a run with ``workers`` workers, one core each."""
    cores = set(sorted(os.sched_getaffinity(0))[:workers])
    settings = ["--launcher", "local", "--workers", str(workers), "--checkpoint", options.checkpoint]
    settings += ["--engine", options.engine]
    shutil.rmtree(out, ignore_errors=True)
    done = subprocess.run(
        command(inputs, out, *settings),
        env={**environment(), "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(json.loads(done.stdout)["images_per_second"])


def measure_speed(options: argparse.Namespace) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("expected two cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_tars(folder / "tars", 8, options.images, options.size)
        inputs = str(folder / "tars" / "*.tar")
        rounds = []
        for number in range(options.rounds):
            one, two = (images_per_second(inputs, folder / "out", workers, options) for workers in (1, 2))
            rounds.append((one, two, two / (2 * one)))
            rates = f"{one:.2f} images/s with 1 worker, {two:.2f} with 2"
            print(f"round {number + 1}: {rates}, efficiency {two / (2 * one):.3f}", flush=True)
        one, two, efficiency = (statistics.median(values) for values in zip(*rounds, strict=True))
        print(
            f"{options.checkpoint}, {options.engine}, {options.size}-pixel images: {one:.2f} images/s with 1 worker on "
            f"1 core, {two:.2f} with 2 on 2 cores; efficiency {efficiency:.3f} (medians of {options.rounds} rounds)"
        )


def measure_memory(options: argparse.Namespace) -> None:
    import torch

    from simplepose.bulk.job import Job
    from simplepose.bulk.shards import find_shards
    from simplepose.inference.config import PredictorConfig

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "out").mkdir()
        write_tars(folder / "tars", 20, 250, 96)
        config = PredictorConfig(size=96)
        job = Job("tiny", config, "cpu", name, str(folder / "out"), "benchmarks/bulk_speed.py")
        predictor, images = job.predictor(), 0
        for number, shard in enumerate(find_shards([str(folder / "tars")], 1)[0], 1):
            counts = job.run(predictor, shard).counts
            assert counts is not None
            images += counts.images
            if number % 2 == 0:
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                print(f"{images} images: {pages * os.sysconf('SC_PAGE_SIZE') / 1e6:.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=25, help="of each of the 8 tars")
    parser.add_argument("--size", type=int, default=640, help="side of the images in pixels")
    parser.add_argument("--checkpoint", default="photo")
    parser.add_argument("--engine", default="torch", choices=["torch", "onnxruntime"])
    parser.add_argument("--memory", action="store_true", help="measure the memory instead")
    options = parser.parse_args()
    measure_memory(options) if options.memory else measure_speed(options)


if __name__ == "__main__":
    main()
