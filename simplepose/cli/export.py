"""`simplepose export`: write a network as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path

from simplepose.cli.options import UsageError, add_overwrite_option, outputs_of, print_json, say, usage_errors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", help="name of shipped weights or a file")
    parser.add_argument("target", help="the .onnx file to write; needs the extra: pip install 'simplepose[export]'")
    add_overwrite_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    if not Path(options.target).resolve().parent.is_dir():
        raise UsageError(f"target: there is no folder {Path(options.target).resolve().parent}")
    from simplepose.network.checkpoint import find_checkpoint, load_checkpoint
    from simplepose.network.export import export_onnx

    outputs = outputs_of(options, {"checkpoint": find_checkpoint(options.checkpoint)})
    with usage_errors():
        outputs.writes("target", options.target)
        outputs.check()
    checkpoint = load_checkpoint(options.checkpoint)
    model = checkpoint.build()
    export_onnx(model, options.target, checkpoint.skeleton)
    if options.json:
        print_json({"target": options.target})
    else:
        multiple = model.config.multiple
        shape = f"[batch, 3, height, width] in [0, 1], BGR, height and width multiples of {multiple}"
        say(f"{options.target}: input {shape}")
    return 0
