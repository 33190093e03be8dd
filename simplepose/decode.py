"""decode: heatmaps in, people out. find_peaks, match_parts and assign_keypoints in one native call."""

from __future__ import annotations

from typing import Any

from simplepose import native, ops
from simplepose.arguments import (
    all_maps,
    check_backend,
    check_count,
    check_instance,
    check_threads,
    device_maps,
    image_maps,
)
from simplepose.config import DecodeConfig
from simplepose.poses import Poses
from simplepose.skeleton import COCO, Skeleton


def decode(
    heatmaps: Any,
    skeleton: Skeleton = COCO,
    config: DecodeConfig = ops.DEFAULT_CONFIG,
    stride: int = 4,
    backend: str = "auto",
    threads: int | None = None,
) -> list[Poses]:
    """Group the people that heatmaps show.

    Args:
        heatmaps: ``[C, H, W]`` or ``[B, C, H, W]``, NumPy or torch, CPU or CUDA; C = L + J (parts, then keypoints)
            or L + J + 2. float32; float16 and bfloat16 are converted, arrays that are not contiguous are copied.
            Values that are not finite read as 0.
        skeleton: what the channels are.
        config: the rules; ``DecodeConfig.paper()`` is the paper's assignment.
        stride: image pixels between two cells of the maps.
        backend: "auto" and "native" run in C++, on CUDA tensors in CUDA where the build has kernels for the device, so
            that the maps stay there; "reference" is the plain Python judge. They agree exactly.
        threads: images of a batch are decoded on at most so many threads; default: all processors. The result
            does not depend on it.

    Returns:
        One `Poses` an image, keypoints in image pixels.

    Raises:
        TypeError, ValueError: an argument is not as said above; the message names it.
        RuntimeError: ``backend="native"`` where the extension was not built.
    """
    check_instance("skeleton", skeleton, Skeleton)
    check_instance("config", config, DecodeConfig)
    check_backend(backend)
    if stride != 4 or type(stride) is not int:
        stride = check_count("stride", stride)
    check_threads(threads)
    if ops.use_kernels(heatmaps, backend):
        from simplepose.torch_decode import DecodeBatch

        batch = DecodeBatch(device_maps("heatmaps", heatmaps, all_maps(skeleton)), skeleton, config)
        return batch.all_poses(*ops.grid_to_image(stride), threads or native.default_threads())
    maps = image_maps("heatmaps", heatmaps, all_maps(skeleton))
    if not native.use_native(backend):
        peaks = ops.find_peaks(maps, skeleton, config, backend)
        parts = ops.match_parts(maps, peaks, skeleton, config, backend)
        return ops.assign_keypoints(peaks, parts, skeleton, config, stride, backend)
    scale, shift = ops.grid_to_image(stride)
    found = native.decoder(skeleton, config).decode(maps, scale, shift, threads or native.default_threads())
    return [Poses(keypoints, scores, skeleton, truncated) for keypoints, scores, truncated in found]
