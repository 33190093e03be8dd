"""`simplepose train`: train a network on COCO-style or synthetic data, or resume a run."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields, replace
from typing import Any

from simplepose.cli.options import (
    SKELETON_HELP,
    UsageError,
    chosen_skeleton,
    chosen_values,
    print_json,
    say,
    usage_errors,
)

DEFAULT_PRESET = "imhn4-384"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from simplepose.training.config import PRESETS, TrainConfig

    parser.add_argument(
        "--data",
        nargs="+",
        help="annotation file, data folder, or synth:IMAGES,SEED for synthetic people; several are one training set",
    )
    parser.add_argument(
        "--images", nargs="+", help="image folder of each --data; default: searched beside the annotations"
    )
    parser.add_argument("--val", help="validation data in the form of --data; default: the training images")
    parser.add_argument("--val-images", help="image folder of --val")
    parser.add_argument("--preset", help=f"{', '.join(PRESETS)}; default: {DEFAULT_PRESET}")
    parser.add_argument("--list-presets", action="store_true", help="print one line for each preset")
    parser.add_argument("--out", metavar="RUN", help="a new or empty folder for the results")
    parser.add_argument("--resume", metavar="RUN", help="resume this run with its settings")
    parser.add_argument("--init", metavar="CHECKPOINT", help="initial weights; their skeleton may differ")
    parser.add_argument("--skeleton", help=f"{SKELETON_HELP}; default: that of the preset, which is coco but for *-mst")
    names = [f.name for f in fields(TrainConfig) if f.name not in ("data", "images", "val", "val_images", "init")]
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="change settings, nested ones with a dot as in model.width=64: " + ", ".join(names),
    )
    parser.add_argument("--stop-step", type=int, help="stop after this step; --resume continues the run")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--tensorboard", action="store_true", help="also write files for TensorBoard")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    from simplepose.training.config import CHANGEABLE_ON_RESUME, PRESET_SKELETONS, PRESETS
    from simplepose.training.loop import train
    from simplepose.training.run_folder import read_run

    if options.list_presets:
        lines = {name: config.summary() for name, config in PRESETS.items()}
        lines |= {name: f"{lines[name]}; skeleton {skeleton}" for name, skeleton in PRESET_SKELETONS.items()}
        if options.json:
            print_json(lines)
        else:
            print("\n".join(f"{name:{max(map(len, lines))}}  {line}" for name, line in lines.items()))
        return 0
    out = options.resume or options.out
    if out is None:
        raise UsageError("expected --out RUN or --resume RUN")
    if options.resume and options.out not in (None, options.resume):
        raise UsageError(f"--out: expected none or {options.resume} as for --resume, got {options.out}")
    sources = _sources(options)
    if options.resume:
        if options.preset:
            raise UsageError("--preset: expected none with --resume, a run keeps its settings")
        config, skeleton = read_run(options.resume)
        with usage_errors():
            changed = config.with_values({**sources, **chosen_values(options.set)})
        differences = config.differences(changed)
        if any(line.split(":")[0] not in CHANGEABLE_ON_RESUME for line in differences):
            raise UsageError(f"--resume: a run keeps its settings; changed here: {'; '.join(differences)}")
        config = changed
    else:
        name = options.skeleton or PRESET_SKELETONS.get(options.preset or DEFAULT_PRESET, "coco")
        skeleton = chosen_skeleton(argparse.Namespace(skeleton=name))
        config = _chosen_config(options, skeleton, sources)
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
            values = {"run": str(report.run), "steps": report.steps, "best_AP": best, **report.metrics}
            print_json({**values, "warnings": list(report.warnings)})
        else:
            best_text = f"best AP {report.best:.3f}" if report.best >= 0 else "no AP measured yet"
            say(f"{report.run}: {report.steps} steps, {best_text}")
    return 0


def _chosen_config(options: argparse.Namespace, skeleton: Any, sources: dict[str, Any]) -> Any:
    """The configuration of a new run."""
    from simplepose.training.config import TrainConfig

    if "data" not in sources:
        raise UsageError("expected --data DIR, JSON or synth:IMAGES,SEED")
    with usage_errors():
        config = TrainConfig.preset(options.preset or DEFAULT_PRESET, skeleton)
        changes = chosen_values(options.set)
        if "model.encoding" in changes:  # first: it determines the channels
            encoded = config.with_values({"model.encoding": changes["model.encoding"]})
            config = replace(config, model=encoded.model.for_skeleton(skeleton))
        return config.with_values({**changes, **sources})


def _sources(options: argparse.Namespace) -> dict[str, Any]:
    """The data, image folders and initial weights of the command line, by name."""
    names = ("data", "images", "val", "val_images", "init")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    return {name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in given.items()}
