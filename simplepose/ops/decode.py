"""decode: from heatmaps to people. It runs find_peaks, match_parts and assign_keypoints in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simplepose.checks import check_count, check_flag, check_readable
from simplepose.exit_gate import compiled_call
from simplepose.ops.assign_keypoints import group_image
from simplepose.ops.backend import resolve
from simplepose.ops.config import DEFAULT_DECODE, Backend, DecodeConfig
from simplepose.ops.covariance import add_covariance
from simplepose.ops.inputs import all_maps, check_call, device_maps, grid_to_image, image_maps, keypoint_maps
from simplepose.ops.native import module as native
from simplepose.ops.reference.find_peaks import find_peaks as reference_find_peaks
from simplepose.ops.reference.match_parts import match_parts as reference_match_parts
from simplepose.poses import Poses
from simplepose.skeleton.channels import map_channels
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
    covariance: bool = False,
) -> list[Poses]:
    """Decode heatmaps into the poses of people (docs/decoding.md; paper, section 3.4).

    Args:
        heatmaps: ``[C, H, W]`` or ``[B, C, H, W]``, NumPy or torch, on the CPU or a CUDA device. C = L + J (parts,
            then keypoints) or L + J + 2; with ``config.encoding`` "paf" 2 L + J (x and y of each part) or 2 L + J + 2.
            float32; float16 and bfloat16 are converted. Arrays that are not contiguous are copied. Values that are not
            finite read as 0.
        skeleton: the keypoint types and parts of the channels.
        config: the rules; ``DecodeConfig.paper()`` is the paper's assignment.
        stride: image pixels between two cells of the maps.
        backend: the implementation (`simplepose.ops.backend`). Maps of CUDA tensors stay on their device, where
            kernels find and match the peaks. Peaks are always grouped on the CPU. All give the same bits.
        threads: maximum number of threads that decode the images of a batch in C++; default: all processors. The
            other implementations decode one image after the other. The result does not depend on it.
        covariance: whether the poses have a ``covariance``. All backends give the same bits.

    Returns:
        One `Poses` for each image, keypoints in image pixels.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: the backend cannot run here; the message states the reason.
    """
    check_call(skeleton, config, backend, threads)
    stride = check_count("stride", stride)
    check_flag("covariance", covariance)
    check_readable("heatmaps", heatmaps)
    run = _IMPLEMENTATIONS[resolve("decode", backend, heatmaps, config.encoding)]
    people = run(heatmaps, skeleton, config, stride, threads)
    if covariance:
        add_covariance(people, heatmaps, config, grid_to_image(stride))
    return people


def _cpp(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None) -> list[Poses]:
    maps = image_maps("heatmaps", heatmaps, all_maps(skeleton, config))
    scale, shift = grid_to_image(stride)
    with compiled_call:
        people = native.decoder(skeleton, config).decode(maps, scale, shift, threads or native.default_threads())
    return [Poses(keypoints, scores, skeleton, truncated) for keypoints, scores, truncated in people]


def _cuda(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None) -> list[Poses]:
    from simplepose.ops.native.decode_batch import DecodeBatch

    batch = DecodeBatch(device_maps("heatmaps", heatmaps, all_maps(skeleton, config)), skeleton, config)
    return batch.all_poses(*grid_to_image(stride), threads or native.default_threads())


def _torch(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None) -> list[Poses]:
    from simplepose.ops.pytorch import find_peaks, match_parts

    maps = device_maps("heatmaps", heatmaps, all_maps(skeleton, config))
    peaks = find_peaks.find_peaks(keypoint_maps(maps, skeleton, config), config)
    parts = match_parts.match_parts(
        maps[:, map_channels(skeleton, config.encoding).parts], peaks, skeleton, config
    )  # yields image by image
    grouping = resolve("assign_keypoints", "torch")
    pairs = zip(peaks, parts, strict=True)
    return [group_image(*pair, skeleton, config, stride, grouping) for pair in pairs]


def _reference(
    heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, stride: int, threads: int | None
) -> list[Poses]:
    people = []
    for maps in image_maps("heatmaps", heatmaps, all_maps(skeleton, config)):
        peaks = reference_find_peaks(keypoint_maps(maps[None], skeleton, config)[0], config)
        parts = reference_match_parts(maps[map_channels(skeleton, config.encoding).parts], peaks, skeleton, config)
        people.append(group_image(peaks, parts, skeleton, config, stride, "reference"))
    return people


_IMPLEMENTATIONS = {"cpp": _cpp, "cuda": _cuda, "torch": _torch, "reference": _reference}
