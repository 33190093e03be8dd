"""Training targets: the public render_targets, which checks its arguments once and picks the backend."""

from __future__ import annotations

import importlib.util
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simplepose.ops import reference
from simplepose.ops.inputs import check_backend, check_count, check_instance, check_threads, is_tensor
from simplepose.ops.config import Backend, TargetConfig
from simplepose.ops.native.module import load_native, require_native
from simplepose.ops.reference.render_targets import TargetRules, average_pyramid
from simplepose.skeleton.skeleton import COCO, Skeleton

DEFAULT_CONFIG = TargetConfig()

MAX_SIZE = 2**20
"""Up to this many pixels the positions of the cells are exact in float32."""

MAX_SCALES = 16


def render_targets(
    keypoints: Any,
    size: tuple[int, int],
    skeleton: Skeleton = COCO,
    config: TargetConfig = DEFAULT_CONFIG,
    backend: Backend = "auto",
    threads: int | None = None,
    scales: int = 1,
    envelope: bool = False,
    dtype: Any = None,
) -> Any:
    """The maps that a network is trained to predict, from annotated keypoints.

    A keypoint channel holds the maximum over people of a Gaussian at the keypoint, a part channel that of the
    Gaussian of the distance from the part's line inside its ellipse. Keypoints count if their visibility is above 0
    and x and y are finite; what lies off the image contributes what falls inside. There is no gradient.

    Args:
        keypoints: ``[P, J, 3]`` or ``[B, P, J, 3]`` x, y in image pixels and COCO visibility, float32 or float64
            (rounded to float32), NumPy or torch. Arrays that are not C-contiguous are copied.
        size: height and width of the image in pixels, multiples of ``config.stride``.
        skeleton: the keypoint types ``J`` and parts ``L``.
        config: widths, threshold, stride and shape.
        backend: "native" (C++, or CUDA for tensors there), "reference" (NumPy), or "auto": native where it is built
            and runs on the device, else vectorised PyTorch on the device.
        threads: most threads to use on the CPU; all processors if None.
        scales: how many maps the pyramid has, each the 2 x 2 average pool of the one before.
        envelope: whether to add a last channel, the maximum over the keypoint channels.
        dtype: for tensors, the maps' type: torch.float32 (also None), torch.float16 or torch.bfloat16, which are the
            float32 values rounded to nearest, also where scales are pooled.

    Returns:
        ``[L + J, H, W]`` or ``[B, L + J, H, W]`` (one more channel with the envelope), H and W the size over the
        stride, float32 or ``dtype``, of the same kind and on the same device as ``keypoints``. With ``scales`` above 1
        a tuple of them.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it, what was expected and what came.
        RuntimeError: backend "native" is not there or cannot run on the device; the message says why.
    """
    _check_options(skeleton, config, backend, threads, envelope)
    checked_size = _check_size(size, config.stride, scales)
    drawing = Drawing(checked_size, skeleton, config, threads, scales, envelope)
    single = getattr(keypoints, "ndim", 0) == 3
    maps: Any
    if is_tensor(keypoints):
        from simplepose.ops.native import torch_ops_render as torch_targets

        _check_keypoints(tuple(keypoints.shape), str(keypoints.dtype).removeprefix("torch."), skeleton)
        maps = torch_targets.render(keypoints[None] if single else keypoints, drawing, backend, dtype)
    elif isinstance(keypoints, np.ndarray):
        _check_keypoints(keypoints.shape, str(keypoints.dtype), skeleton)
        if dtype is not None:
            raise TypeError(f"dtype: expected None for NumPy arrays, whose maps are float32, got {dtype!r}")
        with np.errstate(over="ignore"):  # too large for float32: infinite, which is not labelled
            batch = np.ascontiguousarray(keypoints[None] if single else keypoints, np.float32)
        maps = render_arrays(batch, drawing, backend)
    else:
        raise TypeError(f"keypoints: expected a NumPy array or a torch tensor, got {type(keypoints).__name__}")
    if single:
        maps = [scale[0] for scale in maps]
    return maps[0] if scales == 1 else tuple(maps)


class Drawing(NamedTuple):
    """What to draw, checked."""

    size: tuple[int, int]  # height and width of the image in pixels
    skeleton: Skeleton
    config: TargetConfig
    threads: int | None
    scales: int
    envelope: bool


def render_arrays(keypoints: NDArray[np.float32], drawing: Drawing, backend: str) -> list[NDArray[np.float32]]:
    """One array a scale, for C-contiguous ``[B, P, J, 3]`` float32 keypoints."""
    size, skeleton, config, threads, scales, envelope = drawing
    module, _ = load_native()
    if backend == "native" or (backend == "auto" and module is not None):
        return render_native(keypoints, size, skeleton.part_index, config, threads, scales, envelope)
    if backend == "auto" and importlib.util.find_spec("torch"):
        from simplepose.ops.native import torch_ops_render as torch_targets

        return [scale.numpy() for scale in torch_targets.render_baseline(keypoints, drawing)]
    shapes = map_shapes(keypoints.shape, size, skeleton.num_parts, config.stride, 1, envelope)
    maps = np.empty(shapes[0], np.float32)
    for image, people in zip(maps, keypoints, strict=True):
        image[:] = reference.render_targets(people, size, skeleton, config, envelope)
    return list(average_pyramid(maps, scales))


def render_native(
    keypoints: NDArray[np.float32],
    size: tuple[int, int],
    parts: NDArray[np.int32],
    config: TargetConfig,
    threads: int | None,
    scales: int,
    envelope: bool,
) -> list[NDArray[np.float32]]:
    """The C++ op: ``keypoints [B, P, J, 3]``, ``parts [L, 2]``, both C-contiguous; one array a scale."""
    native = require_native()
    shapes = map_shapes(keypoints.shape, size, len(parts), config.stride, scales, envelope)
    maps = [np.empty(shape, np.float32) for shape in shapes]
    native.render_targets(keypoints, parts, TargetRules.of(config), maps, envelope, threads or 0)
    return maps


def map_shapes(
    keypoints: Sequence[int], size: tuple[int, int], parts: int, stride: int, scales: int, envelope: bool
) -> list[tuple[int, int, int, int]]:
    """The shape of each scale's maps for keypoints of shape ``[B, P, J, 3]``."""
    channels = parts + keypoints[2] + int(envelope)
    height, width = size[0] // stride, size[1] // stride
    return [(keypoints[0], channels, height >> scale, width >> scale) for scale in range(scales)]


def _check_options(skeleton: Skeleton, config: TargetConfig, backend: str, threads: int | None, envelope: bool) -> None:
    check_instance("skeleton", skeleton, Skeleton)
    check_instance("config", config, TargetConfig)
    check_backend(backend)
    check_threads(threads)
    if not isinstance(envelope, bool):
        raise TypeError(f"envelope: expected True or False, got {envelope!r}")


def _check_size(size: tuple[int, int], stride: int, scales: int) -> tuple[int, int]:
    check_count("scales", scales, 1, MAX_SCALES)
    try:
        height, width = (operator.index(length) for length in size)
    except (TypeError, ValueError):
        raise TypeError(f"size: expected (height, width) as two integers, got {size!r}") from None
    multiple = stride * 2 ** (scales - 1)
    named = f"the stride {stride}" if scales == 1 else f"{multiple}, which is the stride {stride} times 2^{scales - 1}"
    if min(height, width) <= 0 or height % multiple or width % multiple or max(height, width) > MAX_SIZE:
        raise ValueError(f"size: expected positive multiples of {named}, up to {MAX_SIZE}, got {(height, width)}")
    return height, width


def _check_keypoints(shape: tuple[int, ...], dtype: str, skeleton: Skeleton) -> None:
    if dtype not in ("float32", "float64"):
        raise TypeError(f"keypoints: expected float32 or float64, got {dtype}")
    if len(shape) not in (3, 4) or tuple(shape[-2:]) != (skeleton.num_keypoints, 3):
        count = skeleton.num_keypoints
        raise ValueError(
            f"keypoints: expected [P, {count}, 3] or [B, P, {count}, 3] for skeleton {skeleton.name!r}, "
            f"got {list(shape)}"
        )
