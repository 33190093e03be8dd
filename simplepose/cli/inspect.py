"""`simplepose inspect`: a contact sheet of training samples with keypoints, masks and targets."""

from __future__ import annotations

import argparse

from simplepose.checks import check_count
from simplepose.cli.options import (
    add_overwrite_option,
    add_skeleton_option,
    chosen_skeleton,
    outputs_of,
    print_json,
    print_warnings,
    say,
    usage_errors,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", help="annotation file, or a folder with one")
    parser.add_argument("--images", help="the image folder; default: found beside the annotations")
    parser.add_argument("--out", default="inspect.png", help="path of the picture")
    parser.add_argument("--count", type=int, default=8, help="number of samples")
    parser.add_argument("--first", type=int, default=0, help="index of the first sample")
    parser.add_argument("--size", type=int, default=512, help="side of a sample in pixels")
    parser.add_argument("--epoch", type=int, default=0, help="epoch that selects the random numbers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="whole images without augmentation")
    add_skeleton_option(parser)
    add_overwrite_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    from simplepose.data.annotations import find_data, read_annotations
    from simplepose.data.augment import AugmentConfig
    from simplepose.data.dataset import COCODataset
    from simplepose.training.contact_sheet import inspect_data

    skeleton = chosen_skeleton(options)
    with usage_errors():
        check_count("count", options.count)
        check_count("first", options.first, 0)
        source = find_data(options.data, options.images)
        outputs = outputs_of(options, {"data": source[0]})
        outputs.writes("--out", options.out)
        outputs.check()
    annotations = read_annotations(*source, skeleton)  # not a usage error: the argument is valid, the file is not
    with usage_errors():
        outputs.reads("image", (image.path for image in annotations.images.values()))
        outputs.check()
    print_warnings("inspect", annotations.warnings)
    with usage_errors():
        dataset = COCODataset(
            annotations,
            size=options.size,
            augment=AugmentConfig.none() if options.plain else AugmentConfig(),
            seed=options.seed,
        )
    dataset.set_epoch(options.epoch)
    path = inspect_data(dataset, options.out, count=options.count, first=options.first, program=outputs.program)
    if options.json:
        counts = {"samples": len(dataset), "images": len(dataset.records)}
        print_json({"picture": str(path), **counts, "warnings": list(dataset.warnings)})
    else:
        say(f"{len(dataset)} samples of {len(dataset.records)} images; picture: {path}")
    return 0
