"""The CUDA kernels of render_targets on the host: cuda_emulator/emulate_render_targets.cpp, compiled at first use."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import simplepose as sp
from helpers.emulation import CSRC, EMULATOR, compile_library
from simplepose.ops.reference.render_targets import TargetRules, map_shapes

TYPES = ("float32", "float16", "bfloat16")
ORDERS = ("forwards", "backwards", "shuffled")
POISON = 0xFF
"""The bytes of maps before the kernel writes them: NaN in every type."""


@cache
def library(csrc: Path = CSRC) -> ctypes.CDLL:
    """The emulation of the kernels of a source folder."""
    loaded = compile_library([EMULATOR / "emulate_render_targets.cpp"], csrc)
    loaded.emulate_render_targets.restype = ctypes.c_bool
    return loaded


def render_targets(
    keypoints: NDArray[np.float32],
    size: tuple[int, int],
    config: sp.TargetConfig,
    *,
    scales: int = 1,
    envelope: bool = False,
    dtype: str = "float32",
    order: str = "forwards",
    offset: int = 0,
    missing: int = 0,
    csrc: Path = CSRC,
) -> list[NDArray[np.generic]]:
    """The maps of ``keypoints [B, P, J, 3]``, one array for each scale; bfloat16 as its bits in uint16.

    Args:
        offset: number of elements by which each map starts after a multiple of 16 bytes.
        missing: number of cells at the end of the first scale that the kernel must not write.
        csrc: the source folder of the kernels.

    Raises:
        RuntimeError: the emulation detected an error of the kernel.
    """
    parts = np.ascontiguousarray(sp.COCO.part_index, np.int32)
    shapes = map_shapes(keypoints.shape, size, len(parts), config, scales, envelope)
    number = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}[dtype]
    maps = [_poisoned(shape, np.dtype(number), offset) for shape in shapes]
    pointers = (ctypes.c_void_p * scales)(*(scale.ctypes.data for scale in maps))
    rules = np.array(TargetRules.of(config), np.float32)
    points = np.ascontiguousarray(keypoints, np.float32)
    message = ctypes.create_string_buffer(200)
    passed = library(csrc).emulate_render_targets(
        ctypes.c_void_p(points.ctypes.data),
        ctypes.c_int64(points.shape[0]),
        ctypes.c_int64(points.shape[1]),
        points.shape[2],
        ctypes.c_void_p(parts.ctypes.data),
        len(parts),
        size[0] // config.stride,
        size[1] // config.stride,
        ctypes.c_bool(envelope),
        ctypes.c_void_p(rules.ctypes.data),
        pointers,
        scales,
        ctypes.c_int64(missing),
        TYPES.index(dtype),
        ORDERS.index(order),
        message,
        ctypes.c_size_t(len(message)),
    )
    if not passed:
        raise RuntimeError(message.value.decode())
    return maps


def _poisoned(shape: tuple[int, ...], dtype: np.dtype, offset: int) -> NDArray[np.generic]:
    count = int(np.prod(shape))
    memory = np.full(16 + (count + offset) * dtype.itemsize, POISON, np.uint8)
    start = -memory.ctypes.data % 16 + offset * dtype.itemsize
    return memory[start : start + count * dtype.itemsize].view(dtype).reshape(shape)


def rounded(values: NDArray[np.float32], dtype: str) -> NDArray[np.uint16]:
    """The bits of ``values``, rounded by the kernels' function."""
    bits = np.empty(values.shape, np.uint16)
    flat = np.ascontiguousarray(values)
    library()["round_to_" + dtype](
        ctypes.c_void_p(flat.ctypes.data), ctypes.c_void_p(bits.ctypes.data), ctypes.c_int64(values.size)
    )
    return bits
