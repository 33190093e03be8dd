"""The CUDA kernels without a GPU: their source, compiled for the host and run by ``cuda_emulator/emulator.h``."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import simplepose as sp

CSRC = Path(__file__).resolve().parents[2] / "csrc"
EMULATOR = Path(__file__).resolve().parent / "cuda_emulator"
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
ORDERS = {"forwards": 0, "backwards": 1, "shuffled": 2}
"""The order in which the emulation runs threads and blocks. No result may depend on it."""

TYPES = {"float32": 0, "float16": 1, "bfloat16": 2}


class EmulationError(Exception):
    """An error of a kernel: an index out of bounds, or an access that is not aligned."""


def compile_library(sources: list[Path], csrc: Path, *flags: str) -> ctypes.CDLL:
    """A shared library of C++ sources, compiled with ``csrc`` and the emulator as include paths.

    Skips the test if there is no compiler or no source tree.
    """
    compiler = shutil.which(os.environ.get("CXX", "c++")) or shutil.which("g++")
    if compiler is None:
        pytest.skip("the emulation needs a C++ compiler")
    if not csrc.is_dir():
        pytest.skip("the emulation needs the C++ sources beside the tests")
    library = Path(mkdtemp(prefix="simplepose-emulation-")) / "emulation.so"
    command = [compiler, *FLAGS, *flags, f"-I{csrc}", f"-I{EMULATOR}", *map(str, sources), "-o", str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = ctypes.CDLL(str(library))
    shutil.rmtree(library.parent)
    return loaded


@lru_cache(maxsize=1)
def decode_library() -> ctypes.CDLL:
    """The decoding kernels."""
    return decode_library_of(CSRC)


def decode_library_of(csrc: Path, *flags: str) -> ctypes.CDLL:
    """The decoding kernels of a source folder."""
    hosts = [path for op in ("match_parts", "assign_keypoints") for path in sorted((csrc / op).glob("*.cpp"))]
    hosts.append(csrc / "common" / "sort_keys.cpp")
    return compile_library([EMULATOR / "emulate_decode.cpp", *hosts], csrc, *flags)


class _AnyMaps(ctypes.Structure):
    _fields_ = (
        ("cells", ctypes.c_void_p), ("type", ctypes.c_int), ("flip", ctypes.c_bool), ("images", ctypes.c_int64),
        ("channels", ctypes.c_int), ("rows", ctypes.c_int), ("columns", ctypes.c_int),
        ("sizes", ctypes.c_void_p), ("mirror", ctypes.c_void_p),
    )  # fmt: skip


class _DecodeSettings(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_float) for name in
          ("peak_threshold", "part_threshold", "max_part_ratio", "min_cut_length", "min_single_score",
           "join_distance", "min_join_size")),
        *((name, ctypes.c_int) for name in ("max_peaks", "num_samples", "min_samples", "min_keypoints")),
        *((name, ctypes.c_bool) for name in ("part_score_product", "reassign", "allow_shared_keypoints")),
    )  # fmt: skip


class Maps(NamedTuple):
    """A batch of maps as the kernels read it."""

    cells: NDArray[Any]  # [B, C, H, W], or [2 B, C, H, W] with mirror; float32, float16, or bfloat16's bits as uint16
    sizes: NDArray[np.int32] | None = None  # [B, 2] height and width
    mirror: NDArray[np.int32] | None = None  # [C]

    @property
    def images(self) -> int:
        return len(self.cells) // (1 if self.mirror is None else 2)

    def struct(self) -> _AnyMaps:
        kind = TYPES["bfloat16" if self.cells.dtype == np.uint16 else str(self.cells.dtype)]
        assert self.cells.flags.c_contiguous
        tables = [None if table is None else table.ctypes.data for table in (self.sizes, self.mirror)]
        shape = self.cells.shape[1:]
        return _AnyMaps(self.cells.ctypes.data, kind, self.mirror is not None, self.images, *shape, *tables)


def aligned(array: NDArray[Any], offset: int = 0) -> NDArray[Any]:
    """A copy of ``array`` that starts ``offset`` bytes after a multiple of 64."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def find_peaks(
    maps: Maps,
    keypoints: int,
    config: sp.DecodeConfig,
    order: str = "forwards",
    *,
    first_channel: int = 0,
    library: ctypes.CDLL | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Slots ``[max_peaks, B, J, 3]``, NaN where not written, and counts ``[B, J]``."""
    planes = (maps.images, keypoints)
    slots = np.full((config.max_peaks, *planes, 3), np.nan, np.float32)
    counts = np.full(planes, -1, np.int32)
    _call(
        (library or decode_library()).emulate_find_peaks, ORDERS[order], ctypes.byref(maps.struct()), first_channel,
        keypoints, ctypes.c_float(config.peak_threshold), config.max_peaks, slots, counts,
    )  # fmt: skip
    return slots, counts


class Hits(NamedTuple):
    """The output of match_parts: accepted pairs, packed by image and part."""

    total: int
    first: NDArray[np.int64]  # [B, L]
    counts: NDArray[np.int32]  # [B, L]
    hits: NDArray[np.int32]  # [capacity, 2] pair and the response's bits


def match_parts(
    maps: Maps,
    slots: NDArray[np.float32],
    counts: NDArray[np.int32],
    skeleton: sp.Skeleton,
    config: sp.DecodeConfig,
    order: str = "forwards",
    capacity: int = 1 << 16,
    library: ctypes.CDLL | None = None,
) -> Hits:
    """The accepted pairs of peaks."""
    total = np.zeros(1, np.int64)
    blocks = (maps.images, skeleton.num_parts)
    first, accepted = np.full(blocks, -1, np.int64), np.full(blocks, -1, np.int32)
    hits = np.full((capacity, 2), -1, np.int32)
    _call(
        (library or decode_library()).emulate_match_parts, ORDERS[order], ctypes.byref(maps.struct()),
        skeleton.part_index, skeleton.num_parts, skeleton.num_keypoints, ctypes.c_float(config.part_threshold),
        config.num_samples, config.min_samples, slots, counts, config.max_peaks, total, first, accepted, hits,
        ctypes.c_int64(capacity),
    )  # fmt: skip
    return Hits(int(total[0]), first, accepted, hits)


class Decoded(NamedTuple):
    """The result of a batch, and its numbers of copies and allocations."""

    poses: list[sp.Poses] | None  # in cells; None: too many candidates
    copies: int  # from the device to the host
    allocations: int  # on the device


def decode(
    maps: Maps,
    skeleton: sp.Skeleton,
    config: sp.DecodeConfig,
    order: str = "forwards",
    most_people: int = 2000,
    library: ctypes.CDLL | None = None,
) -> Decoded:
    """Decode a device batch; its buffers are kept from call to call."""
    rows = np.full((maps.images, most_people, skeleton.num_keypoints, 3), np.nan, np.float32)
    scores = np.full((maps.images, most_people), np.nan, np.float32)
    people, truncated = np.zeros(maps.images, np.int32), np.zeros(maps.images, np.int32)
    copies, allocations = np.zeros(1, np.int32), np.zeros(1, np.int32)
    settings = _DecodeSettings(
        config.peak_threshold, config.part_threshold, config.max_part_ratio,
        config.min_cut_length, config.min_single_score, config.join_distance,
        config.min_join_size, config.max_peaks, config.num_samples,
        config.min_samples, config.min_keypoints,
        config.part_score == "product", config.reassign, config.allow_shared_keypoints,
    )  # fmt: skip
    answer = _call(
        (library or decode_library()).emulate_decode, ORDERS[order], ctypes.byref(maps.struct()),
        skeleton.num_keypoints, skeleton.part_index, skeleton.num_parts, ctypes.byref(settings), most_people, rows,
        scores, people, truncated, copies, allocations,
    )  # fmt: skip
    cost = (int(copies[0]), int(allocations[0]))
    if answer == 1:
        return Decoded(None, *cost)
    poses = [sp.Poses(rows[i, :n], scores[i, :n], skeleton, bool(truncated[i])) for i, n in enumerate(people.tolist())]
    return Decoded(poses, *cost)


def _call(function: Any, *arguments: Any) -> int:
    error = ctypes.create_string_buffer(1000)
    plain = [ctypes.c_void_p(a.ctypes.data) if isinstance(a, np.ndarray) else a for a in arguments]
    answer = int(function(*plain, error, len(error)))
    if answer < 0:
        raise EmulationError(error.value.decode())
    return answer


class EmulatedKernels:
    """The CUDA functions of the native module, emulated for tensors on the CPU."""

    has_cuda = True

    def __init__(self, skeleton: sp.Skeleton, config: sp.DecodeConfig) -> None:
        self.skeleton, self.config = skeleton, config

    def find_peaks_cuda(self, maps, first_channel, threshold, mirror, slots, counts, stream) -> None:
        slots, counts = _array(slots), _array(counts)
        config = sp.DecodeConfig(peak_threshold=threshold, max_peaks=len(slots))
        batch = Maps(_array(maps), None, _array(mirror))
        results = find_peaks(batch, slots.shape[2], config, first_channel=first_channel)
        slots[...] = np.nan_to_num(results[0])
        counts[...] = results[1]

    def match_parts_cuda(
        self, maps, parts, threshold, samples, needed, mirror, slots, counts, total, first, hit_counts, hits, stream
    ) -> None:
        assert (_array(parts) == self.skeleton.part_index).all()
        peaks, packed = _array(slots), _array(hits)
        config = sp.DecodeConfig(
            part_threshold=threshold, num_samples=samples, min_sample_fraction=needed / samples, max_peaks=len(peaks)
        )
        batch = Maps(_array(maps), None, _array(mirror))
        accepted = match_parts(batch, peaks, _array(counts), self.skeleton, config, capacity=len(packed))
        for target, value in ((total, accepted.total), (first, accepted.first), (hit_counts, accepted.counts)):
            _array(target)[...] = value
        packed[...] = accepted.hits

    def start_decode(self, decoder, maps, sizes, mirror, stream):
        batch = Maps(_array(maps), sizes, mirror)
        return _EmulatedBatch(decode(batch, self.skeleton, self.config), batch.images)


class _EmulatedBatch:
    def __init__(self, decoded: Decoded, images: int) -> None:
        self.decoded, self.images = decoded, images

    def wait(self) -> bool:
        return self.decoded.poses is not None

    def decode_image(self, image, scale, shift):
        poses = self.decoded.poses[image]
        transform = np.array([[scale, scale, 1], [shift, shift, 0]], np.float32)
        return poses.keypoints * transform[0] + transform[1], poses.scores, poses.truncated

    def decode(self, scale, shift, threads):
        return [self.decode_image(image, scale, shift) for image in range(len(self.decoded.poses))]


def _array(capsule: Any) -> Any:
    if capsule is None:
        return None
    tensor = torch.utils.dlpack.from_dlpack(capsule)
    return tensor.view(torch.int16).numpy().view(np.uint16) if tensor.dtype == torch.bfloat16 else tensor.numpy()
