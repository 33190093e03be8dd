"""match_parts by its CUDA kernel, and the torch op ``simplepose::match_parts``."""

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
"""Most accepted pairs of a batch that leave the device; more are noise."""


def match_parts(
    maps: Tensor, peaks: list[Peaks], skeleton: Skeleton, config: DecodeConfig
) -> list[CandidateParts] | None:
    """`simplepose.match_parts` of ``[B, C, H, W]`` maps, contiguous, parts first; None if there is too much of it."""
    if not peaks:
        return []
    counts = np.stack([np.bincount(p.type, minlength=skeleton.num_keypoints) for p in peaks]).astype(np.int32)
    most = int(counts.max(initial=0))
    if most > MAX_PEAKS:
        return None
    slots = np.zeros((max(most, 1), len(peaks), skeleton.num_keypoints, 3), np.float32)
    for image, one in enumerate(peaks):
        place = np.arange(len(one.type)) - (counts[image].cumsum() - counts[image])[one.type]
        slots[place, image, one.type, :2], slots[place, image, one.type, 2] = one.xy, one.score
    parts = [int(end) for end in skeleton.part_index.ravel()]
    tables = [torch.from_numpy(table).to(maps.device) for table in (slots, counts)]
    rules = (config.part_threshold, config.num_samples, config.min_samples)
    capacity = 1 << 16
    while True:
        total, first, found, hits = match_parts_op(maps, *tables, parts, [], *rules, capacity)
        wanted = int(total)
        if wanted <= capacity:
            break
        if wanted > MAX_HITS:
            return None
        capacity = wanted
    begin, size = first.cpu().numpy(), found.cpu().numpy()
    pairs = hits[:wanted].cpu().numpy()
    decoder = native.decoder(skeleton, config)
    return [
        CandidateParts(
            *decoder.score_pairs(
                one.type, one.xy, one.score, [pairs[b : b + n] for b, n in zip(begin[i], size[i], strict=True)]
            )
        )
        for i, one in enumerate(peaks)
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
    """Pairs of peaks of which ``needed`` of the ``samples`` exceed the threshold, on the device alone.

    Args:
        maps: as `find_peaks_op` takes them, parts first.
        slots: as `find_peaks_op` gives them.
        counts: likewise.
        parts: the ``2 L`` keypoint types that the parts join.
        mirror: as `find_peaks_op` takes it.
        capacity: most pairs of the batch.

    Returns:
        ``[1]`` int64 how many pairs there are; if more than ``capacity``, not all were written. ``[B, L]`` int64 where
        those of an image and part begin, ``[B, L]`` int32 how many they are. ``[capacity, 2]`` int32: the pair
        (from-peak x number of to-peaks + to-peak, each counted within its type), ascending within a part, and the bits
        of its float32 response.
    """
    images, part_types = len(maps) // (2 if mirror else 1), len(parts) // 2
    total = maps.new_empty(1, dtype=torch.int64)
    first = maps.new_empty((images, part_types), dtype=torch.int64)
    found = maps.new_empty((images, part_types), dtype=torch.int32)
    hits = maps.new_zeros((capacity, 2), dtype=torch.int32)
    peaks = (slots.contiguous(), counts.contiguous())
    launch_match_parts(
        maps.contiguous(), parts, mirror, (threshold, samples, needed), peaks, (total, first, found, hits)
    )
    return total, first, found, hits


def launch_match_parts(
    maps: Tensor,
    parts: list[int],
    mirror: list[int],
    rules: tuple[float, int, int],
    peaks: tuple[Tensor, Tensor],
    outputs: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """The kernel alone, from slots and counts into tensors that are there: `match_parts_op` says what each is."""
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
