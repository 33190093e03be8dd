"""decode: from heatmaps to people. It runs find_peaks, match_parts and assign_keypoints in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simplepose.checks import check_count, check_flag, check_readable
from simplepose.exit_gate import compiled_call
from simplepose.ops.assign_keypoints import group_image
from simplepose.ops.backend import resolve
from simplepose.ops.config import DEFAULT_DECODE, Alignment, Backend, DecodeConfig
from simplepose.ops.covariance import add_covariance
from simplepose.ops.decode_grids import decode_two_grids
from simplepose.ops.inputs import (
    Grid,
    all_maps,
    check_alignment,
    check_call,
    device_maps,
    grid_to_image,
    grid_to_parts,
    image_maps,
    keypoint_maps,
)
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
    *,
    covariance: bool = False,
    part_maps: Maps | None = None,
    part_stride: int | None = None,
    alignment: Alignment = "center",
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
        part_maps: the part maps ``[L, H, W]`` or ``[B, L, H, W]`` (2 L with "paf") if they have another stride or come
            in an array of their own; ``heatmaps`` then holds the J keypoint maps only. The two need not have the same
            size or dtype. Part maps are not resized: they are sampled between the positions of the peaks.
        part_stride: image pixels between two cells of ``part_maps``; default: ``stride``. Lengths of ``config`` are
            cells of the keypoint maps, but ``length_penalty`` counts those of the part maps.
        alignment: where cell ``i`` of all maps lies: "center" at pixel ``i * stride + stride / 2 - 0.5``, "corner" at
            ``i * stride``.

    Returns:
        One `Poses` for each image, keypoints in image pixels.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: the backend cannot run here; the message states the reason.
    """
    check_call(skeleton, config, backend, threads)
    check_alignment(alignment)
    stride = check_count("stride", stride)
    check_flag("covariance", covariance)
    check_readable("heatmaps", heatmaps)
    grid = grid_to_image(stride, alignment)
    if part_maps is not None:
        check_readable("part_maps", part_maps)
        part_stride = stride if part_stride is None else check_count("part_stride", part_stride)
        to_parts = grid_to_parts(stride, part_stride, alignment)
        people = decode_two_grids(heatmaps, part_maps, skeleton, config, grid, to_parts, backend, threads)
        if covariance:
            add_covariance(people, heatmaps, config, grid, keypoints_only=True)
        return people
    if part_stride is not None:
        raise ValueError("part_stride: expected part_maps with it, got none")
    run = _IMPLEMENTATIONS[resolve("decode", backend, heatmaps, config.encoding)]
    people = run(heatmaps, skeleton, config, grid, threads)
    if covariance:
        add_covariance(people, heatmaps, config, grid)
    return people


def _cpp(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, grid: Grid, threads: int | None) -> list[Poses]:
    maps = image_maps("heatmaps", heatmaps, all_maps(skeleton, config))
    with compiled_call:
        people = native.decoder(skeleton, config).decode(maps, *grid, threads or native.default_threads())
    return [Poses(keypoints, scores, skeleton, truncated) for keypoints, scores, truncated in people]


def _cuda(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, grid: Grid, threads: int | None) -> list[Poses]:
    from simplepose.ops.native.decode_batch import DecodeBatch

    batch = DecodeBatch(device_maps("heatmaps", heatmaps, all_maps(skeleton, config)), skeleton, config)
    return batch.all_poses(*grid, threads or native.default_threads())


def _torch(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, grid: Grid, threads: int | None) -> list[Poses]:
    from simplepose.ops.pytorch import find_peaks, match_parts

    maps = device_maps("heatmaps", heatmaps, all_maps(skeleton, config))
    peaks = find_peaks.find_peaks(keypoint_maps(maps, skeleton, config), config)
    parts = match_parts.match_parts(
        maps[:, map_channels(skeleton, config.encoding).parts], peaks, skeleton, config
    )  # yields image by image
    grouping = resolve("assign_keypoints", "torch")
    pairs = zip(peaks, parts, strict=True)
    return [group_image(*pair, skeleton, config, grid, grouping) for pair in pairs]


def _reference(
    heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, grid: Grid, threads: int | None
) -> list[Poses]:
    people = []
    for maps in image_maps("heatmaps", heatmaps, all_maps(skeleton, config)):
        peaks = reference_find_peaks(keypoint_maps(maps[None], skeleton, config)[0], config)
        parts = reference_match_parts(maps[map_channels(skeleton, config.encoding).parts], peaks, skeleton, config)
        people.append(group_image(peaks, parts, skeleton, config, grid, "reference"))
    return people


_IMPLEMENTATIONS = {"cpp": _cpp, "cuda": _cuda, "torch": _torch, "reference": _reference}
