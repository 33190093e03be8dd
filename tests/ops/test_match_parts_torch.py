"""The vectorized match_parts equals the reference to the last bit, however its pairs are cut into chunks."""

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
    """How many candidates a batch ``[B, C, H, W]`` has, the same in both versions."""
    parts = maps[:, : skeleton.num_parts]
    total = 0
    for one, image, found in zip(
        pytorch.match_parts(parts, peaks, skeleton, config), parts.float().numpy(), peaks, strict=True
    ):
        assert_same_columns(one, reference.match_parts(image, found, skeleton, config))
        total += len(one.type)
    return total


def peaks_of(maps: torch.Tensor, skeleton: sp.Skeleton, config: sp.DecodeConfig) -> list[Peaks]:
    first = skeleton.num_parts
    keypoints = maps[:, first : first + skeleton.num_keypoints].float().numpy()
    return [reference.find_peaks(image, config) for image in keypoints]


@settings(max_examples=150, derandomize=True, deadline=None)
@given(case=cases, dtype=st.sampled_from([torch.float32, torch.float32, torch.float16, torch.bfloat16]))
def test_crowds_and_oddities_give_the_candidates_of_the_reference(case, dtype):
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
    """Positions off the map, scores that are equal, zero, negative or so large that the part score overflows."""
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
    """Groups in one chunk, groups cut into several, images in several runs; never more pairs than asked for."""
    people = np.stack([people_maps(n, (24, 32), n) for n in (5, 0, 1, 8)])
    maps = torch.from_numpy(np.round(people * f32(8)) / f32(8))
    config = sp.DecodeConfig(part_score=part_score)
    peaks = peaks_of(maps, sp.COCO, config)
    accepted, asked = MODULE._accepted, []

    def record(batch, begin, end, config):
        asked.append(end - begin)
        return accepted(batch, begin, end, config)

    monkeypatch.setattr(MODULE, "_accepted", record)
    monkeypatch.setattr(MODULE, "SAMPLES_AT_ONCE", at_once)
    assert compare(maps, peaks, sp.COCO, config) > 100
    assert max(asked) <= max(1, at_once // config.num_samples)
    whole = sum(len(found.type) ** 2 for found in peaks)
    assert 0 < sum(asked) < whole


def test_a_batch_of_noise_is_taken_image_by_image(monkeypatch):
    maps = torch.from_numpy(noise_maps("uniform", (4, 48, 24, 24), 3))
    config = sp.DecodeConfig(max_peaks=20)
    peaks = peaks_of(maps, sp.COCO, config)
    monkeypatch.setattr(MODULE, "SAMPLES_AT_ONCE", 20 * 20 * 30 * config.num_samples)
    accepted, asked = MODULE._accepted, []
    monkeypatch.setattr(MODULE, "_accepted", lambda *given: asked.append(given[1:3]) or accepted(*given))
    found = pytorch.match_parts(maps[:, :30], peaks, sp.COCO, config)
    next(found)
    assert asked == [(0, 20 * 20 * 30)]


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_noise_agrees_where_the_limit_cuts(skeleton):
    maps = torch.from_numpy(noise_maps("uniform", (2, skeleton.num_channels, 20, 40), 1))
    config = sp.DecodeConfig(max_peaks=6)
    peaks = peaks_of(maps, skeleton, config)
    assert all(one.truncated for one in peaks)
    assert compare(maps, peaks, skeleton, config) > 10


def test_no_images_no_parts_and_no_peaks_give_nothing():
    assert list(pytorch.match_parts(torch.zeros(0, 30, 8, 8), [], sp.COCO, sp.DecodeConfig())) == []
    ball = sp.Skeleton("ball", ("center",), ())
    maps = torch.ones(2, 1, 4, 4)
    assert compare(maps, peaks_of(maps, ball, sp.DecodeConfig()), ball, sp.DecodeConfig()) == 0
    empty = torch.zeros(2, 3, 4, 4)
    assert compare(empty, peaks_of(empty, PAIR, sp.DecodeConfig()), PAIR, sp.DecodeConfig()) == 0
