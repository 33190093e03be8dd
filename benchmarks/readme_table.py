"""Write the measured tables into README.md and docs/, between their markers, from the files in benchmarks/results/.

python benchmarks/readme_table.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- measured: {} -->", "<!-- end -->"


def decode_table(report: dict[str, Any]) -> str:
    """The times of decode against a copy of the keypoint maps and the reference implementation."""
    lines = [
        "| scene, 128 x 128 maps, one thread | x copy of the 18 keypoint maps | x faster than the Python reference |"
    ]
    lines.append("|---|---|---|")
    for name, row in report["decode"].items():
        lines.append(f"| {name} | {row['ratio']:.1f} | {row['reference_ratio']:.0f} |")
    lines.append("")
    noise = ", ".join(f"{ms:.0f} ms ({name})" for name, ms in report["noise_ms"].items())
    lines.append(f"A batch of 32 on 2 threads: {report['two_threads']:.2f} x one thread. Maps of pure noise: {noise}.")
    lines.append(f"Measured by `{report['command']}` on {report['machine']}.")
    return "\n".join(lines)


def render_table(report: dict[str, Any]) -> str:
    """The times of render_targets against a fill of its output, vectorized PyTorch and the reference implementation."""
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
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"Measured by `{report['command']}` on {report['machine']}."]
    return "\n".join(lines)


def network_table(report: dict[str, Any]) -> str:
    """The results of benchmarks/judge_network.py."""
    lines = ["| | AP | AP50 | AP75 | APM | APL | AR | shown poses a person | left/right swaps |", "|---" * 9 + "|"]
    for name, row in report["rows"].items():
        numbers = [f"{row[key]:.3f}" for key in ("AP", "AP50", "AP75", "APM", "APL", "AR")]
        share = f"{100 * row['left_right_swaps']:.1f}%"
        lines.append(f"| {name} | {' | '.join(numbers)} | {row['shown_poses_per_person']:.2f} | {share} |")
    tuned = ", ".join(f"`{name}` {value}" for name, value in report["tuned"].items())
    lines += ["", f"Thresholds chosen on the third split: {tuned}. Measured on {report['machine']}."]
    return "\n".join(lines)


def ablation_table(report: dict[str, Any]) -> str:
    """The results of benchmarks/ablate.py: means over the seeds, and the AP of each seed."""
    columns = ("AP", "AP50", "AP75", "AR")
    lines = [f"| variant | {' | '.join(columns)} | AP, all seeds | parameters |", "|---" * (len(columns) + 3) + "|"]
    for row in report["rows"]:
        means = [f"{sum(row[column]) / len(row[column]):.3f}" for column in columns]
        each = ", ".join(f"{value:.3f}" for value in row["AP"])
        lines.append(f"| {row['variant']} | {' | '.join(means)} | {each} | {row['parameters'] / 1e6:.2f} M |")
    steps = report["images"] * report["epochs"] // report["batch"]
    lines.append("")
    lines.append(f"{report['images']} images, {steps} steps of {report['batch']} samples, seeds {report['seeds']}.")
    lines.append(f"Measured by `{report['command']}`.")
    return "\n".join(lines)


TABLES = {
    "decode_cpu": ("README.md", decode_table),
    "render_cpu": ("README.md", render_table),
    "tiny": ("docs/tiny.md", network_table),
    "ablation": ("docs/training.md", ablation_table),
}
"""For each result file: the document with the table and the function that formats it."""


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
