"""GPU benchmark of decoding: find_peaks, match_parts, and decode from maps on the device to people on the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from gpu_timing import Bench, Report, total_bytes
from scenes import scene_maps
from torch import Tensor

import simplepose as sp
from simplepose.ops.config import DEFAULT_DECODE
from simplepose.ops.inputs import grid_to_image
from simplepose.ops.native import decode_batch
from simplepose.ops.native import find_peaks as cuda_find_peaks
from simplepose.ops.native import match_parts as cuda_match_parts
from simplepose.ops.native import module as native
from simplepose.ops.pytorch.find_peaks import find_peaks as pytorch_find_peaks
from simplepose.ops.pytorch.match_parts import match_parts as pytorch_match_parts

J, L = sp.COCO.num_keypoints, sp.COCO.num_parts
PARTS = [int(end) for end in sp.COCO.part_index.ravel()]
PEOPLE = 10
CAPACITY = 1 << 16
FLOATS = 1e-4
"""Maximum difference of positions and scores from those of the CPU. The detected people must be the same."""

COLD = 8
"""Number of sets of keypoint maps that take turns: 300 MB, several times the size of the cache."""

OUTPUTS: dict[int, tuple[Tensor, ...]] = {}
"""Preallocated slots and counts by the number of maps."""


def run(bench: Bench, report: Report) -> None:
    batch = 2 if bench.smoke else 32
    maps = torch.from_numpy(np.stack([scene_maps(PEOPLE, seed) for seed in range(batch)])).to(bench.device)
    peaks(bench, report, maps)
    if bench.cuda:
        match(bench, report, maps)
    match_vectorized(bench, report, maps)
    decode(bench, report, maps)


def peaks(bench: Bench, report: Report, maps: Tensor) -> None:
    """find_peaks of keypoint maps that are not in the cache, against one read of the maps and vectorized PyTorch."""
    sets = [maps[:, L:].roll(k, 0).contiguous() for k in range(2 if bench.smoke else COLD)]
    read = bench.device_ms([cells.sum for cells in sets])
    report.add("read of the keypoint maps (sum)", read, GB_per_s=total_bytes(sets[:1]) / read.median / 1e6)
    if bench.cuda:
        check_peaks(sets[0])
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            typed = [cells.to(dtype) for cells in sets]
            lower_bound = bench.device_ms([cells.sum for cells in typed]).median
            times = bench.device_ms([lambda cells=cells: find_into(cells) for cells in typed])
            goal = {"goal": ">= 0.8"} if name == "float32" else {}
            share = lower_bound / times.median
            report.add(f"find_peaks {name}", times, share_of_read=share, **goal, GB_per_s=_speed(typed, times))
            times = bench.device_ms([lambda cells=cells: find(cells) for cells in typed])
            report.add(f"find_peaks {name}, as an op that allocates its outputs", times)
        mirror = (sp.COCO.channel_flip[L : L + J] - L).tolist()
        index = torch.tensor(mirror, device=bench.device)
        pairs = [torch.cat([cells, cells.flip(3)[:, index]]) for cells in sets[: COLD // 2]]
        times = bench.device_ms([lambda both=both: find_into(both, mirror) for both in pairs])
        share = 2 * read.median / times.median
        report.add("flip average + find_peaks", times, share_of_read=share, GB_per_s=_speed(pairs, times))
        unfused = [lambda both=both: find(decode_batch.average_flipped(both, index)) for both in pairs]
        report.add("flip average in PyTorch, then find_peaks", bench.device_ms(unfused))
    calls = [lambda cells=cells: pooled(cells) for cells in sets]
    report.add("max_pool2d, compare, nonzero", bench.stream_ms(calls))
    calls = [lambda cells=cells: pytorch_find_peaks(cells, DEFAULT_DECODE) for cells in sets[:2]]
    report.add("find_peaks in vectorized PyTorch, peaks on the host", bench.host_ms(calls, 10))


def match(bench: Bench, report: Report, maps: Tensor) -> None:
    """match_parts of all pairs of peaks, from the slots of find_peaks on the device."""
    sets = [maps.roll(k, 0) for k in range(3)]
    slots = [cuda_find_peaks.find_peaks_op(cells, L, J, [], DEFAULT_DECODE.peak_threshold, 256) for cells in sets]
    rules = (DEFAULT_DECODE.part_threshold, DEFAULT_DECODE.num_samples, DEFAULT_DECODE.min_samples)
    outputs = cuda_match_parts.match_parts_op(sets[0], *slots[0][:2], PARTS, [], *rules, CAPACITY)
    assert 0 < int(outputs[0]) <= CAPACITY
    calls = [
        lambda c=cells, p=peaks[:2]: cuda_match_parts.launch_match_parts(c, PARTS, [], rules, p, outputs)
        for cells, peaks in zip(sets, slots, strict=True)
    ]
    report.add(f"match_parts, {PEOPLE} people", bench.device_ms(calls))


def match_vectorized(bench: Bench, report: Report, maps: Tensor) -> None:
    """match_parts in vectorized PyTorch, from peaks on the host to candidate parts on the host."""
    sets = [maps.roll(k, 0) for k in range(2)]
    found = [sp.find_peaks(cells) for cells in sets]
    calls = [
        lambda c=cells, p=peaks: list(pytorch_match_parts(c[:, :L], p, sp.COCO, DEFAULT_DECODE))
        for cells, peaks in zip(sets, found, strict=True)
    ]
    for parts, expected in zip(calls[0](), sp.match_parts(sets[0].cpu(), found[0]), strict=True):
        for column, expected_column in zip(parts, expected, strict=True):
            np.testing.assert_array_equal(column, expected_column)
    report.add("match_parts in vectorized PyTorch, candidate parts on the host", bench.host_ms(calls, 10))


def decode(bench: Bench, report: Report, maps: Tensor) -> None:
    """decode of maps on the device, against a copy to the host and decode on all cores."""
    bench.poison()
    for poses, expected in zip(sp.decode(maps), sp.decode(maps.cpu()), strict=True):
        np.testing.assert_allclose(poses.keypoints, expected.keypoints, rtol=0, atol=FLOATS)
        np.testing.assert_allclose(poses.scores, expected.scores, rtol=0, atol=FLOATS)
    sets = [maps.roll(k, 0) for k in range(3)]
    batch = len(maps)
    device = bench.host_ms([lambda cells=cells: sp.decode(cells) for cells in sets], 60)
    host = bench.host_ms([lambda cells=cells: sp.decode(cells.cpu()) for cells in sets], 20)
    name = f"{batch} images, {PEOPLE} people"
    report.add(f"decode of maps on the device, {name}", device, images_per_s=1000 * batch / device.median)
    report.add(
        f"copy to the host and decode on the CPU, {name}",
        host,
        images_per_s=1000 * batch / host.median,
        times_the_device=host.median / device.median,
    )
    if bench.cuda:
        rounds = 24
        times = bench.host_ms([lambda: list(overlapped(sets * (rounds // len(sets))))], 8)
        per_batch = times.median / rounds
        report.add(
            f"decode with overlapped batches, {name}",
            times._replace(median=per_batch, spread=times.spread / rounds),
            images_per_s=1000 * batch / per_batch,
            goal=">= 60000",
            times_as_fast_as_the_host=host.median / per_batch,
            goal_against_the_host=">= 4",
        )


def overlapped(batches: Sequence[Tensor]) -> Iterator[list[sp.Poses]]:
    """The people of each batch. The kernels of a batch run while the peaks of the previous batch are grouped."""
    previous = None
    threads = native.default_threads()
    for maps in batches:
        current = decode_batch.DecodeBatch(maps, sp.COCO, DEFAULT_DECODE)
        if previous is not None:
            yield previous.all_poses(*grid_to_image(4), threads)
        previous = current
    if previous is not None:
        yield previous.all_poses(*grid_to_image(4), threads)


def find(cells: Tensor, mirror: list[int] | None = None) -> tuple[Tensor, ...]:
    config = DEFAULT_DECODE
    return cuda_find_peaks.find_peaks_op(cells, 0, J, mirror or [], config.peak_threshold, config.max_peaks)


def find_into(cells: Tensor, mirror: list[int] | None = None) -> None:
    """Launch only the kernel, with preallocated outputs as in `decode`."""
    if len(cells) not in OUTPUTS:
        OUTPUTS[len(cells)] = find(cells, mirror)
    slots, counts = OUTPUTS[len(cells)]
    threshold = DEFAULT_DECODE.peak_threshold
    cuda_find_peaks.launch_find_peaks(cells, 0, mirror or [], threshold, slots, counts)


def pooled(cells: Tensor) -> Tensor:
    """The common NMS by max-pooling: cells that equal the maximum of their window."""
    highest = functional.max_pool2d(cells, 3, stride=1, padding=1)
    return ((cells == highest) & (cells >= DEFAULT_DECODE.peak_threshold)).nonzero()


def check_peaks(cells: Tensor) -> None:
    """Compare the peaks on the device with those on the CPU."""
    for found, expected in zip(sp.find_peaks(cells), sp.find_peaks(cells.cpu()), strict=True):
        np.testing.assert_array_equal(found.type, expected.type)
        np.testing.assert_allclose(found.xy, expected.xy, rtol=0, atol=FLOATS)
        np.testing.assert_allclose(found.score, expected.score, rtol=0, atol=FLOATS)


def _speed(sets: Sequence[Tensor], times: Any) -> float:
    return float(total_bytes(sets[:1]) / times.median / 1e6)
