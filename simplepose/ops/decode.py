"""decode: heatmaps in, people out. find_peaks, match_parts and assign_keypoints in one native call."""

from __future__ import annotations

from typing import Any

from simplepose.ops.native import module as native
from simplepose.ops import assign_keypoints as ops
from simplepose.ops.inputs import (
    all_maps,
    check_backend,
    check_count,
    check_instance,
    check_threads,
    device_maps,
    image_maps,
)
from simplepose.ops.config import DecodeConfig
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton


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
        backend: "reference" is the plain Python judge. "auto" and "native" run in C++; of CUDA tensors the maps stay on
            their device, where the kernels find and match peaks if the build has some that run there, and vectorised
            PyTorch otherwise; people are always grouped on the CPU. Where nothing native is built, "auto" takes the
            reference in place of C++, and "native" raises. They agree exactly.
        threads: images of a batch are decoded on at most so many threads (one after the other where PyTorch or the
            reference runs); default: all processors. The result does not depend on it.

    Returns:
        One `Poses` an image, keypoints in image pixels.

    Raises:
        TypeError, ValueError: an argument is not as said above; the message names it.
        RuntimeError: ``backend="native"`` where the extension was not built; the message says how to build it.
    """
    check_instance("skeleton", skeleton, Skeleton)
    check_instance("config", config, DecodeConfig)
    check_backend(backend)
    if stride != 4 or type(stride) is not int:
        stride = check_count("stride", stride)
    check_threads(threads)
    way = ops.choose_way(heatmaps, backend)
    if way != "host":
        from simplepose.ops import pytorch as baseline
        from simplepose.ops.native import decode_batch as torch_decode

        tensor = device_maps("heatmaps", heatmaps, all_maps(skeleton))
        if way == "kernels":
            batch = torch_decode.DecodeBatch(tensor, skeleton, config)
            return batch.all_poses(*ops.grid_to_image(stride), threads or native.default_threads())
        first = skeleton.num_parts
        found = baseline.find_peaks(tensor[:, first : first + skeleton.num_keypoints], config)
        candidates = baseline.match_parts(tensor[:, :first], found, skeleton, config)  # as they are taken
        pairs = zip(found, candidates, strict=True)
        return [ops.assign_image(peaks, parts, skeleton, config, stride, backend) for peaks, parts in pairs]
    maps = image_maps("heatmaps", heatmaps, all_maps(skeleton))
    if not native.use_native(backend):
        peaks = ops.find_peaks(maps, skeleton, config, backend)
        parts = ops.match_parts(maps, peaks, skeleton, config, backend)
        return ops.assign_keypoints(peaks, parts, skeleton, config, stride, backend)
    scale, shift = ops.grid_to_image(stride)
    found = native.decoder(skeleton, config).decode(maps, scale, shift, threads or native.default_threads())
    return [Poses(keypoints, scores, skeleton, truncated) for keypoints, scores, truncated in found]
