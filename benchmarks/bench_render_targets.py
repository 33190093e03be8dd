"""render_targets: every backend and the lower bound, one write of the maps. Correctness first, then time.

Run with ``pytest benchmarks/bench_render_targets.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scenes import people

import simplepose as sp
from simplepose.ops.native.module import why_no_cuda

SIZE = (512, 512)
SCENES = [(1, 1), (1, 5), (1, 10), (1, 20), (1, 30), (8, 10)]  # images, people
NO_CUDA = "torch finds no CUDA device" if not torch.cuda.is_available() else why_no_cuda(0)


@pytest.fixture(params=SCENES, ids=lambda scene: f"{scene[0]}x{scene[1]}")
def keypoints(request, benchmark):
    """``[B, P, 18, 3]`` people at 512 x 512."""
    images, count = request.param
    benchmark.group = f"render_targets, {images} x {count} people"
    return np.stack([people(count, seed) for seed in range(images)])


@pytest.fixture
def one_torch_thread():
    previous = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(previous)


def measure(benchmark: Any, draw: Callable[[], Any], rounds: int) -> Any:
    """Time single calls after one warm-up call; returns the result of the last call."""
    return benchmark.pedantic(draw, rounds=rounds, warmup_rounds=1)


def check(maps: np.ndarray, keypoints: np.ndarray) -> None:
    """Compare the first image with the reference implementation; cells on the edge of an ellipse may differ."""
    expected = sp.render_targets(keypoints[0], SIZE, backend="reference")
    on_edge = (maps[0] == 0) != (expected == 0)
    assert np.abs(maps[0] - expected)[~on_edge].max() <= 2e-6
    assert on_edge.sum() <= 2


def test_fill_of_the_maps(benchmark, keypoints):
    """The lower bound: one write of the maps into allocated memory."""
    maps = np.ones((len(keypoints), 48, 128, 128), np.float32)
    measure(benchmark, lambda: maps.fill(0), 100)
    assert not maps.any()


def test_reference(benchmark, keypoints):
    maps = measure(benchmark, lambda: sp.render_targets(keypoints, SIZE, backend="reference"), 3)
    check(maps, keypoints)


def test_torch_one_thread(benchmark, keypoints, one_torch_thread):
    tensor = torch.from_numpy(keypoints)
    maps = measure(benchmark, lambda: sp.render_targets(tensor, SIZE, backend="torch"), 20)
    check(maps.numpy(), keypoints)


@pytest.mark.parametrize("threads", [1, None], ids=["one_thread", "all_threads"])
def test_native(benchmark, keypoints, threads):
    maps = measure(benchmark, lambda: sp.render_targets(keypoints, SIZE, backend="native", threads=threads), 100)
    check(maps, keypoints)


def test_native_pyramid_one_thread(benchmark, keypoints):
    """With the envelope and five scales, as in training."""
    options = {"backend": "native", "threads": 1, "scales": 5, "envelope": True}
    maps = measure(benchmark, lambda: sp.render_targets(keypoints, SIZE, **options), 100)
    check(maps[0][:, :48], keypoints)


@pytest.mark.gpu
@pytest.mark.skipif(bool(NO_CUDA), reason=NO_CUDA or "a GPU is available")
@pytest.mark.parametrize("backend", ["native", "torch"])
def test_cuda(benchmark, keypoints, backend):
    tensor = torch.from_numpy(keypoints).cuda()

    def draw() -> torch.Tensor:
        maps = sp.render_targets(tensor, SIZE, backend=backend)
        torch.cuda.synchronize()
        return maps

    check(measure(benchmark, draw, 100).cpu().numpy(), keypoints)
