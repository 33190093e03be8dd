"""Checks of arguments, made once in the public functions. Messages read ``name: expected ..., got ...``."""

from __future__ import annotations

import importlib.util
import math
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNLIMITED = 2**63 - 1
"""Upper limit of `check_count` for a count without a limit of its own."""


def is_tensor(value: object) -> bool:
    """Whether ``value`` is a torch tensor. Does not import torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def describe(value: object) -> str:
    """A short description of an argument for messages: kind, dtype and shape."""
    if isinstance(value, np.ndarray):
        kind = "masked" if isinstance(value, np.ma.MaskedArray) else "NumPy"
        return f"{kind} {value.dtype} array {list(value.shape)}"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        dtype = str(value.dtype).removeprefix("torch.")
        return f"{dtype} tensor {'nested' if value.is_nested else list(value.shape)} on {value.device}"
    return f"{type(value).__name__} {brief(value)}"


def brief(value: object, most: int = 60) -> str:
    """A value in a message: its representation in one line, cut at ``most`` characters."""
    try:
        text = repr(value)
    except Exception:  # an integer of more than 4300 digits, or a class with a faulty __repr__
        text = f"an integer of {value.bit_length()} bits" if isinstance(value, int) else type(value).__name__
    return one_line(text, most)


def printable(text: str) -> str:
    """A line of text with its control characters escaped, as a file name may contain them."""
    return "".join(f"\\x{ord(c):02x}" if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") else c for c in text)


def show(value: object) -> str:
    """`brief` for values of files: null is "nothing", and of long lists and objects the length is shown."""
    if isinstance(value, list | dict) and len(value) > 20:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return "nothing" if value is None else brief(value)


def one_line(text: object, most: int = 400) -> str:
    """A text, such as the message of an error, in one line of at most ``most`` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else line[:most]


def check_instance(name: str, value: object, kind: type) -> None:
    """TypeError unless ``value`` is an instance of ``kind``."""
    if not isinstance(value, kind):
        raise TypeError(f"{name}: expected a {kind.__name__}, got {describe(value)}")


def check_readable(name: str, value: object) -> None:
    """TypeError if the numbers of an array or tensor cannot be read, or would be read without its mask.

    Masked arrays and sparse, nested, quantized and meta tensors are refused. Other kinds of objects pass.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected an array without a mask, got a {describe(value)}; use .filled()")
    if is_tensor(value):
        tensor: Any = value
        if tensor.is_nested or str(tensor.layout) != "torch.strided":
            kind = "nested tensor" if tensor.is_nested else f"{tensor.layout} {list(tensor.shape)}"
            raise TypeError(f"{name}: expected a dense tensor, got {kind}")
        if tensor.is_quantized:
            raise TypeError(f"{name}: expected a tensor that is not quantized, got {describe(value)}")
        if tensor.device.type == "meta":
            raise TypeError(f"{name}: expected a tensor with data, got {describe(value)}")


def has_dtype(array: NDArray[Any], *dtypes: Any) -> bool:
    """Whether an array has one of the dtypes, in any byte order."""
    return array.dtype.newbyteorder("=") in [np.dtype(dtype) for dtype in dtypes]


def check_flag(name: str, value: object) -> None:
    """TypeError unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {brief(value)}")


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """ValueError unless ``value`` is one of ``choices``."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, choices))}, got {brief(value)}")


def check_count(name: str, value: object, least: int = 1, most: int = 2**20, multiple: int = 1) -> int:
    """``value`` as an int in ``[least, most]`` that ``multiple`` divides; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}: expected an integer, got {brief(value)}")
    if not least <= value <= most or value % multiple:
        limits = f"at least {least}" if most == UNLIMITED else f"{least} to {most}"
        steps = f", a multiple of {multiple}" if multiple > 1 else ""
        raise ValueError(f"{name}: expected {limits}{steps}, got {brief(value)}")
    return int(value)


def check_number(
    name: str,
    value: object,
    *,
    above: float = -math.inf,
    least: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> float:
    """``value`` as a finite float within the limits; TypeError or ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name}: expected a number, got {brief(value)}")
    finite = abs(value) <= sys.float_info.max  # false for NaN; math.isfinite raises for huge integers
    if not (finite and above < value < below and least <= value <= most):
        limits = [f"above {above:g}"] * (above > -math.inf) + [f"at least {least:g}"] * (least > -math.inf)
        limits += [f"below {below:g}"] * (below < math.inf) + [f"at most {most:g}"] * (most < math.inf)
        raise ValueError(f"{name}: expected a finite number {', '.join(limits)}, got {brief(value)}")
    return float(value)


def check_range(name: str, value: object, kind: type = float, least: float = 0, most: float = math.inf) -> None:
    """TypeError or ValueError unless ``value`` is a tuple (low, high) with ``least <= low <= high <= most``."""
    kinds = (int,) if kind is int else (int, float)
    pair = value if isinstance(value, tuple) and len(value) == 2 else ()
    if not pair or any(isinstance(v, bool) or not isinstance(v, kinds) for v in pair):
        raise TypeError(f"{name}: expected two {'integers' if kind is int else 'numbers'}, got {brief(value)}")
    if not (least <= pair[0] <= pair[1] <= most and pair[1] <= sys.float_info.max):
        limits = f"{least:g} <= low <= high" + (f" <= {most:g}" if most < math.inf else "")
        raise ValueError(f"{name}: expected {limits}, got {brief(value)}")


def check_indices(name: str, values: Sequence[int], count: int) -> None:
    """ValueError unless all ``values`` are indices from 0 to ``count - 1``. Kernels do not check their indices."""
    if values and not (min(values) >= 0 and max(values) < count):
        raise ValueError(f"{name}: expected indices from 0 to {count - 1}, got {min(values)} to {max(values)}")


def check_installed(user: str, package: str, extra: str) -> None:
    """ModuleNotFoundError with the command that installs ``package``, unless it is installed."""
    if importlib.util.find_spec(package) is None:
        command = f"pip install 'simplepose[{extra}]'"
        raise ModuleNotFoundError(f"{user} needs {package}: {command}", name=package)
