"""`simplepose evaluate --results`: the COCO AP of people that were written before, without images or a network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from simplepose.cli.options import UsageError, print_json, print_warnings, say, usage_errors
from simplepose.data.annotations import Annotations, read_annotations
from simplepose.evaluation.coco import metrics_table
from simplepose.evaluation.evaluate import to_dict
from simplepose.evaluation.results import evaluate_results, parquet_files, read_json, read_parquet, stored_skeleton
from simplepose.skeleton.skeleton import load_skeleton

MOST_SHOWN = 10
"""The number of images that are named if they are missing."""

UNUSED = (
    *("checkpoint", "images", "oracle", "maps", "stride", "test", "out", "overwrite"),
    *("size", "fit", "batch", "flip", "paper", "cmu_pose", "set"),
)
"""The options that determine how people are found."""


def run_results(
    options: argparse.Namespace,
    chosen_ids: Callable[[argparse.Namespace, Annotations, list[int]], list[int]],
    command: str,
) -> int:
    """Run a command line with --results.

    Args:
        options: of the command.
        chosen_ids: selects the images of --ids and --limit.
        command: the command line, for the report.
    """
    for name in UNUSED:
        if getattr(options, name) not in (None, False, []):
            option = "CHECKPOINT" if name == "checkpoint" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option}: expected none with --results, which runs no network")
    if options.scales != [1.0]:
        raise UsageError("--scales: expected none with --results, which runs no network")
    with usage_errors():
        files = parquet_files(options.results)
        if files and options.skeleton is not None:
            raise UsageError("--skeleton: expected none with Parquet files, which contain their skeleton")
        skeleton = None if files else load_skeleton(options.skeleton or "coco")
    skeleton = skeleton or stored_skeleton(files)
    annotations = read_annotations(options.annotations, skeleton=skeleton)
    print_warnings("evaluate", annotations.warnings)
    stored = read_parquet(files, annotations) if files else read_json(options.results, annotations)
    warnings = list(annotations.warnings)
    if stored.others:
        warnings.append(f"{options.results}: {stored.others} images are not in {options.annotations}; left out")
        print_warnings("evaluate", warnings[-1:])
    report = evaluate_results(stored, annotations, chosen_ids(options, annotations, list(annotations.images)))
    if options.json:
        print_json({**to_dict(report), "results": str(options.results), "warnings": warnings, "command": command})
    else:
        print(metrics_table(report.metrics))
        print(f"{report.images} images, {report.people_found} people found")
        say(f"command: {command}")
    problems = [*stored.errors, *report.failed.values()]
    for reason in problems[:MOST_SHOWN]:
        say(reason, sys.stderr)
    if len(problems) > MOST_SHOWN:
        print(f"and {len(problems) - MOST_SHOWN} more", file=sys.stderr)
    if report.failed:
        print(
            f"{len(report.failed)} of {report.images} images could not be read or are not among the results; "
            "they count as empty",
            file=sys.stderr,
        )
    return 1 if problems else 0
