"""`simplepose decode`: the people of stored heatmaps."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from simplepose.cli.options import (
    add_decode_options,
    add_skeleton_option,
    chosen_decode_config,
    chosen_skeleton,
    print_json,
    table,
    usage_errors,
)
from simplepose.io.arrays import as_maps, load_arrays
from simplepose.ops.config import Backend
from simplepose.ops.decode import decode
from simplepose.ops.inputs import image_maps
from simplepose.poses import Poses

NAMES = ("maps", "heatmaps")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "maps",
        help="NPZ or NPY file with [C, H, W] or [N, C, H, W], C = parts and keypoints (and mask and envelope); "
        "float, or int16 in 1/1024",
    )
    parser.add_argument("--name", help="the array's name in the NPZ file; default: maps, heatmaps or the only one")
    parser.add_argument("--out", type=Path, help="write the people as JSON")
    parser.add_argument("--draw", metavar="IMAGE", help="draw the people of the first maps on this image")
    parser.add_argument("--drawing", type=Path, default=Path("poses.png"), help="where --draw puts its picture")
    parser.add_argument("--stride", type=int, default=4, help="image pixels between two cells of the maps")
    parser.add_argument("--backend", default="auto", choices=get_args(Backend))
    parser.add_argument("--threads", type=int, help="default: all processors")
    add_skeleton_option(parser)
    add_decode_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    skeleton, config = chosen_skeleton(options), chosen_decode_config(options)
    maps = read_maps(options.maps, options.name)
    channels = {skeleton.num_parts + skeleton.num_keypoints: "parts and keypoints"}
    channels[skeleton.num_channels] = "and mask and envelope"
    batch = image_maps(options.maps, maps, channels)
    with usage_errors():
        start = time.perf_counter()
        found = decode(batch, skeleton, config, options.stride, options.backend, options.threads)
        milliseconds = 1000 * (time.perf_counter() - start)
    report = {
        "maps": str(options.maps),
        "milliseconds": milliseconds,
        "images": [poses.to_dict() for poses in found],
    }
    if options.out:
        from simplepose.io.atomic import write_json

        write_json(options.out, report)
    if options.draw:
        _draw(options.draw, found, options.drawing)
    if options.json:
        print_json(report)
        return 0
    rows = [["image", "people", "keypoints", "best score", "truncated"]]
    for index, poses in enumerate(found):
        best = f"{poses.scores[0]:.2f}" if len(poses) else "-"
        rows.append([str(index), str(len(poses)), str(poses.visible.sum()), best, "yes" if poses.truncated else "no"])
    print(table(rows))
    print(f"{milliseconds:.2f} ms for {len(found)} images")
    return 0


def read_maps(path: str, name: str | None) -> NDArray[np.float32]:
    """The array of that name in an NPZ file (default: maps, heatmaps or the only one), or that of an NPY file.

    Raises:
        ValueError: the file holds no such array; the message names it.
    """
    arrays = load_arrays(path)
    names = list(arrays)
    choices = [name] if name else [n for n in NAMES if n in names] or (names if len(names) == 1 else [])
    if not choices or choices[0] not in names:
        raise ValueError(f"{path}: no array {name or ' or '.join(NAMES)!r}; it has {', '.join(names) or 'none'}")
    return as_maps(path, arrays[choices[0]])


def _draw(image_path: str, found: list[Poses], out: Path) -> None:

    from simplepose.data.images import read_image, write_image
    from simplepose.drawing.people import DrawConfig, draw_poses

    image = read_image(image_path)
    write_image(out, draw_poses(image, found[0], DrawConfig()) if found else image)
