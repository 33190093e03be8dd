"""The commands and the Python code of the guides run in the order of each page."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import simplepose as sp

DOCS = Path(__file__).resolve().parents[1] / "docs"
CODE = re.compile(r"^```(python|sh)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PAGES = [
    page
    for page in (DOCS / "index.md", *sorted((DOCS / "guides").glob("*.md")))
    if CODE.search(page.read_text(encoding="utf-8"))
]
SIMPLEPOSE = [sys.executable, "-m", "simplepose"]
NOT_HERE = re.compile(r"imhn4|clip\.mp4|pip install|simplepose web")
"""Blocks that need other weights or a video, install the package, or run a server."""


def run(arguments: list[str], folder: Path) -> None:
    package = str(Path(sp.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        arguments, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_of_a_page_runs(page, tmp_path):
    if page.stem == "bulk":
        pytest.importorskip("pyarrow")
    python = ""  # a Python block continues the blocks before it
    for language, block in CODE.findall(page.read_text(encoding="utf-8")):
        if NOT_HERE.search(block):
            continue
        if language == "python":
            python += block
            run([sys.executable, "-c", python], tmp_path)
            continue
        for line in block.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "simplepose", line
            run([*SIMPLEPOSE, *arguments], tmp_path)


def test_the_pages_with_code_are_there():
    assert {"index", "decode", "evaluate", "predict"} <= {page.stem for page in PAGES}
