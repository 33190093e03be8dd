"""Stored arrays: NPZ and NPY files, and maps in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

INT16_UNIT = np.float32(1 / 1024)
"""What 1 in an int16 map stands for."""


def load_arrays(path: str | Path) -> dict[str, NDArray[Any]]:
    """The arrays of an NPZ file by name; that of an NPY file has no name.

    Raises:
        OSError: the file is missing or cannot be opened.
        ValueError: it is broken, or holds something else than numbers; the message names it.
    """
    try:
        with open(path, "rb") as file:
            data = np.load(file, allow_pickle=False)
            return {"": data} if isinstance(data, np.ndarray) else {name: data[name] for name in data}
    except OSError:
        raise
    except Exception as error:  # zip, zlib, tokenizer: a broken file fails wherever it is broken
        raise ValueError(f"{path}: not an NPZ or NPY file of numbers ({error})") from None


def as_maps(path: str | Path, stored: NDArray[Any]) -> NDArray[np.float32]:
    """Stored maps as float32; int16 counts 1/1024.

    Raises:
        ValueError: they are of another kind; the message names the file.
    """
    if stored.dtype == np.int16:
        return stored.astype(np.float32) * INT16_UNIT
    if not np.issubdtype(stored.dtype, np.floating):
        raise ValueError(f"{path}: expected numbers with a point, or int16 in 1/1024, got {stored.dtype}")
    return stored.astype(np.float32, copy=False)
