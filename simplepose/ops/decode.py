"""decode: heatmaps in, people out. find_peaks, match_parts and assign_keypoints in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simplepose.checks import check_count
from simplepose.ops.assign_keypoints import group_image
from simplepose.ops.backend import resolve
from simplepose.ops.config import DEFAULT_DECODE, Backend, DecodeConfig
from simplepose.ops.inputs import all_maps, check_call, device_maps, grid_to_image, image_maps, keypoint_maps
from simplepose.ops.native import module as native
from simplepose.ops.reference.find_peaks import find_peaks as reference_find_peaks
from simplepose.ops.reference.match_parts import match_parts as reference_match_parts
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton

if TYPE_CHECKING:
    from simplepose.ops.candidates import Maps


def decode(
    heatmaps: Maps,
    skeleton: Skeleton = COCO,
    config: DecodeConfig = DEFAULT_DECODE,
    stride: int = 4,
    backend: Backend = "auto",
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
        backend: which implementation runs (`simplepose.ops.backend`). Maps of CUDA tensors stay on their device, where
            the kernels find and match peaks; people are always grouped on the CPU. All give the same bits.
        threads: images of a batch are decoded on at most so many threads (one after the other where PyTorch or the
            reference runs); default: all processors. The result does not depend on it.

    Returns:
        One `Poses` an image, keypoints in image pixels.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: the backend cannot run here; the message says why.
    """
    check_call(skeleton, config, backend, threads)
    stride = check_count("stride", stride)
    run = _IMPLEMENTATIONS[resolve("decode", backend, heatmaps)]
    return run(heatmaps, skeleton, config, stride, threads)


def _cpp(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None) -> list[Poses]:
    maps = image_maps("heatmaps", heatmaps, all_maps(skeleton))
    scale, shift = grid_to_image(stride)
    found = native.decoder(skeleton, config).decode(maps, scale, shift, threads or native.default_threads())
    return [Poses(keypoints, scores, skeleton, truncated) for keypoints, scores, truncated in found]


def _cuda(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None) -> list[Poses]:
    from simplepose.ops.native.decode_batch import DecodeBatch

    batch = DecodeBatch(device_maps("heatmaps", heatmaps, all_maps(skeleton)), skeleton, config)
    return batch.all_poses(*grid_to_image(stride), threads or native.default_threads())


def _torch(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None) -> list[Poses]:
    from simplepose.ops.pytorch import find_peaks, match_parts

    maps = device_maps("heatmaps", heatmaps, all_maps(skeleton))
    peaks = find_peaks.find_peaks(keypoint_maps(maps, skeleton), config)
    parts = match_parts.match_parts(maps[:, : skeleton.num_parts], peaks, skeleton, config)  # one image at a time
    grouping = resolve("assign_keypoints", "torch")
    pairs = zip(peaks, parts, strict=True)
    return [group_image(*pair, skeleton, config, stride, grouping) for pair in pairs]


def _reference(
    heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None
) -> list[Poses]:
    people = []
    for maps in image_maps("heatmaps", heatmaps, all_maps(skeleton)):
        peaks = reference_find_peaks(keypoint_maps(maps[None], skeleton)[0], config)
        parts = reference_match_parts(maps[: skeleton.num_parts], peaks, skeleton, config)
        people.append(group_image(peaks, parts, skeleton, config, stride, "reference"))
    return people


_IMPLEMENTATIONS = {"cpp": _cpp, "cuda": _cuda, "torch": _torch, "reference": _reference}
