"""render_targets on a GPU: the bits of the CPU op, on awkward input, other streams and in CUDA graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from target_cases import awkward, scene

import simplepose as sp
from simplepose.native import require_native, why_no_cuda

WHY_NOT = "" if torch.cuda.is_available() else "torch finds no CUDA device"
WHY_NOT = WHY_NOT or why_no_cuda(0)
on_gpu = [pytest.mark.gpu, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "a GPU is there")]


def test_the_status_is_an_answer_everywhere():
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
    for name, keypoints in awkward(size).items():
        expected = sp.render_targets(keypoints, size, config=config, envelope=True)
        drawn = sp.render_targets(
            torch.from_numpy(keypoints).to(device), size, config=config, envelope=True, backend="native"
        )
        assert drawn.device.type == device.type
        np.testing.assert_array_equal(drawn.cpu().numpy(), expected, name)


def test_cuda_draws_batches_crowds_and_pyramids(device):
    keypoints = np.stack([scene(300, (256, 320), seed) for seed in range(4)])  # more shapes than a block has threads
    expected = sp.render_targets(keypoints, (256, 320), scales=4, envelope=True)
    drawn = sp.render_targets(torch.from_numpy(keypoints).to(device), (256, 320), scales=4, envelope=True)
    for a, b in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(a.cpu().numpy(), b)


def test_cuda_draws_on_the_current_stream_and_in_graphs(device):
    keypoints = torch.from_numpy(scene(3, (96, 128))).to(device)
    expected = sp.render_targets(keypoints, (96, 128))
    stream = torch.cuda.Stream(device)
    stream.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(stream):
        other = sp.render_targets(keypoints, (96, 128))
    stream.synchronize()
    assert torch.equal(other, expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = sp.render_targets(keypoints, (96, 128))
    captured.zero_()
    graph.replay()
    assert torch.equal(captured, expected)
