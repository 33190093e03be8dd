"""The decoding ops, one call each: find_peaks, match_parts, assign_keypoints. `decode` does the three in a row."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from simplepose.ops.native import module as native
from simplepose.ops import reference
from simplepose.ops.inputs import (
    MOST_CELLS,
    all_maps,
    check_backend,
    check_count,
    check_instance,
    check_threads,
    describe,
    device_maps,
    image_maps,
    is_tensor,
)
from simplepose.ops.config import DecodeConfig
from simplepose.poses import Poses
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.skeleton.skeleton import COCO, Skeleton

DEFAULT_CONFIG = DecodeConfig()


def find_peaks(
    heatmaps: Any,
    skeleton: Skeleton = COCO,
    config: DecodeConfig = DEFAULT_CONFIG,
    backend: str = "auto",
    threads: int | None = None,
) -> list[Peaks]:
    """Candidate keypoints: heatmap NMS with sub-pixel positions (rule 1; DESIGN section 4).

    Args:
        heatmaps: ``[C, H, W]`` or ``[B, C, H, W]`` with C = J keypoint maps, or all maps as `decode` takes them.
        skeleton: what the channels are.
        config: ``peak_threshold`` and ``max_peaks`` are used.
        backend: "reference" is the plain NumPy op. "auto" and "native" take the kernel for CUDA tensors if the build
            has one for their device, else vectorised PyTorch on the device; for other tensors and arrays the C++ op.
            Without a native build "auto" takes the reference there, and "native" raises for all. They agree exactly.
        threads: at most so many in C++; default: all processors.

    Returns:
        One `Peaks` an image, positions in grid cells.

    Raises:
        TypeError, ValueError: an argument is not as said above; the message names it.
        RuntimeError: ``backend="native"`` where the extension was not built; the message says how to build it.
    """
    _check_call(skeleton, config, backend, threads)
    channels = {skeleton.num_keypoints: "keypoints alone", **all_maps(skeleton)}
    way = choose_way(heatmaps, backend)
    if way != "host":
        from simplepose.ops import pytorch as baseline
        from simplepose.ops.native import decode_batch as torch_decode

        tensor = device_maps("heatmaps", heatmaps, channels)
        if way == "kernels":
            return torch_decode.find_peaks(tensor, skeleton, config)
        return baseline.find_peaks(_keypoint_maps(tensor, skeleton), config)
    maps = _keypoint_maps(image_maps("heatmaps", heatmaps, channels), skeleton)
    if native.use_native(backend):
        decoder = native.decoder(skeleton, config)
        found = decoder.find_peaks(np.ascontiguousarray(maps), threads or native.default_threads())
        return [Peaks(*peaks) for peaks in found]
    return [reference.find_peaks(image, config) for image in maps]


def match_parts(
    heatmaps: Any,
    peaks: Peaks | list[Peaks],
    skeleton: Skeleton = COCO,
    config: DecodeConfig = DEFAULT_CONFIG,
    backend: str = "auto",
) -> list[CandidateParts]:
    """Candidate parts: pairs of peaks with a response of the part map between them (rule 2; paper section 3.4).

    Args:
        heatmaps: ``[C, H, W]`` or ``[B, C, H, W]`` with C = L part maps, or all maps as `decode` takes them.
        peaks: what `find_peaks` gave for the same images.
        skeleton: what the channels are.
        config: ``part_threshold``, ``samples``, ``share`` and ``rank`` are used.
        backend: as in `find_peaks`.

    Returns:
        One `CandidateParts` an image.
    """
    _check_call(skeleton, config, backend, None)
    channels = {skeleton.num_parts: "parts alone", **all_maps(skeleton)}
    way = choose_way(heatmaps, backend)
    if way != "host":
        from simplepose.ops import pytorch as baseline
        from simplepose.ops.native import decode_batch as torch_decode

        tensor = device_maps("heatmaps", heatmaps, channels)
        peak_list = _peak_list(peaks, len(tensor), skeleton)
        if way == "torch":
            return list(baseline.match_parts(tensor[:, : skeleton.num_parts], peak_list, skeleton, config))
        candidates = torch_decode.match_parts(tensor, peak_list, skeleton, config)
        if candidates is not None:
            return candidates
    maps = image_maps("heatmaps", heatmaps, channels)
    peak_list = _peak_list(peaks, len(maps), skeleton)
    parts = maps[:, : skeleton.num_parts]
    if not native.use_native(backend):
        return [reference.match_parts(m, p, skeleton, config) for m, p in zip(parts, peak_list, strict=True)]
    decoder = native.decoder(skeleton, config)
    pairs = zip(parts, peak_list, strict=True)
    return [CandidateParts(*decoder.match_parts(m, p.type, p.xy, p.score)) for m, p in pairs]


def assign_keypoints(
    peaks: Peaks | list[Peaks],
    parts: CandidateParts | list[CandidateParts],
    skeleton: Skeleton = COCO,
    config: DecodeConfig = DEFAULT_CONFIG,
    stride: int = 4,
    backend: str = "auto",
) -> list[Poses]:
    """People: the greedy assignment (rules 3 to 7; paper section 3.4, with what docs/decoding.md adds).

    Args:
        peaks: what `find_peaks` gave.
        parts: what `match_parts` gave for the same images.
        skeleton: what keypoints and parts are.
        config: everything but the peak and sample settings is used.
        stride: image pixels between two cells of the maps.
        backend: "auto" and "native" are the C++ op, "reference" the plain Python one, which "auto" takes too where
            nothing native is built. It always runs on the CPU.

    Returns:
        One `Poses` an image, in image pixels.
    """
    _check_call(skeleton, config, backend, None)
    stride = check_count("stride", stride)
    peak_list = [peaks] if isinstance(peaks, Peaks) else list(peaks)
    part_list = _per_image("parts", parts, CandidateParts, len(peak_list))
    out = []
    for peak, part in zip(_per_image("peaks", peaks, Peaks, len(peak_list)), part_list, strict=True):
        _check_peaks(peak, skeleton)
        _check_parts(part, peak, skeleton)
        out.append(assign_image(peak, part, skeleton, config, stride, backend))
    return out


def assign_image(
    peaks: Peaks, parts: CandidateParts, skeleton: Skeleton, config: DecodeConfig, stride: int, backend: str
) -> Poses:
    """`assign_keypoints` of one image whose peaks and candidate parts need no checks."""
    if native.use_native(backend):
        keypoints, scores = native.decoder(skeleton, config).assign_keypoints(
            peaks.type, peaks.xy, peaks.score, parts.from_peak, parts.to_peak, parts.score, *grid_to_image(stride)
        )
    else:
        keypoints, scores = reference.assign_keypoints(peaks, parts, skeleton, config)
        keypoints = cells_to_pixels(keypoints, stride)
    return Poses(keypoints, scores, skeleton, peaks.truncated)


def choose_way(heatmaps: Any, backend: str) -> Literal["kernels", "torch", "host"]:
    """What finds and matches peaks: for CUDA tensors the kernels or, where the build has none that run on their device,
    PyTorch there; for all else, and for the reference, the host.

    Raises:
        RuntimeError: PyTorch would take the place of a native build that was asked for and is not there.
    """
    if backend == "reference" or not is_tensor(heatmaps):
        return "host"
    if native.use_cuda_on(heatmaps.device):
        return "kernels"
    if not native.lacks_kernels(heatmaps.device):
        return "host"
    if backend == "native":
        native.require_native()
    return "torch"


def grid_to_image(stride: int) -> tuple[float, float]:
    """(scale, shift): cell ``i`` of the maps lies at image pixel ``i * scale + shift``."""
    return float(stride), stride / 2 - 0.5


def cells_to_pixels(keypoints: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """``[..., 3]`` x, y, score from grid cells to image pixels."""
    scale, shift = grid_to_image(stride)
    return keypoints * np.array([scale, scale, 1], np.float32) + np.array([shift, shift, 0], np.float32)


def _keypoint_maps(maps: Any, skeleton: Skeleton) -> Any:
    """``[B, J, H, W]``: those among maps of keypoints alone, or of parts and keypoints."""
    if maps.shape[1] == skeleton.num_keypoints:
        return maps
    return maps[:, skeleton.num_parts : skeleton.num_parts + skeleton.num_keypoints]


def _check_call(skeleton: Skeleton, config: DecodeConfig, backend: str, threads: int | None) -> None:
    check_instance("skeleton", skeleton, Skeleton)
    check_instance("config", config, DecodeConfig)
    check_backend(backend)
    check_threads(threads)


def _per_image(name: str, value: Any, kind: type, count: int) -> list[Any]:
    values = [value] if isinstance(value, kind) else value
    if not isinstance(values, list) or not all(isinstance(v, kind) for v in values):
        raise TypeError(f"{name}: expected {kind.__name__} or a list of them, got {describe(value)}")
    if len(values) != count:
        raise ValueError(f"{name}: expected one {kind.__name__} for each of {count} images, got {len(values)}")
    return values


def _peak_list(peaks: Any, count: int, skeleton: Skeleton) -> list[Peaks]:
    found = _per_image("peaks", peaks, Peaks, count)
    for one in found:
        _check_peaks(one, skeleton)
    return found


def _check_peaks(peaks: Peaks, skeleton: Skeleton) -> None:
    count = len(peaks.type)
    _check_column("peaks.type", peaks.type, np.int32, (count,))
    _check_column("peaks.xy", peaks.xy, np.float32, (count, 2))
    _check_column("peaks.score", peaks.score, np.float32, (count,))
    if not ((np.abs(peaks.xy) <= MOST_CELLS).all() and np.isfinite(peaks.score).all()):  # NaN is not less either
        raise ValueError(f"peaks: expected positions up to {MOST_CELLS} cells and finite scores")
    if count and not (
        peaks.type[0] >= 0 and peaks.type[-1] < skeleton.num_keypoints and (np.diff(peaks.type) >= 0).all()
    ):
        raise ValueError(f"peaks.type: expected ascending keypoint types below {skeleton.num_keypoints}")


def _check_parts(parts: CandidateParts, peaks: Peaks, skeleton: Skeleton) -> None:
    count = len(parts.from_peak)
    for name in ("type", "from_peak", "to_peak"):
        _check_column(f"parts.{name}", getattr(parts, name), np.int32, (count,))
    _check_column("parts.score", parts.score, np.float32, (count,))
    if not np.isfinite(parts.score).all():
        raise ValueError("parts.score: expected finite numbers")
    if not count:
        return
    if not (parts.type[0] >= 0 and parts.type[-1] < skeleton.num_parts and (np.diff(parts.type) >= 0).all()):
        raise ValueError(f"parts.type: expected ascending part types below {skeleton.num_parts}")
    for name, index, column in (("from_peak", parts.from_peak, 0), ("to_peak", parts.to_peak, 1)):
        low, high = index.min(), index.max()
        if not (low >= 0 and high < len(peaks.type)):
            raise ValueError(f"parts.{name}: expected indices of the {len(peaks.type)} peaks, got {low} to {high}")
        if not np.array_equal(peaks.type[index], skeleton.part_index[parts.type, column]):
            raise ValueError(f"parts.{name}: a peak is not of the keypoint type that its part joins")


def _check_column(name: str, array: Any, dtype: type, shape: tuple[int, ...]) -> None:
    good = isinstance(array, np.ndarray) and array.dtype == dtype and array.shape == shape
    if not (good and array.flags.c_contiguous and array.flags.aligned):
        raise TypeError(f"{name}: expected a contiguous {np.dtype(dtype)} array {list(shape)}, got {describe(array)}")
