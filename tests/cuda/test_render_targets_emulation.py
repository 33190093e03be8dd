"""The CUDA kernels of render_targets without a GPU: their source, run on the host by the emulator."""

from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import torch
from helpers import target_emulation as emulation
from helpers.target_cases import edge_cases, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import simplepose as sp

EXAMPLES = int(os.environ.get("SIMPLEPOSE_TEST_EXAMPLES", "150"))
TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16}

coordinates = st.one_of(
    st.floats(-80, 900, width=32),
    st.integers(-20, 200).map(lambda cell: cell * 2.0 - 0.5),
    st.floats(width=32),
)
configs = st.builds(
    sp.TargetConfig,
    keypoint_sigma=st.floats(0.01, 60),
    part_sigma=st.floats(0.01, 60),
    threshold=st.floats(1e-6, 0.999),
    stride=st.sampled_from([1, 2, 3, 4, 7, 8, 31, 64]),
    shape=st.sampled_from(["ellipse", "line"]),
)


def assert_same(drawn, expected, message=""):
    for k, (a, b) in enumerate(zip(drawn, expected, strict=True)):
        np.testing.assert_array_equal(a, b, f"{message} scale {k}")


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, database=None)
@given(
    keypoints=arrays(
        np.float32, st.tuples(st.integers(0, 2), st.integers(0, 3), st.just(18), st.just(3)), elements=coordinates
    ),
    cells=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    scales=st.integers(1, 6),
    config=configs,
    envelope=st.booleans(),
    order=st.sampled_from(emulation.ORDERS),
    offset=st.integers(0, 3),
)
def test_the_kernel_gives_the_bits_of_the_reference(keypoints, cells, scales, config, envelope, order, offset):
    multiple = config.stride * 2 ** (scales - 1)
    size = (cells[0] * multiple, cells[1] * multiple)
    options = {"scales": scales, "envelope": envelope}
    expected = sp.render_targets(keypoints, size, config=config, backend="reference", **options)
    drawn = emulation.render_targets(keypoints, size, config, order=order, offset=offset, **options)
    assert_same(drawn, expected if scales > 1 else [expected])


@pytest.mark.parametrize("shape", ["ellipse", "line"])
@pytest.mark.parametrize(
    ("size", "stride"), [((96, 128), 4), ((100, 52), 4), ((4, 4), 4), ((264, 300), 4), ((72, 132), 1)]
)
def test_the_kernel_gives_the_bits_of_the_reference_on_edge_cases(size, stride, shape):
    config = sp.TargetConfig(stride=stride, shape=shape)
    for name, keypoints in edge_cases(size).items():
        expected = sp.render_targets(keypoints[None], size, config=config, envelope=True)
        drawn = emulation.render_targets(keypoints[None], size, config, envelope=True)
        assert_same(drawn, [expected], name)


@pytest.mark.parametrize("shape", ["ellipse", "line"])
@pytest.mark.parametrize("people", [1, 2, 3, 4, 7, 31, 32, 33, 100])
def test_any_number_of_people_is_drawn(people, shape):
    """Up to 3 people share a warp; more than 32 people are drawn in several rounds."""
    config, keypoints = sp.TargetConfig(shape=shape), scene(people, (512, 512))[None]
    expected = sp.render_targets(keypoints, (512, 512), config=config, scales=5, envelope=True)
    for order in emulation.ORDERS:
        drawn = emulation.render_targets(keypoints, (512, 512), config, scales=5, envelope=True, order=order)
        assert_same(drawn, expected, order)


def test_scales_beyond_those_of_a_tile_are_pooled():
    keypoints, config = scene(3, (512, 1024))[None], sp.TargetConfig(stride=1)
    expected = sp.render_targets(keypoints, (512, 1024), config=config, scales=10)
    assert_same(emulation.render_targets(keypoints, (512, 1024), config, scales=10), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_maps_are_rounded_float32_maps(dtype):
    for size, scales in (((256, 512), 7), ((176, 208), 3)):
        keypoints = np.stack([scene(5, size, seed) for seed in range(2)])
        expected = sp.render_targets(keypoints, size, scales=scales, envelope=True)
        for offset in (0, 1):
            drawn = emulation.render_targets(
                keypoints, size, sp.TargetConfig(), scales=scales, envelope=True, dtype=dtype, offset=offset
            )
            bits = [torch.from_numpy(scale).to(TORCH[dtype]).view(torch.int16).numpy() for scale in expected]
            assert_same([scale.view(np.int16) for scale in drawn], bits)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_rounding_to_half_precision_is_that_of_torch(dtype):
    all_bits = np.arange(2**16, dtype=np.uint32).astype(np.uint16).view(np.int16)
    halves = torch.from_numpy(all_bits).view(TORCH[dtype]).float()
    halves = halves[halves.isfinite()].numpy()
    halves.sort()
    middles = halves[1:] / 2 + halves[:-1] / 2  # ties
    values = np.concatenate(
        [halves, middles, np.nextafter(middles, np.inf), np.nextafter(middles, -np.inf)], dtype=np.float32
    )
    values = np.concatenate([values, np.random.default_rng(0).uniform(0, 1, 10_000).astype(np.float32)])
    values = values[np.isfinite(values)]
    expected = torch.from_numpy(values).to(TORCH[dtype]).view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(emulation.rounded(values, dtype), expected)


@pytest.mark.parametrize("size", [(0, 64), (64, 0)])
def test_maps_without_cells_give_empty_arrays(size):
    (drawn,) = emulation.render_targets(scene(2, (64, 64))[None], size, sp.TargetConfig())
    assert drawn.size == 0


FAULTS = {
    "another value shown": ("lane, factor_of(lane),", "lane, factor_of(lane ^ 1),", "another value than"),
    "slots of another warp": ("factors[kSide + lane % kSide]", "factors[kSide + lane]", "elements 32 to 32 of 32"),
    "slots that are not aligned": ("factors.four(row + below)", "factors.four(row + below + 1)", "not aligned"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_between_the_threads_of_a_warp_is_detected(fault, tmp_path):
    right, wrong, message = FAULTS[fault]
    shutil.copytree(emulation.CSRC, tmp_path / "csrc")
    kernel = tmp_path / "csrc/render_targets/render_targets_kernel.h"
    text = kernel.read_text()
    assert right in text
    kernel.write_text(text.replace(right, wrong))
    with pytest.raises(RuntimeError, match=message):
        emulation.render_targets(scene(1, (64, 64))[None], (64, 64), sp.TargetConfig(), csrc=tmp_path / "csrc")


def test_a_store_outside_the_maps_is_detected():
    """The emulation must fail if a kernel writes past the end."""
    with pytest.raises(RuntimeError, match=r"elements \d+ to \d+ of \d+"):
        emulation.render_targets(scene(1, (64, 64))[None], (64, 64), sp.TargetConfig(), missing=1)
