"""find_peaks on CUDA devices, and the torch op ``simplepose::find_peaks``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, library

from simplepose.ops.candidates import Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.native import kernels
from simplepose.skeleton.channels import map_channels
from simplepose.skeleton.skeleton import Skeleton


def find_peaks(maps: Tensor, skeleton: Skeleton, config: DecodeConfig) -> list[Peaks]:
    """`simplepose.find_peaks` of contiguous ``[B, C, H, W]`` maps of keypoints, or of parts and keypoints."""
    parts = map_channels(skeleton, config.encoding).num_parts
    first = 0 if maps.shape[1] == skeleton.num_keypoints else parts
    slots, counts = find_peaks_op(maps, first, skeleton.num_keypoints, [], config.peak_threshold, config.max_peaks)
    totals = counts.cpu().numpy()
    kept = np.minimum(totals, config.max_peaks)
    rows = slots[: int(kept.max(initial=0))].cpu().numpy()
    kinds = np.arange(skeleton.num_keypoints, dtype=np.int32)
    result = []
    for image, count in enumerate(kept):
        peaks = np.concatenate([np.empty((0, 3), np.float32), *(rows[:n, image, kind] for kind, n in enumerate(count))])
        cut = bool((totals[image] > config.max_peaks).any())
        result.append(Peaks(np.repeat(kinds, count), peaks[:, :2].copy(), peaks[:, 2].copy(), cut))
    return result


@library.custom_op("simplepose::find_peaks", mutates_args=())
def find_peaks_op(
    maps: Tensor,
    first_channel: int,
    keypoints: int,
    mirror: list[int],
    threshold: float,
    max_peaks: int,
) -> tuple[Tensor, Tensor]:
    """Find the peaks of the ``keypoints`` maps from ``first_channel`` on. The result stays on the device.

    Args:
        maps: ``[B, C, H, W]`` float32, float16 or bfloat16; ``[2 B, C, H, W]`` with ``mirror``.
        first_channel: the channel of the first keypoint map.
        keypoints: the number J of keypoint maps.
        mirror: empty, or the flip permutation of the ``C`` channels: maps of mirrored images are averaged in.
        threshold: minimum value of a peak.
        max_peaks: maximum number of peaks of a keypoint type.

    Returns:
        Slots ``[max_peaks, B, J, 3]`` float32: x, y in cells and score, best first, zero where unused. Counts
        ``[B, J]`` int32, which are ``max_peaks + 1`` where peaks were cut.
    """
    images = len(maps) // (2 if mirror else 1)
    slots = maps.new_zeros((max_peaks, images, keypoints, 3), dtype=torch.float32)
    counts = maps.new_empty((images, keypoints), dtype=torch.int32)
    launch_find_peaks(maps.contiguous(), first_channel, mirror, threshold, slots, counts)
    return slots, counts


def launch_find_peaks(
    maps: Tensor,
    first_channel: int,
    mirror: list[int],
    threshold: float,
    slots: Tensor,
    counts: Tensor,
) -> None:
    """Launch the kernel with preallocated outputs; the tensors are those of `find_peaks_op`."""
    kernels.kernels().find_peaks_cuda(
        kernels.borrow(maps),
        first_channel,
        threshold,
        kernels.borrow(kernels.device_table("mirror", tuple(mirror), maps.shape[1], maps.device)) if mirror else None,
        kernels.borrow(slots),
        kernels.borrow(counts),
        kernels.stream(maps.device),
    )


@find_peaks_op.register_fake
def _find_peaks_fake(
    maps: Tensor,
    first_channel: int,
    keypoints: int,
    mirror: list[int],
    threshold: float,
    max_peaks: int,
) -> tuple[Tensor, Tensor]:
    images = maps.shape[0] // (2 if mirror else 1)
    return (
        maps.new_empty((max_peaks, images, keypoints, 3), dtype=torch.float32),
        maps.new_empty((images, keypoints), dtype=torch.int32),
    )
