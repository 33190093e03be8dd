"""`simplepose convert`: convert a released .pth checkpoint to safetensors, or a checkpoint to half precision."""

from __future__ import annotations

import argparse

from simplepose.cli.options import (
    add_overwrite_option,
    add_skeleton_option,
    chosen_skeleton,
    outputs_of,
    print_json,
    say,
    usage_errors,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="a .pth file in the layout of the released weights, or a checkpoint")
    parser.add_argument("target", help="the .safetensors file to write")
    parser.add_argument(
        "--size", type=int, default=512, help="input size in pixels at which released weights were trained"
    )
    parser.add_argument("--half", action="store_true", help="store the weights in half precision")
    add_skeleton_option(parser)
    add_overwrite_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    from simplepose.network.checkpoint import find_checkpoint
    from simplepose.network.convert import convert_checkpoint

    skeleton = chosen_skeleton(options)
    outputs = outputs_of(options, {"source": find_checkpoint(options.source)})
    with usage_errors():
        outputs.writes("target", options.target)
        outputs.check()
    checkpoint = convert_checkpoint(
        options.source, options.target, skeleton=skeleton, input_size=options.size, half=options.half
    )
    numbers = sum(tensor.numel() for tensor in checkpoint.state.values())  # parameters and running means
    if options.json:
        print_json({"target": options.target, "numbers": numbers, "model": checkpoint.config.to_dict()})
    else:
        config = checkpoint.config
        say(f"{options.target}: {config.stacks} stacks of width {config.width}, {numbers:,} numbers")
    return 0
