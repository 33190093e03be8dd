"""The random tests of scripts/fuzz.py find planted faults, and a run with a fixed seed finds none."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from helpers.processes import run_python

import simplepose as sp
from simplepose.data import annotations
from simplepose.ops import assign_keypoints as grouping
from simplepose.ops.reference import match_parts

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"

if not (SCRIPTS / "fuzz.py").is_file():
    pytest.skip(f"{SCRIPTS} is missing: the tests run outside a source tree", allow_module_level=True)

sys.path.insert(0, str(SCRIPTS))
from fuzzing import bulk_files, parity, readers, settings  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
BATCHES = 12


def findings(seed: int = 0) -> list[str]:
    """The differences of the reference and PyTorch from C++ in a few batches."""
    found = []
    for number in range(BATCHES):
        case = parity.make_case(seed, number)
        native = parity.run_native(case)
        for backend in ("reference", "torch"):
            found += parity.differences(native, parity.run_stages(case, backend), backend)
    return found


def test_the_backends_agree():
    assert findings() == []


def negative_zero(run):
    def wrapped(*arguments):
        keypoints, scores = run(*arguments)
        return np.where(keypoints == 0, np.float32(-0.0), keypoints), scores

    return wrapped


def without_type(run):
    return lambda *arguments: tuple(array.astype(np.float64) for array in run(*arguments))


@pytest.mark.parametrize("fault", [negative_zero, without_type])
def test_a_fault_of_the_grouping_is_found(fault, monkeypatch):
    """Differences in the sign of a zero and in the type of an array count."""
    monkeypatch.setitem(grouping._IMPLEMENTATIONS, "reference", fault(grouping._IMPLEMENTATIONS["reference"]))
    assert any("poses.keypoints differs from reference" in line for line in findings())


def test_a_fault_in_the_last_bit_of_a_response_is_found(monkeypatch):
    def fault(*arguments):
        parts = match_parts.match_parts(*arguments)
        return parts._replace(response=np.nextafter(parts.response, np.float32(2)))

    monkeypatch.setattr("simplepose.ops.match_parts.reference_match_parts", fault)
    assert {line.partition(": ")[2] for line in findings()} == {"parts.response differs from reference"}


@dataclass(frozen=True)
class NewSettings:
    """Settings as a later version may have them."""

    count: int = 3
    share: float = 0.5
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    limit: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.count < 2 or (self.flag and self.kind == "b"):
            raise ValueError("share, count")


def test_settings_are_drawn_from_all_fields_and_valid():
    rng = np.random.default_rng(0)
    drawn = [settings.draw_settings(rng, NewSettings) for _ in range(300)]
    for field in fields(NewSettings):
        assert len({getattr(value, field.name) for value in drawn}) > 1, field.name
    assert set(settings.field_values(sp.DecodeConfig)) == {f.name for f in fields(sp.DecodeConfig)}
    assert all(len(values) > 1 for values in settings.field_values(sp.DecodeConfig).values())


@pytest.mark.parametrize("kind", ["masks", "json_files", "toml", "npz", "images"])
def test_damaged_files_have_no_findings(kind):
    fuzzer = getattr(readers, kind)(3)
    found = [line for number in range(60) for line in fuzzer.run(number)[1] if "took" not in line]
    fuzzer.close()
    assert found == []


def test_damaged_files_of_bulk_prediction_have_no_findings():
    pytest.importorskip("pyarrow")
    fuzzer = bulk_files.bulk(3)
    found = [line for number in range(60) for line in fuzzer.run(number)[1] if "took" not in line]
    fuzzer.close()
    assert found == []


def test_a_fault_of_a_reader_is_found(monkeypatch):
    monkeypatch.setattr(annotations.fields, "crowd_flag", lambda value, place, notes: {}[value])
    fuzzer = readers.json_files(3)
    found = [line for number in range(0, 50, 5) for line in fuzzer.run(number)[1]]
    fuzzer.close()
    assert any("annotations: KeyError" in line for line in found)


CRASH = """
import os, sys
sys.path.insert(0, {scripts!r})
import fuzz
class Fuzzer:
    def run(self, number):
        if number == 0:
            os._exit(7)
        return 1, ["wrong"] * (number == 1)
    def close(self): pass
fuzz.fuzzer = lambda kind, seed: Fuzzer()
fuzz.__file__ = __file__
sys.exit(fuzz.main())
"""


def test_a_crash_of_a_worker_is_a_finding_and_the_run_continues(tmp_path):
    script = tmp_path / "crash.py"
    script.write_text(CRASH.format(scripts=str(SCRIPTS)))
    done = run_python(script, "--only", "json", "--minutes", "0.1", environment=dict(os.environ))
    assert done.returncode == 1
    assert "case 0 of seed 0: the worker ended with exit code 7" in done.stdout
    assert "case 1 of seed 0: wrong" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(" 2 findings")
    again = run_python(script, "--only", "json", "--case", "1", environment=dict(os.environ))
    assert json.loads(again.stdout) == [1, 1, ["wrong"]]
