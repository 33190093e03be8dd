"""All GPU benchmarks: correctness first, then time, against measured lower bounds and vectorized PyTorch.

export PYTHONPATH=benchmarks
python benchmarks/gpu/gpu_speed.py [--sections render decode ...] [--out benchmarks/results/gpu_speed.json]
python benchmarks/gpu/gpu_speed.py --smoke        # tiny sizes on the CPU, to see that everything runs
python benchmarks/gpu/gpu_speed.py --table FILE   # print what a file holds
"""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path

import gpu_decode
import gpu_network
import gpu_render
import gpu_training
import torch
from gpu_timing import Bench, Report, print_table
from timing import parse_arguments

SECTIONS = {
    "render": gpu_render.run,
    "decode": gpu_decode.run,
    "training": gpu_training.run,
    "network": gpu_network.run,
    "compiled": gpu_render.run_compiled,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--out", type=Path, help="write the rows to this file; rows of other sections are kept")
    parser.add_argument("--smoke", action="store_true", help="run on the CPU with tiny sizes; times are meaningless")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the rows of a file")
    options = parse_arguments(parser, ["out"])
    if options.table:
        print_table(options.table)
        return 0
    if not options.smoke and not torch.cuda.is_available():
        print("gpu_speed: torch finds no CUDA device (--smoke runs on the CPU)", file=sys.stderr)
        return 1
    bench = Bench("cpu" if options.smoke else "cuda:0", options.smoke)
    name = torch.cuda.get_device_name(bench.device) if bench.cuda else "cpu, smoke run"
    report = Report(options.out, name)
    failed = []
    for section in options.sections:
        report.begin(section)
        try:
            SECTIONS[section](bench, report)
        except Exception:  # the other sections still run
            traceback.print_exc()
            failed.append(section)
    if failed:
        print(f"gpu_speed: failed in {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
