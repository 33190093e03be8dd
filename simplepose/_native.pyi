"""The compiled module, as ``csrc/python/`` binds it; the package calls it after all arguments are checked.

Arrays must be C-contiguous and of the type that is written here. A capsule is a DLPack capsule of a contiguous CUDA
tensor, borrowed for the call. ``stream`` is a CUDA stream as an integer.
"""

from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

version: str
has_cuda: bool
cuda_architectures: str  # CMake's names, with spaces between them; empty without CUDA

MAX_KEYPOINTS: int
MAX_PEAKS: int
MAX_SAMPLES: int
MAX_FUSED_SCALES: int
MAX_HITS: int

class _CudaStatus(TypedDict):
    usable: bool
    reason: str  # why it is not usable; empty if it is
    devices: int
    name: str
    architecture: str

class _TargetRules(Protocol):
    @property
    def line(self) -> bool: ...
    @property
    def stride(self) -> float: ...
    @property
    def threshold(self) -> float: ...
    @property
    def keypoint_scale(self) -> float: ...
    @property
    def keypoint_radius(self) -> float: ...
    @property
    def part_scale(self) -> float: ...
    @property
    def part_radius(self) -> float: ...
    @property
    def part_inside(self) -> float: ...
    @property
    def window(self) -> float: ...
    @property
    def paf(self) -> bool: ...

_Capsule = object
_Peaks = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.float32], bool]  # type, xy, score, truncated
_Candidates = tuple[  # type, from_peak, to_peak, response, score
    NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32]
]
_People = tuple[NDArray[np.float32], NDArray[np.float32], bool]  # keypoints [N, J, 3], scores [N], truncated

def default_threads() -> int:
    """The processors that this process may run on."""

def uses_avx2() -> bool:
    """Whether the CPU ops run their AVX2 code."""

def uses_avx512() -> bool:
    """Whether find_peaks and match_parts run their AVX-512 code."""

def cuda_status(device: int = 0) -> _CudaStatus:
    """Whether a CUDA device can be used, and why not. Never raises."""

def render_targets(
    keypoints: NDArray[np.float32],  # [B, P, J, 3]
    parts: NDArray[np.int32],  # [L, 2]
    rules: _TargetRules,
    maps: list[NDArray[np.float32]],  # [B, C, H >> k, W >> k] for each scale k; written
    envelope: bool,
    threads: int,  # 0: all
) -> None: ...

class Decoder:
    """A skeleton and settings, for any number of calls."""

    def __init__(
        self,
        keypoints: int,
        part_index: NDArray[np.int32],  # [L, 2]
        config: dict[str, float | str | bool],  # the fields of DecodeConfig, and min_samples
    ) -> None: ...
    def decode(
        self,
        maps: NDArray[np.float32],  # [B, L + J or more, H, W]; 2 L with encoding "paf"
        scale: float,
        shift: float,
        threads: int,
    ) -> list[_People]: ...
    def decode_two_grids(
        self,
        keypoint_maps: NDArray[np.float32],  # [B, J, H, W]
        part_maps: NDArray[np.float32],  # [B, L, H', W']; 2 L with encoding "paf"
        part_scale: float,
        part_shift: float,
        scale: float,
        shift: float,
        threads: int,
    ) -> list[_People]: ...
    def find_peaks(self, maps: NDArray[np.float32], threads: int) -> list[_Peaks]: ...
    def match_parts(
        self,
        maps: NDArray[np.float32],  # [L, H, W]; [2 L, H, W] with encoding "paf"
        type: NDArray[np.int32],
        xy: NDArray[np.float32],
        score: NDArray[np.float32],
    ) -> _Candidates: ...
    def score_pairs(
        self,
        type: NDArray[np.int32],
        xy: NDArray[np.float32],
        score: NDArray[np.float32],
        pairs: list[NDArray[np.int32]],  # [M, 2] for each part type: pair, bits of its response
    ) -> _Candidates: ...
    def assign_keypoints(
        self,
        type: NDArray[np.int32],
        xy: NDArray[np.float32],
        score: NDArray[np.float32],
        from_peak: NDArray[np.int32],
        to_peak: NDArray[np.int32],
        part_score: NDArray[np.float32],
        scale: float,
        shift: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]: ...  # keypoints [N, J, 3], scores [N]

# The rest is there only where has_cuda is True.

def render_targets_cuda(
    keypoints: _Capsule,
    parts: _Capsule,
    rules: _TargetRules,
    maps: list[_Capsule],  # float32, float16 or bfloat16; written
    envelope: bool,
    stream: int,
) -> None: ...
def find_peaks_cuda(
    maps: _Capsule,  # [B, C, H, W], or [2 B, C, H, W] with mirror
    first_channel: int,
    threshold: float,
    mirror: _Capsule | None,  # [C] int32
    slots: _Capsule,  # [max_peaks, B, J, 3] float32; written
    counts: _Capsule,  # [B, J] int32; written
    stream: int,
) -> None: ...
def match_parts_cuda(
    maps: _Capsule,
    parts: _Capsule,  # [L, 2] int32
    threshold: float,
    samples: int,
    needed: int,
    mirror: _Capsule | None,
    slots: _Capsule,
    counts: _Capsule,
    total: _Capsule,  # [1] int64; written
    first: _Capsule,  # [B, L] int64; written
    hit_counts: _Capsule,  # [B, L] int32; written
    hits: _Capsule,  # [M, 2] int32; written
    stream: int,
) -> None: ...

class CudaBatch:
    """A batch that a GPU decodes."""

    @property
    def images(self) -> int: ...
    def wait(self) -> bool:
        """Waits for the device; False if the batch must be decoded on the host."""
    def decode(self, scale: float, shift: float, threads: int) -> list[_People]: ...
    def decode_image(self, image: int, scale: float, shift: float) -> _People: ...

def start_decode(
    decoder: Decoder,
    maps: _Capsule,  # must last until wait() has returned
    sizes: NDArray[np.int32] | None,  # [B, 2]
    mirror: NDArray[np.int32] | None,  # [C]
    stream: int,
) -> CudaBatch: ...
