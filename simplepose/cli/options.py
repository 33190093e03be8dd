"""What the subcommands share: options that several have, and the error for bad arguments."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from simplepose.ops.config import DEFAULT_DECODE, DecodeConfig
from simplepose.skeleton.skeleton import Skeleton, load_skeleton

if TYPE_CHECKING:
    from simplepose.inference.config import PredictorConfig, Purpose
    from simplepose.inference.predictor import Predictor


class UsageError(Exception):
    """A bad argument: exit code 2."""


@contextlib.contextmanager
def usage_errors() -> Iterator[None]:
    """TypeErrors, ValueErrors and names of missing files in the block are the caller's bad arguments."""
    try:
        yield
    except (TypeError, ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from None


def add_skeleton_option(parser: argparse.ArgumentParser) -> None:
    """--skeleton NAME or FILE."""
    parser.add_argument("--skeleton", default="coco", help="coco, crowdpose14, hand21 or a TOML file")


def chosen_skeleton(options: argparse.Namespace) -> Skeleton:
    """What --skeleton says."""
    with usage_errors():
        return load_skeleton(options.skeleton)


def add_decode_options(parser: argparse.ArgumentParser) -> None:
    """--paper and --set NAME=VALUE: the rules of grouping."""
    parser.add_argument("--paper", action="store_true", help="the paper's rules of grouping")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="change rules of grouping: " + ", ".join(f.name for f in fields(DecodeConfig)),
    )


def chosen_values(items: Sequence[str]) -> dict[str, Any]:
    """The values of --set NAME=VALUE by name: JSON where it parses, text otherwise."""
    values: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--set: expected NAME=VALUE, got {item!r}")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def chosen_decode_config(options: argparse.Namespace, base: DecodeConfig = DEFAULT_DECODE) -> DecodeConfig:
    """What --paper and --set say; the other rules are those of ``base``, without --paper."""
    known = [f.name for f in fields(DecodeConfig)]
    changes = chosen_values(options.set)
    if unknown := [name for name in changes if name not in known]:
        raise UsageError(f"--set: expected NAME=VALUE with one of {', '.join(known)}, got {unknown[0]!r}")
    with usage_errors():
        return DecodeConfig.paper(**changes) if options.paper else replace(base, **changes)


def print_json(data: Any) -> None:
    """The one JSON object that --json promises."""
    print(json.dumps(data))


def table(rows: list[list[str]]) -> str:
    """Rows of text in aligned columns, the first row as their head."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """--scales, --flip, --size, --fit, --batch, --device, --precision: how the network is run."""
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], help="sizes relative to --size, averaged")
    parser.add_argument("--flip", action="store_true", help="average with the mirrored image")
    parser.add_argument("--size", type=int, help="network input height in pixels; default: what the weights expect")
    parser.add_argument(
        "--fit",
        choices=["height", "longer"],
        help="the side that gets --size; default: what the weights expect, else height",
    )
    parser.add_argument("--batch", type=int, help="images in the network at once; default: 8 on CUDA, else 1")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "float16"])


def chosen_predictor_config(
    options: argparse.Namespace, use: Mapping[str, Any] | None = None, purpose: Purpose = "display"
) -> PredictorConfig:
    """What the predictor options and the decode options say; what they leave open is as a checkpoint's ``use`` says."""
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
        )


def make_predictor(options: argparse.Namespace, purpose: Purpose = "display") -> Predictor:
    """The predictor of ``options.checkpoint`` with the predictor options and the decode options."""
    from simplepose.inference.predictor import Predictor
    from simplepose.network.checkpoint import load_checkpoint

    chosen_predictor_config(options)  # bad arguments are reported before a file is read
    with usage_errors():
        use = load_checkpoint(options.checkpoint).use
    config = chosen_predictor_config(options, use, purpose)
    with usage_errors():
        return Predictor.from_checkpoint(options.checkpoint, options.device, config)
