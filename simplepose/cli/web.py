"""`simplepose web`: a page in the browser that shows the people and the maps of a picture."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simplepose.checks import check_count, check_number, one_line
from simplepose.cli.demo import PHOTO, PHOTO_SCALES, PHOTO_SIZE, make_scene
from simplepose.cli.options import UsageError, print_warnings, say, usage_errors
from simplepose.network.shipped import SHIPPED

if TYPE_CHECKING:
    from simplepose.inference.predictor import Predictor
    from simplepose.web.analysis import Analyzer
    from simplepose.web.settings import Example

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Hosts that only this machine reaches."""

SCENE_SEED = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoint",
        nargs="+",
        default=[],
        metavar="WEIGHTS",
        help="names of shipped weights or files to choose from, the first at the start; the shipped weights (photo, "
        "tiny) can always be chosen",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at; 0.0.0.0: all of this machine")
    parser.add_argument("--port", type=int, default=7860, help="port to serve at; 0: a free one")
    parser.add_argument("--max-upload", type=float, default=20.0, help="maximum size of an uploaded file in MiB")
    parser.add_argument("--max-megapixels", type=float, default=50.0, help="maximum size of a picture in megapixels")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--engine",
        default="torch",
        choices=["torch", "onnxruntime"],
        help="what runs the network; onnxruntime is faster on CPUs and needs the extra: pip install 'simplepose[onnx]'",
    )


def run(options: argparse.Namespace) -> int:
    from simplepose.data.images import MOST_PIXELS
    from simplepose.web.server import Address, has_gradio, serve

    with usage_errors():
        check_count("--port", options.port, 0, 65535)
        upload = round(2**20 * check_number("--max-upload", options.max_upload, least=0.001, most=1000))
        pixels = check_number("--max-megapixels", options.max_megapixels, least=0.001, most=MOST_PIXELS / 1e6)
        if not options.host:
            raise UsageError("--host: expected an address, got an empty one")
    if not has_gradio():
        raise UsageError("web needs gradio: pip install 'simplepose[web]'")
    analyzer = make_analyzer(options, round(1e6 * pixels))
    if options.host not in LOCAL:
        print_warnings("web", [f"everyone who reaches {one_line(options.host)} can use the page; it has no password"])

    def started(url: str) -> None:
        say(f"open {url} in a browser; Ctrl-C ends the page")
        sys.stdout.flush()

    serve(
        analyzer, lambda folder: write_examples(folder, analyzer), Address(options.host, options.port), upload, started
    )
    return 0


def make_analyzer(options: argparse.Namespace, most_pixels: int) -> Analyzer:
    """The networks of --checkpoint, then the shipped ones."""
    from simplepose.inference.predictor import Predictor
    from simplepose.web.analysis import Analyzer

    predictors: dict[str, Predictor] = {}
    for weights in dict.fromkeys([*options.checkpoint, "photo", "tiny"]):
        with usage_errors():
            predictor = Predictor.from_checkpoint(weights, options.device, engine=options.engine)
        predictors[_free_name(weights, predictors)] = predictor
    return Analyzer(predictors, most_pixels)


def _free_name(weights: str, taken: dict[str, Predictor]) -> str:
    """The name of a checkpoint on the page: the shipped name, or that of the file without its folder."""
    name = stem = weights if weights in SHIPPED else one_line(Path(weights).name, 60)
    number = 1
    while name in taken:
        number += 1
        name = f"{stem} ({number})"
    return name


def write_examples(folder: Path, analyzer: Analyzer) -> Sequence[Example]:
    """Write the pictures of the examples: the photo of `simplepose demo` and a synthetic scene."""
    from simplepose.data.images import write_image
    from simplepose.web.settings import Example, NetworkSettings

    folder.mkdir()
    photo, scene = folder / PHOTO.name, folder / "scene.png"
    shutil.copyfile(PHOTO, photo)
    write_image(scene, make_scene(SCENE_SEED)[0])
    return [
        Example(photo, NetworkSettings("photo", PHOTO_SIZE, PHOTO_SCALES, flip=True)),
        Example(scene, NetworkSettings("tiny", analyzer.own_size("tiny"), (1.0,), flip=True)),
    ]
