"""The GPU benchmarks without a GPU: an error message and no files; their code runs on the CPU with --smoke."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.processes import run_python

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


def test_the_script_fails_without_a_gpu_and_writes_nothing(tmp_path):
    if not shutil.which("bash"):
        pytest.skip("there is no bash")
    out = tmp_path / "results"
    done = subprocess.run(
        ["bash", str(BENCHMARKS / "gpu.sh")],
        env={**os.environ, **NO_GPU, "OUT": str(out), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"gpu.sh: {sys.executable} has no torch that finds a CUDA device; nothing was built or measured"
    ]
    assert not done.stdout
    assert not out.exists()


@pytest.mark.parametrize("script", ["gpu_speed.py", "gpu_driver.py"])
def test_the_benchmarks_report_a_missing_gpu(script):
    done = run_python(BENCHMARKS / script, environment=NO_GPU)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{script.removesuffix('.py')}: torch finds no CUDA device")


def test_every_section_runs_on_the_cpu(tmp_path):
    """The smoke run covers all code that needs no GPU. Every row is in the file and in the table."""
    out = tmp_path / "gpu_speed.json"
    done = run_python(BENCHMARKS / "gpu_speed.py", "--smoke", "--out", out, environment=NO_GPU, timeout=400)
    assert done.returncode == 0, done.stderr
    content = json.loads(out.read_text(encoding="utf-8"))
    assert content["device"] == "cpu, smoke run"
    table = run_python(BENCHMARKS / "gpu_speed.py", "--table", out)
    assert table.returncode == 0, table.stderr
    for section, entry in content["sections"].items():
        assert f"-- {section}" in table.stdout
        assert entry["rows"], section
        for name, row in entry["rows"].items():
            assert name in table.stdout
            assert all(value == value for value in row.values()), (name, row)  # no NaN
