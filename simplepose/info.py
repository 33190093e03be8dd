"""Facts about this installation: versions, native build, CUDA, threads."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Any

from simplepose.ops.backend import CPU, Device, Implementation, choose
from simplepose.ops.native import module as native

OPS = ("render_targets", "find_peaks", "match_parts", "assign_keypoints", "decode")

RUNS: dict[Implementation, str] = {
    "cpp": "C++",
    "cuda": "a CUDA kernel",
    "torch": "PyTorch",
    "reference": "the NumPy reference",
}

PACKAGES = ("numpy", "torch", "opencv-python", "pycocotools", "safetensors")


def info() -> dict[str, Any]:
    """Facts about this installation by name, as `simplepose info --json` prints them.

    They are the versions of the packages, the native module, the CUDA ops and, if these cannot run, the reason, and
    for each op the implementation that ``backend="auto"`` selects.
    """
    module, reason = native.load_native()
    why_no_cuda = native.why_no_cuda(0)
    return {
        "simplepose": metadata.version("simplepose") if _installed("simplepose") else "source tree",
        "python": platform.python_version(),
        **{name: metadata.version(name) if _installed(name) else "not installed" for name in PACKAGES},
        "machine": machine(),
        "native": module is not None,
        "native_reason": reason,
        "native_version": getattr(module, "version", ""),
        "avx2": bool(module and module.uses_avx2()),
        "avx512": bool(module and module.uses_avx512()),
        "threads": native.default_threads() if module else 1,
        "cuda_compiled": bool(module and module.has_cuda),
        "cuda_architectures": getattr(module, "cuda_architectures", ""),
        "cuda_usable": not why_no_cuda,
        "cuda_reason": why_no_cuda,
        **{op: op_path(op) for op in OPS},
        "part_affinity_fields": op_path("decode", "paf"),
    }


def op_path(op: str, encoding: str = "parts") -> str:
    """The implementation of an op with ``backend="auto"``, on the CPU and on the first CUDA device, in one phrase."""
    host = RUNS[choose(op, "auto", CPU, encoding).implementation]
    if op == "assign_keypoints":
        return f"{host}, always on the CPU"
    device = RUNS[choose(op, "auto", Device("cuda", 0), encoding).implementation]
    return f"{host} on the CPU, {device} on a CUDA device"


def machine() -> str:
    """The processor, the number of cores that this process may use, and the system."""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), name)
    except OSError:
        pass
    cores = native.default_threads() if native.load_native()[0] else 1
    return f"{name}, {cores} cores, {platform.system()} {platform.machine()}"


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
