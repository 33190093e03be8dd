"""`simplepose train`: train a network on COCO-style or synthetic data, or go on with a run."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields
from typing import Any

from simplepose.cli.options import (
    UsageError,
    add_skeleton_option,
    chosen_skeleton,
    chosen_values,
    print_json,
    usage_errors,
)

DEFAULT_PRESET = "imhn4-384"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from simplepose.training.config import PRESETS, TrainConfig

    parser.add_argument("--data", help="annotation file, data folder, or synth:IMAGES,SEED for synthetic people")
    parser.add_argument("--images", help="the image folder; default: found beside the annotations")
    parser.add_argument("--val", help="as --data, to measure the AP on; default: the AP is of training images")
    parser.add_argument("--val-images", help="the image folder of --val")
    parser.add_argument("--preset", help=f"{', '.join(PRESETS)}; default: {DEFAULT_PRESET}")
    parser.add_argument("--out", metavar="RUN", help="a new or empty folder for the results")
    parser.add_argument("--resume", metavar="RUN", help="go on with this run, with its settings")
    parser.add_argument("--init", metavar="CHECKPOINT", help="start from these weights, also of another skeleton")
    add_skeleton_option(parser)
    names = [f.name for f in fields(TrainConfig) if f.name not in ("data", "images", "val", "val_images", "init")]
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="change settings, those of a part as model.width=64: " + ", ".join(names),
    )
    parser.add_argument("--stop-step", type=int, help="end after this step; go on with --resume")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--tensorboard", action="store_true", help="also write files for TensorBoard")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    from simplepose.training.config import CHANGEABLE_ON_RESUME
    from simplepose.training.loop import train
    from simplepose.training.run_folder import read_run

    out = options.resume or options.out
    if out is None:
        raise UsageError("expected --out RUN or --resume RUN")
    if options.resume and options.out not in (None, options.resume):
        raise UsageError(f"--out: expected {options.resume} as for --resume, or none, got {options.out}")
    given = _given(options)
    if options.resume:
        if options.preset:
            raise UsageError("--preset: expected none with --resume, a run keeps its settings")
        config, skeleton = read_run(options.resume)
        with usage_errors():
            changed = config.with_values({**given, **chosen_values(options.set)})
        unlike = config.differences(changed)
        if any(line.split(":")[0] not in CHANGEABLE_ON_RESUME for line in unlike):
            raise UsageError(f"--resume: a run keeps its settings; changed here: {'; '.join(unlike)}")
        config = changed
    else:
        skeleton = chosen_skeleton(options)
        config = _chosen_config(options, skeleton, given)
    if options.stop_step is not None and options.stop_step < 1:
        raise UsageError(f"--stop-step: expected 1 or more, got {options.stop_step}")
    report = train(
        config,
        out,
        skeleton=skeleton,
        resume=options.resume is not None,
        device=options.device,
        tensorboard=options.tensorboard,
        stop_step=options.stop_step,
    )
    if os.environ.get("RANK", "0") == "0":
        if options.json:
            best = report.best if report.best >= 0 else None
            print_json({"run": str(report.run), "steps": report.steps, "best_AP": best, **report.metrics})
        else:
            best_text = f"best AP {report.best:.3f}" if report.best >= 0 else "no AP measured yet"
            print(f"{report.run}: {report.steps} steps, {best_text}")
    return 0


def _chosen_config(options: argparse.Namespace, skeleton: Any, given: dict[str, str]) -> Any:
    from simplepose.training.config import TrainConfig

    if "data" not in given:
        raise UsageError("expected --data DIR, JSON or synth:IMAGES,SEED")
    with usage_errors():
        config = TrainConfig.preset(options.preset or DEFAULT_PRESET, skeleton)
        return config.with_values({**chosen_values(options.set), **given})


def _given(options: argparse.Namespace) -> dict[str, str]:
    """The sources that the command names."""
    names = ("data", "images", "val", "val_images", "init")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}
