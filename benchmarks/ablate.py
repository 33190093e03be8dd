"""Ablation study: small networks, each without one part of the method, in the form of the paper's Table 1.

python benchmarks/ablate.py --work DIR --out benchmarks/results/ablation.json

All variants have the same images, steps, batch size and seeds. Each differs from the first row only in the setting
of its name. An interrupted run resumes. The networks are small and the training is short: the table shows that the
settings have an effect here, and does not predict results on COCO.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from readme_table import ablation_table
from timing import parse_arguments, report

from simplepose.io.atomic import write_json
from simplepose.network.config import ModelConfig
from simplepose.network.imhn import IMHN
from simplepose.skeleton.skeleton import COCO, Skeleton
from simplepose.synth.dataset import write_dataset
from simplepose.synth.scene import SynthConfig
from simplepose.training.config import TrainConfig
from simplepose.training.loop import train
from simplepose.training.loss import LossConfig

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
    "spanning tree instead of redundant parts": Variant(skeleton=COCO.spanning_tree()),
    "line targets instead of ellipses": Variant({"shape": "line"}),
}


def configure(variant: Variant, data: Path, val: Path, epochs: int, seed: int) -> TrainConfig:
    """The training configuration of a variant."""
    channels = {"model.channels": variant.skeleton.num_channels}
    config = replace(BASE, data=str(data), val=str(val), epochs=epochs, validate_epochs=epochs, seed=seed)
    return config.with_values({**variant.settings, **channels})


def run_variant(
    name: str, work: Path, data: tuple[Path, Path], epochs: int, seed: int, val_images: int
) -> dict[str, float]:
    """Train one network and return its metrics, or read them if the run is complete."""
    variant = VARIANTS[name]
    config = replace(configure(variant, *data, epochs, seed), validate_images=val_images)
    settings = json.dumps([config.to_dict(), variant.skeleton.to_dict()], sort_keys=True)
    folder = work / "runs" / hashlib.sha256(settings.encode()).hexdigest()[:16]  # other settings, other folder
    result = folder / "result.json"
    if not result.exists():
        print(f"== {name}, seed {seed}", flush=True)
        metrics = train(config, folder, skeleton=variant.skeleton, resume=folder.exists()).metrics
        result.write_text(json.dumps({column: metrics[column] for column in COLUMNS}))
    return dict(json.loads(result.read_text()))


def parameters(name: str) -> int:
    """The number of parameters of a variant's network."""
    config = configure(VARIANTS[name], Path("train"), Path("val"), 1, 0)
    return sum(p.numel() for p in IMHN(config.model).parameters())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the data and the runs; it is not removed")
    parser.add_argument("--images", type=int, default=2000, help="number of synthetic training images")
    parser.add_argument("--val-images", type=int, default=200, help="number of synthetic validation images")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), help="variants to run")
    parser.add_argument("--out", type=Path, help="write the metrics as JSON")
    options = parse_arguments(parser, ["out"])
    data, val = options.work / f"train-{options.images}", options.work / f"val-{options.val_images}"
    for folder, images, seed in ((data, options.images, 1), (val, options.val_images, 3)):
        if not (folder / "annotations.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            write_dataset(folder, images, seed, SCENES, workers=2)
    rows = []
    for name in options.only:
        metrics = [
            run_variant(name, options.work, (data, val), options.epochs, s, options.val_images) for s in options.seeds
        ]
        columns = {column: [m[column] for m in metrics] for column in COLUMNS}
        rows.append({"variant": name, **columns, "parameters": parameters(name)})
    budget = {name: getattr(options, name) for name in ("images", "val_images", "epochs", "seeds")}
    measured = report(**budget, batch=BASE.batch, rows=rows)
    if options.out:
        write_json(options.out, measured)
    print(ablation_table(measured))


if __name__ == "__main__":
    main()
