"""The options --format and --uncertainty of `simplepose predict`, and the files that the chosen format writes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from simplepose.cli.options import UsageError
from simplepose.io.formats.registry import FORMATS
from simplepose.io.formats.source import Content, Inputs, Write
from simplepose.io.outputs import Outputs

if TYPE_CHECKING:
    from simplepose.skeleton.skeleton import Skeleton

DEFAULT_FORMAT = "coco"


def add_format_options(parser: argparse.ArgumentParser) -> None:
    """Add --format and --uncertainty."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help=f"format of the result files (docs/guides/formats.md); needs --out; default: {DEFAULT_FORMAT}",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="compute the covariance of each keypoint: ellipses with --draw, values with --json and in these formats: "
        + ", ".join(name for name, kind in FORMATS.items() if kind.covariance),
    )


def check_format_options(options: argparse.Namespace, camera: bool) -> None:
    """UsageError if the options do not fit each other or the input, or the package of the format is not installed."""
    if options.format and camera:
        raise UsageError("--format: expected images or a video, got a camera")
    if options.format and not options.out:
        raise UsageError("--format needs --out, the folder for the result files")
    chosen = FORMATS[options.format or DEFAULT_FORMAT]
    if chosen.module and find_spec(chosen.module) is None:
        package = chosen.module.replace("_", "-")
        raise UsageError(f"--format {options.format} needs {package}: pip install 'simplepose[{chosen.extra}]'")
    if options.uncertainty and not (camera or options.draw or options.json or (options.out and chosen.covariance)):
        holders = " or ".join(f"--format {name}" for name, kind in FORMATS.items() if kind.covariance)
        raise UsageError(f"--uncertainty needs --draw, --json or {holders}")


class ResultFiles:
    """The result files of a run.

    Args:
        options: of the command, checked by `check_format_options`.
        inputs: of the run.
    """

    def __init__(self, options: argparse.Namespace, inputs: Inputs) -> None:
        self._folder: Path | None = options.out
        self._inputs = inputs
        self._tracked: bool = options.track
        self._covariance: bool = options.uncertainty
        self._format = FORMATS[options.format or DEFAULT_FORMAT]

    @property
    def result(self) -> Path | None:
        """The file or folder with the people; None without --out."""
        return self._folder and self._folder / self._format.result

    def declare(self, outputs: Outputs, pictures: list[str]) -> None:
        """Add the files, and the drawn images ``pictures`` in the folder of --out, to the outputs of the command.

        A folder within that of --out belongs to it, unless it is a link to another.

        Raises:
            OutputError: a folder is a file.
        """
        if self._folder is None:
            return
        own = list(pictures)
        for folder, names in self._format.files(self._folder, self._inputs).items():
            if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
                outputs.writes_folder("--out", folder, names)
            else:
                own += [str((folder / name).relative_to(self._folder)) for name in names]
        outputs.writes_folder("--out", self._folder, own)

    @contextmanager
    def open(self, skeleton: Skeleton) -> Iterator[Write]:
        """A function that adds the people of an image to the files, which are complete when the block ends."""
        if self._folder is None:
            yield lambda source, poses, error: None
            return
        content = Content(skeleton, self._tracked, self._covariance)
        with self._format.writer(self._folder, self._inputs, content) as write:
            yield write
