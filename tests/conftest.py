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
def missing(name: str) -> frozenset[str]:
    """Those of `NEEDED` that are not installed and that a module of this folder imports, itself or through others."""
    found: set[str] = set()
    for node in ast.parse((TESTS / f"{name}.py").read_text(encoding="utf-8")).body:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        for package in (imported.split(".")[0] for imported in names):
            if package in NEEDED and find_spec(package) is None:
                found.add(package)
            elif (TESTS / f"{package}.py").is_file():
                found |= missing(package)
    return frozenset(found)


def pytest_ignore_collect(collection_path):
    """Leave out, instead of failing at, test modules that need a package that is not there; the summary names them."""
    is_test = collection_path.parent == TESTS and collection_path.name.startswith("test_")
    return True if is_test and missing(collection_path.stem) else None


def pytest_terminal_summary(terminalreporter):
    """Print what was left out, and how many cases the parity test went through."""
    for path in sorted(TESTS.glob("test_*.py")):
        if missing(path.stem):
            terminalreporter.write_line(f"left out {path.name}: {', '.join(sorted(missing(path.stem)))} not installed")
    map_cases = sys.modules.get("map_cases")
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
