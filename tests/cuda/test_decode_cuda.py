"""Decoding on a GPU: the peaks, candidates and people of the CPU, on edge cases, other streams and in CUDA graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.map_scenes import gaussian, noise_maps, people_maps, sprinkle
from helpers.parity import assert_same_columns, assert_same_poses
from torch import library

import simplepose as sp
from simplepose.ops.native import decode_batch, kernels
from simplepose.ops.native import find_peaks as cuda_find_peaks
from simplepose.ops.native import match_parts as cuda_match_parts
from simplepose.ops.native.module import why_no_cuda

WHY_NOT = "" if torch.cuda.is_available() else "torch finds no CUDA device"
WHY_NOT = WHY_NOT or why_no_cuda(0)
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "a GPU is available")]

CHANNELS = sp.COCO.num_parts + sp.COCO.num_keypoints
MIRROR = sp.COCO.channel_flip[:CHANNELS].astype(np.int32)


def batch_of(random: np.random.Generator) -> np.ndarray:
    """One to four images of one size: crowds, noise, plateaus, and values that are not finite."""
    cells = tuple(int(n) for n in random.choice([1, 2, 7, 8, 31, 32, 33, 40, 64], 2))
    images = []
    for _ in range(random.integers(1, 5)):
        seed = int(random.integers(2**31))
        if min(cells) > 6 and random.random() < 0.6:
            maps = people_maps(int(random.integers(0, 9)), cells, seed)
        else:
            maps = noise_maps(str(random.choice(["uniform", "normal", "constant", "zero"])), (CHANNELS, *cells), seed)
        if random.random() < 0.3:
            maps = np.round(maps * np.float32(5)) / np.float32(5)
        sprinkle(maps, str(random.choice(["clean", "clean", "not finite", "huge", "negative"])), seed)
        images.append(maps)
    return np.stack(images)


def compare(maps: torch.Tensor, config: sp.DecodeConfig, backend: str = "auto") -> None:
    """Compare every stage on the device of ``maps`` with the CPU."""
    host = maps.float().cpu().numpy()
    peaks = sp.find_peaks(host, config=config)
    for found, expected in zip(sp.find_peaks(maps, config=config, backend=backend), peaks, strict=True):
        assert_same_columns(found, expected)
    candidates = sp.match_parts(host, peaks, config=config)
    for found, expected in zip(sp.match_parts(maps, peaks, config=config, backend=backend), candidates, strict=True):
        assert_same_columns(found, expected)
    people = sp.decode(host, config=config)
    for found, expected in zip(sp.decode(maps, config=config, backend=backend), people, strict=True):
        assert_same_poses(found, expected)


@pytest.mark.parametrize("part", range(10))
def test_random_batches_agree(part):
    """1,000 batches in total, of every dtype and with several settings."""
    random = np.random.default_rng(part)
    types = (torch.float32, torch.float16, torch.bfloat16)
    configs = (
        sp.DecodeConfig(max_peaks=12),
        sp.DecodeConfig.paper(max_peaks=5),
        sp.DecodeConfig(max_peaks=3, num_samples=17, min_sample_fraction=0.5, part_threshold=0.0),
    )
    for case in range(100):
        maps = torch.from_numpy(batch_of(random)).cuda().to(types[case % 3])
        compare(maps, configs[case // 3 % 3])


def test_maps_that_are_not_contiguous_or_not_aligned_agree():
    maps = torch.from_numpy(np.stack([people_maps(n, (40, 56), n) for n in (2, 7)])).cuda()
    compare(maps.to(memory_format=torch.channels_last), sp.DecodeConfig())
    compare(maps[:, :, 1:, 3:], sp.DecodeConfig())
    offset = torch.empty(maps.numel() + 1, device=maps.device)[1:].view(maps.shape)
    compare(offset.copy_(maps), sp.DecodeConfig())


@pytest.mark.parametrize("part", range(3))
def test_pytorch_on_the_device_agrees(part, monkeypatch):
    """60 batches with backend "torch"."""
    monkeypatch.setattr(kernels, "kernels", lambda: pytest.fail("the kernels were called"))
    random = np.random.default_rng(100 + part)
    types = (torch.float32, torch.float16, torch.bfloat16)
    configs = (
        sp.DecodeConfig(max_peaks=12),
        sp.DecodeConfig.paper(max_peaks=5, num_samples=17, min_sample_fraction=0.5),
    )
    for case in range(20):
        maps = torch.from_numpy(batch_of(random)).cuda().to(types[case % 3])
        compare(maps, configs[case % 2], backend="torch")


@pytest.mark.parametrize("max_peaks", [1, 256, 4096])
def test_large_noisy_maps_agree(max_peaks):
    maps = torch.from_numpy(noise_maps("uniform", (1, 18, 300, 515), 1)).cuda()
    config = sp.DecodeConfig(max_peaks=max_peaks)
    on_host = sp.find_peaks(maps.cpu(), config=config)
    for found, expected in zip(sp.find_peaks(maps, config=config), on_host, strict=True):
        assert_same_columns(found, expected)
        assert found.truncated


def test_a_batch_of_noise_falls_back_to_the_host():
    maps = torch.full((1, 48, 96, 96), 0.5)
    maps[:, 30:] = torch.from_numpy(noise_maps("uniform", (18, 96, 96), 1))
    config = sp.DecodeConfig(max_peaks=500, join_distance=0.0)
    assert_same_poses(sp.decode(maps.cuda(), config=config)[0], sp.decode(maps, config=config)[0])


def test_flipped_and_cut_batches_agree():
    plain = np.stack([people_maps(n, (64, 80), n) for n in (1, 8, 0)])
    weaker = plain[..., ::-1][:, MIRROR] * np.float32(0.75)
    batch = torch.from_numpy(np.concatenate([plain, weaker])).cuda()
    sizes = np.array([[64, 80], [50, 61], [33, 17]], np.int32)
    mean = decode_batch.average_flipped(batch, torch.from_numpy(MIRROR).long().cuda())
    decoding = decode_batch.DecodeBatch(batch, sp.COCO, sp.DecodeConfig(), sizes, MIRROR)
    for image, (height, width) in enumerate(sizes.tolist()):
        expected = sp.decode(mean[image, :, :height, :width].cpu())[0]
        assert_same_poses(decoding.poses(image, 4.0, 1.5), expected)


def test_empty_batches_give_nothing():
    maps = torch.empty(0, CHANNELS, 16, 16, device="cuda")
    assert sp.decode(maps) == sp.find_peaks(maps) == sp.match_parts(maps, []) == []


def test_decoding_on_another_stream_waits_for_its_input():
    maps = torch.from_numpy(np.stack([people_maps(6, (64, 64), seed) for seed in range(8)]))
    expected = sp.decode(maps)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(20_000_000)  # delays the copy below, after which the kernels must run
        late = torch.zeros_like(maps, device="cuda").copy_(maps.pin_memory(), non_blocking=True)
        found = sp.decode(late)
    for poses, expected_poses in zip(found, expected, strict=True):
        assert_same_poses(poses, expected_poses)


def test_concurrent_batches_do_not_share_buffers():
    scenes = [torch.from_numpy(people_maps(n, (64, 64), n)[None]) for n in (1, 9, 4, 0, 6)]
    batches = [decode_batch.DecodeBatch(maps.cuda(), sp.COCO, sp.DecodeConfig()) for maps in scenes]
    for batch, maps in zip(reversed(batches), reversed(scenes), strict=True):
        assert_same_poses(batch.poses(0, 4.0, 1.5), sp.decode(maps)[0])


def test_decoding_runs_on_a_device_that_is_not_current():
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    maps = torch.from_numpy(people_maps(6, (64, 64), 2)[None])
    with torch.cuda.device(0):
        assert_same_poses(sp.decode(maps.cuda(1))[0], sp.decode(maps)[0])
        assert torch.cuda.current_device() == 0


def pair_arguments():
    maps = np.stack([np.full((32, 32), 0.5, np.float32), gaussian((32, 32), 5, 9), gaussian((32, 32), 20, 11)])
    batch = torch.from_numpy(maps[None]).cuda()
    slots, counts = cuda_find_peaks.find_peaks_op(batch, 1, 2, [], 0.1, 8)
    return batch, slots, counts, [0, 1], [], 0.1, 10, 8, 64


def test_the_custom_ops_pass_opcheck():
    maps = torch.from_numpy(people_maps(3, (32, 40), 3)[None]).cuda()
    both = torch.cat([maps, maps.flip(3)])
    library.opcheck(cuda_find_peaks.find_peaks_op, (maps, 30, 18, [], 0.1, 8))
    library.opcheck(cuda_find_peaks.find_peaks_op, (both, 30, 18, MIRROR.tolist(), 0.1, 8))
    library.opcheck(cuda_match_parts.match_parts_op, pair_arguments())


def peaks_and_pairs(maps: torch.Tensor) -> tuple[torch.Tensor, ...]:
    slots, counts = cuda_find_peaks.find_peaks_op(maps * 1.0, 1, 2, [], 0.1, 8)
    return slots, counts, *cuda_match_parts.match_parts_op(maps, slots, counts, [0, 1], [], 0.1, 10, 8, 64)


def test_the_ops_compile_and_run_in_graphs():
    maps = pair_arguments()[0]
    expected = peaks_and_pairs(maps)
    for output, expected_output in zip(torch.compile(peaks_and_pairs, fullgraph=True)(maps), expected, strict=True):
        assert torch.equal(output, expected_output)
    static_input = torch.zeros_like(maps)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = peaks_and_pairs(static_input)
    static_input.copy_(maps)
    graph.replay()
    for output, expected_output in zip(captured, expected, strict=True):
        assert torch.equal(output, expected_output)


@pytest.mark.parametrize("part_stride", [2, 8])
def test_part_maps_of_another_stride_agree(part_stride):
    keypoints = torch.from_numpy(np.stack([people_maps(5, (40, 32), seed) for seed in (1, 2)])[:, sp.COCO.num_parts :])
    cells = (40 * 4 // part_stride, 32 * 4 // part_stride)
    parts = torch.from_numpy(np.stack([people_maps(5, cells, seed) for seed in (1, 2)])[:, : sp.COCO.num_parts])
    expected = sp.decode(keypoints, part_maps=parts, part_stride=part_stride)
    found = sp.decode(keypoints.cuda(), part_maps=parts.cuda(), part_stride=part_stride)
    for poses, on_host in zip(found, expected, strict=True):
        assert_same_poses(poses, on_host)
