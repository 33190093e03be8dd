"""Code that the subcommands share: common options, output helpers and the error for invalid arguments."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TextIO

from simplepose.checks import brief, printable
from simplepose.io.json_text import to_json
from simplepose.io.outputs import OVERWRITE_HELP, Outputs, Paths
from simplepose.network.shipped import shipped_use
from simplepose.ops.config import DEFAULT_DECODE, DecodeConfig
from simplepose.skeleton.skeleton import Skeleton, load_skeleton

if TYPE_CHECKING:
    from simplepose.inference.config import PredictorConfig, Purpose
    from simplepose.inference.predictor import Predictor
    from simplepose.poses import Poses


SKELETON_HELP = "coco, coco-mst, crowdpose14, hand21 or a TOML file"


class UsageError(Exception):
    """An invalid argument of the command line; the exit code is 2."""


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """Convert TypeError, ValueError and FileNotFoundError raised in the block to `UsageError`."""
    try:
        yield
    except (TypeError, ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None


def add_skeleton_option(parser: argparse.ArgumentParser) -> None:
    """Add --skeleton NAME or FILE."""
    parser.add_argument("--skeleton", default="coco", help=SKELETON_HELP)


def chosen_skeleton(options: argparse.Namespace) -> Skeleton:
    """The skeleton of --skeleton."""
    with usage_errors():
        return load_skeleton(options.skeleton)


def add_decode_options(parser: argparse.ArgumentParser, purpose: Purpose | None = None) -> None:
    """Add --paper, --cmu-pose and --set NAME=VALUE, the settings of decoding.

    Args:
        parser: of a command.
        purpose: that of the command's predictor, whose checkpoint has the defaults; None: it has no checkpoint.
    """
    names = "change settings of decoding: " + ", ".join(f.name for f in fields(DecodeConfig))
    rules = parser.add_mutually_exclusive_group()
    rules.add_argument("--paper", action="store_true", help="use the paper's settings of decoding")
    rules.add_argument("--cmu-pose", action="store_true", help="use CMU-Pose's settings for part affinity fields")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help=names if purpose is None else f"{names}; default: the checkpoint's own{_photo_thresholds(purpose)}",
    )


def _photo_thresholds(purpose: Purpose) -> str:
    """The decoding settings of the shipped weights `photo`, in parentheses; nothing if there are none."""
    use = shipped_use("photo")
    settings = {**use.get("decode", {}), **(use.get("evaluation", {}) if purpose == "evaluation" else {})}
    return f" ({describe_settings(settings)} for photo)" if settings else ""


def describe_settings(settings: Mapping[str, Any]) -> str:
    """Settings as they are typed: ``peak_threshold=0.1 part_threshold=0.1``."""
    return " ".join(f"{name}={value}" for name, value in settings.items())


def chosen_values(items: Sequence[str]) -> dict[str, Any]:
    """The values of --set NAME=VALUE by name; a value that is not valid JSON is text."""
    values: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--set: expected NAME=VALUE, got {brief(item)}")
        try:
            values[name] = json.loads(value)
        except ValueError as error:
            if not isinstance(error, json.JSONDecodeError):  # a number of more than 4300 digits
                raise UsageError(f"--set {name}: {error}") from None
            values[name] = value
        except RecursionError:
            raise UsageError(f"--set {name}: expected a number, a list or text, got {brief(value)}") from None
    return values


def chosen_decode_config(options: argparse.Namespace, base: DecodeConfig = DEFAULT_DECODE) -> DecodeConfig:
    """The decoding settings of the options; without --paper and --cmu-pose, the others are those of ``base``."""
    known = [f.name for f in fields(DecodeConfig)]
    changes = chosen_values(options.set)
    if unknown := [name for name in changes if name not in known]:
        raise UsageError(f"--set: expected NAME=VALUE with one of {', '.join(known)}, got {brief(unknown[0])}")
    with usage_errors():
        if options.cmu_pose:
            return DecodeConfig.cmu_pose(**changes)
        return DecodeConfig.paper(**changes) if options.paper else replace(base, **changes)


def add_overwrite_option(parser: argparse.ArgumentParser, *rules: str) -> None:
    """Add --overwrite; ``rules`` are added to its help."""
    parser.add_argument("--overwrite", action="store_true", help="; ".join((OVERWRITE_HELP, *rules)))


def outputs_of(options: argparse.Namespace, inputs: Mapping[str, Paths | Iterable[Paths] | None]) -> Outputs:
    """The outputs of a command with --overwrite; ``inputs`` are its input files by the names of the arguments.

    The files of --checkpoint and --skeleton are always inputs. The caller adds the outputs.
    """
    outputs = Outputs(f"simplepose {options.command}", options.overwrite)
    for name, paths in inputs.items():
        outputs.reads(name, paths)
    for name in ("checkpoint", "skeleton"):
        outputs.reads(f"--{name}", getattr(options, name, None))
    return outputs


def print_json(data: Any) -> None:
    """Print the single JSON object of --json."""
    print(to_json(data))


def say(line: str, file: TextIO | None = None) -> None:
    """Print a line that may contain a file name: control characters are escaped."""
    print(printable(line), file=file)


def print_warnings(command: str, warnings: Iterable[str]) -> None:
    """Print warnings on stderr, one line each."""
    for line in warnings:
        say(f"simplepose {command}: warning: {line}", sys.stderr)


def unbounded_scores(source: object, images: Iterable[Poses]) -> list[str]:
    """A warning if scores of people exceed the range of float32."""
    count = sum(poses.unbounded for poses in images)
    return [f"{source}: {count} scores exceed the range of float32; they are null in JSON"] if count else []


def table(rows: list[list[str]]) -> str:
    """Format rows of text in aligned columns; the first row is the header."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """Add the settings of the network's runs: --scales, --flip, --size, --fit, --batch, --device and others."""
    parser.add_argument(
        "--scales", type=float, nargs="+", default=[1.0], help="multi-scale testing: input sizes relative to --size"
    )
    parser.add_argument("--flip", action="store_true", help="flip testing: average with the maps of the mirrored image")
    use = shipped_use("photo")
    own = {name: f" ({use[name]} for photo)" if name in use else "" for name in ("size", "fit")}
    parser.add_argument(
        "--size",
        type=int,
        help=f"input size in pixels; default: the checkpoint's own{own['size']}, otherwise its training size",
    )
    parser.add_argument(
        "--fit",
        choices=["height", "longer"],
        help=f"the image side that gets --size; default: the checkpoint's own{own['fit']}, otherwise height",
    )
    parser.add_argument("--batch", type=int, help="images in one run of the network; default: 8 on CUDA, else 1")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision", default="float32", choices=["float32", "bfloat16", "float16"], help="arithmetic of the network"
    )
    parser.add_argument(
        "--engine",
        default="torch",
        choices=["torch", "onnxruntime"],
        help="what runs the network; onnxruntime is faster on CPUs and needs the extra: pip install 'simplepose[onnx]'",
    )


def chosen_predictor_config(
    options: argparse.Namespace, use: Mapping[str, Any] | None = None, purpose: Purpose = "display"
) -> PredictorConfig:
    """The configuration of the predictor options and the decode options; ``use`` of a checkpoint has the defaults."""
    from simplepose.inference.config import PredictorConfig

    with usage_errors():
        base = PredictorConfig.from_use(use or {}, purpose)
    decode = chosen_decode_config(options, base.decode)
    with usage_errors():
        return PredictorConfig(
            size=base.size if options.size is None else options.size,
            fit=base.fit if options.fit is None else options.fit,
            scales=tuple(options.scales),
            flip=options.flip,
            decode=decode,
            precision=options.precision,
            batch_size=options.batch,
            engine=options.engine,
            covariance=getattr(options, "uncertainty", False),
        )


def make_predictor(options: argparse.Namespace, purpose: Purpose = "display") -> Predictor:
    """The predictor of --checkpoint, with the predictor options and the decode options."""
    from simplepose.inference.predictor import Predictor, find_engine_device, use_of
    from simplepose.network.checkpoint import load_checkpoint

    chosen_predictor_config(options)  # bad arguments are reported before a file is read
    with usage_errors():
        device = find_engine_device(options.device, options.engine)
        checkpoint = load_checkpoint(options.checkpoint)
        use_of(checkpoint, options.checkpoint, purpose)  # its errors name the file
    config = chosen_predictor_config(options, checkpoint.use, purpose)
    with usage_errors():
        return Predictor(checkpoint.build(device), checkpoint.skeleton, config, device=device)
