"""Writes the measured tables into README.md and docs/, between their markers, from the files in benchmarks/results/.

python benchmarks/readme_table.py
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- measured: {} -->", "<!-- end -->"


def scene_label(name: str) -> str:
    """The name of a scene in a table."""
    return "1 person" if name == "1 people" else name


def decode_table(report: dict[str, Any]) -> str:
    """decode against a copy of the keypoint maps and against the reference."""
    lines = [
        "| scene, 128 x 128 maps, one thread | x copy of the 18 keypoint maps | x faster than the Python reference |"
    ]
    lines.append("|---|---|---|")
    for name, row in report["decode"].items():
        lines.append(f"| {scene_label(name)} | {row['ratio']:.1f} | {row['reference_ratio']:.0f} |")
    lines.append("")
    noise = ", ".join(f"{ms:.0f} ms ({name})" for name, ms in report["noise_ms"].items())
    lines.append(f"A batch of 32 on 2 threads: {report['two_threads']:.2f} x one thread. Maps of pure noise: {noise}.")
    command = re.sub(r"--annotations \S+", "--annotations ANNOTATIONS", report["command"])
    lines.append(f"Measured by `{command}` on {report['machine']}.")
    lines.append(
        "ANNOTATIONS was a subset of 255 images of COCO val2017, from which the people of the crowds are taken; COCO's"
    )
    lines.append("`person_keypoints_val2017.json` works too.")
    return "\n".join(lines)


def render_table(report: dict[str, Any]) -> str:
    """render_targets against a fill of its output, vectorized PyTorch and the reference."""
    head = [
        "targets at 512 x 512, one thread",
        "x fill of the maps",
        "x faster than PyTorch",
        "x faster than the reference",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|"]
    for name, row in report["render_ms"].items():
        native = row["native"]
        cells = [f"{native / row['fill']:.1f}", f"{row['torch'] / native:.0f}", f"{row['reference'] / native:.0f}"]
        lines.append(f"| {scene_label(name)} | {' | '.join(cells)} |")
    lines += ["", f"Measured by `{report['command']}` on {report['machine']}."]
    return "\n".join(lines)


def network_table(report: dict[str, Any]) -> str:
    """What benchmarks/judge_network.py measured."""
    lines = ["| | AP | AP50 | AP75 | APM | APL | AR | shown poses per person | left/right swaps |", "|---" * 9 + "|"]
    for name, row in report["rows"].items():
        numbers = [f"{row[key]:.3f}" for key in ("AP", "AP50", "AP75", "APM", "APL", "AR")]
        share = f"{100 * row['left_right_swaps']:.1f}%"
        lines.append(f"| {name} | {' | '.join(numbers)} | {row['shown_poses_per_person']:.2f} | {share} |")
    lines.append("")
    if report["tuned"]:
        tuned = ", ".join(f"`{name}` {value}" for name, value in report["tuned"].items())
        lines.append(f"Tuned thresholds, chosen on the tuning split: {tuned}.")
    lines.append(f"Measured on {report['machine']}.")
    return "\n".join(lines)


def ablation_table(report: dict[str, Any]) -> str:
    """What benchmarks/ablate.py measured: means over the seeds, and the span of AP."""
    columns = ("AP", "AP50", "AP75", "AR")
    lines = [f"| variant | {' | '.join(columns)} | AP of each seed | parameters |", "|---" * (len(columns) + 3) + "|"]
    for row in report["rows"]:
        means = [f"{sum(row[column]) / len(row[column]):.3f}" for column in columns]
        each = ", ".join(f"{value:.3f}" for value in row["AP"])
        lines.append(f"| {row['variant']} | {' | '.join(means)} | {each} | {row['parameters'] / 1e6:.2f} M |")
    steps = report["images"] * report["epochs"] // report["batch"]
    seeds = ", ".join(map(str, report["seeds"]))
    lines.append("")
    lines.append(f"{report['images']} images, {steps} steps of {report['batch']} samples, seeds: {seeds}.")
    lines.append(f"Measured by `{report['command']}`.")
    return "\n".join(lines)


TABLES = {
    "decode_cpu": ("README.md", decode_table),
    "render_cpu": ("README.md", render_table),
    "tiny": ("docs/tiny.md", network_table),
    "ablation": ("docs/training.md", ablation_table),
}
"""By result file: where the table stands and what makes it."""


def main() -> None:
    for name, (document, make) in TABLES.items():
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        begin = BEGIN.format(name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        table = make(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
        path.write_text(f"{before}{begin}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
