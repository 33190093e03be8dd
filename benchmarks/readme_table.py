"""Write the measured tables into README.md and docs/, between their markers, from the files in benchmarks/results/.

python benchmarks/readme_table.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- measured: {} -->", "<!-- end -->"


def speed_table(decode: dict[str, Any], render: dict[str, Any]) -> str:
    """decode and render_targets on one thread, against their lower bounds and the reference implementation."""
    head = [
        "people in 512 x 512, one thread",
        "`decode`, x a copy of the keypoint maps",
        "x faster than NumPy",
        "`render_targets`, x a fill of the maps",
        "x faster than NumPy",
    ]
    lines = [f"| {' | '.join(head)} |", "|---|---|---|---|---|"]
    for name, row in decode["decode"].items():
        if name.startswith("crowds"):
            continue
        people = name.split()[0] + (", separated" if "separated" in name else "")
        cells = [people, f"{row['ratio']:.1f}", f"{row['reference_ratio']:.0f}", "-", "-"]
        if drawn := render["render_ms"].get(name):
            cells[3:] = [f"{drawn['native'] / drawn['fill']:.1f}", f"{drawn['reference'] / drawn['native']:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", f"Measured by `{decode['command']}` and `{render['command']}` on {decode['machine']}."]
    return "\n".join(lines)


def stage_table(decode: dict[str, Any]) -> str:
    """How the time of decode divides into its stages."""
    lines = ["| people in 512 x 512, one thread | peaks | pairs | grouping | Python |", "|---|---|---|---|---|"]
    for name, row in decode["decode"].items():
        # Python's time is the difference of two times, which may come out below 0 where it is small
        stages = {stage: max(0.0, value) for stage, value in row["stages_us"].items()}
        total = sum(stages.values())
        shares = [f"{100 * stages[stage] / total:.0f}%" for stage in ("peaks", "pairs", "grouping", "python")]
        lines.append(f"| {name.removesuffix(' people')} | {' | '.join(shares)} |")
    lines += ["", f"Measured by `{decode['command']}` on {decode['machine']}."]
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
        lines.append(f"Tuned settings, chosen on the tuning split: {tuned}.")
    lines.append(f"Measured on {report['machine']}.")
    return "\n".join(lines)


def ablation_table(report: dict[str, Any]) -> str:
    """The results of benchmarks/ablate.py: means over the seeds, and the AP of each seed."""
    columns = ("AP", "AP50", "AP75", "AR")
    counted = all("multiply_adds" in row for row in report["rows"])
    sizes = "parameters | multiply-adds" if counted else "parameters"
    lines = [f"| variant | {' | '.join(columns)} | AP of each seed | {sizes} |"]
    lines.append("|---" * (len(columns) + 3 + counted) + "|")
    for row in report["rows"]:
        means = [f"{sum(row[column]) / len(row[column]):.3f}" for column in columns]
        each = ", ".join(f"{value:.3f}" for value in row["AP"])
        adds = f" {row['multiply_adds'] / 1e6:.0f} M |" if counted else ""
        lines.append(f"| {row['variant']} | {' | '.join(means)} | {each} | {row['parameters'] / 1e6:.2f} M |{adds}")
    steps = report["images"] * report["epochs"] // report["batch"]
    seeds = ", ".join(map(str, report["seeds"]))
    lines.append("")
    lines.append(f"{report['images']} images, {steps} steps of {report['batch']} samples, seeds: {seeds}.")
    lines.append(f"Measured by `{report['command']}`.")
    return "\n".join(lines)


def peers_table(report: dict[str, Any]) -> str:
    """The results of benchmarks/peers.py: AP and processor times of every grouper, then times from fields."""
    lines = [league_table(report["league"]), "", "From part affinity fields instead of candidate parts:", ""]
    peers = ", ".join(f"{name} {version}" for name, version in report["peers"].items() if name != "simplepose")
    images = ", ".join(f"{count} of `{name}`" for name, count in report["images"].items())
    lines += [league_table(report["fields"]), "", f"Peers: {peers}. Images: {images}."]
    lines.append(f"Measured by `{report['command']}` on {report['machine']}.")
    return "\n".join(lines)


def league_table(rows: dict[str, dict[str, float]]) -> str:
    """One row for each grouper and kind of skeleton: AP by source of maps, milliseconds by number of people."""
    columns = list(next(iter(rows.values())))
    times = [column for column in columns if column.endswith(", ms")]
    head = [f"AP, `{column}`" for column in columns if column not in times]
    lines = [f"| grouper, parts | {' | '.join([*head, *times])} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[column]:.2f}" if column in times else f"{row[column]:.3f}" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES: dict[str, tuple[str, Callable[..., str], tuple[str, ...]]] = {
    "speed_cpu": ("README.md", speed_table, ("decode_cpu", "render_cpu")),
    "decode_stages": ("docs/guides/decode.md", stage_table, ("decode_cpu",)),
    "peers": ("docs/decoding.md", peers_table, ("peers",)),
    "tiny": ("docs/tiny.md", network_table, ("tiny",)),
    "photo": ("docs/photo.md", network_table, ("photo",)),
    "ablation": ("docs/training.md", ablation_table, ("ablation",)),
}
"""By marker: the document, the function that writes the table, and the result files it takes."""


def main() -> None:
    for name, (document, make, results) in TABLES.items():
        path = ROOT / document
        text = path.read_text(encoding="utf-8")
        begin = BEGIN.format(name)
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(END)
        reports = [json.loads((RESULTS / f"{result}.json").read_text(encoding="utf-8")) for result in results]
        path.write_text(f"{before}{begin}\n{make(*reports)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
