"""The command `simplepose`: one file a subcommand in simplepose/cli/, imported only when it runs.

Exit code 0: done; 1: the work failed, or part of it; 2: bad arguments.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from simplepose import __version__
from simplepose.cli.options import UsageError

COMMANDS = {
    "demo": "make a scene of people, find them and draw them into demo.png",
    "decode": "group the people of stored heatmaps",
    "predict": "find people in images, folders, videos or a camera",
    "evaluate": "COCO AP of a checkpoint, or of the decoder alone",
    "train": "train a network on COCO-style or synthetic data",
    "inspect": "draw training samples with masks and targets to look at",
    "synth": "write a data set of synthetic people in COCO format",
    "convert": "turn a released .pth checkpoint into safetensors",
    "export": "write the network as ONNX",
    "bench": "time every stage from the image to the people",
    "info": "versions, the native build, CUDA, threads",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; what it returns is the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(given[0] if given else "")
    options = parser.parse_args(given)
    try:
        return int(options.run(options))
    except UsageError as error:
        parser.exit(2, f"simplepose {options.command}: error: {error}\n")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at exit
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, MemoryError, ImportError) as error:
        print(f"simplepose {options.command}: error: {error or type(error).__name__}", file=sys.stderr)
        return 1


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simplepose", description="Bottom-up multi-person pose estimation (Simple Pose, AAAI 2020)."
    )
    parser.add_argument("--version", action="version", version=f"simplepose {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        if name == command:
            module = importlib.import_module(f"simplepose.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser
