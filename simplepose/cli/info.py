"""`simplepose info`: print versions, native build, CUDA and threads."""

from __future__ import annotations

import argparse

from simplepose.cli.options import print_json
from simplepose.info import info


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    facts = info()
    if options.json:
        print_json(facts)
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        if value not in ("", None):
            shown = ("no", "yes")[value] if isinstance(value, bool) else value
            print(f"{name.replace('_', ' '):{width}}  {shown}")
    return 0
