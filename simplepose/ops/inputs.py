"""Inputs of the ops: their types, checks and conversion to contiguous maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_instance, describe, is_tensor
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import Backend, DecodeConfig
from simplepose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    import torch

MOST_THREADS = 1024

MOST_CELLS = 2**31 - 1
"""Cells of one map are counted in 32 bits."""


def check_backend(backend: object) -> None:
    """ValueError unless ``backend`` is one of the known ones."""
    if backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(map(repr, get_args(Backend)))}, got {backend!r}")


def check_threads(threads: object) -> None:
    """TypeError or ValueError unless ``threads`` is None or a sensible number."""
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads: expected None or an integer, got {threads!r}")
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads: expected None or 1 to {MOST_THREADS}, got {threads}")


def image_maps(name: str, value: Any, channels: dict[int, str]) -> NDArray[np.float32]:
    """Maps of one image or a batch as a C-contiguous float32 array on the host.

    Args:
        name: the argument's name, for messages.
        value: ``[C, H, W]`` or ``[B, C, H, W]``, NumPy or torch on any device; float32, or float16 and bfloat16,
            which are converted. Arrays that are not contiguous cost a copy; read-only ones do not.
        channels: the channel counts that fit, each with what it means.

    Returns:
        ``[B, C, H, W]``; a view of ``value`` where no copy is needed.
    """
    array = _tensor_to_array(name, value) if is_tensor(value) else value
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array or torch tensor, got {describe(value)}")
    if array.dtype != np.float32:
        if array.dtype != np.float16:
            raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {describe(value)}")
        array = array.astype(np.float32)
    if array.ndim == 3:
        array = array[None]
    _check_map_shape(name, value, array.shape, channels)
    return array if array.flags.c_contiguous and array.flags.aligned else np.require(array, None, ["C", "A"])


def device_maps(name: str, value: Any, channels: dict[int, str]) -> torch.Tensor:
    """What `image_maps` gives as a tensor on the device of ``value``: ``[B, C, H, W]``, contiguous, detached.

    Tensors keep their type. Arrays become float32 tensors on the CPU.
    """
    if not is_tensor(value):
        import torch

        return torch.from_numpy(np.require(image_maps(name, value, channels), requirements="W"))
    _check_dense(name, value)
    if str(value.dtype) not in ("torch.float32", "torch.float16", "torch.bfloat16"):
        raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {describe(value)}")
    tensor = value.detach()
    if tensor.ndim == 3:
        tensor = tensor[None]
    _check_map_shape(name, value, tuple(tensor.shape), channels)
    return tensor.contiguous()


def _check_map_shape(name: str, value: Any, shape: tuple[int, ...], channels: dict[int, str]) -> None:
    if len(shape) != 4:
        raise ValueError(f"{name}: expected [C, H, W] or [B, C, H, W], got {describe(value)}")
    if shape[1] not in channels:
        known = " or ".join(f"{count} ({meaning})" for count, meaning in channels.items())
        raise ValueError(f"{name}: expected {known} channels, got {shape[1]} in {describe(value)}")
    if not 0 < shape[2] * shape[3] <= MOST_CELLS:
        raise ValueError(f"{name}: expected maps with at least one cell, got {describe(value)}")


def _check_dense(name: str, tensor: torch.Tensor) -> None:
    if str(tensor.layout) != "torch.strided":
        raise TypeError(f"{name}: expected a dense tensor, got {tensor.layout} {list(tensor.shape)}")


def _tensor_to_array(name: str, tensor: torch.Tensor) -> NDArray[Any]:
    import torch

    _check_dense(name, tensor)
    if tensor.dtype in (torch.bfloat16, torch.float16):
        tensor = tensor.float()
    return tensor.detach().cpu().numpy()


def grid_to_image(stride: int) -> tuple[float, float]:
    """(scale, shift): cell ``i`` of the maps lies at image pixel ``i * scale + shift``."""
    return float(stride), stride / 2 - 0.5


def all_maps(skeleton: Skeleton) -> dict[int, str]:
    """The channel counts of maps that hold parts and keypoints, for `image_maps`."""
    count = skeleton.num_parts + skeleton.num_keypoints
    return {count: "parts and keypoints", skeleton.num_channels: "and mask and envelope"}


def keypoint_maps(maps: Any, skeleton: Skeleton) -> Any:
    """``[B, J, H, W]``: those among maps of keypoints alone, or of parts and keypoints; array or tensor."""
    if maps.shape[1] == skeleton.num_keypoints:
        return maps
    return maps[:, skeleton.num_parts : skeleton.num_parts + skeleton.num_keypoints]


def check_call(skeleton: object, config: object, backend: object, threads: object = None) -> None:
    """TypeError or ValueError unless these are what the decoding ops take."""
    check_instance("skeleton", skeleton, Skeleton)
    check_instance("config", config, DecodeConfig)
    check_backend(backend)
    check_threads(threads)


def per_image(name: str, value: Any, kind: type, count: int) -> list[Any]:
    """``value`` as a list with one ``kind`` for each of ``count`` images; TypeError or ValueError otherwise."""
    values = [value] if isinstance(value, kind) else value
    if not isinstance(values, list) or not all(isinstance(v, kind) for v in values):
        raise TypeError(f"{name}: expected {kind.__name__} or a list of them, got {describe(value)}")
    if len(values) != count:
        raise ValueError(f"{name}: expected one {kind.__name__} for each of {count} images, got {len(values)}")
    return values


def peak_list(peaks: Any, count: int, skeleton: Skeleton) -> list[Peaks]:
    """The peaks of ``count`` images, checked."""
    found = per_image("peaks", peaks, Peaks, count)
    for one in found:
        check_peaks(one, skeleton)
    return found


def check_peaks(peaks: Peaks, skeleton: Skeleton) -> None:
    """TypeError or ValueError unless ``peaks`` is what `find_peaks` gives for the skeleton."""
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


def check_parts(parts: CandidateParts, peaks: Peaks, skeleton: Skeleton) -> None:
    """TypeError or ValueError unless ``parts`` is what `match_parts` gives for the peaks."""
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
