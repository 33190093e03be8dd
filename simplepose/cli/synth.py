"""`simplepose synth`: write a data set of synthetic people in COCO format."""

from __future__ import annotations

import argparse
from dataclasses import replace

from simplepose.cli.options import print_json, say, usage_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", help="a new or empty folder for images/*.jpg and annotations.json")
    parser.add_argument("--images", type=int, default=100, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files")
    parser.add_argument("--size", type=int, default=256, help="height and width of the images in pixels")
    parser.add_argument("--people", type=int, default=8, help="maximum number of people in an image")
    parser.add_argument("--workers", type=int, default=1, help="number of processes")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    from simplepose.synth.dataset import write_dataset
    from simplepose.synth.scene import SynthConfig

    with usage_errors():
        config = replace(SynthConfig(size=options.size), people=(1, options.people))
        path = write_dataset(
            options.out, options.images, options.seed, config, workers=options.workers, progress=not options.json
        )
    if options.json:
        print_json({"annotations": str(path), "images": options.images, "seed": options.seed})
    else:
        say(f"{options.images} images and {path}")
    return 0
