"""match_parts in vectorized PyTorch, for any device. The pairs of a batch are evaluated in chunks of bounded size.

A group is the set of pairs of one image and one part type. Pairs are numbered by image, then by part type, then by
from-peak, then by to-peak. The two peaks of a pair follow from its number, so no list of pairs is stored.
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
from simplepose.ops.pytorch.maths import divide, finite, sqrt32
from simplepose.ops.reference.maths import f32
from simplepose.skeleton.skeleton import Skeleton

SAMPLES_AT_ONCE = 1 << 20
"""Most samples in one chunk; the intermediate tensors take about 100 bytes a sample."""


class _Batch(NamedTuple):
    """The maps, peaks and groups of a batch. All tensors are on the device; `sizes` is on the host."""

    cells: Tensor  # [B L H W] float32, finite; [B 2 L H W] with encoding "paf"
    shape: tuple[int, int]  # H, W
    sizes: NDArray[np.int64]  # [B, L] number of pairs of each group
    xy: Tensor  # [N, 2] positions of the peaks of all images
    score: Tensor  # [N] their scores
    ends: Tensor  # [B L] number of the last pair of each group, plus 1
    table: Tensor  # [5, B L] of each group: first pair, first from-peak, first to-peak, to-peaks, image's first peak

    @classmethod
    def of(cls, maps: Tensor, peaks: list[Peaks], skeleton: Skeleton) -> _Batch:
        counts = np.stack([np.bincount(p.type, minlength=skeleton.num_keypoints) for p in peaks])  # [B, J]
        first = (counts.cumsum() - counts.ravel()).reshape(counts.shape)
        from_type, to_type = skeleton.part_index.T
        sizes = counts[:, from_type] * counts[:, to_type]
        ends = sizes.cumsum().reshape(sizes.shape)
        of_image = np.broadcast_to(first[:, :1], sizes.shape)
        table = np.stack([ends - sizes, first[:, from_type], first[:, to_type], counts[:, to_type], of_image])
        xy, score = np.concatenate([p.xy for p in peaks]), np.concatenate([p.score for p in peaks])
        columns = (xy, score, ends.ravel(), table.reshape(len(table), -1))
        on_device = (torch.from_numpy(column).to(maps.device) for column in columns)
        return cls(finite(maps.float()).reshape(-1), (maps.shape[2], maps.shape[3]), sizes, *on_device)


def match_parts(maps: Tensor, peaks: list[Peaks], skeleton: Skeleton, config: DecodeConfig) -> Iterator[CandidateParts]:
    """Candidate parts of a batch, bit for bit those of the reference implementation.

    Args:
        maps: ``[B, L, H, W]`` float32, float16 or bfloat16 part maps; ``[B, 2 L, H, W]`` with encoding "paf".
        peaks: the peaks of each image, on the host.
        skeleton: the keypoint types and parts of the channels.
        config: the settings of rule 2 are used.

    Yields:
        One `CandidateParts` for each image, on the host. Maps of noise can give gigabytes of candidates in a batch. A
        caller that processes image by image needs memory for one image only.
    """
    if not peaks:
        return
    batch = _Batch.of(maps, peaks, skeleton)
    parts = skeleton.num_parts
    most = max(1, SAMPLES_AT_ONCE // config.num_samples)
    for begin, end in _chunks(batch.sizes.sum(1), most):
        groups = _chunks(batch.sizes[begin:end].ravel(), most)
        ranked = [_candidates(batch, begin * parts + low, begin * parts + high, most, config) for low, high in groups]
        group, from_peak, to_peak, response, score = map(np.concatenate, zip(*ranked, strict=True))
        for image in range(begin, end):
            rows = slice(*np.searchsorted(group, [image * parts, (image + 1) * parts]))
            kind, a, b = (n.astype(np.int32) for n in (group[rows] - image * parts, from_peak[rows], to_peak[rows]))
            yield CandidateParts(kind, a, b, response[rows].copy(), score[rows].copy())


def _chunks(sizes: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """(first, last + 1) of consecutive entries with a total size of at most ``most``; a larger entry is one chunk."""
    first, total = 0, 0
    for index, size in enumerate(sizes.tolist()):
        if index > first and total + size > most:
            yield first, index
            first, total = index, 0
        total += size
    yield first, len(sizes)


def _candidates(
    batch: _Batch, first: int, last: int, most: int, config: DecodeConfig
) -> list[NDArray[np.int64] | NDArray[np.float32]]:
    """The candidates of the groups ``first`` to ``last - 1``, evaluated ``most`` pairs at a time.

    Returns:
        Group, from-peak and to-peak (counted within the image), response and score, on the host. They are ordered by
        group, then by descending score, then by the number of the pair.
    """
    ends = batch.sizes.ravel().cumsum()
    low, high = (int(ends[group - 1]) if group else 0 for group in (first, last))
    steps = range(low, max(high, low + 1), most)  # at least one step: without pairs it gives empty columns
    chunks = [_accepted(batch, step, min(step + most, high), config) for step in steps]
    columns = [torch.cat(column) for column in zip(*chunks, strict=True)]
    order = torch.argsort(columns[4] + 0, descending=True, stable=True)  # + 0 turns -0 into 0: a radix sort splits them
    order = order[torch.argsort(columns[0][order], stable=True)]
    return [column[order].cpu().numpy() for column in columns]


def _accepted(batch: _Batch, begin: int, end: int, config: DecodeConfig) -> tuple[Tensor, ...]:
    """The columns of `_candidates`, unsorted, of the pairs ``begin`` to ``end - 1`` that are accepted."""
    pair = torch.arange(begin, end, device=batch.cells.device)
    group = torch.searchsorted(batch.ends, pair, right=True)
    first, first_from, first_to, to_count, first_of_image = batch.table[:, group]
    a = first_from + (pair - first) // to_count
    b = first_to + (pair - first) % to_count
    start, end_xy = batch.xy[a], batch.xy[b]
    if config.encoding == "paf":
        dx, dy = (end_xy - start).unbind(1)
        length = sqrt32(dx * dx + dy * dy)
        ux, uy = (torch.where(length > 0, d / length, 0) for d in (dx, dy))
        x, y = (_sample_lines(batch, 2 * group + k, start, end_xy, config.num_samples) for k in (0, 1))
        samples = x * ux + y * uy
    else:
        samples = _sample_lines(batch, group, start, end_xy, config.num_samples)
    response = _mean_in_order(samples)
    if config.length_penalty:
        penalty = torch.full_like(length, 0.5 * batch.shape[0]) / length - 1  # a division: bits of the reference
        response = response + torch.where(penalty < 0, penalty, 0)
    score = _part_score(response, batch.score[a], batch.score[b], config)
    enough = (samples > float(f32(config.part_threshold))).sum(0) >= config.min_samples
    if config.length_penalty:
        enough &= response > 0
    kept = (enough & score.isfinite()).nonzero()[:, 0]
    columns = (group, a - first_of_image, b - first_of_image, response, score)
    return tuple(column[kept] for column in columns)


def _part_score(response: Tensor, score_from: Tensor, score_to: Tensor, config: DecodeConfig) -> Tensor:
    """``[N]``: the part scores, computed as in the reference implementation."""
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


def _between(cells: Tensor, at: Tensor, right: int, fraction: Tensor) -> Tensor:
    """Linear interpolation between the cells ``at`` and their right neighbors."""
    left = cells[at]
    return left + fraction * (cells[at + right] - left)


def _mean_in_order(samples: Tensor) -> Tensor:
    """``[N]``: the mean over axis 0, summed from first to last as in every implementation."""
    total = torch.zeros_like(samples[0])
    for row in samples:
        total = total + row
    return divide(total, len(samples))
