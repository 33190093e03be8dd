"""`simplepose predict`: detect people in images, folders, patterns, videos or a camera."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from simplepose.cli.track import add_track_options, check_track_options, track_colors
from simplepose.cli.video import add_video_options, find_video, run_video
from simplepose.data.images import ImageError, find_images, write_image
from simplepose.drawing.heatmaps import draw_heatmaps, side_by_side
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.io.atomic import MAX_NAME_BYTES, write_json
from simplepose.io.outputs import FOLDER_HELP, Outputs
from simplepose.poses import Poses

if TYPE_CHECKING:
    from simplepose.inference.predictor import Prediction

PICTURE_SUFFIX = ".jpg"
VIDEO_ENDING = "_poses.mp4"
RESULTS, IMAGES = "results.json", "images.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        help="images, folders, patterns, a video, a URL of a stream, - (a video on stdin), or a camera number",
    )
    parser.add_argument("--checkpoint", default="photo", help="name of shipped weights (photo, tiny) or a file")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for results.json (COCO), images.json (ids and file names) and the images of --draw",
    )
    parser.add_argument("--draw", action="store_true", help="draw the people; needs --out")
    parser.add_argument("--boxes", action="store_true", help="also draw boxes; needs --draw")
    parser.add_argument("--names", action="store_true", help="also draw the names of the keypoints; needs --draw")
    parser.add_argument("--heatmaps", action="store_true", help="also draw the keypoint maps; needs --draw")
    parser.add_argument(
        "--min-keypoints", type=int, default=3, help="draw and count only people with this many keypoints or more"
    )
    add_track_options(parser)
    add_video_options(parser)
    add_predictor_options(parser)
    add_decode_options(parser, "display")
    add_overwrite_option(parser, FOLDER_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if options.draw and not options.out:
        raise UsageError("--draw needs --out, the folder for the drawn images")
    for name in ("boxes", "names", "heatmaps"):
        if getattr(options, name) and not options.draw:
            raise UsageError(f"--{name} needs --draw")
    if "" in options.inputs:
        raise UsageError("inputs: expected paths, patterns or a camera number, got an empty name")
    with usage_errors():
        drawing = DrawConfig(min_keypoints=options.min_keypoints, boxes=options.boxes, names=options.names)
    video = find_video(options)
    camera = options.inputs[0].isdecimal() and not os.path.exists(options.inputs[0])
    if camera and len(options.inputs) > 1:
        raise UsageError("inputs: expected one video or one camera, or any number of images")
    check_track_options(options, video is not None)
    if camera:
        from simplepose.cli.camera import camera_number, camera_window

        number = camera_number(options.inputs[0])
        return camera_window(number, make_predictor(options), drawing)
    paths, left_out = ([Path(video.name)], ()) if video else find_images(options.inputs)
    names = _picture_names(list(dict.fromkeys(paths)), VIDEO_ENDING if video else PICTURE_SUFFIX)
    outputs = outputs_of(options, {"inputs": video.address if video else names})
    if options.out:
        with usage_errors():
            pictures = names.values() if options.draw else ()
            outputs.writes_folder("--out", options.out, [RESULTS, IMAGES, *pictures])
            outputs.check()
    job = _Job(options, track_colors(options, drawing), outputs)
    for line in left_out:
        job.warn(line)
    if video:
        run_video(video, options.out / names[paths[0]] if options.draw else None, job)
    else:
        _run_images(names, job)
    return job.finish()


class _Job:
    """The state of a run: options, predictor, and the people and failures collected so far."""

    def __init__(self, options: argparse.Namespace, drawing: DrawConfig, outputs: Outputs) -> None:
        self.options = options
        self.drawing = drawing
        self.predictor = make_predictor(options)
        outputs.claim_folders()
        self.images: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}
        self.warnings: list[str] = []
        self.incomplete = False  # whether a part of an input is missing
        self.unwritten = 0  # pictures
        self.inputs = 0
        self.people = 0
        self.video: dict[str, Any] = {}  # facts about the video, for the JSON object
        self.summary: list[str] = []  # lines about the input

    def warn(self, line: str) -> None:
        """Print a warning on stderr and add it to the JSON object."""
        self.warnings.append(line)
        print_warnings("predict", [line])

    def add(self, name: str, poses: Poses, time: float | None = None) -> None:
        """Add the people of an image, or of a frame of a video at ``time`` in seconds."""
        image_id = len(self.images) + 1
        at = {} if time is None else {"time": time}
        self.images.append({"id": image_id, "file_name": name, **at, "poses": poses.to_dict()})
        self.results += poses.to_coco(image_id)
        for line in unbounded_scores(name, [poses]):
            self.warn(line)
        self.people += len(poses.at_least(self.options.min_keypoints))

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

    def finish(self) -> int:
        """Write and print the results; return the exit code."""
        report: dict[str, Any] = {"images": self.images, "people": self.people, "failed": self.failed}
        report["warnings"] = self.warnings
        if self.video:
            report["video"] = self.video
        if self.options.out:
            path = self.options.out / RESULTS
            write_json(path, self.results)
            names = [{key: image[key] for key in ("id", "file_name", "time") if key in image} for image in self.images]
            write_json(self.options.out / IMAGES, names)
            report["results"] = str(path)
        if self.options.json:
            print_json(report)
        else:
            for line in self.summary:
                say(line)
            shown = f"{self.people} people with {self.options.min_keypoints} keypoints or more"
            print(f"{shown} in {len(self.images)} images")
            if self.options.out:
                say(f"results: {report['results']}")
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
            job.failed[str(path)] = str(prediction.error)
            continue
        job.add(str(path), prediction.poses)
        if job.options.draw:
            try:
                write_image(job.options.out / names[path], job.picture(prediction))
            except (OSError, ImageError) as error:  # the people of this image and the other images are kept
                job.unwritten += 1
                job.warn(f"a picture was not written: {error}")


def _picture_names(paths: list[Path], ending: str) -> dict[Path, str]:
    """A file name for each drawn image or video; names that would be the same on some system get numbers."""
    names: dict[Path, str] = {}
    used: set[str] = set()
    for path in paths:
        name, number = _joined(path.stem, ending), 1
        while name.casefold() in used:
            number += 1
            name = _joined(path.stem, f"_{number}{ending}")
        used.add(name.casefold())
        names[path] = name
    return names


def _joined(stem: str, ending: str) -> str:
    """``stem`` and ``ending``; a stem that is too long for a file name is cut."""
    while len(os.fsencode(stem + ending)) > MAX_NAME_BYTES:
        stem = stem[:-1]
    return stem + ending
