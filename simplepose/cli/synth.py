"""`simplepose synth`: write a data set or a clip of synthetic people in COCO format."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from simplepose.cli.options import UsageError, print_json, say, usage_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", help="a new or empty folder for images/*.jpg and annotations.json")
    parser.add_argument("--images", type=int, help="number of images; default: 100")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files")
    parser.add_argument(
        "--size", type=int, default=256, help="height and width of the images in pixels; a clip has 16:9 frames"
    )
    parser.add_argument(
        "--people", type=int, help="maximum number of people in an image, default 8; in a clip their number, default 4"
    )
    parser.add_argument("--workers", type=int, default=1, help="number of processes")
    parser.add_argument(
        "--video", action="store_true", help="write the frames of a clip with track_id in the annotations, and clip.mp4"
    )
    parser.add_argument("--frames", type=int, help="number of frames of --video; default: 100")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if options.video:
        return _run_video(options)
    from simplepose.synth.dataset import write_dataset
    from simplepose.synth.scene import SynthConfig

    if options.frames is not None:
        raise UsageError("--frames needs --video")
    images = 100 if options.images is None else options.images
    people = 8 if options.people is None else options.people
    with usage_errors():
        config = replace(SynthConfig(size=options.size), people=(1, people))
        path = write_dataset(
            options.out, images, options.seed, config, workers=options.workers, progress=not options.json
        )
    if options.json:
        print_json({"annotations": str(path), "images": images, "seed": options.seed})
    else:
        say(f"{images} images and {path}")
    return 0


def _run_video(options: argparse.Namespace) -> int:
    from simplepose.data.images import read_image
    from simplepose.inference.video.writer import video_writer
    from simplepose.synth.clip import ClipConfig
    from simplepose.synth.dataset import write_clip

    if options.images is not None:
        raise UsageError("--images: a clip has --frames")
    if options.workers != 1:
        raise UsageError(f"--workers: a clip is rendered by 1 process, got {options.workers}")
    frames = 100 if options.frames is None else options.frames
    out = Path(options.out)
    with usage_errors():
        config = ClipConfig(people=4 if options.people is None else options.people)
        config = replace(config, size=(options.size, 2 * round(options.size * 8 / 9)))
        paths = write_clip(out, frames, options.seed, config, progress=not options.json)
    with video_writer(out / "clip.mp4", config.rate) as writer:
        for index, path in enumerate(paths):
            writer.write(read_image(path), index / config.rate)
    annotations, video = str(out / "annotations.json"), str(out / "clip.mp4")
    if options.json:
        print_json({"annotations": annotations, "video": video, "frames": frames, "seed": options.seed})
    else:
        say(f"{frames} frames, {video} and {annotations}")
    return 0
