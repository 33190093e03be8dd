"""Write the tables of docs/paper.md: the commands that train and test each network of the paper's tables.

python scripts/paper_rows.py          # writes docs/paper.md between its markers
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from simplepose.network.build import build_model
from simplepose.training.config import PRESETS, TrainConfig

DOCS = Path(__file__).parents[1] / "docs" / "paper.md"
BEGIN, END = "<!-- rows: {} -->", "<!-- end -->"

TRAIN = ("annotations/person_keypoints_train2017.json", "train2017")
VAL = ("annotations/person_keypoints_val2017.json", "val2017")
TEST_DEV = ("annotations/image_info_test-dev2017.json", "test2017")

SAMPLES = 100_000
"""Assumed samples of an epoch: main people of COCO's training images."""

TERAFLOPS = 40
"""Assumed speed of a GPU in training, in 10^12 operations per second."""


@dataclass(frozen=True)
class Row:
    """One network of the tables, with the test of its row."""

    what: str
    preset: str
    test: str = "flip"  # of `simplepose evaluate --test`
    with_val: bool = False  # whether COCO's validation images are training data too; then the test is on test-dev
    init: str = ""  # the preset of the run whose weights it starts from
    number: str = ""  # the rows of the paper's Table 1, where the settings determine them

    @property
    def run(self) -> str:
        """The folder of the training run."""
        return self.preset + ("-trainval" if self.with_val else "")

    def train_command(self) -> str:
        """The command that trains it."""
        pairs = [TRAIN, VAL] if self.with_val else [TRAIN]
        data, images = (" ".join(values) for values in zip(*pairs, strict=True))
        init = f" --init {self.init}{'-trainval' if self.with_val else ''}/best.safetensors" if self.init else ""
        return (
            f"simplepose train --preset {self.preset} --data {data} --images {images} "
            f"--val {VAL[0]} --val-images {VAL[1]}{init} --out {self.run}"
        )

    def evaluate_command(self) -> str:
        """The command that evaluates it, on val2017, or on test-dev for the server."""
        annotations, images = TEST_DEV if self.with_val else VAL
        out = f" --out results/{self.run}/{self.test}" if self.with_val else ""
        return (
            f"simplepose evaluate {self.run}/best.safetensors --annotations {annotations} --images {images} "
            f"--test {self.test}{out}"
        )


ABLATION = [
    Row("CMU-Net, all maps in one branch, L2", "cmu3-368", number="4"),
    Row("CMU-Net, all maps in one branch, focal L2", "cmu3-368-focal", number="5"),
    Row("CMU-Net, affinity fields and keypoints in two branches, L2", "cmu3-368-paf"),
    Row("plain stacked hourglass at 512", "hourglass4-512", number="6"),
    Row("IMHN, 3 stacks", "imhn3-384"),
    Row("IMHN, 3 stacks, L2", "imhn3-384-l2"),
    Row("no spatial attention", "imhn3-384-no-spatial"),
    Row("no channel attention", "imhn3-384-no-channel"),
    Row("focal L2 on the keypoint maps alone", "imhn3-384-keypoint-focal"),
    Row("minimal spanning tree of parts", "imhn3-384-mst"),
    Row("affinity fields instead of body parts", "imhn3-384-paf"),
    Row("IMHN, 4 stacks", "imhn4-384"),
    Row("IMHN, 4 stacks, L2", "imhn4-384-l2"),
    Row("IMHN, 4 stacks, continued at 512", "imhn4-512", init="imhn4-384"),
]
TESTS = [
    Row("train and val, 384 px, flip testing", "imhn4-384", with_val=True),
    Row("train and val, 512 px, flip testing", "imhn4-512", with_val=True, init="imhn4-384"),
    Row("train and val, 512 px, multi-scale and flip testing", "imhn4-512", "multi-scale", True, "imhn4-384"),
    Row("train and val, one scale, long side 768 px", "imhn4-512", "long-768", True, "imhn4-384", "18, 19"),
]
TABLES = {"table 1": ABLATION, "table 2": TESTS}
BENCH = ("imhn3-384", "imhn4-512", "cmu3-368")


@cache
def multiply_adds(preset: str) -> float:
    """Multiply-adds of one image of the training size, in 10^9."""
    config = TrainConfig.preset(preset).model
    with torch.device("meta"):
        model = build_model(config).eval()
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(torch.zeros(1, 3, config.input_size, config.input_size), all_outputs=True)
    return float(counter.get_total_flops()) / 2e9


def gpu_days(preset: str) -> float:
    """Estimated days of training on one GPU: three passes of two operations for each multiply-add."""
    return multiply_adds(preset) * 6e9 * SAMPLES * PRESETS[preset].epochs / (TERAFLOPS * 1e12) / 86400


def table(rows: list[Row]) -> str:
    """The rows as a Markdown table, followed by the commands of each."""
    lines = ["| row | network | preset | GMAC | GPU days | measured here |", "|---|---|---|---|---|---|"]
    for row in rows:
        cost = f"{multiply_adds(row.preset):.0f} | {gpu_days(row.preset):.1f}"
        lines.append(f"| {row.number} | {row.what} | `{row.preset}` | {cost} | |")
    lines += ["", "```sh"]
    runs = set()
    for row in rows:
        lines += [f"# {row.what}", *([] if row.run in runs else [row.train_command()]), row.evaluate_command()]
        runs.add(row.run)
    return "\n".join([*lines, "```"])


def page(text: str) -> str:
    """The page with its tables and commands replaced."""
    parts = {name: table(rows) for name, rows in TABLES.items()}
    parts["bench"] = "\n".join(["```sh", *(f"simplepose bench --preset {name}" for name in BENCH), "```"])
    for name, content in parts.items():
        before, _, rest = text.partition(BEGIN.format(name))
        _, _, after = rest.partition(END)
        text = f"{before}{BEGIN.format(name)}\n{content}\n{END}{after}"
    return text


if __name__ == "__main__":
    DOCS.write_text(page(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
