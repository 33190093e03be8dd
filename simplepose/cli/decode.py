"""`simplepose decode`: decode stored heatmaps into people."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from simplepose.cli.options import (
    add_decode_options,
    add_overwrite_option,
    add_skeleton_option,
    chosen_decode_config,
    chosen_skeleton,
    outputs_of,
    print_json,
    print_warnings,
    table,
    unbounded_scores,
    usage_errors,
)
from simplepose.io.arrays import as_maps, load_arrays
from simplepose.ops.config import Backend
from simplepose.ops.decode import decode
from simplepose.ops.inputs import all_maps, image_maps
from simplepose.poses import Poses

NAMES = ("maps", "heatmaps")
"""Default names of the array in an NPZ file, in order of preference."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "maps",
        help="NPZ or NPY file with maps [C, H, W] or [N, C, H, W]; C = parts and keypoints (and mask and envelope), "
        "two channels a part with --set encoding=paf; "
        "floating point, or int16 in units of 1/1024",
    )
    parser.add_argument("--name", help="name of the array in the NPZ file; default: maps, heatmaps or the only one")
    parser.add_argument("--out", type=Path, help="write the people as JSON to this file")
    parser.add_argument("--draw", metavar="IMAGE", help="draw the people of the first maps on this image")
    parser.add_argument("--drawing", type=Path, default=Path("poses.png"), help="the file that --draw writes")
    parser.add_argument("--stride", type=int, default=4, help="image pixels between two cells of the maps")
    parser.add_argument("--backend", default="auto", choices=get_args(Backend), help="implementation of the ops")
    parser.add_argument("--threads", type=int, help="maximum number of threads; default: all processors")
    add_skeleton_option(parser)
    add_decode_options(parser)
    add_overwrite_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    skeleton, config = chosen_skeleton(options), chosen_decode_config(options)
    with usage_errors():
        outputs = outputs_of(options, {"maps": options.maps, "--draw": options.draw})
        outputs.writes("--out", options.out)
        outputs.writes("--drawing", options.drawing if options.draw else None)
        outputs.check()
    maps = read_maps(options.maps, options.name)
    batch = image_maps(options.maps, maps, all_maps(skeleton, config))
    with usage_errors():
        start = time.perf_counter()
        images = decode(batch, skeleton, config, options.stride, options.backend, options.threads)
        milliseconds = 1000 * (time.perf_counter() - start)
    warnings = unbounded_scores(options.maps, images)
    print_warnings("decode", warnings)
    report = {
        **outputs.mark,
        "maps": str(options.maps),
        "milliseconds": milliseconds,
        "images": [poses.to_dict() for poses in images],
        "warnings": warnings,
    }
    if options.out:
        from simplepose.io.atomic import write_json

        write_json(options.out, report)
    if options.draw:
        _draw(options.draw, images, options.drawing, outputs.program)
    if options.json:
        print_json(report)
        return 0
    rows = [["image", "people", "keypoints", "best score", "truncated"]]
    for index, poses in enumerate(images):
        best = f"{poses.scores[0]:.2f}" if len(poses) else "-"
        rows.append([str(index), str(len(poses)), str(poses.visible.sum()), best, "yes" if poses.truncated else "no"])
    print(table(rows))
    print(f"{milliseconds:.2f} ms for {len(images)} images")
    return 0


def read_maps(path: str, name: str | None) -> NDArray[np.float32]:
    """The maps in an NPZ or NPY file as float32.

    Args:
        path: the file.
        name: the name of the array in an NPZ file; None: maps, heatmaps or the only array.

    Raises:
        OSError: the file is missing or cannot be opened.
        ValueError: the file has no array of that name, or the array cannot be maps; the message names the file.
    """
    arrays = load_arrays(path)
    names = list(arrays)
    choices = [name] if name else [n for n in NAMES if n in names] or (names if len(names) == 1 else [])
    if not choices or choices[0] not in names:
        raise ValueError(f"{path}: no array {name or ' or '.join(NAMES)!r}; its arrays: {', '.join(names) or 'none'}")
    return as_maps(path, arrays[choices[0]])


def _draw(image_path: str, images: list[Poses], out: Path, program: str) -> None:
    from simplepose.data.images import read_image, write_image
    from simplepose.drawing.people import DrawConfig, draw_poses

    image = read_image(image_path)
    write_image(out, draw_poses(image, images[0], DrawConfig()) if images else image, program)
