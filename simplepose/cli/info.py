"""`simplepose info`: print versions, native build, CUDA and threads, or the settings of a checkpoint."""

from __future__ import annotations

import argparse
from typing import Any

from simplepose.cli.options import describe_settings, print_json, usage_errors
from simplepose.info import info


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", nargs="?", help="describe these weights instead: a shipped name or a file")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    facts = checkpoint_info(options.checkpoint) if options.checkpoint else info()
    if options.json:
        print_json(facts)
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        if value not in ("", None):
            shown = ("no", "yes")[value] if isinstance(value, bool) else value
            shown = describe_settings(value) if isinstance(value, dict) else shown
            print(f"{name.replace('_', ' '):{width}}  {shown}")
    return 0


def checkpoint_info(name_or_path: str) -> dict[str, Any]:
    """The network of a checkpoint, and the settings that `Predictor` and the commands use by default (``use_...``).

    "use_decode" are settings of decoding, and "use_evaluation" those that differ when the AP is measured.
    """
    from simplepose.network.checkpoint import find_checkpoint, load_checkpoint

    with usage_errors():
        checkpoint = load_checkpoint(name_or_path)
    use = {"size": checkpoint.config.input_size, "fit": "height", **checkpoint.use}
    return {
        "checkpoint": str(find_checkpoint(name_or_path)),
        "kind": checkpoint.config.kind,
        "parameters": sum(p.numel() for p in checkpoint.build().parameters()),
        "skeleton": checkpoint.skeleton.name,
        "training_size": checkpoint.config.input_size,
        **{f"use_{name}": value for name, value in use.items()},
        **checkpoint.notes,
    }
