"""Shared code of the benchmark scripts: the time of a call, and the content of a result file."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from simplepose.info import machine
from simplepose.io.outputs import OVERWRITE_HELP, OutputError, Outputs


def seconds(call: Callable[[], Any]) -> float:
    """The time of one call in seconds."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def parse_arguments(
    parser: argparse.ArgumentParser,
    outputs: Sequence[str],
    inputs: Sequence[str] = (),
    folders: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Any:
    """The arguments of a benchmark, with --overwrite; exits unless the output files may be written.

    A result file of the same benchmark is replaced without --overwrite.

    Args:
        parser: the arguments of the benchmark.
        outputs: names of the arguments that are output files.
        inputs: names of the arguments that are input files.
        folders: names of the arguments that are output folders, with the files written there.
    """
    parser.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)
    options = parser.parse_args()
    script = Path(sys.argv[0]).name
    checked = Outputs(f"benchmarks/{script}", options.overwrite, [f"/{script} ", f"python {script} "])
    for name in inputs:
        checked.reads(f"--{name}", getattr(options, name))
    for name in outputs:
        checked.writes(f"--{name}", getattr(options, name))
    try:
        for name, files in folders.items():
            if getattr(options, name) is not None:
                checked.writes_folder(f"--{name}", getattr(options, name), files)
        checked.check()
        checked.claim_folders()
    except OutputError as error:
        parser.error(str(error))
    return options


def report(**measured: Any) -> dict[str, Any]:
    """The measured numbers with the command, the machine and the versions."""
    versions = {name: metadata.version(name) for name in ("numpy", "torch")}
    command = " ".join(["python", *sys.argv])
    processor = f"{machine()}, PyTorch with {torch.backends.cpu.get_cpu_capability()}"
    return {"command": command, "machine": processor, "python": platform.python_version(), **versions, **measured}
