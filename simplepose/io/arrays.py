"""Arrays and maps in NPZ and NPY files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import has_dtype, one_line

INT16_UNIT = np.float32(1 / 1024)
"""The value of 1 in an int16 map."""


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays of an NPZ file by name. The array of an NPY file has the empty name.

    Raises:
        OSError: the file is missing or cannot be opened.
        ValueError: the file is damaged or does not hold numbers; the message names it.
    """
    with open(path, "rb") as file:
        try:
            data = np.load(file, allow_pickle=False)
            return {"": data} if isinstance(data, np.ndarray) else {name: data[name] for name in data}
        except MemoryError:
            raise MemoryError(f"{path}: an array does not fit into memory") from None
        except Exception as error:  # a damaged file raises errors of zipfile, zlib, seek or the header's parser
            raise ValueError(f"{path}: not an NPZ or NPY file of numbers ({one_line(error)})") from None


def as_maps(path: str | Path, stored: NDArray[Any]) -> NDArray[np.float32]:
    """Stored maps as float32; int16 values are multiples of 1/1024.

    Raises:
        ValueError: the dtype is neither int16 nor floating point; the message names the file.
    """
    if has_dtype(stored, np.int16):
        return stored.astype(np.float32) * INT16_UNIT
    if not np.issubdtype(stored.dtype, np.floating):
        raise ValueError(f"{path}: expected floating-point numbers or int16 in units of 1/1024, got {stored.dtype}")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and read as 0 in every operation
        return stored.astype(np.float32, copy=False)
