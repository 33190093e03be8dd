"""The host emulator of CUDA kernels runs the example of csrc/cuda/kernel.h, and sees planted faults in it."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import emulation
from helpers.emulation import CSRC, ORDERS, compile_library

PROGRAM = """
#include "emulator.h"

using namespace simplepose;

EXAMPLE

extern "C" int run(float* data, int64_t count, int order, char* message) {
  try {
    emulate(ReverseRows{{data, count}}, static_cast<Order>(order));
  } catch (const KernelError& error) {
    std::strncpy(message, error.what(), 199);
    return -1;
  }
  return 0;
}
"""

TWO_PHASES = "shared.row[i] = rows[first + i]; });\n  block.each([&](int i, Local&, Shared& shared) { "
"""The end of the example's first phase and the beginning of its second."""


def example() -> str:
    """The struct in the first comment of the header."""
    if not CSRC.is_dir():
        pytest.skip("the emulation needs the C++ sources beside the tests")
    lines = [line.removeprefix("//   ") for line in (CSRC / "cuda/kernel.h").read_text().splitlines()]
    struct = lines[lines.index(next(line for line in lines if line.startswith("struct "))) :]
    text = "\n".join(struct[: struct.index("};") + 1])
    return re.sub(r"\n +block", "\n  block", text)


def run(source: str, rows: np.ndarray, order: str, folder: Path) -> np.ndarray:
    program = folder / "program.cpp"
    program.write_text(PROGRAM.replace("EXAMPLE", source))
    library = compile_library([program], CSRC)
    data, message = rows.copy(), ctypes.create_string_buffer(200)
    if library.run(ctypes.c_void_p(data.ctypes.data), ctypes.c_int64(rows.size), ORDERS[order], message):
        raise emulation.EmulationError(message.value.decode())
    return data


ROWS = np.arange(3 * 128, dtype=np.float32).reshape(3, 128)


@pytest.mark.parametrize("order", ORDERS)
def test_the_example_reverses_rows(order, tmp_path):
    np.testing.assert_array_equal(run(example(), ROWS, order, tmp_path), ROWS[:, ::-1])


def test_a_missing_barrier_is_seen(tmp_path):
    source = example()
    assert TWO_PHASES in source
    found = run(source.replace(TWO_PHASES, "shared.row[i] = rows[first + i]; "), ROWS, "forwards", tmp_path)
    assert not np.array_equal(found, ROWS[:, ::-1])


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("shared.row[kThreads - 1 - i]", "shared.row[kThreads - i]", "elements 128 to 128 of 128"),
        ("rows[first + i] = shared", "rows[first + i + 1] = shared", "elements 384 to 384 of 384"),
        ("rows.size() / kThreads", "rows.size() / kThreads + 1", r"elements \d+ to \d+ of 384"),
    ],
)
def test_an_index_out_of_bounds_is_seen(right, wrong, message, tmp_path):
    source = example()
    assert right in source
    with pytest.raises(emulation.EmulationError, match=message):
        run(source.replace(right, wrong), ROWS, "shuffled", tmp_path)
