"""match_parts in plain vectorized PyTorch, on any device: all pairs of a batch side by side, a bounded number at once.

The pairs of a batch are numbered image by image, within one part type by part type (a group is an image and a part
type), within that by from-peak, then to-peak. What a pair joins follows from its number, so no list of pairs is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simplepose.ops.candidates import CandidateParts, Peaks
from simplepose.ops.config import DecodeConfig
from simplepose.ops.pytorch.maths import divide, finite
from simplepose.ops.reference.maths import f32
from simplepose.skeleton.skeleton import Skeleton

SAMPLES_AT_ONCE = 1 << 20
"""Most samples that are on the device at once; each takes some 100 bytes on its way."""


class _Batch(NamedTuple):
    """The maps, peaks and groups of a batch; on the device but for `sizes`."""

    cells: Tensor  # [B L H W] float32, finite
    shape: tuple[int, int]  # H, W
    sizes: NDArray[np.int64]  # [B, L] how many pairs a group has
    xy: Tensor  # [N, 2] the peaks of all images
    score: Tensor  # [N]
    ends: Tensor  # [B L] the number of the pair after a group's last one
    table: Tensor  # [5, B L] a group's first pair, from-peak and to-peak, count of to-peaks, and its image's first peak

    @classmethod
    def of(cls, maps: Tensor, peaks: list[Peaks], skeleton: Skeleton) -> _Batch:
        counts = np.stack([np.bincount(one.type, minlength=skeleton.num_keypoints) for one in peaks])  # [B, J]
        first = (counts.cumsum() - counts.ravel()).reshape(counts.shape)
        from_type, to_type = skeleton.part_index.T
        sizes = counts[:, from_type] * counts[:, to_type]
        ends = sizes.cumsum().reshape(sizes.shape)
        of_image = np.broadcast_to(first[:, :1], sizes.shape)
        table = np.stack([ends - sizes, first[:, from_type], first[:, to_type], counts[:, to_type], of_image])
        xy, score = np.concatenate([one.xy for one in peaks]), np.concatenate([one.score for one in peaks])
        columns = (xy, score, ends.ravel(), table.reshape(len(table), -1))
        moved = (torch.from_numpy(column).to(maps.device) for column in columns)
        return cls(finite(maps.float()).reshape(-1), (maps.shape[2], maps.shape[3]), sizes, *moved)


def match_parts(maps: Tensor, peaks: list[Peaks], skeleton: Skeleton, config: DecodeConfig) -> Iterator[CandidateParts]:
    """Candidate parts of a batch, bit for bit those of the reference.

    Args:
        maps: ``[B, L, H, W]`` float32, float16 or bfloat16 part maps.
        peaks: those of each image, on the host.
        skeleton: what the channels are.
        config: ``part_threshold``, ``samples``, ``share`` and ``rank`` are used.

    Yields:
        One `CandidateParts` an image, on the host. The candidates of a batch of noise are gigabytes: who takes one
        image's at a time needs memory for one.
    """
    if not peaks:
        return
    batch = _Batch.of(maps, peaks, skeleton)
    parts = skeleton.num_parts
    most = max(1, SAMPLES_AT_ONCE // config.num_samples)
    for begin, end in _runs(batch.sizes.sum(1), most):
        groups = _runs(batch.sizes[begin:end].ravel(), most)
        ranked = [_candidates(batch, begin * parts + low, begin * parts + high, most, config) for low, high in groups]
        group, from_peak, to_peak, response, score = map(np.concatenate, zip(*ranked, strict=True))
        for image in range(begin, end):
            mine = slice(*np.searchsorted(group, [image * parts, (image + 1) * parts]))
            kind, a, b = (n.astype(np.int32) for n in (group[mine] - image * parts, from_peak[mine], to_peak[mine]))
            yield CandidateParts(kind, a, b, response[mine].copy(), score[mine].copy())


def _runs(sizes: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of neighbors whose sizes add up to at most ``most``, or of one alone that is larger."""
    first, total = 0, 0
    for place, size in enumerate(sizes.tolist()):
        if place > first and total + size > most:
            yield first, place
            first, total = place, 0
        total += size
    yield first, len(sizes)


def _candidates(
    batch: _Batch, first: int, last: int, most: int, config: DecodeConfig
) -> list[NDArray[np.int64] | NDArray[np.float32]]:
    """Those of the groups ``first`` to ``last - 1``, on the host, ``most`` pairs at a time.

    Returns:
        Group, from-peak and to-peak (counted within the image), response and score, by group, then score
        descending, then number of the pair.
    """
    ends = batch.sizes.ravel().cumsum()
    low, high = (int(ends[group - 1]) if group else 0 for group in (first, last))
    steps = range(low, max(high, low + 1), most)  # one at least: no pairs make empty columns
    chunks = [_accepted(batch, step, min(step + most, high), config) for step in steps]
    columns = [torch.cat(column) for column in zip(*chunks, strict=True)]
    order = torch.argsort(columns[4] + 0, descending=True, stable=True)  # + 0: -0 ties with 0, in radix sorts too
    order = order[torch.argsort(columns[0][order], stable=True)]
    return [column[order].cpu().numpy() for column in columns]


def _accepted(batch: _Batch, begin: int, end: int, config: DecodeConfig) -> tuple[Tensor, ...]:
    """The columns of `_candidates`, unsorted: those of the pairs ``begin`` to ``end - 1`` that are candidates."""
    pair = torch.arange(begin, end, device=batch.cells.device)
    group = torch.searchsorted(batch.ends, pair, right=True)
    first, first_from, first_to, to_count, first_of_image = batch.table[:, group]
    a = first_from + (pair - first) // to_count
    b = first_to + (pair - first) % to_count
    samples = _sample_lines(batch, group, batch.xy[a], batch.xy[b], config.num_samples)
    response = _mean_in_order(samples)
    score = _part_score(response, batch.score[a], batch.score[b], config)
    enough = (samples > float(f32(config.part_threshold))).sum(0) >= config.min_samples
    kept = (enough & score.isfinite()).nonzero()[:, 0]
    columns = (group, a - first_of_image, b - first_of_image, response, score)
    return tuple(column[kept] for column in columns)


def _part_score(response: Tensor, score_from: Tensor, score_to: Tensor, config: DecodeConfig) -> Tensor:
    """``[N]``: the part score of a pair, as the reference has it."""
    if config.part_score == "product":
        return response * score_from * score_to
    return 0.5 * response + 0.25 * (score_from + score_to)


def _sample_lines(batch: _Batch, group: Tensor, start: Tensor, end: Tensor, count: int) -> Tensor:
    """``[count, N]``: bilinear samples, evenly spaced from ``start`` to ``end`` (``[N, 2]``), both included."""
    t = divide(torch.arange(count, dtype=torch.float32, device=start.device), count - 1)[:, None]
    x = start[:, 0] + t * (end[:, 0] - start[:, 0])
    y = start[:, 1] + t * (end[:, 1] - start[:, 1])
    height, width = batch.shape
    x, y = x.clamp(0, float(f32(width - 1))), y.clamp(0, float(f32(height - 1)))
    x0, y0 = x.long().clamp(0, max(width - 2, 0)), y.long().clamp(0, max(height - 2, 0))
    fx, fy = x - x0.float(), y - y0.float()
    right, down = int(width > 1), width * int(height > 1)
    cell = (group * height + y0) * width + x0
    top, bottom = _between(batch.cells, cell, right, fx), _between(batch.cells, cell + down, right, fx)
    return top + fy * (bottom - top)


def _between(cells: Tensor, at: Tensor, right: int, share: Tensor) -> Tensor:
    """The values ``share`` of the way from the cells ``at`` to their right neighbors."""
    left = cells[at]
    return left + share * (cells[at + right] - left)


def _mean_in_order(samples: Tensor) -> Tensor:
    """``[N]``: the mean over axis 0, added from first to last, as every backend does."""
    total = torch.zeros_like(samples[0])
    for row in samples:
        total = total + row
    return divide(total, len(samples))
