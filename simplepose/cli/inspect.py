"""`simplepose inspect`: a contact sheet of training samples with keypoints, masks and targets, to look at."""

from __future__ import annotations

import argparse

from simplepose.checks import check_count
from simplepose.cli.options import add_skeleton_option, chosen_skeleton, print_json, usage_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="annotation file, or a folder with one")
    parser.add_argument("--images", help="the image folder; default: found beside the annotations")
    parser.add_argument("--out", default="inspect.png", help="the picture")
    parser.add_argument("--count", type=int, default=8, help="samples")
    parser.add_argument("--first", type=int, default=0, help="index of the first sample")
    parser.add_argument("--size", type=int, default=512, help="side of a sample in pixels")
    parser.add_argument("--epoch", type=int, default=0, help="whose random numbers are used")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="whole images, nothing augmented")
    add_skeleton_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    from simplepose.data.augment import AugmentConfig
    from simplepose.data.dataset import COCODataset
    from simplepose.training.contact_sheet import inspect_data

    skeleton = chosen_skeleton(options)
    with usage_errors():
        check_count("count", options.count)
        check_count("first", options.first, 0)
        dataset = COCODataset(
            options.data,
            options.images,
            skeleton=skeleton,
            size=options.size,
            augment=AugmentConfig.none() if options.plain else AugmentConfig(),
            seed=options.seed,
        )
    dataset.set_epoch(options.epoch)
    path = inspect_data(dataset, options.out, count=options.count, first=options.first)
    if options.json:
        print_json({"picture": str(path), "samples": len(dataset), "images": len(dataset.records)})
    else:
        print(f"{len(dataset)} samples of {len(dataset.records)} images; picture: {path}")
    return 0
