"""match_parts in vectorized PyTorch has the bits of the reference implementation for every size of chunk."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from helpers.implementations import pytorch, reference
from helpers.map_cases import SKELETONS, cases
from helpers.map_scenes import noise_maps, people_maps
from helpers.parity import assert_same_columns
from hypothesis import given, settings
from hypothesis import strategies as st

import simplepose as sp
from simplepose.ops.candidates import Peaks

MODULE = sys.modules["simplepose.ops.pytorch.match_parts"]
PAIR = sp.Skeleton("pair", ("a", "b"), (("a", "b"),))
f32 = np.float32


def compare(maps: torch.Tensor, peaks: list[Peaks], skeleton: sp.Skeleton, config: sp.DecodeConfig) -> int:
    """Compare the candidates of a batch ``[B, C, H, W]`` with the reference; returns their number."""
    parts = maps[:, : skeleton.num_parts]
    total = 0
    for candidates, image, image_peaks in zip(
        pytorch.match_parts(parts, peaks, skeleton, config), parts.float().numpy(), peaks, strict=True
    ):
        assert_same_columns(candidates, reference.match_parts(image, image_peaks, skeleton, config))
        total += len(candidates.type)
    return total


def peaks_of(maps: torch.Tensor, skeleton: sp.Skeleton, config: sp.DecodeConfig) -> list[Peaks]:
    first = skeleton.num_parts
    keypoints = maps[:, first : first + skeleton.num_keypoints].float().numpy()
    return [reference.find_peaks(image, config) for image in keypoints]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(case=cases, dtype=st.sampled_from([torch.float32, torch.float32, torch.float16, torch.bfloat16]))
def test_crowds_and_edge_cases_give_the_candidates_of_the_reference(case, dtype):
    image = torch.from_numpy(case.maps)
    maps = torch.stack([image, image.flip(2), torch.zeros_like(image)]).to(dtype)
    compare(maps, peaks_of(maps, case.skeleton, case.config), case.skeleton, case.config)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    part_score=st.sampled_from(["product", "weighted_sum"]),
    num_samples=st.integers(2, 64),
    threshold=st.sampled_from([0.0, 0.1, 0.5]),
    huge=st.booleans(),
)
def test_peaks_anywhere_give_the_candidates_of_the_reference(seed, cells, part_score, num_samples, threshold, huge):
    """Positions outside the map, and scores that are equal, zero, negative, or large enough to overflow."""
    random = np.random.default_rng(seed)
    maps = np.round(noise_maps("normal", (2, 1, *cells), seed) * f32(4)) / f32(4)
    if huge:
        maps[random.random(maps.shape) < 0.2] = random.choice([3e38, -3e38, np.nan])
    peaks = []
    for count in random.integers(0, 12, 2):
        kinds = np.sort(random.integers(0, 2, count)).astype(np.int32)
        xy = (random.integers(-512, 3000, (count, 2)) / 256).astype(f32)
        peaks.append(Peaks(kinds, xy, random.choice([0, -0.5, 0.5, 1, 1e30], count).astype(f32), False))
    config = sp.DecodeConfig(
        part_score=part_score, num_samples=num_samples, min_sample_fraction=0.3, part_threshold=threshold
    )
    compare(torch.from_numpy(maps), peaks, PAIR, config)


@pytest.mark.parametrize("at_once", [1, 300, 5000])
@pytest.mark.parametrize("part_score", ["product", "weighted_sum"])
def test_chunks_give_the_same_candidates(monkeypatch, at_once, part_score):
    """Several groups in one chunk, one group in several chunks; no chunk has more pairs than allowed."""
    people = np.stack([people_maps(n, (24, 32), n) for n in (5, 0, 1, 8)])
    maps = torch.from_numpy(np.round(people * f32(8)) / f32(8))
    config = sp.DecodeConfig(part_score=part_score)
    peaks = peaks_of(maps, sp.COCO, config)
    accepted, chunk_sizes = MODULE._accepted, []

    def record(batch, begin, end, config):
        chunk_sizes.append(end - begin)
        return accepted(batch, begin, end, config)

    monkeypatch.setattr(MODULE, "_accepted", record)
    monkeypatch.setattr(MODULE, "SAMPLES_AT_ONCE", at_once)
    assert compare(maps, peaks, sp.COCO, config) > 100
    assert max(chunk_sizes) <= max(1, at_once // config.num_samples)
    all_pairs = sum(len(image_peaks.type) ** 2 for image_peaks in peaks)
    assert 0 < sum(chunk_sizes) < all_pairs


def test_a_batch_of_noise_is_matched_image_by_image(monkeypatch):
    maps = torch.from_numpy(noise_maps("uniform", (4, 48, 24, 24), 3))
    config = sp.DecodeConfig(max_peaks=20)
    peaks = peaks_of(maps, sp.COCO, config)
    monkeypatch.setattr(MODULE, "SAMPLES_AT_ONCE", 20 * 20 * 30 * config.num_samples)
    accepted, chunks = MODULE._accepted, []
    monkeypatch.setattr(MODULE, "_accepted", lambda *args: chunks.append(args[1:3]) or accepted(*args))
    candidates = pytorch.match_parts(maps[:, :30], peaks, sp.COCO, config)
    next(candidates)
    assert chunks == [(0, 20 * 20 * 30)]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_noise_agrees_where_max_peaks_cuts(skeleton):
    maps = torch.from_numpy(noise_maps("uniform", (2, skeleton.num_channels, 20, 40), 1))
    config = sp.DecodeConfig(max_peaks=6)
    peaks = peaks_of(maps, skeleton, config)
    assert all(image_peaks.truncated for image_peaks in peaks)
    assert compare(maps, peaks, skeleton, config) > 10


def test_no_images_no_parts_or_no_peaks_give_no_candidates():
    assert list(pytorch.match_parts(torch.zeros(0, 30, 8, 8), [], sp.COCO, sp.DecodeConfig())) == []
    ball = sp.Skeleton("ball", ("center",), ())
    maps = torch.ones(2, 1, 4, 4)
    assert compare(maps, peaks_of(maps, ball, sp.DecodeConfig()), ball, sp.DecodeConfig()) == 0
    empty = torch.zeros(2, 3, 4, 4)
    assert compare(empty, peaks_of(empty, PAIR, sp.DecodeConfig()), PAIR, sp.DecodeConfig()) == 0
