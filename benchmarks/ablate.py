"""Ablation study: small networks, each without one part of the method, in the form of the paper's Table 1.

python benchmarks/ablate.py --work DIR --out benchmarks/results/ablation.json

All variants have the same images, steps, batch size and seeds. Each differs from the first row only in the setting
of its name. The plain hourglass is there twice: with as many parameters, and with as many multiply-adds. An interrupted
run resumes; ``--minutes`` ends a slice of the work, and the same command continues it. The networks are small and the
training is short: the table shows that the settings have an effect here, and does not predict results on COCO.

For photos instead of synthetic people:

python benchmarks/ablate.py --work DIR --data DATA --val VAL --size 192 --epochs 60 --minutes 30 --out FILE.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from readme_table import ablation_table
from timing import parse_arguments, report
from torch.utils.flop_counter import FlopCounterMode

from simplepose.io.atomic import write_json
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.skeleton.skeleton import COCO, Skeleton
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig
from simplepose.training.config import TrainConfig
from simplepose.training.loop import train
from simplepose.training.loss import LossConfig
from simplepose.training.state import list_checkpoints

BASE = replace(
    TrainConfig.preset("tiny"),
    model=ModelConfig(stacks=1, width=32, growth=16, input_size=128),
    loss=LossConfig.released(),
    sigma=2.0,  # at 128 pixels the paper's widths are half a cell
    lr=3e-3,
    ema=0.99,
    log_steps=100,
)
SCENES = SynthConfig(
    size=128, people=(1, 2), person_size=(70.0, 122.0), unlabeled=0.0, crowds=0.0, shapes=(2, 8), rods=(0, 1)
)
"""Few large people in front of few other shapes, so that small networks learn to detect them in a few minutes."""

COLUMNS = ("AP", "AP50", "AP75", "AR")

EQUAL_WIDTH = 64
"""The width with which the plain hourglass has about as many multiply-adds as the first row."""

SLICE_STEPS = 100
"""Steps between two looks at the clock."""


@dataclass(frozen=True)
class Variant:
    """The differences from `BASE`."""

    settings: dict[str, Any] = field(default_factory=dict)
    skeleton: Skeleton = COCO


VARIANTS = {
    "IMHN, focal L2": Variant(),
    "L2": Variant({"loss": LossConfig.l2()}),
    "focal L2 with the paper's gamma, alpha, beta": Variant({"loss": LossConfig()}),
    "focal L2 on the keypoint maps alone": Variant({"loss": LossConfig.released(focal_on="keypoints")}),
    "no spatial attention (heads at one scale)": Variant({"model.spatial_attention": False}),
    "no channel attention": Variant({"model.channel_attention": False}),
    "plain hourglass, as many parameters": Variant({"model": ModelConfig.baseline(stacks=1, width=96, input_size=128)}),
    "plain hourglass, as many multiply-adds": Variant(
        {"model": ModelConfig.baseline(stacks=1, width=EQUAL_WIDTH, input_size=128)}
    ),
    "part affinity fields instead of body parts": Variant({"model.encoding": "paf"}),
    "spanning tree instead of redundant parts": Variant(skeleton=COCO.spanning_tree()),
    "line targets instead of ellipses": Variant({"shape": "line"}),
}


def configure(variant: Variant, data: Path, val: Path, epochs: int, seed: int, size: int = 128) -> TrainConfig:
    """The training configuration of a variant."""
    config = replace(BASE, data=str(data), val=str(val), epochs=epochs, validate_epochs=epochs, seed=seed)
    config = config.with_values(variant.settings)
    return replace(config, model=replace(config.model, input_size=size).for_skeleton(variant.skeleton))


def run_variant(
    name: str, work: Path, data: tuple[Path, Path], options: argparse.Namespace, seed: int, deadline: float
) -> dict[str, float] | None:
    """Train one network and return its metrics, or read them if the run is complete; None at the end of a slice."""
    variant = VARIANTS[name]
    config = configure(variant, *data, options.epochs, seed, options.size)
    config = replace(config, validate_images=options.val_images)
    settings = json.dumps([config.to_dict(), variant.skeleton.to_dict()], sort_keys=True)
    folder = work / "runs" / hashlib.sha256(settings.encode()).hexdigest()[:16]  # other settings, other folder
    result = folder / "result.json"
    if not result.exists():
        print(f"== {name}, seed {seed}", flush=True)
        metrics: dict[str, Any] = {}
        while not metrics:
            if time.monotonic() > deadline:
                return None
            step = max((int(path.name.removeprefix("step-")) for path in list_checkpoints(folder)), default=0)
            stop = step + SLICE_STEPS if options.minutes < math.inf else None
            metrics = train(config, folder, skeleton=variant.skeleton, resume=folder.exists(), stop_step=stop).metrics
        result.write_text(json.dumps({column: metrics[column] for column in COLUMNS}))
    return dict(json.loads(result.read_text()))


def size_of(name: str, size: int) -> dict[str, float]:
    """The number of parameters of a variant's network, and its multiply-adds for an image of ``size`` pixels."""
    config = configure(VARIANTS[name], Path("train"), Path("val"), 1, 0, size)
    with torch.device("meta"):
        model = IMHN(config.model).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, 3, size, size), all_outputs=True)
    return {"parameters": sum(p.numel() for p in model.parameters()), "multiply_adds": counter.get_total_flops() / 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the data and the runs; it is not removed")
    parser.add_argument("--images", type=int, default=2000, help="number of synthetic training images")
    parser.add_argument("--val-images", type=int, default=200, help="number of synthetic validation images")
    parser.add_argument("--data", type=Path, help="training data instead of synthetic people")
    parser.add_argument("--val", type=Path, help="validation data; needed with --data")
    parser.add_argument("--size", type=int, default=128, help="input size in pixels")
    parser.add_argument("--minutes", type=float, default=math.inf, help="end this slice after so many minutes")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="variants to run")
    parser.add_argument("--out", type=Path, help="write the metrics as JSON")
    options = parse_arguments(parser, ["out"])
    if (options.data is None) != (options.val is None):
        parser.error("--data and --val: expected both or none")
    data = options.data or options.work / f"train-{options.images}"
    val = options.val or options.work / f"val-{options.val_images}"
    for folder, images, seed in ((data, options.images, 1), (val, options.val_images, 3)):
        if options.data is None and not (folder / "annotations.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            write_dataset(folder, images, seed, SCENES, workers=2)
    deadline = time.monotonic() + 60 * options.minutes
    rows = []
    for name in options.only:
        metrics = []
        for seed in options.seeds:
            found = run_variant(name, options.work, (data, val), options, seed, deadline)
            if found is None:
                print("the slice has ended; the same command continues")
                return
            metrics.append(found)
        columns = {column: [m[column] for m in metrics] for column in COLUMNS}
        rows.append({"variant": name, **columns, **size_of(name, options.size)})
    budget = {name: getattr(options, name) for name in ("images", "val_images", "epochs", "seeds")}
    measured = report(**budget, batch=BASE.batch, rows=rows)
    if options.out:
        write_json(options.out, measured)
    print(ablation_table(measured))


if __name__ == "__main__":
    main()
