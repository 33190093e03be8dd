"""Inputs of the ops: checks of the arguments and conversion to contiguous maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import brief, check_choice, check_instance, check_readable, describe, has_dtype, is_tensor
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import Alignment, Backend, DecodeConfig
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import Skeleton

if TYPE_CHECKING:
    import torch

MOST_THREADS = 1024
"""Upper limit of ``threads``."""

BACKENDS = get_args(Backend)
"""The values of ``backend``."""

ALIGNMENTS = get_args(Alignment)
"""The values of ``alignment``."""

MOST_CELLS = 2**31 - 1
"""Most cells of one map: they are counted in 32 bits."""


def check_backend(backend: object) -> None:
    """ValueError unless ``backend`` is a known backend."""
    if not isinstance(backend, str) or backend not in BACKENDS:
        check_choice("backend", backend, BACKENDS)


def check_alignment(alignment: object) -> None:
    """TypeError or ValueError unless ``alignment`` is a known alignment."""
    if not isinstance(alignment, str) or alignment not in ALIGNMENTS:
        check_choice("alignment", alignment, ALIGNMENTS)


def check_threads(threads: object) -> None:
    """TypeError or ValueError unless ``threads`` is None or an integer from 1 to `MOST_THREADS`."""
    if threads is None:
        return
    if isinstance(threads, bool) or not isinstance(threads, int):
        raise TypeError(f"threads: expected None or an integer, got {brief(threads)}")
    if not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads: expected None or 1 to {MOST_THREADS}, got {brief(threads)}")


def image_maps(name: str, value: Any, channels: dict[int, str]) -> NDArray[np.float32]:
    """Maps of one image or a batch as a C-contiguous float32 array on the host.

    Args:
        name: the argument's name, for messages.
        value: ``[C, H, W]`` or ``[B, C, H, W]``, NumPy or torch on any device; float32, or float16 and bfloat16,
            which are converted. Arrays that are not contiguous or not in native byte order are copied; read-only arrays
            are not.
        channels: the valid numbers of channels, each with its meaning.

    Returns:
        ``[B, C, H, W]``; a view of ``value`` where no copy is needed.

    Raises:
        TypeError, ValueError: kind, dtype or shape of ``value`` is not as described.
    """
    array = _tensor_to_array(name, value) if is_tensor(value) else value
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array or torch tensor, got {describe(value)}")
    if type(array) is not np.ndarray:
        check_readable(name, array)
    if array.dtype != np.float32:
        if not has_dtype(array, np.float32, np.float16):
            raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {describe(value)}")
        array = array.astype(np.float32)
    if array.ndim == 3:
        array = array[None]
    _check_map_shape(name, value, array.shape, channels)
    return array if array.flags.c_contiguous and array.flags.aligned else np.require(array, None, ["C", "A"])


def device_maps(name: str, value: Any, channels: dict[int, str]) -> torch.Tensor:
    """Maps as a contiguous, detached tensor ``[B, C, H, W]`` on the device of ``value``; arguments as in `image_maps`.

    Tensors keep their dtype. Arrays become float32 tensors on the CPU.

    Raises:
        TypeError, ValueError: kind, dtype or shape of ``value`` is not as described.
    """
    if not is_tensor(value):
        import torch

        array = image_maps(name, value, channels)
        copied = not array.flags.writeable or min(array.strides) < 0  # a single row may have a negative stride
        return torch.from_numpy(array.copy() if copied else array)
    check_readable(name, value)
    if str(value.dtype) not in ("torch.float32", "torch.float16", "torch.bfloat16"):
        raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {describe(value)}")
    tensor = value.detach().resolve_neg()
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


def _tensor_to_array(name: str, tensor: torch.Tensor) -> NDArray[Any]:
    import torch

    check_readable(name, tensor)
    if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise TypeError(f"{name}: expected float32, float16 or bfloat16, got {describe(tensor)}")
    return tensor.float().numpy(force=True)  # also from a device, and of a view with the negative bit


Grid = tuple[float, float]
"""(scale, shift): cell ``i`` of a grid lies at ``i * scale + shift`` of another grid or of the image."""


def grid_to_image(stride: int, alignment: Alignment = "center") -> Grid:
    """The grid of maps in image pixels."""
    return float(stride), stride / 2 - 0.5 if alignment == "center" else 0.0


def grid_to_parts(stride: int, part_stride: int, alignment: Alignment = "center") -> Grid:
    """The grid of keypoint maps in cells of part maps; both have the same place in the image and one alignment."""
    scale = stride / part_stride
    return scale, (scale - 1) / 2 if alignment == "center" else 0.0


def all_maps(skeleton: Skeleton, config: DecodeConfig) -> dict[int, str]:
    """The valid numbers of channels of maps that hold parts and keypoints, as `image_maps` takes them."""
    channels = map_channels(skeleton, config.encoding)
    return {channels.num_maps: "parts and keypoints", channels.num_channels: "and mask and envelope"}


def keypoint_maps(maps: Any, skeleton: Skeleton, config: DecodeConfig) -> Any:
    """The keypoint maps ``[B, J, H, W]`` of maps that hold only keypoints, or parts and keypoints; array or tensor."""
    if maps.shape[1] == skeleton.num_keypoints:
        return maps
    return maps[:, map_channels(skeleton, config.encoding).keypoints]


def check_call(skeleton: object, config: object, backend: object, threads: object = None) -> None:
    """TypeError or ValueError unless the arguments that all decoding ops share are valid."""
    check_instance("skeleton", skeleton, Skeleton)
    check_instance("config", config, DecodeConfig)
    check_backend(backend)
    check_threads(threads)


def per_image(name: str, value: Any, kind: type, count: int) -> list[Any]:
    """``value`` as a list of ``count`` objects of type ``kind``, one for each image; TypeError or ValueError if not."""
    values = [value] if isinstance(value, kind) else value
    if not isinstance(values, list) or not all(isinstance(v, kind) for v in values):
        raise TypeError(f"{name}: expected {kind.__name__} or a list of them, got {describe(value)}")
    if len(values) != count:
        raise ValueError(f"{name}: expected one {kind.__name__} for each of {count} images, got {len(values)}")
    return values


def peak_list(peaks: Any, count: int, skeleton: Skeleton) -> list[Peaks]:
    """The peaks of ``count`` images, checked."""
    checked: list[Peaks] = [native_order(p) for p in per_image("peaks", peaks, Peaks, count)]
    for image_peaks in checked:
        check_peaks(image_peaks, skeleton)
    return checked


Table = TypeVar("Table", Peaks, CandidateParts)


def native_order(table: Table) -> Table:
    """Peaks or parts with their columns in native byte order; those that are, are not copied."""
    swapped: dict[str, Any] = {
        name: column.astype(column.dtype.newbyteorder("="))
        for name, column in table._asdict().items()
        if isinstance(column, np.ndarray) and not column.dtype.isnative
    }
    return table._replace(**swapped) if swapped else table


def check_peaks(peaks: Peaks, skeleton: Skeleton) -> None:
    """TypeError or ValueError unless ``peaks`` is a valid result of `find_peaks` for the skeleton."""
    count = np.size(peaks.type)
    _check_column("peaks.type", peaks.type, np.int32, (count,))
    _check_column("peaks.xy", peaks.xy, np.float32, (count, 2))
    _check_column("peaks.score", peaks.score, np.float32, (count,))
    if not count:
        return
    near = peaks.xy.min() >= -MOST_CELLS and peaks.xy.max() <= MOST_CELLS  # false for NaN
    if not (near and np.isfinite(peaks.score).all()):
        raise ValueError(f"peaks: expected positions up to {MOST_CELLS} cells and finite scores")
    ascending = (peaks.type[1:] >= peaks.type[:-1]).all()
    if not (ascending and peaks.type[0] >= 0 and peaks.type[-1] < skeleton.num_keypoints):
        raise ValueError(f"peaks.type: expected ascending keypoint types below {skeleton.num_keypoints}")


def check_parts(parts: CandidateParts, peaks: Peaks, skeleton: Skeleton) -> None:
    """TypeError or ValueError unless ``parts`` is a valid result of `match_parts` for the peaks."""
    count = np.size(parts.from_peak)
    for name in ("type", "from_peak", "to_peak"):
        _check_column(f"parts.{name}", getattr(parts, name), np.int32, (count,))
    for name in ("response", "score"):
        _check_column(f"parts.{name}", getattr(parts, name), np.float32, (count,))
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
            raise ValueError(f"parts.{name}: a peak is not of the keypoint type that its part connects")


def _check_column(name: str, array: Any, dtype: type, shape: tuple[int, ...]) -> None:
    check_readable(name, array)
    matches = isinstance(array, np.ndarray) and array.dtype == dtype and array.shape == shape
    if not (matches and array.flags.c_contiguous and array.flags.aligned):
        raise TypeError(f"{name}: expected a contiguous {np.dtype(dtype)} array {list(shape)}, got {describe(array)}")
