"""Part affinity fields: rendering, matching and decoding by every backend, the length penalty, and mirrored fields."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.map_cases import SKELETONS
from helpers.map_scenes import sprinkle
from helpers.parity import assert_same_columns, assert_same_poses
from helpers.target_cases import edge_cases, scene

import simplepose as sp
from simplepose.evaluation.oracle import oracle_maps
from simplepose.ops import backend as dispatch
from simplepose.ops.native.decode_batch import average_flipped
from simplepose.skeleton.channels import map_channels

f32 = np.float32
TWINS = sp.Skeleton("twins", ("a", "b"), (("a", "b"),))
TARGETS = sp.TargetConfig(encoding="paf")
PAF = sp.DecodeConfig(encoding="paf")
SIZE = (128, 160)
EDGE_CASES = edge_cases(SIZE)


def field_of(people, **changes):
    """``[2, H, W]`` the field of one part of ``people [(ax, ay, bx, by)]`` on 64 x 64 pixels at stride 4."""
    keypoints = np.array(people, f32).reshape(-1, 2, 2)
    keypoints = np.concatenate([keypoints, np.full((*keypoints.shape[:2], 1), 2, f32)], -1)
    return sp.render_targets(keypoints, (64, 64), TWINS, sp.TargetConfig(encoding="paf", **changes), "reference")[:2]


def test_a_field_holds_the_unit_vector_within_its_width_and_length():
    field = field_of([(9.5, 21.5, 41.5, 21.5)], paf_width=6)  # from cell 2 to cell 10 of row 5
    expected = np.zeros((2, 16, 16))
    expected[0, 4:7, 2:11] = 1  # rows within 6 px, which is one row on each side
    np.testing.assert_array_equal(field, expected)
    reversed_field = field_of([(41.5, 21.5, 9.5, 21.5)], paf_width=6)
    np.testing.assert_array_equal(reversed_field, -expected)


def test_people_that_cover_a_cell_are_averaged():
    right, down = (9.5, 21.5, 41.5, 21.5), (21.5, 9.5, 21.5, 41.5)
    field = field_of([right, down], paf_width=3)
    assert field[:, 5, 5].tolist() == [0.5, 0.5]
    assert field[:, 5, 8].tolist() == [1, 0]
    assert field[:, 9, 5].tolist() == [0, 1]


@pytest.mark.parametrize("stride", [4, 8])
@pytest.mark.parametrize("name", EDGE_CASES)
def test_native_fields_are_those_of_the_reference(name, stride):
    config, keypoints = sp.TargetConfig(encoding="paf", stride=stride), EDGE_CASES[name]
    expected, found = (
        sp.render_targets(keypoints, SIZE, sp.COCO, config, backend, scales=2, envelope=True)
        for backend in ("reference", "native")
    )
    for one, other in zip(expected, found, strict=True):
        assert one.shape[0] == 2 * 30 + 18 + 1
        np.testing.assert_array_equal(one, other)


def test_pytorch_fields_are_those_of_the_reference():
    batch = np.stack([scene(4, SIZE, seed) for seed in range(3)])
    expected = sp.render_targets(batch, SIZE, sp.COCO, TARGETS, "reference")
    for keypoints in (batch, torch.from_numpy(batch)):
        found = sp.render_targets(keypoints, SIZE, sp.COCO, TARGETS, "torch")
        different = np.abs(np.asarray(found) - expected) > 2e-6
        assert different.mean() < 1e-4  # only cells on the edge of a part
    np.testing.assert_array_equal(sp.render_targets(torch.from_numpy(batch), SIZE, sp.COCO, TARGETS), expected)


def match(field, peaks, backend, **config):
    rows = np.array(peaks, f32).reshape(-1, 4)
    found = sp.Peaks(rows[:, 0].astype(np.int32), rows[:, 1:3].copy(), rows[:, 3].copy(), False)
    return sp.match_parts(f32(field), found, TWINS, sp.DecodeConfig(encoding="paf", **config), backend)[0]


BACKENDS = ("reference", "native", "torch")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_response_is_the_component_along_the_pair(backend):
    field = np.zeros((2, 16, 16))
    field[0], field[1] = 0.6, 0.8
    for end, response in (((12, 2), 0.6), ((2, 12), 0.8), ((8, 10), 0.6**2 + 0.8**2)):
        parts = match(field, [(0, 2, 2, 1), (1, *end, 1)], backend)
        np.testing.assert_allclose(parts.response, [response], rtol=1e-6)
    for end in ((0, 2), (2, 2)):  # against the field, and a pair without a direction
        assert len(match(field, [(0, 2, 2, 1), (1, *end, 1)], backend).type) == 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_length_penalty_lowers_long_parts_and_refuses_those_it_makes_negative(backend):
    field = np.zeros((2, 10, 40), f32)
    field[0] = 0.6
    for length, response in ((4, 0.6), (8, 0.6 + 5 / 8 - 1), (12, 0.6 + 5 / 12 - 1), (20, None)):
        parts = match(field, [(0, 1, 5, 1), (1, 1 + length, 5, 1)], backend, length_penalty=True)
        np.testing.assert_allclose(parts.response, [] if response is None else [response], rtol=1e-5)
    with pytest.raises(ValueError, match="length_penalty: expected encoding \"paf\" with it, got 'parts'"):
        sp.DecodeConfig(length_penalty=True)


def random_maps(skeleton, seed, cells):
    """Noise in which about half of the pairs have a field between them, ties, and values that are not finite."""
    random = np.random.default_rng(seed)
    channels = map_channels(skeleton, "paf")
    maps = random.normal(0, 0.4, (channels.num_maps, *cells)).astype(f32)
    maps[channels.parts] += random.choice([-0.5, 0, 0.5], (channels.num_parts, 1, 1)).astype(f32)
    maps[channels.keypoints] = np.round(maps[channels.keypoints] * 2) / 2
    if seed % 2:
        maps.ravel()[random.integers(maps.size, size=20)] = random.choice([np.nan, np.inf, -np.inf, 3e38], 20)
    return maps


CASES = [("coco", (12, 15)), ("tree", (17, 1)), ("hand21", (1, 30)), ("wide70", (6, 8)), ("coco", (2, 2))]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("config", [PAF, sp.DecodeConfig.cmu_pose(peak_threshold=0.3)], ids=["ours", "cmu_pose"])
@pytest.mark.parametrize(("name", "cells"), CASES)
def test_all_backends_give_the_same_bits_on_noise(name, cells, config, seed):
    skeleton = SKELETONS[name]
    maps = random_maps(skeleton, seed, cells)
    peaks = sp.find_peaks(maps, skeleton, config, "reference")
    expected = sp.match_parts(maps, peaks, skeleton, config, "reference")[0]
    poses = sp.decode(maps, skeleton, config, backend="reference")[0]
    assert len(expected.type) or cells in ((17, 1), (2, 2), (1, 30))
    for backend in ("native", "torch"):
        assert_same_columns(sp.find_peaks(maps, skeleton, config, backend)[0], peaks[0])
        assert_same_columns(sp.match_parts(maps, peaks, skeleton, config, backend)[0], expected)
        assert_same_poses(sp.decode(maps, skeleton, config, backend=backend)[0], poses)


@pytest.mark.parametrize("dirt", ["clean", "not finite", "huge", "negative"])
@pytest.mark.parametrize("people", [1, 3, 6, 15])
def test_native_fields_of_people_match_as_those_of_the_reference(people, dirt):
    """Pairs one by one (1 to 9 of a part type), by their middle samples (36), and by marked blocks (225)."""
    maps = sp.render_targets(scene(people, (256, 260), people), (256, 260), config=TARGETS)[:78]
    sprinkle(maps[:60], dirt, people)
    for config in (PAF, sp.DecodeConfig.cmu_pose(), sp.DecodeConfig(encoding="paf", part_threshold=0)):
        peaks = sp.find_peaks(maps, sp.COCO, config)
        expected, found = (sp.match_parts(maps, peaks, sp.COCO, config, backend)[0] for backend in BACKENDS[:2])
        assert_same_columns(found, expected)
        assert len(expected.type) >= 2 * people


def test_pairs_beside_the_threshold_are_dropped_only_if_they_fail():
    """Fields along the pairs, of the length of the threshold give or take float32 roundings, on crowded maps."""
    ends = [(0, x, y, 1) for x in (0, 1) for y in (0, 0.25, 1, 1.5)] + [(0, 3, 4, 1), (0, 0.5, 0.5, 1)]
    turns = np.random.default_rng(0).normal(0, 3e-4, (8, 2))  # other roundings of the direction, the same component
    ends += [(1, x + 6 + dx, y + 8 + dy, 1) for (_, x, y, _), (dx, dy) in zip(ends[:8], turns, strict=True)]
    ends += [(1, 3, 4, 1), (1, 1e-20, 1e-21, 1), (1, 1e-22, 0, 1)]
    counts = set()
    for threshold in (0.1, 0.3, 1e-10, 1e6):
        for steps in (-24, -8, *range(-4, 5), 8, 24):
            field = np.full((2, 12, 12), 1 + steps * 2.0**-24) * f32(threshold)
            field *= np.array([0.6, 0.8])[:, None, None]
            expected, found = (match(field, ends, backend, part_threshold=threshold) for backend in BACKENDS[:2])
            assert_same_columns(found, expected)
            counts.add(len(expected.type))
    assert 0 in counts
    assert len(counts) > 3  # rounding decides on some of the pairs


@pytest.mark.parametrize("noise_seed", [None, 3])
@pytest.mark.parametrize("stride", [4, 8])
def test_rendered_people_are_decoded(stride, noise_seed):
    keypoints = scene(1, (256, 256), 5)
    keypoints[..., 2] = 2
    maps = oracle_maps(
        keypoints, (256, 256), noise_seed=noise_seed, config=sp.TargetConfig(encoding="paf", stride=stride)
    )
    poses = [sp.decode(maps, sp.COCO, PAF, stride, backend)[0] for backend in BACKENDS]
    for other in poses[1:]:
        assert_same_poses(other, poses[0])
    if noise_seed is None:
        assert len(poses[0]) == 1
        inside = (keypoints[0, :, :2] > 0).all(1) & (keypoints[0, :, :2] < 255).all(1)
        assert np.abs(poses[0].keypoints[0, inside, :2] - keypoints[0, inside, :2]).max() < 0.1


@pytest.mark.parametrize("name", ["coco", "hand21", "crowdpose14"])
def test_the_fields_of_a_mirrored_image_average_to_those_of_the_image(name):
    skeleton, random = SKELETONS[name], np.random.default_rng(0)
    channels = map_channels(skeleton, "paf")
    keypoints = random.uniform(10, 50, (1, skeleton.num_keypoints, 3)).astype(f32)
    mirrored = keypoints[:, skeleton.keypoint_flip]
    mirrored[..., 0] = 63 - mirrored[..., 0]
    maps, flipped = (
        torch.from_numpy(sp.render_targets(k, (64, 64), skeleton, TARGETS))[None] for k in (keypoints, mirrored)
    )
    used = slice(0, channels.num_maps)
    flip, sign = torch.from_numpy(channels.flip[used]).long(), torch.from_numpy(channels.flip_sign[used])
    mean = average_flipped(torch.cat([maps, flipped]), flip, sign)
    assert (mean - maps).abs().gt(1e-5).float().mean() < 1e-3  # cells on the edge of a part
    for wrong in (torch.ones_like(sign), -sign):
        assert (average_flipped(torch.cat([maps, flipped]), flip, wrong) - maps).abs().max() > 0.4


def test_channels_that_do_not_fit_the_encoding_are_named():
    with pytest.raises(
        ValueError, match=r"expected 78 \(parts and keypoints\) or 80 \(and mask and envelope\) channels, got 48"
    ):
        sp.decode(np.zeros((48, 8, 8), f32), config=PAF)
    with pytest.raises(ValueError, match='shape: expected "ellipse" with encoding "paf"'):
        sp.TargetConfig(encoding="paf", shape="line")


def test_fields_of_cuda_tensors_run_in_pytorch_and_native_says_why(monkeypatch):
    monkeypatch.setattr(dispatch, "why_not_native", lambda device: "")
    cuda = dispatch.Device("cuda")
    for op in dispatch.USES_PARTS:
        assert dispatch.choose(op, "auto", cuda, "paf") == ("torch", "the CUDA kernels have no part affinity fields")
        assert dispatch.choose(op, "auto", cuda).implementation == "cuda"
        assert dispatch.choose(op, "auto", encoding="paf").implementation == "cpp"
        with pytest.raises(RuntimeError, match="backend 'native': the CUDA kernels have no part affinity fields"):
            dispatch.choose(op, "native", cuda, "paf")
    assert dispatch.choose("find_peaks", "auto", cuda, "paf").implementation == "cuda"


def test_cmu_pose_has_the_rules_of_its_paper():
    config = sp.DecodeConfig.cmu_pose(min_keypoints=3)
    assert (config.encoding, config.part_threshold, config.min_samples) == ("paf", 0.05, 8)
    assert config.length_penalty
    assert not config.reassign
    assert (config.join_distance, config.min_keypoints) == (0, 3)
