"""match_parts on CUDA devices, and the torch op ``simplepose::match_parts``."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, library

from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import MAX_PEAKS, DecodeConfig
from simplepose.ops.native import kernels
from simplepose.ops.native import module as native
from simplepose.skeleton.skeleton import Skeleton

MAX_HITS = 1 << 22
"""Most accepted pairs of a batch that are copied from the device. Only maps of noise give more."""


def match_parts(
    maps: Tensor, peaks: list[Peaks], skeleton: Skeleton, config: DecodeConfig
) -> list[CandidateParts] | None:
    """`simplepose.match_parts` of contiguous ``[B, C, H, W]`` maps, parts first.

    Returns:
        None if a keypoint type has more than `MAX_PEAKS` peaks, or the batch more than `MAX_HITS` accepted pairs.
    """
    if not peaks:
        return []
    counts = np.stack([np.bincount(p.type, minlength=skeleton.num_keypoints) for p in peaks]).astype(np.int32)
    most = int(counts.max(initial=0))
    if most > MAX_PEAKS:
        return None
    slots = np.zeros((max(most, 1), len(peaks), skeleton.num_keypoints, 3), np.float32)
    for image, p in enumerate(peaks):
        rank = np.arange(len(p.type)) - (counts[image].cumsum() - counts[image])[p.type]
        slots[rank, image, p.type, :2], slots[rank, image, p.type, 2] = p.xy, p.score
    parts = [int(end) for end in skeleton.part_index.ravel()]
    tables = [torch.from_numpy(table).to(maps.device) for table in (slots, counts)]
    rules = (config.part_threshold, config.num_samples, config.min_samples)
    capacity = 1 << 16
    while True:
        total, first, accepted, hits = match_parts_op(maps, *tables, parts, [], *rules, capacity)
        required = int(total)
        if required <= capacity:
            break
        if required > MAX_HITS:
            return None
        capacity = required
    begin, size = first.cpu().numpy(), accepted.cpu().numpy()
    pairs = hits[:required].cpu().numpy()
    decoder = native.decoder(skeleton, config)
    return [
        CandidateParts(
            *decoder.score_pairs(
                p.type, p.xy, p.score, [pairs[b : b + n] for b, n in zip(begin[i], size[i], strict=True)]
            )
        )
        for i, p in enumerate(peaks)
    ]


@library.custom_op("simplepose::match_parts", mutates_args=())
def match_parts_op(
    maps: Tensor,
    slots: Tensor,
    counts: Tensor,
    parts: list[int],
    mirror: list[int],
    threshold: float,
    samples: int,
    needed: int,
    capacity: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the pairs of peaks with at least ``needed`` samples above the threshold. The result stays on the device.

    Args:
        maps: ``[B, C, H, W]`` or, with ``mirror``, ``[2 B, C, H, W]``, parts first.
        slots: the peaks ``[max_peaks, B, J, 3]`` of `find_peaks_op`.
        counts: the counts ``[B, J]`` of `find_peaks_op`.
        parts: the ``2 L`` keypoint types that the parts connect.
        mirror: as in `find_peaks_op`.
        threshold: threshold of a sample.
        samples: number of samples along a part.
        needed: minimum number of samples above the threshold.
        capacity: maximum number of pairs of the batch that are written.

    Returns:
        Total ``[1]`` int64: the number of accepted pairs; if it exceeds ``capacity``, some were not written. First
        ``[B, L]`` int64: the first pair of each image and part. Accepted ``[B, L]`` int32: the number of their pairs.
        Hits ``[capacity, 2]`` int32: the pair (from-peak x number of to-peaks + to-peak, each counted within its type),
        ascending within a part, and the bits of its float32 response.
    """
    images, part_types = len(maps) // (2 if mirror else 1), len(parts) // 2
    total = maps.new_empty(1, dtype=torch.int64)
    first = maps.new_empty((images, part_types), dtype=torch.int64)
    accepted = maps.new_empty((images, part_types), dtype=torch.int32)
    hits = maps.new_zeros((capacity, 2), dtype=torch.int32)
    peaks = (slots.contiguous(), counts.contiguous())
    launch_match_parts(
        maps.contiguous(), parts, mirror, (threshold, samples, needed), peaks, (total, first, accepted, hits)
    )
    return total, first, accepted, hits


def launch_match_parts(
    maps: Tensor,
    parts: list[int],
    mirror: list[int],
    rules: tuple[float, int, int],
    peaks: tuple[Tensor, Tensor],
    outputs: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """Launch the kernel with preallocated outputs; the tensors are those of `match_parts_op`."""
    kernels.kernels().match_parts_cuda(
        kernels.borrow(maps),
        kernels.borrow(kernels.device_table("parts", tuple(parts), peaks[1].shape[1], maps.device).view(-1, 2)),
        *rules,
        kernels.borrow(kernels.device_table("mirror", tuple(mirror), maps.shape[1], maps.device)) if mirror else None,
        *map(kernels.borrow, peaks),
        *map(kernels.borrow, outputs),
        kernels.stream(maps.device),
    )


@match_parts_op.register_fake
def _match_parts_fake(
    maps: Tensor,
    slots: Tensor,
    counts: Tensor,
    parts: list[int],
    mirror: list[int],
    threshold: float,
    samples: int,
    needed: int,
    capacity: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    shape = (maps.shape[0] // (2 if mirror else 1), len(parts) // 2)
    return (
        maps.new_empty(1, dtype=torch.int64),
        maps.new_empty(shape, dtype=torch.int64),
        maps.new_empty(shape, dtype=torch.int32),
        maps.new_empty((capacity, 2), dtype=torch.int32),
    )
