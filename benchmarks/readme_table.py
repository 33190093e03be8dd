"""Writes the measured tables into README.md, between its markers, from the files in benchmarks/results/.

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
    """decode against a copy of the keypoint maps and against the reference."""
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
    """render_targets against a fill of its output, vectorised PyTorch and the reference."""
    head = [
        "targets at 512 x 512, one thread",
        "x fill of the maps",
        "x faster than PyTorch",
        "x faster than the reference",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|"]
    for name, row in report["render_ms"].items():
        native = row["native"]
        cells = [f"{native / row['fill']:.1f}", f"{row['baseline'] / native:.0f}", f"{row['reference'] / native:.0f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", f"Measured by `{report['command']}` on {report['machine']}."]
    return "\n".join(lines)


def main() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name, make in {"decode_cpu": decode_table, "render_cpu": render_table}.items():
        begin = BEGIN.format(name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        table = make(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))
        text = f"{before}{begin}\n{table}\n{END}{after}"
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
