"""The command `simplepose`. Each subcommand is one file in simplepose/cli/, imported only when it runs.

Exit codes: 0 success; 1 the work, or part of it, failed, or there is a bug; 2 invalid arguments; 130 interrupted by
Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from simplepose import __version__
from simplepose.checks import one_line, printable
from simplepose.cli.options import UsageError

COMMANDS = {
    "demo": "detect the people of a photo and of a synthetic scene, and draw them into demo.png",
    "decode": "decode stored heatmaps into people",
    "predict": "detect people in images, folders, videos or a camera",
    "web": "serve a page that shows the people and maps of a picture in the browser",
    "evaluate": "measure the COCO AP of a checkpoint, of stored results, or of the decoder alone",
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


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of an option unless it is None, False or an empty list."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default not in (None, []) and action.default is not False
        return super()._get_help_string(action) if has_default else action.help


class _Parser(argparse.ArgumentParser):
    """Prints errors in one line of bounded length, since argparse repeats a wrong value in full, and escapes them."""

    def error(self, message: str) -> NoReturn:
        super().error(one_line(message, 1000))

    def _print_message(self, message: str, file: Any = None) -> None:
        super()._print_message("\n".join(map(printable, message.split("\n"))), file)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code.

    Args:
        arguments: the arguments without the program's name; None: those of this process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if sys.stderr is None:  # closed; this also keeps its number from the next opened file
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        print("simplepose: error: stdout is closed", file=sys.stderr)
        return 1
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # an ASCII terminal, or a file name that is not valid text
    command = "simplepose"
    try:
        with _sigterm_as_interrupt():
            parser = _parser(words[0] if words else "")
            options = parser.parse_args(words)
            command = f"simplepose {options.command}"
            code = int(options.run(options))
            sys.stdout.flush()  # a full disk or a closed pipe is an error of the command
            return code
    except UsageError as error:
        _print_error(command, error)
        return 2
    except BrokenPipeError:
        _discard_stdout()
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, RuntimeError, MemoryError, ImportError) as error:
        _print_error(command, error)
        return 1
    except Exception:
        traceback.print_exc()
        print(f"{command}: error: {REPORT}", file=sys.stderr)
        return 1


def _print_error(command: str, error: Exception) -> None:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        error = OSError(error.errno, error.strerror, "stdout")  # errors of files name them
    lines = str(error).split("\n") if error.args else [type(error).__name__]
    text = "\n".join(map(printable, lines))
    print(f"{command}: error: {text or type(error).__name__}", file=sys.stderr)
    if isinstance(error, OSError):
        try:
            sys.stdout.flush()
        except OSError:
            _discard_stdout()


def _discard_stdout() -> None:
    """Connect stdout to the null device, so that the flush at exit cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM, as on Ctrl-C; a handler that the caller has set is kept.

    The processes of a distributed run end at once, because Python runs no handler while one waits for the others.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    distributed = os.environ.get("WORLD_SIZE", "1") != "1"
    if not main_thread or distributed or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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
