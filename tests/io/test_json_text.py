"""JSON text: damaged text is named with its place, and written text is JSON for every parser."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from simplepose.io.arrays import load_arrays
from simplepose.io.atomic import write_json
from simplepose.io.json_text import parse_json, read_json_lines, to_json

DAMAGED = {
    "empty": b"",
    "brace": b"{",
    "trailing comma": b"[1,]",
    "not text": b"\xff\xfe{",
    "nested": b"[" * 100_000,
    "digits": b"9" * 5000,
    "two values": b"{} {}",
    "control character": b'"a\nb"',
}


@pytest.mark.parametrize("text", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_text_is_named_in_one_line(text):
    with pytest.raises(ValueError, match=r"^here: not valid JSON \(") as error:
        parse_json(text, "here")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("line", [b"{", b"[1]", b"3", b"null", b'"a"', b"\xff", b"[" * 100_000], ids=lambda v: v[:5])
def test_a_line_that_is_not_an_object_is_named_with_its_number(line, tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    with pytest.raises(ValueError, match=rf"^{path}:2: (not valid JSON|expected a JSON object)"):
        list(read_json_lines(path))


def test_an_incomplete_last_line_is_ignored(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "\xc2\x85\xe2\x80\xa8"}\n{"a": ')
    assert [value for _, value in read_json_lines(path)] == [{"a": 1}, {"a": "\x85\u2028"}]


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.5, 1.5),
        (NAN, None),
        ({"a": [INFINITY, {"b": -INFINITY}], "c": (1, NAN)}, {"a": [None, {"b": None}], "c": [1, None]}),
        ([np.float64("inf"), True, "NaN"], [None, True, "NaN"]),
    ],
)
def test_numbers_that_are_not_finite_become_null(value, expected, tmp_path):
    write_json(tmp_path / "a.json", value)
    for text in (to_json(value), (tmp_path / "a.json").read_text()):
        assert json.loads(text, parse_constant=pytest.fail) == expected


def test_a_damaged_array_file_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, maps=np.zeros(100))
    whole = path.read_bytes()
    directory = whole.rindex(b"PK\x01\x02")
    for at in range(directory, len(whole)):  # wrong offsets raise OSError in seek
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        message = f"{path}: not an NPZ or NPY file of numbers ("
        with pytest.raises(ValueError, match=re.escape(message)):  # noqa: PT012
            load_arrays(path)
            raise ValueError(message)  # some of the damage does not matter
