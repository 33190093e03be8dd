"""`simplepose predict --launcher ...`: bulk prediction of many images on several processes (docs/guides/bulk.md)."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from simplepose import __version__
from simplepose.checks import check_count, check_number
from simplepose.cli.options import (
    UsageError,
    chosen_predictor_config,
    outputs_of,
    print_json,
    print_warnings,
    say,
    usage_errors,
)
from simplepose.io.parquet import pyarrow

if TYPE_CHECKING:
    from simplepose.bulk.job import Job, Result
    from simplepose.bulk.manifest import OutputFolder
    from simplepose.bulk.shards import Shard

LAUNCHERS = ("local", "torchrun", "ray")
SHARD_IMAGES = 1000
MOST_SHOWN = 10
"""The number of shards with errors that are printed."""

OWN = ("workers", "num_gpus", "address", "shard_images", "retry_failed")
"""The options that need --launcher."""

SHARED = frozenset(
    {
        *("inputs", "checkpoint", "out", "overwrite", "json", "launcher", *OWN),
        *("scales", "flip", "size", "fit", "batch", "device", "precision", "engine", "paper", "cmu_pose", "set"),
    }
)
"""The options of `predict` that bulk prediction has. All others must have their defaults."""


def add_bulk_options(parser: argparse.ArgumentParser) -> None:
    """Add --launcher and the options that need it."""
    group = parser.add_argument_group(
        "bulk prediction", "folders, lists, tars and videos as shards; a Parquet file for each shard in --out"
    )
    group.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        help="what starts the workers; needs --out and the extra: pip install 'simplepose[bulk]'",
    )
    group.add_argument("--workers", type=int, help="number of workers; default: that of the GPUs, else of the CPUs")
    group.add_argument("--num-gpus", type=float, help="GPUs of each worker; 0.5: two workers share one; default: 1")
    group.add_argument("--address", help="the Ray cluster to use; default: one is started on this machine")
    group.add_argument(
        "--shard-images", type=int, help=f"image files of a shard; a tar or video is one; default: {SHARD_IMAGES}"
    )
    group.add_argument(
        "--retry-failed", action="store_true", help="process shards with images that could not be read again"
    )
    parser.set_defaults(default_of=parser.get_default)


def check_bulk_options(options: argparse.Namespace) -> None:
    """UsageError if the options do not fit each other."""
    from simplepose.bulk.shards import TAR_SUFFIXES

    if not options.launcher:
        for name in OWN:
            if getattr(options, name) not in (None, False):
                raise UsageError(f"{_flag(name)} needs --launcher, which starts bulk prediction")
        for name in options.inputs:
            if name.lower().endswith(TAR_SUFFIXES):
                raise UsageError(f"inputs: {name} needs --launcher local, torchrun or ray")
        return
    if not options.out:
        raise UsageError("--launcher needs --out, the folder for the Parquet files")
    for name, value in vars(options).items():
        if name not in (*SHARED, "command", "run", "default_of") and value != options.default_of(name):
            raise UsageError(f"{_flag(name)}: expected none with --launcher")
    unused = {"torchrun": ("workers", "num_gpus", "address"), "local": ("address",), "ray": ()}[options.launcher]
    for name in unused:
        if getattr(options, name) is not None:
            raise UsageError(f"{_flag(name)}: expected none with --launcher {options.launcher}")
    with usage_errors():
        for name in ("workers", "shard_images"):
            if (value := getattr(options, name)) is not None:
                check_count(_flag(name), value, 1, 2**20)
        if options.num_gpus is not None:
            check_number("--num-gpus", options.num_gpus, least=0)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def run_bulk(options: argparse.Namespace) -> int:
    """Run a command line with --launcher."""
    pyarrow()  # a missing package is reported before a file is read
    folder, job, notes = _prepare(options)
    if options.launcher == "torchrun":
        return _run_torchrun(options, folder, job, notes)
    launch = _launcher(options, job)
    with _begun(options, folder) as shards:
        run = _Run(options, folder, notes)
        return run.finish(run.progress(launch(shards) if shards else (), len(shards)))


def _run_torchrun(options: argparse.Namespace, folder: OutputFolder, job: Job, notes: list[str]) -> int:
    """The first process writes the manifest; all processes write parts."""
    from simplepose.bulk import torchrun

    with usage_errors():
        torchrun.check_environment()
    first = torchrun.rank() == 0
    with torchrun.process_group(), contextlib.ExitStack() as stack:
        shards: Any = None
        try:
            shards = stack.enter_context(_begun(options, folder)) if first else None
        except Exception as error:  # reported by all processes
            shards = error
        left: list[Shard] = torchrun.from_first(shards)
        run = _Run(options, folder, notes, shown=first)
        mine = torchrun.share(left)
        results = torchrun.to_first(list(run.progress(torchrun.run_rank(job, mine), len(mine))))
        return run.finish(results) if first else 0


def _prepare(options: argparse.Namespace) -> tuple[OutputFolder, Job, list[str]]:
    """The output folder with all shards, and what the workers get; nothing is written."""
    from simplepose.bulk.job import Job
    from simplepose.bulk.manifest import OutputFolder, settings_of
    from simplepose.bulk.shards import find_shards
    from simplepose.inference.predictor import find_engine_device, use_of
    from simplepose.io.outputs import MARK_KEY
    from simplepose.network.checkpoint import SHIPPED, find_checkpoint, load_checkpoint

    chosen_predictor_config(options)
    with usage_errors():
        if options.launcher != "ray":  # which may have devices that this machine lacks
            find_engine_device(options.device, options.engine)
        checkpoint = load_checkpoint(options.checkpoint)
        use_of(checkpoint, options.checkpoint)
    config = chosen_predictor_config(options, checkpoint.use)
    config = replace(config, size=config.size or checkpoint.config.input_size)
    size = options.shard_images or SHARD_IMAGES
    shards, notes = find_shards(options.inputs, size)
    path = find_checkpoint(options.checkpoint)
    program = f"simplepose {options.command}"
    name = options.checkpoint if options.checkpoint in SHIPPED else str(path.resolve())
    job = Job(name, config, options.device, os.getcwd(), str(options.out.resolve()), program)
    facts = {
        MARK_KEY: program,
        "checkpoint": options.checkpoint,
        "skeleton": checkpoint.skeleton.name,
        "inputs": options.inputs,
        "launcher": options.launcher,
    }
    return OutputFolder(options.out, settings_of(path, config, size, __version__), shards, facts), job, notes


@contextlib.contextmanager
def _begun(options: argparse.Namespace, folder: OutputFolder) -> Iterator[list[Shard]]:
    """Claim and lock the output folder; the shards that are left to do."""
    from simplepose.bulk.manifest import MANIFEST

    with usage_errors():
        outputs = outputs_of(options, {"inputs": options.inputs})
        outputs.writes_folder("--out", folder.path, [MANIFEST])
        outputs.check()
    outputs.claim_folders()
    folder.path.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        with usage_errors():
            stack.enter_context(folder.locked())
            (folder.clear if options.overwrite else folder.check)()
        yield folder.begin(options.retry_failed)


def _launcher(options: argparse.Namespace, job: Job) -> Callable[[list[Shard]], Iterable[Result]]:
    """A function that processes shards by --launcher local or ray."""
    if options.launcher == "local":
        from simplepose.bulk.local import local_devices, run_local

        with usage_errors():
            devices, threads = local_devices(options.device, options.engine, options.workers, options.num_gpus)
        return lambda shards: run_local(job, shards, devices, threads)
    from simplepose.bulk.ray_cluster import check_device, cluster_workers, connect, ray, run_ray

    ray()
    with usage_errors():
        check_device(options.device)

    def launch(shards: list[Shard]) -> Iterable[Result]:
        connect(options.address)
        with usage_errors():
            device = "cpu" if options.engine == "onnxruntime" else options.device
            workers, num_gpus = cluster_workers(device, options.workers, options.num_gpus)
        return run_ray(job, shards, workers, num_gpus)

    return launch


class _Run:
    """The progress, the messages and the exit code of a run."""

    def __init__(self, options: argparse.Namespace, folder: OutputFolder, notes: list[str], shown: bool = True) -> None:
        self._options = options
        self._folder = folder
        self._notes = notes
        self._shown = shown
        if shown:
            print_warnings("predict", notes)

    def progress(self, results: Iterable[Result], total: int) -> Iterator[Result]:
        """The results, with a progress bar; Ray has its own."""
        from tqdm import tqdm

        hidden = self._options.json or not self._shown or self._options.launcher == "ray"
        return iter(tqdm(results, "predict", total, unit="shard", disable=True if hidden else None))

    def finish(self, results: Iterable[Result]) -> int:
        """Collect the results, write the manifest and print the numbers; return the exit code."""
        done = list(results)
        counts, left = self._folder.finish()
        images = sum(result.counts.images for result in done if result.counts)
        seconds = max((r.ended for r in done), default=0.0) - min((r.began for r in done if r.began), default=0.0)
        rate = images / seconds if images and seconds > 0 else None
        not_done = {result.shard.name: result.error for result in done if result.counts is None}
        failed = {r.shard.name: (r.counts.failed, r.shard.part) for r in done if r.counts and r.counts.failed}
        if self._options.json:
            print_json(
                {
                    "out": str(self._options.out),
                    "complete": not left,
                    "shards": len(self._folder.shards),
                    "processed": len(done) - len(not_done),
                    "counts": asdict(counts),
                    "images_per_second": rate,
                    "not_done": not_done,
                    "warnings": self._notes,
                }
            )
        else:
            read = counts.images - counts.failed
            print(f"{counts.people} people in {read} images, {counts.without_people} without people")
            say(f"{len(self._folder.shards) - left} of {len(self._folder.shards)} shards are done: {self._options.out}")
            if rate:
                print(f"{len(done) - len(not_done)} shards in this run, {rate:.1f} images/s")
        _show(f"{name}: not done: {error}" for name, error in not_done.items())
        _show(
            f"{name}: {number} could not be read; see the column error of {part}"
            for name, (number, part) in failed.items()
        )
        if counts.failed:
            print(f"{counts.failed} of {counts.images} images or archives could not be read", file=sys.stderr)
        if left:
            print(f"{left} shards are not done; the same command processes them", file=sys.stderr)
        return 1 if left or counts.failed else 0


def _show(lines: Iterable[str]) -> None:
    """Print the first lines on stderr."""
    lines = list(lines)
    for line in lines[:MOST_SHOWN]:
        say(line, sys.stderr)
    if len(lines) > MOST_SHOWN:
        print(f"and {len(lines) - MOST_SHOWN} more shards", file=sys.stderr)
