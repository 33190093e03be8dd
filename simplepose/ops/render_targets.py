"""render_targets: keypoint and part target maps. Public function, checks, and dispatch for arrays."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import brief, check_count, check_flag, check_instance, check_readable, describe, is_tensor
from simplepose.ops.backend import resolve
from simplepose.ops.config import DEFAULT_TARGETS, Backend, TargetConfig
from simplepose.ops.inputs import check_backend, check_threads
from simplepose.ops.native.render_targets import render_cpp
from simplepose.ops.reference.render_targets import render_batch
from simplepose.skeleton.skeleton import COCO, Skeleton

if TYPE_CHECKING:
    import torch

MAX_SIZE = 2**20
"""Most rows or columns of an image in pixels: float32 holds the positions of its cells exactly."""

MAX_SCALES = 16
"""Upper limit of ``scales``."""


@overload
def render_targets(
    keypoints: NDArray[Any],
    size: tuple[int, int],
    skeleton: Skeleton = ...,
    config: TargetConfig = ...,
    backend: Backend = ...,
    *,
    threads: int | None = ...,
    scales: Literal[1] = ...,
    envelope: bool = ...,
    dtype: None = ...,
) -> NDArray[np.float32]: ...
@overload
def render_targets(
    keypoints: NDArray[Any],
    size: tuple[int, int],
    skeleton: Skeleton = ...,
    config: TargetConfig = ...,
    backend: Backend = ...,
    *,
    threads: int | None = ...,
    scales: int,
    envelope: bool = ...,
    dtype: None = ...,
) -> NDArray[np.float32] | tuple[NDArray[np.float32], ...]: ...
@overload
def render_targets(
    keypoints: torch.Tensor,
    size: tuple[int, int],
    skeleton: Skeleton = ...,
    config: TargetConfig = ...,
    backend: Backend = ...,
    *,
    threads: int | None = ...,
    scales: Literal[1] = ...,
    envelope: bool = ...,
    dtype: torch.dtype | None = ...,
) -> torch.Tensor: ...
@overload
def render_targets(
    keypoints: torch.Tensor,
    size: tuple[int, int],
    skeleton: Skeleton = ...,
    config: TargetConfig = ...,
    backend: Backend = ...,
    *,
    threads: int | None = ...,
    scales: int,
    envelope: bool = ...,
    dtype: torch.dtype | None = ...,
) -> torch.Tensor | tuple[torch.Tensor, ...]: ...
def render_targets(
    keypoints: Any,
    size: tuple[int, int],
    skeleton: Skeleton = COCO,
    config: TargetConfig = DEFAULT_TARGETS,
    backend: Backend = "auto",
    *,
    threads: int | None = None,
    scales: int = 1,
    envelope: bool = False,
    dtype: Any = None,
) -> Any:
    """Render target maps from annotated keypoints (docs/design.md, render_targets; paper section 3.2).

    A keypoint channel is the maximum over people of a Gaussian of the distance from the keypoint. A part channel is
    the maximum over people of a Gaussian of the distance from the part's axis, inside an ellipse around the part. A
    keypoint is used if its visibility is above 0 and x and y are finite. A keypoint outside the image still
    contributes to the cells inside. There is no gradient.

    With ``config.encoding`` "paf" a part has two channels, x then y: the unit vector from its first to its second
    keypoint in the cells within ``config.paf_width`` of the segment, the mean over the people that cover the cell.

    Args:
        keypoints: ``[P, J, 3]`` or ``[B, P, J, 3]`` x, y in image pixels and COCO visibility, float32 or float64
            (rounded to float32), NumPy or torch. Arrays that are not C-contiguous are copied.
        size: height and width of the image in pixels, multiples of ``config.stride * 2 ** (scales - 1)``.
        skeleton: the keypoint types ``J`` and parts ``L``.
        config: widths, threshold, stride and shape.
        backend: the implementation (`simplepose.ops.backend`); C++, CUDA and NumPy give the same bits.
        threads: maximum number of threads on the CPU; None: all processors.
        scales: number of levels of the pyramid; each level is the 2 x 2 average pool of the one before.
        envelope: whether to add a last channel, the maximum over the keypoint channels.
        dtype: dtype of the maps of tensors: torch.float32 (also None), torch.float16 or torch.bfloat16. Half
            precision is the float32 result rounded to nearest, at every scale.

    Returns:
        ``[L + J, H, W]`` or ``[B, L + J, H, W]`` (2 L with "paf"), with one more channel if ``envelope``. H and W are
        the size divided by the stride. The maps are float32 or ``dtype``, of the same kind and on the same device as
        ``keypoints``. With ``scales`` above 1 the result is a tuple with the maps of each scale.

    Raises:
        TypeError, ValueError: an argument is invalid; the message names it, what was expected and what was received.
        RuntimeError: the backend cannot run here; the message states the reason.
    """
    _check_options(skeleton, config, backend, threads, envelope)
    size = _check_size(size, config.stride, scales)
    single = getattr(keypoints, "ndim", 0) == 3
    maps: Any
    check_readable("keypoints", keypoints)
    if is_tensor(keypoints):
        from simplepose.ops import torch_library

        _check_keypoints(tuple(keypoints.shape), str(keypoints.dtype).removeprefix("torch."), skeleton)
        map_type = torch_library.check_map_type(dtype)
        batch = (keypoints[None] if single else keypoints).detach().resolve_neg().float()
        widths = (config.keypoint_sigma, config.part_sigma, config.threshold, config.stride, config.shape)
        parts = (config.encoding, config.paf_width)
        options = (scales, envelope, backend, threads or 0, map_type)
        table = torch_library.part_list(skeleton)
        maps = torch_library.render_targets_op(batch, *size, table, *widths, *parts, *options)
    elif isinstance(keypoints, np.ndarray):
        _check_keypoints(keypoints.shape, keypoints.dtype.newbyteorder("=").name, skeleton)
        if dtype is not None:
            raise TypeError(f"dtype: expected None for NumPy arrays, whose maps are float32, got {brief(dtype)}")
        with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite and counts as not labeled
            rows = np.ascontiguousarray(keypoints[None] if single else keypoints, np.float32)
        run = _IMPLEMENTATIONS[resolve("render_targets", backend, encoding=config.encoding)]
        maps = run(rows, size, skeleton.part_index, config, scales, envelope, threads)
    else:
        raise TypeError(f"keypoints: expected a NumPy array or a torch tensor, got {describe(keypoints)}")
    if single:
        maps = [scale[0] for scale in maps]
    return maps[0] if scales == 1 else tuple(maps)


def _torch(
    keypoints: NDArray[np.float32],
    size: tuple[int, int],
    parts: NDArray[np.int32],
    config: TargetConfig,
    scales: int,
    envelope: bool,
    threads: int | None,
) -> list[NDArray[np.float32]]:
    import torch

    from simplepose.ops.pytorch import render_targets as pytorch

    tensor = torch.tensor(keypoints)
    return [m.numpy() for m in pytorch.render_targets(tensor, size, parts.tolist(), config, scales, envelope)]


_IMPLEMENTATIONS = {"cpp": render_cpp, "torch": _torch, "reference": render_batch}


def _check_options(skeleton: Skeleton, config: TargetConfig, backend: str, threads: int | None, envelope: bool) -> None:
    check_instance("skeleton", skeleton, Skeleton)
    check_instance("config", config, TargetConfig)
    check_backend(backend)
    check_threads(threads)
    check_flag("envelope", envelope)


def _check_size(size: tuple[int, int], stride: int, scales: int) -> tuple[int, int]:
    check_count("scales", scales, 1, MAX_SCALES)
    try:
        height, width = (operator.index(length) for length in size)
        if any(isinstance(length, bool) for length in size):
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(f"size: expected (height, width) as two integers, got {brief(size)}") from None
    multiple = stride * 2 ** (scales - 1)
    meaning = (
        f"the stride {stride}" if scales == 1 else f"{multiple}, which is the stride {stride} times 2^{scales - 1}"
    )
    if min(height, width) <= 0 or height % multiple or width % multiple or max(height, width) > MAX_SIZE:
        raise ValueError(
            f"size: expected positive multiples of {meaning}, up to {MAX_SIZE}, got {brief((height, width))}"
        )
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
