"""What every test run adds: the modules it cannot collect, lines of its summary, and what tests may ask for."""

from __future__ import annotations

import ast
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NEEDED = ("hypothesis", "pycocotools")
"""Packages that tests import at their top; machines with nothing but PyTorch and pytest lack them."""


@cache
def missing(path: Path) -> frozenset[str]:
    """Those of `NEEDED` that are not installed and that a test module imports, itself or through helpers."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            package = name.split(".")[0]
            helper = TESTS / f"{name.replace('.', '/')}.py"
            if package in NEEDED and find_spec(package) is None:
                found.add(package)
            elif helper.is_file():
                found |= missing(helper)
    return frozenset(found)


def pytest_ignore_collect(collection_path):
    """Leave out test modules that need a package that is not installed; the summary names them."""
    is_test = TESTS in collection_path.parents and collection_path.name.startswith("test_")
    return True if is_test and collection_path.suffix == ".py" and missing(collection_path) else None


def pytest_terminal_summary(terminalreporter):
    """Print what was left out, and how many cases the parity test went through."""
    for path in sorted(TESTS.rglob("test_*.py")):
        if missing(path):
            name, packages = path.relative_to(TESTS), ", ".join(sorted(missing(path)))
            terminalreporter.write_line(f"left out {name}: {packages} not installed")
    map_cases = sys.modules.get("helpers.map_cases")
    if map_cases and map_cases.counts["cases"]:
        terminalreporter.write_line(map_cases.summary())


@pytest.fixture(scope="module")
def one_thread():
    """PyTorch on one thread: small networks train no faster on more, and to the same bits everywhere."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
