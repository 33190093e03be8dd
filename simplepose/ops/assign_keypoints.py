"""assign_keypoints: the greedy assignment of peaks to people. Public function and dispatch to its implementations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simplepose.checks import check_count
from simplepose.exit_gate import compiled_call
from simplepose.ops.backend import Implementation, resolve
from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DEFAULT_DECODE, Alignment, Backend, DecodeConfig
from simplepose.ops.inputs import (
    Grid,
    check_alignment,
    check_call,
    check_parts,
    grid_to_image,
    native_order,
    peak_list,
    per_image,
)
from simplepose.ops.native import module as native
from simplepose.ops.reference.assign_keypoints import assign_keypoints as reference_assign_keypoints
from simplepose.poses import Poses
from simplepose.skeleton.skeleton import COCO, Skeleton


def assign_keypoints(
    peaks: Peaks | list[Peaks],
    parts: CandidateParts | list[CandidateParts],
    skeleton: Skeleton = COCO,
    config: DecodeConfig = DEFAULT_DECODE,
    stride: int = 4,
    backend: Backend = "auto",
    *,
    alignment: Alignment = "center",
) -> list[Poses]:
    """Group peaks into people by the greedy assignment (rules 3 to 8 of docs/decoding.md; paper section 3.4).

    Args:
        peaks: the result of `find_peaks`, of one image or one for each image.
        parts: the result of `match_parts` for the same images.
        skeleton: the keypoint types and parts.
        config: the rules of grouping; the settings of rules 1 and 2 are not used.
        stride: image pixels between two cells of the maps.
        backend: the implementation (`simplepose.ops.backend`). It always runs on the CPU. All give the same bits.
        alignment: where a cell lies, as in `decode`.

    Returns:
        One `Poses` for each image, in image pixels.

    Raises:
        TypeError, ValueError: an argument is not as described; the message names it.
        RuntimeError: the backend cannot run here; the message states the reason.
    """
    check_call(skeleton, config, backend)
    check_alignment(alignment)
    grid = grid_to_image(check_count("stride", stride), alignment)
    count = len(peaks) if isinstance(peaks, list) else 1
    peaks_of = peak_list(peaks, count, skeleton)
    parts_of = [native_order(p) for p in per_image("parts", parts, CandidateParts, count)]
    pairs = list(zip(peaks_of, parts_of, strict=True))
    for image_peaks, image_parts in pairs:
        check_parts(image_parts, image_peaks, skeleton)
    implementation = resolve("assign_keypoints", backend)
    return [group_image(*pair, skeleton, config, grid, implementation) for pair in pairs]


def group_image(
    peaks: Peaks,
    parts: CandidateParts,
    skeleton: Skeleton,
    config: DecodeConfig,
    grid: Grid,
    implementation: Implementation,
) -> Poses:
    """`assign_keypoints` of one image, without checks of the arguments."""
    keypoints, scores = _IMPLEMENTATIONS[implementation](peaks, parts, skeleton, config, grid)
    return Poses(keypoints, scores, skeleton, peaks.truncated)


People = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Keypoints ``[N, J, 3]`` in image pixels and scores ``[N]``."""


def _cpp(peaks: Peaks, parts: CandidateParts, skeleton: Skeleton, config: DecodeConfig, grid: Grid) -> People:
    decoder = native.decoder(skeleton, config)
    columns = (peaks.type, peaks.xy, peaks.score, parts.from_peak, parts.to_peak, parts.score)
    with compiled_call:
        keypoints, scores = decoder.assign_keypoints(*columns, *grid)
    return keypoints, scores


def _reference(peaks: Peaks, parts: CandidateParts, skeleton: Skeleton, config: DecodeConfig, grid: Grid) -> People:
    keypoints, scores = reference_assign_keypoints(peaks, parts, skeleton, config)
    scale, shift = grid
    factor, offset = np.array([scale, scale, 1], np.float32), np.array([shift, shift, 0], np.float32)
    return keypoints * factor + offset, scores


_IMPLEMENTATIONS = {"cpp": _cpp, "reference": _reference}
