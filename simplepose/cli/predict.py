"""`simplepose predict`: detect people in images, folders, patterns, videos or a camera."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simplepose.cli.options import (
    UsageError,
    add_decode_options,
    add_predictor_options,
    make_predictor,
    print_json,
    print_warnings,
    unbounded_scores,
    usage_errors,
)
from simplepose.cli.track import add_track_options, check_track_options, make_tracking, track_colors
from simplepose.data.images import ImageError, find_images, write_image
from simplepose.drawing.heatmaps import draw_heatmaps, side_by_side
from simplepose.drawing.people import DrawConfig, draw_poses
from simplepose.inference.video import VIDEO_SUFFIXES, Frames, video_writer
from simplepose.io.atomic import write_json
from simplepose.poses import Poses

if TYPE_CHECKING:
    from simplepose.inference.predictor import Prediction

PICTURE_SUFFIX = ".jpg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", help="images, folders, patterns, a video, or a camera number")
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
    add_predictor_options(parser)
    add_decode_options(parser, "display")
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
    videos = [name for name in options.inputs if Path(name).suffix.lower() in VIDEO_SUFFIXES]
    camera = options.inputs[0].isdecimal() and not Path(options.inputs[0]).exists()
    if (videos or camera) and len(options.inputs) > 1:
        raise UsageError("inputs: expected one video or one camera, or any number of images")
    check_track_options(options, bool(videos))
    if camera:
        from simplepose.cli.camera import camera_window

        return camera_window(int(options.inputs[0]), make_predictor(options), drawing)
    job = _Job(options, track_colors(options, drawing))
    if videos:
        _run_video(Path(videos[0]), job)
    else:
        try:
            found = find_images(options.inputs)
        except ImageError as error:
            print(f"simplepose predict: error: {error}", file=sys.stderr)
            return 1
        for line in found.left_out:
            job.warn(line)
        _run_images(list(dict.fromkeys(found.paths)), job)
    return job.finish()


class _Job:
    """The state of a run: options, predictor, and the people and failures collected so far."""

    def __init__(self, options: argparse.Namespace, drawing: DrawConfig) -> None:
        self.options = options
        self.drawing = drawing
        self.predictor = make_predictor(options)
        self.images: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}
        self.warnings: list[str] = []
        self.incomplete = False  # whether a part of an input is missing
        self.inputs = 0
        self.people = 0

    def warn(self, line: str) -> None:
        """Print a warning on stderr and add it to the JSON object."""
        self.warnings.append(line)
        print_warnings("predict", [line])

    def add(self, name: str, poses: Poses) -> None:
        """Add the people of an image."""
        image_id = len(self.images) + 1
        self.images.append({"id": image_id, "file_name": name, "poses": poses.to_dict()})
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
        skeleton, heatmaps = self.predictor.skeleton, prediction.heatmaps
        maps = heatmaps.maps[skeleton.num_parts : skeleton.num_parts + skeleton.num_keypoints]
        overlay = draw_heatmaps(prediction.image, maps, cell_size=heatmaps.cell_size)
        return side_by_side([drawn, overlay], ["people", "keypoint maps"])

    def progress(self, items: Iterable[Any], total: int | None, unit: str) -> Any:
        from tqdm import tqdm

        return tqdm(items, "predict", total, unit=unit, disable=True if self.options.json else None)

    def finish(self) -> int:
        """Write and print the results; return the exit code."""
        report: dict[str, Any] = {"images": self.images, "people": self.people, "failed": self.failed}
        report["warnings"] = self.warnings
        if self.options.out:
            path = self.options.out / "results.json"
            write_json(path, self.results)
            names = [{"id": image["id"], "file_name": image["file_name"]} for image in self.images]
            write_json(self.options.out / "images.json", names)
            report["results"] = str(path)
        if self.options.json:
            print_json(report)
        else:
            shown = f"{self.people} people with {self.options.min_keypoints} keypoints or more"
            print(f"{shown} in {len(self.images)} images")
            if self.options.out:
                print(f"results: {report['results']}")
        for reason in self.failed.values():
            print(f"skipped {reason}", file=sys.stderr)
        if self.failed:
            print(f"{len(self.failed)} of {self.inputs} inputs were skipped", file=sys.stderr)
        return 1 if self.failed or self.incomplete else 0


def _run_images(paths: list[Path], job: _Job) -> None:
    job.inputs = len(paths)
    names = _picture_names(paths)
    if job.options.draw:
        for path in paths:  # a drawn image must never replace an input
            target = job.options.out / names[path]
            if any(target.resolve() == source.resolve() for source in paths):
                raise UsageError(f"--out: the drawn image {target} would replace an input; choose another folder")
    predictions = job.predictions(paths)
    for path, prediction in job.progress(zip(paths, predictions, strict=True), len(paths), "image"):
        if prediction.error:
            job.failed[str(path)] = str(prediction.error)
            continue
        job.add(str(path), prediction.poses)
        if job.options.draw:
            job.options.out.mkdir(parents=True, exist_ok=True)
            write_image(job.options.out / names[path], job.picture(prediction))


def _picture_names(paths: list[Path]) -> dict[Path, str]:
    """A file name for each drawn image; inputs of the same name in several folders get numbers."""
    names: dict[Path, str] = {}
    used: set[str] = set()
    for path in paths:
        name, number = path.stem + PICTURE_SUFFIX, 1
        while name in used:
            number += 1
            name = f"{path.stem}_{number}{PICTURE_SUFFIX}"
        used.add(name)
        names[path] = name
    return names


def _run_video(path: Path, job: _Job) -> None:
    job.inputs = 1
    frames = Frames(path)
    target = job.options.out / f"{path.stem}_poses.mp4" if job.options.draw else None
    for line in frames.notes:
        job.warn(line)
    follow = make_tracking(job.options, job.predictor.skeleton, frames.rate)
    predictions = job.predictions(frames)
    with video_writer(target, frames.rate, job.warn) as write:
        for index, prediction in enumerate(job.progress(predictions, frames.count, "frame")):
            prediction = prediction.with_poses(follow(prediction.poses, index / frames.rate))
            job.add(f"{path}#{index}", prediction.poses)
            if write:
                write(job.picture(prediction))
    if not job.images:
        job.failed[str(path)] = f"{path}: no frame of the video can be read"
    elif missing := frames.missing():
        job.warn(missing)
        job.incomplete = True
