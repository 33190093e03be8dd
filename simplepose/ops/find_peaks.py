"""find_peaks: heatmap NMS with sub-pixel positions. Public function and dispatch to its implementations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simplepose.checks import check_readable
from simplepose.exit_gate import compiled_call
from simplepose.ops.backend import resolve
from simplepose.ops.candidates import Peaks
from simplepose.ops.config import DEFAULT_DECODE, Backend, DecodeConfig
from simplepose.ops.inputs import all_maps, check_call, device_maps, image_maps, keypoint_maps
from simplepose.ops.native import module as native
from simplepose.ops.reference.find_peaks import find_peaks as reference_find_peaks
from simplepose.skeleton.skeleton import COCO, Skeleton

if TYPE_CHECKING:
    from simplepose.ops.candidates import Maps


def find_peaks(
    heatmaps: Maps,
    skeleton: Skeleton = COCO,
    config: DecodeConfig = DEFAULT_DECODE,
    backend: Backend = "auto",
    threads: int | None = None,
) -> list[Peaks]:
    """Find candidate keypoints by heatmap NMS with sub-pixel positions (docs/decoding.md, rule 1; paper section 3.4).

    Args:
        heatmaps: ``[C, H, W]`` or ``[B, C, H, W]`` with C = J keypoint maps, or all maps as in `decode`.
        skeleton: the keypoint types and parts of the channels.
        config: ``peak_threshold``, ``max_peaks`` and, for maps with parts, ``encoding`` are used.
        backend: the implementation (`simplepose.ops.backend`). All give the same bits.
        threads: maximum number of threads in C++; default: all processors.

    Returns:
        One `Peaks` for each image, positions in grid cells.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: the backend cannot run here; the message states the reason.
    """
    check_call(skeleton, config, backend, threads)
    check_readable("heatmaps", heatmaps)
    run = _IMPLEMENTATIONS[resolve("find_peaks", backend, heatmaps)]
    return run(heatmaps, skeleton, config, threads)


def _channels(skeleton: Skeleton, config: DecodeConfig) -> dict[int, str]:
    return {skeleton.num_keypoints: "keypoints only", **all_maps(skeleton, config)}


def _cpp(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, threads: int | None) -> list[Peaks]:
    maps = keypoint_maps(image_maps("heatmaps", heatmaps, _channels(skeleton, config)), skeleton, config)
    decoder = native.decoder(skeleton, config)
    with compiled_call:
        rows = decoder.find_peaks(np.ascontiguousarray(maps), threads or native.default_threads())
    return [Peaks(*columns) for columns in rows]


def _cuda(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, threads: int | None) -> list[Peaks]:
    from simplepose.ops.native import find_peaks as cuda

    return cuda.find_peaks(device_maps("heatmaps", heatmaps, _channels(skeleton, config)), skeleton, config)


def _torch(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, threads: int | None) -> list[Peaks]:
    from simplepose.ops.pytorch import find_peaks as pytorch

    tensor = device_maps("heatmaps", heatmaps, _channels(skeleton, config))
    return pytorch.find_peaks(keypoint_maps(tensor, skeleton, config), config)


def _reference(heatmaps: Maps, skeleton: Skeleton, config: DecodeConfig, threads: int | None) -> list[Peaks]:
    maps = keypoint_maps(image_maps("heatmaps", heatmaps, _channels(skeleton, config)), skeleton, config)
    return [reference_find_peaks(image, config) for image in maps]


_IMPLEMENTATIONS = {"cpp": _cpp, "cuda": _cuda, "torch": _torch, "reference": _reference}
