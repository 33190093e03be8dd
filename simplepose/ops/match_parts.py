"""match_parts: scored pairs of peaks that a body part may connect. Public function and dispatch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simplepose.checks import check_count, check_readable
from simplepose.exit_gate import compiled_call
from simplepose.ops.backend import resolve
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DEFAULT_DECODE, Alignment, Backend, DecodeConfig
from simplepose.ops.inputs import (
    all_maps,
    check_alignment,
    check_call,
    device_maps,
    grid_to_parts,
    image_maps,
    peak_list,
)
from simplepose.ops.native import module as native
from simplepose.ops.reference.match_parts import match_parts as reference_match_parts
from simplepose.ops.reference.match_parts import to_part_grid
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import COCO, Skeleton

if TYPE_CHECKING:
    from simplepose.ops.candidates import Maps


def match_parts(
    heatmaps: Maps,
    peaks: Peaks | list[Peaks],
    skeleton: Skeleton = COCO,
    config: DecodeConfig = DEFAULT_DECODE,
    backend: Backend = "auto",
    *,
    stride: int = 4,
    part_stride: int | None = None,
    alignment: Alignment = "center",
) -> list[CandidateParts]:
    """Find candidate parts: pairs of peaks with a part response (docs/decoding.md, rule 2; paper section 3.4).

    Args:
        heatmaps: ``[C, H, W]`` or ``[B, C, H, W]`` with C = L part maps (2 L with encoding "paf"), or all maps as
            in `decode`.
        peaks: the result of `find_peaks` for the same images.
        skeleton: the keypoint types and parts of the channels.
        config: the settings of rule 2 and ``encoding`` are used.
        backend: the implementation (`simplepose.ops.backend`). All give the same bits.
        stride: image pixels between two cells of the maps in which the peaks were found.
        part_stride: that of the part maps; default: ``stride``.
        alignment: where a cell lies, as in `decode`.

    Returns:
        One `CandidateParts` for each image.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: the backend cannot run here; the message states the reason.
    """
    check_call(skeleton, config, backend)
    check_alignment(alignment)
    stride = check_count("stride", stride)
    check_readable("heatmaps", heatmaps)
    if part_stride is not None:
        peaks = _in_part_grid(peaks, skeleton, stride, check_count("part_stride", part_stride), alignment)
    run = _IMPLEMENTATIONS[resolve("match_parts", backend, heatmaps, config.encoding)]
    return run(heatmaps, peaks, skeleton, config)


def _in_part_grid(
    peaks: Peaks | list[Peaks], skeleton: Skeleton, stride: int, part_stride: int, alignment: Alignment
) -> list[Peaks]:
    count = len(peaks) if isinstance(peaks, list) else 1
    grid = grid_to_parts(stride, part_stride, alignment)
    return [to_part_grid(image_peaks, *grid) for image_peaks in peak_list(peaks, count, skeleton)]


def _channels(skeleton: Skeleton, config: DecodeConfig) -> dict[int, str]:
    return {map_channels(skeleton, config.encoding).num_parts: "parts only", **all_maps(skeleton, config)}


def _cpp(heatmaps: Maps, peaks: Peaks | list[Peaks], skeleton: Skeleton, config: DecodeConfig) -> list[CandidateParts]:
    maps = image_maps("heatmaps", heatmaps, _channels(skeleton, config))[
        :, map_channels(skeleton, config.encoding).parts
    ]
    decoder = native.decoder(skeleton, config)
    pairs = zip(maps, peak_list(peaks, len(maps), skeleton), strict=True)
    with compiled_call:
        return [CandidateParts(*decoder.match_parts(image, p.type, p.xy, p.score)) for image, p in pairs]


def _cuda(heatmaps: Maps, peaks: Peaks | list[Peaks], skeleton: Skeleton, config: DecodeConfig) -> list[CandidateParts]:
    from simplepose.ops.native import match_parts as cuda

    tensor = device_maps("heatmaps", heatmaps, _channels(skeleton, config))
    parts = cuda.match_parts(tensor, peak_list(peaks, len(tensor), skeleton), skeleton, config)
    return _cpp(heatmaps, peaks, skeleton, config) if parts is None else parts


def _torch(
    heatmaps: Maps, peaks: Peaks | list[Peaks], skeleton: Skeleton, config: DecodeConfig
) -> list[CandidateParts]:
    from simplepose.ops.pytorch import match_parts as pytorch

    tensor = device_maps("heatmaps", heatmaps, _channels(skeleton, config))
    checked = peak_list(peaks, len(tensor), skeleton)
    return list(
        pytorch.match_parts(tensor[:, map_channels(skeleton, config.encoding).parts], checked, skeleton, config)
    )


def _reference(
    heatmaps: Maps, peaks: Peaks | list[Peaks], skeleton: Skeleton, config: DecodeConfig
) -> list[CandidateParts]:
    maps = image_maps("heatmaps", heatmaps, _channels(skeleton, config))[
        :, map_channels(skeleton, config.encoding).parts
    ]
    pairs = zip(maps, peak_list(peaks, len(maps), skeleton), strict=True)
    return [reference_match_parts(image, image_peaks, skeleton, config) for image, image_peaks in pairs]


_IMPLEMENTATIONS = {"cpp": _cpp, "cuda": _cuda, "torch": _torch, "reference": _reference}
