"""Shared code of the benchmarks of bulk prediction: tars of synthetic images, and the command line of a run."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

from simplepose.synth.scene import SynthConfig, render_scene

DIFFERENT = 40
"""The number of different images; the tars repeat them under other names."""


def write_tars(folder: Path, tars: int, images: int, size: int) -> list[Path]:
    """Tars with ``images`` JPEG files of ``size`` x ``size`` pixels each."""
    folder.mkdir(parents=True, exist_ok=True)
    data = [render_scene(11, i, SynthConfig(size=size, people=(1, 4))).jpeg for i in range(min(DIFFERENT, images))]
    paths = [folder / f"{number:04d}.tar" for number in range(tars)]
    for path in paths:
        with tarfile.open(path, "w") as tar:
            for i in range(images):
                content = data[i % len(data)]
                member = tarfile.TarInfo(f"{i:06d}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return paths


def command(inputs: str, out: Path, *options: str) -> list[str]:
    """The command line of a run on the CPU."""
    run = [sys.executable, "-m", "simplepose", "predict", inputs, "--out", str(out), "--device", "cpu", "--json"]
    return [*run, *options]


def environment() -> dict[str, str]:
    """The environment of a run: with the package of this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
