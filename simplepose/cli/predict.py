"""`simplepose predict`: detect people in images, folders, patterns, videos or a camera."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simplepose.cli.bulk import add_bulk_options, check_bulk_options, run_bulk
from simplepose.cli.formats import ResultFiles, add_format_options, check_format_options
from simplepose.cli.options import (
    UsageError,
    add_decode_options,
    add_overwrite_option,
    add_predictor_options,
    make_predictor,
    outputs_of,
    print_json,
    print_warnings,
    say,
    unbounded_scores,
    usage_errors,
)
from simplepose.cli.track import add_track_options, check_track_options, make_tracking, track_colors
from simplepose.data.images import ImageError, find_images, write_image
from simplepose.drawing.heatmaps import draw_heatmaps, side_by_side
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.inference.video import VIDEO_SUFFIXES, Frames, video_writer
from simplepose.io.file_names import file_names
from simplepose.io.formats.source import Inputs, Source, Write
from simplepose.io.outputs import FOLDER_HELP, Outputs
from simplepose.poses import Poses

if TYPE_CHECKING:
    from simplepose.inference.predictor import Prediction

PICTURE_SUFFIX = ".jpg"
VIDEO_ENDING = "_poses.mp4"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help="images, folders, patterns, a video, or a camera number")
    parser.add_argument("--checkpoint", default="photo", help="name of shipped weights (photo, tiny) or a file")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for the files of --format and the images of --draw",
    )
    parser.add_argument("--draw", action="store_true", help="draw the people; needs --out")
    parser.add_argument("--boxes", action="store_true", help="also draw boxes; needs --draw")
    parser.add_argument("--names", action="store_true", help="also draw the names of the keypoints; needs --draw")
    parser.add_argument("--heatmaps", action="store_true", help="also draw the keypoint maps; needs --draw")
    parser.add_argument(
        "--min-keypoints", type=int, default=3, help="draw and count only people with this many keypoints or more"
    )
    add_format_options(parser)
    add_track_options(parser)
    add_predictor_options(parser)
    add_decode_options(parser, "display")
    add_overwrite_option(parser, FOLDER_HELP)
    add_bulk_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if options.draw and not options.out:
        raise UsageError("--draw needs --out, the folder for the drawn images")
    for name in ("boxes", "names", "heatmaps"):
        if getattr(options, name) and not options.draw:
            raise UsageError(f"--{name} needs --draw")
    if "" in options.inputs:
        raise UsageError("inputs: expected paths, patterns or a camera number, got an empty name")
    check_bulk_options(options)
    if options.launcher:
        return run_bulk(options)
    with usage_errors():
        drawing = DrawConfig(
            min_keypoints=options.min_keypoints,
            boxes=options.boxes,
            names=options.names,
            uncertainty=options.uncertainty,
        )
    videos = [name for name in options.inputs if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    camera = options.inputs[0].isdecimal() and not os.path.exists(options.inputs[0])
    if (videos or camera) and len(options.inputs) > 1:
        raise UsageError("inputs: expected one video or one camera, or any number of images")
    check_track_options(options, bool(videos))
    check_format_options(options, camera)
    if camera:
        from simplepose.cli.camera import camera_number, camera_window

        number = camera_number(options.inputs[0])
        return camera_window(number, make_predictor(options), drawing)
    paths, left_out = ([Path(videos[0])], ()) if videos else find_images(options.inputs)
    names = file_names(dict.fromkeys(paths), VIDEO_ENDING if videos else PICTURE_SUFFIX)
    files = ResultFiles(options, Inputs(tuple(names), bool(videos)))
    outputs = outputs_of(options, {"inputs": names})
    with usage_errors():
        files.declare(outputs, list(names.values()) if options.draw else [])
        outputs.check()
    job = _Job(options, track_colors(options, drawing), outputs)
    for line in left_out:
        job.warn(line)
    with files.open(job.predictor.skeleton) as job.write:
        if videos:
            _run_video(paths[0], names, job)
        else:
            _run_images(names, job)
    return job.finish(files.result)


class _Job:
    """The state of a run: options, predictor, and the people and failures collected so far."""

    def __init__(self, options: argparse.Namespace, drawing: DrawConfig, outputs: Outputs) -> None:
        self.options = options
        self.drawing = drawing
        self.predictor = make_predictor(options)
        outputs.claim_folders()
        self.write: Write
        self.images: list[dict[str, Any]] = []  # of --json
        self.read = 0  # images and frames
        self.failed: dict[str, str] = {}
        self.warnings: list[str] = []
        self.incomplete = False  # whether a part of an input is missing
        self.unwritten = 0  # pictures
        self.inputs = 0
        self.people = 0

    def warn(self, line: str) -> None:
        """Print a warning on stderr and add it to the JSON object."""
        self.warnings.append(line)
        print_warnings("predict", [line])

    def add(self, source: Source, poses: Poses) -> None:
        """Add the people of an image."""
        self.read += 1
        if self.options.json:
            self.images.append({"id": self.read, **source.entry, "poses": poses.to_dict()})
        self.write(source, poses, "")
        for line in unbounded_scores(source.name, [poses]):
            self.warn(line)
        self.people += len(poses.at_least(self.options.min_keypoints))

    def fail(self, path: Path, error: Exception) -> None:
        """Add an image that cannot be read."""
        self.failed[str(path)] = str(error)
        self.write(Source(path), None, str(error))

    def predictions(self, images: Iterable[Any]) -> Iterator[Prediction]:
        return self.predictor.predict_many(images, keep_heatmaps=self.options.heatmaps)

    def picture(self, prediction: Prediction) -> Any:
        """The image with its people drawn; with --heatmaps, the keypoint maps beside it."""
        assert prediction.image is not None
        drawn = draw_poses(prediction.image, prediction.poses, self.drawing)
        if prediction.heatmaps is None:
            return drawn
        heatmaps = prediction.heatmaps
        maps = heatmaps.maps[self.predictor.channels.keypoints]
        overlay = draw_heatmaps(prediction.image, maps, cell_size=heatmaps.cell_size)
        return side_by_side([drawn, overlay], ["people", "keypoint maps"])

    def progress(self, items: Iterable[Any], total: int | None, unit: str) -> Any:
        from tqdm import tqdm

        return tqdm(items, "predict", total, unit=unit, disable=True if self.options.json else None)

    def finish(self, result: Path | None) -> int:
        """Print the results, of which ``result`` is the file or folder; return the exit code."""
        report: dict[str, Any] = {"images": self.images, "people": self.people, "failed": self.failed}
        report["warnings"] = self.warnings
        if result:
            report["results"] = str(result)
        if self.options.json:
            print_json(report)
        else:
            shown = f"{self.people} people with {self.options.min_keypoints} keypoints or more"
            print(f"{shown} in {self.read} images")
            if result:
                say(f"results: {result}")
        for reason in self.failed.values():
            say(f"skipped {reason}", sys.stderr)
        if self.failed:
            print(f"{len(self.failed)} of {self.inputs} inputs were skipped", file=sys.stderr)
        return 1 if self.failed or self.incomplete or self.unwritten else 0


def _run_images(names: dict[Path, str], job: _Job) -> None:
    paths = list(names)
    job.inputs = len(paths)
    predictions = job.predictions(paths)
    for path, prediction in job.progress(zip(paths, predictions, strict=True), len(paths), "image"):
        if prediction.error:
            job.fail(path, prediction.error)
            continue
        assert prediction.image is not None
        job.add(Source(path, _size(prediction.image)), prediction.poses)
        if job.options.draw:
            try:
                write_image(job.options.out / names[path], job.picture(prediction))
            except (OSError, ImageError) as error:  # the people of this image and the other images are kept
                job.unwritten += 1
                job.warn(f"a picture was not written: {error}")


def _size(image: NDArray[np.uint8]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _run_video(path: Path, names: dict[Path, str], job: _Job) -> None:
    job.inputs = 1
    frames = Frames(path)
    target = job.options.out / names[path] if job.options.draw else None
    for line in frames.notes:
        job.warn(line)
    follow = make_tracking(job.options, job.predictor.skeleton, frames.rate)
    predictions = job.predictions(frames)
    with video_writer(target, frames.rate, job.warn) as write:
        for index, prediction in enumerate(job.progress(predictions, frames.count, "frame")):
            time = index / frames.rate
            prediction = prediction.with_poses(follow(prediction.poses, time))
            assert prediction.image is not None
            job.add(Source(path, _size(prediction.image), index, time), prediction.poses)
            if write:
                write(job.picture(prediction))
    if not job.read:
        job.failed[str(path)] = f"{path}: no frame of the video can be read"
    elif missing := frames.missing():
        job.warn(missing)
        job.incomplete = True
