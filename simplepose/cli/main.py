"""The command `simplepose`. Each subcommand is one file in simplepose/cli/, imported only when it runs.

Exit codes: 0 success; 1 the work, or part of it, failed, or there is a bug; 2 invalid arguments; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from simplepose import __version__
from simplepose.checks import one_line
from simplepose.cli.options import UsageError

COMMANDS = {
    "demo": "detect the people of a photo and of a synthetic scene, and draw them into demo.png",
    "decode": "decode stored heatmaps into people",
    "predict": "detect people in images, folders, videos or a camera",
    "evaluate": "measure the COCO AP of a checkpoint, or of the decoder alone",
    "train": "train a network on COCO-style or synthetic data",
    "inspect": "draw training samples with their masks and targets",
    "synth": "write a data set of synthetic people in COCO format",
    "convert": "convert a released .pth checkpoint to safetensors",
    "export": "write a network as an ONNX file",
    "bench": "measure the time of every stage from image to people",
    "info": "print versions, native build, CUDA and threads",
}


REPORT = (
    "this is a bug in simplepose; please open an issue in its repository on GitHub, with the lines above, "
    "the command line and the output of `simplepose info`"
)
"""Printed after the traceback of an exception that no command expects."""


class _Parser(argparse.ArgumentParser):
    """Prints errors in one line of bounded length: argparse repeats a wrong value in full."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message, 1000))


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of an option unless it is None, False or an empty list."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default not in (None, []) and action.default is not False
        return super()._get_help_string(action) if has_default else action.help


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code.

    Args:
        arguments: the arguments without the program's name; None: those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(words[0] if words else "")
    options = parser.parse_args(words)
    try:
        return int(options.run(options))
    except UsageError as error:
        parser.exit(2, f"simplepose {options.command}: error: {error}\n")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that the flush at exit cannot fail again
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, MemoryError, ImportError) as error:
        print(f"simplepose {options.command}: error: {str(error) or type(error).__name__}", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        print(f"simplepose {options.command}: error: {REPORT}", file=sys.stderr)
        return 1


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser of all subcommands; only the module of ``command`` is imported and adds its options."""
    parser = _Parser(prog="simplepose", description="Bottom-up multi-person pose estimation (Simple Pose, AAAI 2020).")
    parser.add_argument("--version", action="version", version=f"simplepose {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            formatter_class=_HelpFormatter,
        )
        if name == command:
            module = importlib.import_module(f"simplepose.cli.{name}")
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    return parser
