"""render_targets on a GPU: the bits of the CPU op, on edge cases, other streams and in CUDA graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.target_cases import edge_cases, scene
from torch import library

import simplepose as sp
from simplepose.ops.native.module import require_native, why_no_cuda

WHY_NOT = "" if torch.cuda.is_available() else "torch finds no CUDA device"
WHY_NOT = WHY_NOT or why_no_cuda(0)
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "a GPU is available")]


def test_the_status_of_a_missing_device_has_a_reason():
    status = require_native().cuda_status(10_000)
    assert not status["usable"]
    assert status["reason"]
    assert "\n" not in status["reason"]


@pytest.fixture(params=[pytest.param("cuda", marks=on_gpu)])
def device(request):
    return torch.device(request.param)


@pytest.mark.parametrize("shape", ["ellipse", "line"])
@pytest.mark.parametrize(("size", "stride"), [((96, 128), 4), ((100, 52), 4), ((20, 28), 1), ((136, 72), 8)])
def test_cuda_gives_the_bits_of_the_cpu(device, size, stride, shape):
    config = sp.TargetConfig(stride=stride, shape=shape)
    for name, keypoints in edge_cases(size).items():
        expected = sp.render_targets(keypoints, size, config=config, envelope=True)
        drawn = sp.render_targets(
            torch.from_numpy(keypoints).to(device), size, config=config, envelope=True, backend="native"
        )
        assert drawn.device.type == device.type
        np.testing.assert_array_equal(drawn.cpu().numpy(), expected, name)


def on_device(keypoints: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(keypoints, np.float32)).to(device)


def assert_same(drawn, expected, message=""):
    for k, (a, b) in enumerate(zip(drawn, expected, strict=True)):
        np.testing.assert_array_equal(a.float().cpu().numpy(), b, f"{message} scale {k}")


@pytest.mark.parametrize("shape", ["ellipse", "line"])
@pytest.mark.parametrize(("people", "size", "scales"), [(300, (256, 320), 4), (40, (512, 512), 7), (3, (512, 1024), 8)])
def test_cuda_draws_batches_crowds_and_pyramids(device, people, size, scales, shape):
    """More shapes than the threads of a block; the maximum number of scales of a tile, and one more."""
    keypoints = np.stack([scene(people, size, seed) for seed in range(4)])
    options = {"config": sp.TargetConfig(shape=shape), "scales": scales, "envelope": True}
    expected = sp.render_targets(keypoints, size, **options)
    assert_same(sp.render_targets(on_device(keypoints, device), size, backend="native", **options), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scales", [1, 5, 8])
def test_cuda_half_precision_maps_are_rounded_float32_maps(device, dtype, scales):
    size = (512, 1024) if scales == 8 else (256, 320)
    keypoints = on_device(scene(5, size)[None], device)
    options = {"scales": scales, "envelope": True}
    plain = sp.render_targets(keypoints, size, **options)
    half = sp.render_targets(keypoints, size, dtype=dtype, **options)
    for a, b in zip((half,) if scales == 1 else half, (plain,) if scales == 1 else plain, strict=True):
        assert a.dtype == dtype
        assert torch.equal(a, b.to(dtype))


def test_cuda_draws_random_batches(device):
    """1,000 batches of random sizes, numbers of people and settings."""
    random = np.random.default_rng(5)
    for seed in range(1000):
        stride, scales = int(random.choice([1, 2, 4, 8])), int(random.integers(1, 6))
        size = tuple(int(n) * stride * 2 ** (scales - 1) for n in random.integers(1, 10 if scales > 2 else 40, 2))
        config = sp.TargetConfig(
            keypoint_sigma=float(random.uniform(1, 12)),
            part_sigma=float(random.uniform(1, 12)),
            threshold=float(random.uniform(0.001, 0.2)),
            stride=stride,
            shape=("ellipse", "line")[seed % 2],
        )
        people, images = int(random.integers(0, 40)), int(random.integers(0, 4))
        keypoints = np.stack([scene(people, size, seed + i) for i in range(images)] or [scene(0, size)])[:images]
        options = {"config": config, "scales": scales, "envelope": bool(random.integers(2))}
        expected = sp.render_targets(keypoints, size, **options)
        drawn = sp.render_targets(on_device(keypoints, device), size, backend="native", **options)
        assert_same((drawn,) if scales == 1 else drawn, (expected,) if scales == 1 else expected, str((seed, size)))


def test_cuda_writes_every_cell_of_the_maps(device):
    """The maps are allocated in memory that held NaN: the caching allocator reuses freed memory of the same size."""
    keypoints, size = scene(4, (512, 512), 3)[None], (512, 512)
    expected = sp.render_targets(keypoints, size, scales=5)
    for _ in range(3):
        poison = [torch.full(scale.shape, torch.nan, device=device) for scale in expected]
        del poison
        assert_same(sp.render_targets(on_device(keypoints, device), size, scales=5), expected)


def test_cuda_draws_on_the_current_stream(device):
    """The kernel must run after the work of its stream that computes its input."""
    keypoints = on_device(scene(3, (96, 128)), device)
    expected = sp.render_targets(keypoints, (96, 128))
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        late = torch.zeros_like(keypoints)
        for _ in range(20):  # keeps the stream busy, so that a kernel on another stream would run too early
            torch.randn(2048, 2048, device=device) @ torch.randn(2048, 2048, device=device)
        late.copy_(keypoints)
        drawn = sp.render_targets(late, (96, 128))
    stream.synchronize()
    assert torch.equal(drawn, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_draws_in_graphs(device, dtype):
    """A graph reads its keypoints again at each replay."""
    first, second = (on_device(scene(3, (128, 128), seed), device) for seed in (1, 2))
    options = {"size": (128, 128), "scales": 5, "envelope": True, "dtype": dtype}
    static_input = first.clone()
    sp.render_targets(static_input, **options)  # the first call loads modules, which cannot be captured
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = sp.render_targets(static_input, **options)
    for keypoints in (second, first):
        static_input.copy_(keypoints)
        for scale in captured:
            scale.fill_(torch.nan)
        graph.replay()
        for a, b in zip(captured, sp.render_targets(keypoints, **options), strict=True):
            assert torch.equal(a, b)


def test_cuda_draws_on_every_device(device):
    """The device of the keypoints need not be the current one."""
    if torch.cuda.device_count() < 2:
        pytest.skip("there is one CUDA device")
    keypoints = scene(3, (96, 128))
    expected = sp.render_targets(keypoints, (96, 128))
    for index in range(torch.cuda.device_count()):
        drawn = sp.render_targets(on_device(keypoints, torch.device("cuda", index)), (96, 128), backend="native")
        assert drawn.device.index == index
        np.testing.assert_array_equal(drawn.cpu().numpy(), expected)


def test_the_cuda_op_passes_opcheck_and_compiles_in_one_graph(device):
    keypoints = on_device(scene(2, (64, 96))[None], device)
    arguments = (64, 96, [0, 1, 1, 2], 9.0, 7.0, 0.015, 4, "ellipse", 2, True, True, 0, torch.float16)
    results = library.opcheck(torch.ops.simplepose.render_targets.default, (keypoints, *arguments))
    assert set(results.values()) == {"SUCCESS"}

    def double(points):
        return [2 * maps for maps in sp.render_targets(points, (64, 96), scales=2, envelope=True)]

    compiled = torch.compile(double, fullgraph=True)
    for a, b in zip(compiled(keypoints), double(keypoints), strict=True):
        assert torch.equal(a, b)
