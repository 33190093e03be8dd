"""`simplepose evaluate`: COCO AP of a checkpoint, of stored results, or of the decoder alone on maps."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from simplepose.checks import check_count
from simplepose.cli.options import (
    SKELETON_HELP,
    UsageError,
    add_decode_options,
    add_overwrite_option,
    add_predictor_options,
    chosen_decode_config,
    chosen_skeleton,
    make_predictor,
    outputs_of,
    print_json,
    print_warnings,
    say,
    usage_errors,
)
from simplepose.cli.results import run_results
from simplepose.data.annotations import Annotations, read_annotations
from simplepose.data.images import SizedImage
from simplepose.evaluation import oracle
from simplepose.evaluation.coco import metrics_table
from simplepose.evaluation.evaluate import evaluate_images, to_dict
from simplepose.io.atomic import is_stream
from simplepose.network.checkpoint import find_checkpoint
from simplepose.ops.config import Backend, TargetConfig
from simplepose.poses import Poses

TESTS: dict[str, dict[str, Any]] = {
    "flip": {"flip": True},
    "multi-scale": {"flip": True, "scales": [0.5, 1.0, 1.5, 2.0]},
    "long-768": {"flip": True, "size": 768, "fit": "longer"},
}
"""The settings of the paper's tests; the input size is that of the weights where none is given."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "checkpoint", nargs="?", help="name of shipped weights or a file; not with --results, --oracle or --maps"
    )
    parser.add_argument(
        "--annotations",
        required=True,
        help="COCO keypoint annotation file, or a list of images such as image_info_test-dev2017.json",
    )
    parser.add_argument("--images", type=Path, help="the folder of the image files")
    parser.add_argument(
        "--results",
        type=Path,
        help="evaluate people that were written before: a Parquet file, a folder of them, or JSON in COCO's format",
    )
    parser.add_argument("--oracle", choices=["clean", "noisy"], help="evaluate the decoder alone, without a network")
    parser.add_argument("--maps", help="evaluate the decoder alone on stored maps: NPZ with maps and image_ids")
    parser.add_argument(
        "--stride", type=int, help="pixels between two cells of the maps of --oracle and --maps; default: 4"
    )
    parser.add_argument("--backend", default="auto", choices=get_args(Backend), help="backend of --oracle and --maps")
    parser.add_argument(
        "--test", choices=list(TESTS), help="the settings of a row of the paper's tables (docs/paper.md)"
    )
    parser.add_argument("--limit", type=int, help="evaluate only the first LIMIT images")
    parser.add_argument("--ids", type=int, nargs="+", help="evaluate only the images with these ids")
    parser.add_argument(
        "--out",
        type=Path,
        help="file for COCO results; a killed run can be resumed with it. Without annotations also a folder",
    )
    add_predictor_options(parser)
    parser.add_argument(
        "--skeleton",
        help=f"with --oracle, --maps or JSON --results: {SKELETON_HELP}; default: coco",
    )
    add_decode_options(parser, "evaluation")
    add_overwrite_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if options.results is not None:
        return run_results(options, _chosen_ids, _command())
    if options.oracle or options.maps:
        return _run_oracle(options)
    if options.skeleton is not None:
        raise UsageError("--skeleton needs --oracle or --maps; a checkpoint contains its skeleton")
    if options.checkpoint is None or options.images is None:
        raise UsageError("expected a CHECKPOINT and --images, or --oracle, --maps or --results")
    if not options.images.is_dir():
        raise UsageError(f"--images: {options.images} is not a folder")
    if options.stride is not None:
        raise UsageError("--stride needs --oracle or --maps; a network has its own")
    if options.test:
        _apply_test(options)
    predictor = make_predictor(options, "evaluation")
    annotations = read_annotations(options.annotations, options.images, predictor.skeleton, image_list=True)
    if not annotations.annotated:
        options.out = _results_file(options)
    with usage_errors():
        outputs = outputs_of(
            options, {"checkpoint": find_checkpoint(options.checkpoint), "--annotations": options.annotations}
        )
        outputs.reads("image", (image.path for image in annotations.images.values()))
        outputs.writes("--out", options.out)
        if options.out and not is_stream(options.out):
            partial = options.out.with_name(options.out.name + ".partial")  # the journal of a run checks its own file
            outputs.writes("--out", None if partial.exists() else partial)
        outputs.check()
    first = os.environ.get("RANK", "0") == "0"
    if first:
        print_warnings("evaluate", annotations.warnings)

    def find(files: Iterable[SizedImage]) -> Iterator[Poses | Exception]:
        from tqdm import tqdm

        files = list(files)
        found = predictor.predict_many(files)
        shown = tqdm(found, "evaluate", len(files), unit="image", disable=None if first and not options.json else True)
        return (prediction.error or prediction.poses for prediction in shown)

    names = ("checkpoint", "scales", "flip", "size", "fit", "precision", "engine", "paper", "cmu_pose", "set")
    settings: dict[str, Any] = {name: getattr(options, name) for name in (*names, "annotations")}
    settings["fit"] = predictor.config.fit
    settings["images_folder"] = str(options.images)
    settings["checkpoint_bytes"] = find_checkpoint(options.checkpoint).stat().st_size
    settings["checkpoint_changed"] = find_checkpoint(options.checkpoint).stat().st_mtime
    report = evaluate_images(
        find,
        annotations,
        _chosen_ids(options, annotations, list(annotations.images)),
        out=options.out,
        settings=settings,
        score=annotations.annotated,
    )
    if report is None:
        return 0
    if options.json:
        results = {} if annotations.annotated else {"results": str(options.out)}
        print_json({**to_dict(report), **results, "warnings": list(annotations.warnings), "command": _command()})
    else:
        only = f"{options.out}: no annotations: results only"
        print(metrics_table(report.metrics) if annotations.annotated else only)
        rate = report.images / report.seconds
        print(
            f"{report.images} images, {report.people_found} people found, {report.seconds:.1f} s ({rate:.1f} images/s)"
        )
        say(f"command: {_command()}")
    for reason in report.failed.values():
        say(reason, sys.stderr)
    if report.failed:
        print(f"{len(report.failed)} of {report.images} images could not be read; they count as empty", file=sys.stderr)
    return 1 if report.failed else 0


def _run_oracle(options: argparse.Namespace) -> int:
    if options.checkpoint or options.images or options.out or options.flip or options.scales != [1.0]:
        raise UsageError("--oracle and --maps run no network: no CHECKPOINT, --images, --out, --flip or --scales")
    if options.test:
        raise UsageError("--test: expected none with --oracle and --maps, which run no network")
    if options.oracle and options.maps:
        raise UsageError("--maps: expected none with --oracle, which renders its own maps")
    skeleton = chosen_skeleton(argparse.Namespace(skeleton=options.skeleton or "coco"))
    config = chosen_decode_config(options)
    with usage_errors():
        stride = check_count("--stride", 4 if options.stride is None else options.stride)
    annotations = read_annotations(options.annotations, skeleton=skeleton)
    print_warnings("evaluate", annotations.warnings)
    if options.maps:
        ids, maps = oracle.stored_maps(options.maps)
    else:
        ids = annotations.with_keypoints() or list(annotations.images)
        targets = TargetConfig(encoding=config.encoding, stride=stride)
        maps = oracle.annotation_maps(annotations, options.oracle == "noisy", targets)
    report = oracle.run_oracle(
        annotations,
        maps,
        _chosen_ids(options, annotations, ids),
        config=config,
        stride=stride,
        backend=options.backend,
        progress=oracle.progress_bar("decode"),
    )
    if options.json:
        values: dict[str, Any] = {**asdict(report), "warnings": list(annotations.warnings)}
        print_json({**values.pop("metrics"), **values, "maps": options.maps or options.oracle, "command": _command()})
    else:
        print(metrics_table(report.metrics))
        print(f"{report.images} images, {report.people_found} people found, {report.people_annotated} annotated")
        print(", ".join(f"{stage} {ms:.3f} ms" for stage, ms in report.milliseconds.items()) + " per image")
        say(f"command: {_command()}")
    return 0


def _apply_test(options: argparse.Namespace) -> None:
    """Set the options of --test; the options that it sets must not be given."""
    values = TESTS[options.test]
    for name, value in values.items():
        default = [1.0] if name == "scales" else False if name == "flip" else None
        if getattr(options, name) != default:
            raise UsageError(f"--{name}: expected none with --test {options.test}, which sets it")
        setattr(options, name, value)


def _results_file(options: argparse.Namespace) -> Path:
    """The file of --out; in a folder, a file of the name that COCO's server takes."""
    if options.out is None:
        raise UsageError(
            f"--out: {options.annotations} has no annotations; expected the file or folder for the results"
        )
    out: Path = options.out
    if out.suffix == ".json":
        return out
    split = Path(options.annotations).stem.removeprefix("image_info_")
    return out / f"person_keypoints_{split}_{Path(options.checkpoint).stem}_results.json"


def _command() -> str:
    return " ".join(["simplepose", *sys.argv[1:]])


def _chosen_ids(options: argparse.Namespace, annotations: Annotations, ids: list[int]) -> list[int]:
    if options.ids:
        unknown = [i for i in options.ids if i not in annotations.images]
        if unknown:
            raise UsageError(f"--ids: no image {unknown[0]} in {annotations.path}")
        ids = list(dict.fromkeys(options.ids))
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit: expected 1 or more, got {options.limit}")
    ids = ids[: options.limit]
    if not ids:
        raise ValueError(f"{annotations.path}: there is no image to evaluate")
    return ids
