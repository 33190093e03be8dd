"""render_targets: torch tensors, vectorized PyTorch, torch.compile, and processes without AVX2 or torch."""

from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
import torch
from helpers.implementations import pytorch
from helpers.processes import run_python
from helpers.target_cases import edge_cases, scene
from torch import library

import simplepose as sp
from simplepose.ops.native.module import require_native

SIZE = (96, 128)
PARTS = sp.COCO.part_index.tolist()


def test_tensors_give_tensors_with_the_values_of_arrays():
    keypoints = scene(3, SIZE)
    expected = sp.render_targets(keypoints, SIZE)
    tensor = torch.from_numpy(keypoints)
    forms = [
        tensor,
        tensor.double(),
        tensor.mT.contiguous().mT,
        tensor.clone().requires_grad_(),
        torch.nn.Parameter(tensor),
    ]
    for form in forms:
        for backend in ("auto", "native", "reference"):
            maps = sp.render_targets(form, SIZE, backend=backend)
            assert maps.dtype == torch.float32
            assert not maps.requires_grad
            np.testing.assert_array_equal(maps.numpy(), expected)
    pyramid = sp.render_targets(tensor[None], SIZE, scales=3, envelope=True)
    assert [tuple(maps.shape) for maps in pyramid] == [(1, 49, 24 >> k, 32 >> k) for k in range(3)]
    with pytest.raises(TypeError, match="keypoints: expected float32 or float64, got float16"):
        sp.render_targets(tensor.half(), SIZE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_maps_are_rounded_float32_maps(dtype):
    keypoints = torch.from_numpy(scene(3, SIZE))
    for backend in ("auto", "native", "reference"):
        plain = sp.render_targets(keypoints, SIZE, backend=backend, scales=3)
        rounded = sp.render_targets(keypoints, SIZE, backend=backend, scales=3, dtype=dtype)
        for a, b in zip(rounded, plain, strict=True):
            assert a.dtype == dtype
            assert torch.equal(a, b.to(dtype))
    with pytest.raises(TypeError, match=r"dtype: expected None or one of torch.float32, .*, got torch.float64"):
        sp.render_targets(keypoints, SIZE, dtype=torch.float64)
    with pytest.raises(TypeError, match="dtype: expected None for NumPy arrays"):
        sp.render_targets(keypoints.numpy(), SIZE, dtype=dtype)


def compare(drawn: np.ndarray, expected: np.ndarray) -> int:
    """The number of cells that are 0 in only one of the two maps; all other cells must agree within 2e-6."""
    on_edge = (drawn == 0) != (expected == 0)
    np.testing.assert_array_less(np.abs(drawn - expected)[~on_edge], 2e-6)
    return int(on_edge.sum())


@pytest.mark.parametrize("shape", ["ellipse", "line"])
def test_vectorized_pytorch_agrees_except_at_cells_on_an_edge(shape):
    config = sp.TargetConfig(shape=shape)
    differing = cells = 0
    for seed in range(40):
        keypoints = scene(5, (256, 192), seed)
        expected = sp.render_targets(keypoints, (256, 192), config=config, envelope=True)
        drawn = pytorch.render_targets(torch.from_numpy(keypoints)[None], (256, 192), PARTS, config, 1, True)
        differing += compare(drawn[0][0].numpy(), expected)
        cells += expected.size
    print(f"{shape}: {differing} of {cells} cells differ, all on an edge")
    assert differing <= 1e-6 * cells


@pytest.mark.parametrize("shape", ["ellipse", "line"])
def test_vectorized_pytorch_agrees_on_edge_cases(shape):
    config = sp.TargetConfig(shape=shape)
    cases = edge_cases(SIZE)
    for name in ("far away", "huge"):  # float32 rounding differs there
        del cases[name]
    for keypoints in cases.values():
        drawn = pytorch.render_targets(torch.from_numpy(keypoints)[None], SIZE, PARTS, config, 3, True)
        expected = sp.render_targets(keypoints, SIZE, config=config, scales=3, envelope=True)
        for a, b in zip(drawn, expected, strict=True):
            assert compare(a[0].numpy(), b) == 0


def test_drawing_whole_maps_gives_the_maps_of_drawing_boxes(monkeypatch):
    """The CPU draws a box for each person. The patch makes it draw whole maps, as other devices do."""
    module = sys.modules["simplepose.ops.pytorch.render_targets"]
    everything = slice(None)
    keypoints = torch.from_numpy(np.stack([scene(3, SIZE, seed) for seed in range(2)]))
    boxed = pytorch.render_targets(keypoints, SIZE, PARTS, sp.TargetConfig())
    monkeypatch.setattr(
        module, "_areas", lambda xy, *_: ((everything, p, everything, everything) for p in range(xy.shape[1]))
    )
    assert compare(pytorch.render_targets(keypoints, SIZE, PARTS, sp.TargetConfig())[0].numpy(), boxed[0].numpy()) == 0


def test_the_custom_op_passes_opcheck():
    widths, parts = (9.0, 7.0, 0.015, 4, "ellipse"), ("parts", 11.0)
    arguments = (64, 96, [0, 1, 1, 2], *widths, *parts, 2, True, "auto", 1, torch.bfloat16)
    keypoints = torch.from_numpy(scene(2, (64, 96)))[None]
    results = library.opcheck(torch.ops.simplepose.render_targets.default, (keypoints, *arguments))
    assert set(results.values()) == {"SUCCESS"}


def test_torch_compile_captures_the_op_in_one_graph():
    def double(keypoints):
        return [2 * maps for maps in sp.render_targets(keypoints, SIZE, scales=2, envelope=True)]

    keypoints = torch.from_numpy(scene(2, SIZE))
    compiled = torch.compile(double, fullgraph=True, backend="aot_eager")
    for a, b in zip(compiled(keypoints), double(keypoints), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


DIGEST = """
import hashlib, sys
sys.modules["torch"] = None  # importing it fails
import numpy as np
import simplepose as sp
from simplepose import _native
assert not _native.uses_avx2()
keypoints = np.frombuffer(sys.stdin.buffer.read(), np.float32).reshape(-1, 18, 3)
for shape in ("ellipse", "line"):
    for maps in sp.render_targets(keypoints, (96, 128), config=sp.TargetConfig(shape=shape), scales=4, envelope=True):
        print(hashlib.sha256(maps.tobytes()).hexdigest())
"""


def test_maps_have_the_same_bits_without_avx2_and_without_torch():
    if not require_native().uses_avx2():
        pytest.skip("this processor or environment has no AVX2 to compare with")
    keypoints = scene(8, SIZE)
    expected = [
        hashlib.sha256(maps.tobytes()).hexdigest()
        for shape in ("ellipse", "line")
        for maps in sp.render_targets(keypoints, SIZE, config=sp.TargetConfig(shape=shape), scales=4, envelope=True)
    ]
    generic = {"SIMPLEPOSE_SIMD": "generic"}
    done = run_python("-c", DIGEST, environment=generic, input=keypoints.tobytes(), text=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == expected
