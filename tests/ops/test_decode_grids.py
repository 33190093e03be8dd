"""Keypoint maps and part maps of different strides: where the part maps are sampled, by every backend."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.map_cases import SKELETONS
from helpers.parity import assert_same_columns, assert_same_poses
from helpers.target_cases import scene

import simplepose as sp
from simplepose.ops import backend as dispatch
from simplepose.ops import decode_grids
from simplepose.skeleton.channels import map_channels

f32 = np.float32
BACKENDS = ("reference", "native", "torch")
TWINS = sp.Skeleton("twins", ("a", "b"), (("a", "b"),))
STRIDES = [(4, 8), (8, 4), (2, 6), (4, 4), (3, 1)]


def random_maps(skeleton, config, cells, part_cells, seed):
    """Keypoint maps of a few peaks, and part maps in which about half of the pairs are candidates."""
    rng = np.random.default_rng(seed)
    keypoints = rng.random((2, skeleton.num_keypoints, *cells), f32)
    keypoints[keypoints < 0.97] *= f32(0.1)
    num_parts = map_channels(skeleton, config.encoding).num_parts
    parts = rng.normal(0, 0.4, (2, num_parts, *part_cells)) + rng.choice([-0.5, 0, 0.5], (2, num_parts, 1, 1))
    parts.ravel()[rng.integers(parts.size, size=5)] = np.nan
    return keypoints, parts.astype(f32)


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize(("stride", "part_stride"), STRIDES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sample_lies_at_the_same_pixel_in_both_maps(backend, stride, part_stride, alignment):
    """The part map holds the x of each cell in the image, so the response is the mean x of the pair."""
    size = 96
    offset = {s: (s - 1) / 2 if alignment == "center" else 0 for s in (stride, part_stride)}
    keypoints = np.zeros((2, size // stride, size // stride), f32)
    (ax, ay), (bx, by) = (3, 5), (7, 6)
    keypoints[0, ay, ax] = keypoints[1, by, bx] = 1
    ramp = (np.arange(size // part_stride) * part_stride + offset[part_stride]) / size
    part = np.broadcast_to(ramp, (1, size // part_stride, size // part_stride)).astype(f32)
    peaks = sp.find_peaks(keypoints, TWINS)
    grids = {"stride": stride, "part_stride": part_stride, "alignment": alignment}
    config = sp.DecodeConfig(part_threshold=0, min_sample_fraction=0.5)
    (found,) = sp.match_parts(part, peaks, TWINS, config, backend, **grids)
    expected = (stride * (ax + bx) / 2 + offset[stride]) / size
    np.testing.assert_allclose(found.response, [expected], rtol=1e-5)
    (poses,) = sp.decode(keypoints, TWINS, config, stride, backend, part_maps=part, part_stride=part_stride,
                         alignment=alignment)  # fmt: skip
    places = np.array([[ax, ay], [bx, by]]) * stride + offset[stride]
    np.testing.assert_array_equal(poses.keypoints[0, :, :2], places)


@pytest.mark.parametrize("alignment", ["center", "corner"])
@pytest.mark.parametrize("encoding", ["parts", "paf"])
@pytest.mark.parametrize(("stride", "part_stride"), STRIDES)
def test_all_backends_give_the_same_bits(stride, part_stride, encoding, alignment):
    skeleton = SKELETONS["crowdpose14"]
    config = sp.DecodeConfig(encoding=encoding, peak_threshold=0.3, length_penalty=encoding == "paf")
    part_cells = (14 * stride // part_stride, 17 * stride // part_stride)
    keypoints, parts = random_maps(skeleton, config, (14, 17), part_cells, stride)
    grids = {"part_stride": part_stride, "alignment": alignment}
    peaks = sp.find_peaks(keypoints, skeleton, config, "reference")
    expected = [sp.match_parts(parts, peaks, skeleton, config, backend, stride=stride, **grids) for backend in BACKENDS]
    poses = [sp.decode(keypoints, skeleton, config, stride, b, part_maps=parts, **grids) for b in BACKENDS]
    grouped = sp.assign_keypoints(peaks, expected[0], skeleton, config, stride, alignment=alignment)
    assert sum(len(p.type) for p in expected[0]) > 100
    for image in range(2):
        for one, other in zip(expected[1:], poses[1:], strict=True):
            assert_same_columns(one[image], expected[0][image])
            assert_same_poses(other[image], poses[0][image])
        assert_same_poses(grouped[image], poses[0][image])


@pytest.mark.parametrize("backend", BACKENDS)
def test_maps_of_one_stride_give_the_same_bits_in_one_array_or_two(backend):
    config = sp.DecodeConfig(encoding="paf")
    keypoints, parts = random_maps(sp.COCO, config, (12, 15), (12, 15), 1)
    (one, two) = sp.decode(np.concatenate([parts, keypoints], 1), config=config, backend=backend)
    for given in ({"part_maps": parts}, {"part_maps": torch.from_numpy(parts), "part_stride": 4}):
        for poses, expected in zip(sp.decode(keypoints, config=config, backend=backend, **given), (one, two),
                                   strict=True):  # fmt: skip
            assert_same_poses(poses, expected)


@pytest.mark.parametrize("part_stride", [2, 8])
def test_people_are_found_with_parts_of_another_stride(part_stride):
    people = scene(3, (256, 256), 2)
    people[..., 2] = 2
    maps = {s: sp.render_targets(people, (256, 256), config=sp.TargetConfig(stride=s)) for s in (4, part_stride)}
    (expected,) = sp.decode(maps[4])
    (found,) = sp.decode(maps[4][30:], part_maps=maps[part_stride][:30], part_stride=part_stride)
    np.testing.assert_array_equal(found.keypoints, expected.keypoints)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"part_stride": 8}, ValueError, "part_stride: expected part_maps with it"),
        ({"part_maps": np.zeros((2, 1, 4, 4), f32)}, ValueError, "part_maps: expected maps of 1 images"),
        ({"part_maps": np.zeros((2, 4, 4), f32)}, ValueError, r"part_maps: expected 1 \(parts only\) channels, got 2"),
        ({"part_maps": np.zeros((1, 4, 4))}, TypeError, "part_maps: expected float32"),
        ({"part_maps": np.zeros((1, 4, 4), f32), "part_stride": 0}, ValueError, "part_stride: expected"),
        ({"alignment": "left"}, ValueError, "alignment: expected"),
    ],
)
def test_arguments_that_do_not_fit_are_named(given, error, message):
    for backend in BACKENDS:
        with pytest.raises(error, match=message):
            sp.decode(np.zeros((2, 8, 8), f32), TWINS, backend=backend, **given)
    with pytest.raises(ValueError, match=r"heatmaps: expected 2 \(keypoints only, as part_maps is given\) channels"):
        sp.decode(np.zeros((3, 8, 8), f32), TWINS, part_maps=np.zeros((1, 8, 8), f32))


def test_maps_on_two_devices_are_refused(monkeypatch):
    cuda = dispatch.Device("cuda")
    monkeypatch.setattr(decode_grids, "device_of", lambda maps: cuda if len(maps) == 1 else dispatch.CPU)
    with pytest.raises(ValueError, match="part_maps: expected maps on the device of heatmaps, cpu:0, got cuda:0"):
        sp.decode(np.zeros((2, 8, 8), f32), TWINS, part_maps=np.zeros((1, 4, 4), f32))
