"""CUDA tensors without kernels for their device: vectorized PyTorch runs on the device and gives the same results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builds import count_as_cuda
from helpers.fake_network import FACE, blob_image, blob_network
from helpers.map_cases import cases
from helpers.map_scenes import people_maps, sprinkle
from helpers.parity import assert_same_columns, assert_same_poses
from hypothesis import given, settings

import simplepose as sp
from simplepose.inference.predictor import Predictor
from simplepose.ops import backend

BACKENDS = ["auto", "torch"]


def treat_as_cuda(patch: pytest.MonkeyPatch) -> None:
    """Treat every tensor as a CUDA tensor without kernels. A copy of maps to the host fails the test."""
    count_as_cuda(patch, "the build has no kernels for it")
    patch.setattr(backend, "_warned", {("torch", "cuda")})
    for module in ("find_peaks", "match_parts", "decode"):
        name = f"simplepose.ops.{module}.image_maps"
        patch.setattr(name, lambda *_: pytest.fail("the maps were copied to the host"))


def scenes() -> np.ndarray:
    maps = np.stack([people_maps(people, (40, 48), people) for people in (3, 0, 5, 2)])
    sprinkle(maps[3], "not finite", 1)
    return maps


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_give_the_results_of_arrays(monkeypatch, dtype, backend):
    maps = torch.from_numpy(scenes()).to(dtype)
    host = maps.float().numpy()
    peaks = sp.find_peaks(host)
    parts, poses = sp.match_parts(host, peaks), sp.decode(host, stride=8)
    assert sum(map(len, poses)) > 8
    treat_as_cuda(monkeypatch)
    for heatmaps in (maps, maps[:, 30:48], torch.cat([maps, maps[:, :2]], 1)):
        for found, expected in zip(sp.find_peaks(heatmaps, backend=backend), peaks, strict=True):
            assert_same_columns(found, expected)
    for heatmaps in (maps, maps[:, :30], maps.to(memory_format=torch.channels_last)):
        for found, expected in zip(sp.match_parts(heatmaps, peaks, backend=backend), parts, strict=True):
            assert_same_columns(found, expected)
    for found, expected in zip(sp.decode(maps, stride=8, backend=backend, threads=2), poses, strict=True):
        assert_same_poses(found, expected)
    assert_same_poses(sp.decode(maps[0], stride=8, backend=backend)[0], poses[0])
    assert sp.decode(maps[:0]) == sp.find_peaks(maps[:0]) == sp.match_parts(maps[:0], []) == []


@settings(max_examples=60, derandomize=True, deadline=None)
@given(case=cases)
def test_crowds_and_edge_cases_give_the_same_people(case):
    expected = sp.decode(case.maps, case.skeleton, case.config)
    with pytest.MonkeyPatch.context() as patch:
        treat_as_cuda(patch)
        assert_same_poses(sp.decode(torch.from_numpy(case.maps), case.skeleton, case.config)[0], expected[0])


def test_results_do_not_depend_on_gradients_or_inference_mode(monkeypatch):
    maps = torch.from_numpy(scenes())
    expected = sp.decode(maps)
    treat_as_cuda(monkeypatch)
    results = [sp.decode(maps.clone().requires_grad_())]
    with torch.inference_mode():
        inference_maps = maps * 1
        results.append(sp.decode(inference_maps))
    results.append(sp.decode(inference_maps))
    for poses in results:
        for found, expected_poses in zip(poses, expected, strict=True):
            assert_same_poses(found, expected_poses)


@pytest.mark.parametrize("settings", [{}, {"flip": True}, {"scales": (1.0, 0.5)}])
def test_the_predictor_gives_the_same_people(monkeypatch, settings):
    images = [blob_image(*shape)[0] for shape in ((120, 150), (70, 200), (120, 150))]
    predictor = Predictor(blob_network, FACE, size=128, **settings)
    expected = predictor(images)
    assert all(len(poses) for poses in expected)
    treat_as_cuda(monkeypatch)
    for prediction, poses in zip(predictor.predict_many(images, batch_size=2), expected, strict=True):
        assert_same_poses(prediction.poses, poses)
    assert_same_poses(predictor(images[0]), expected[0])


def test_invalid_tensors_are_rejected_with_a_message(monkeypatch):
    treat_as_cuda(monkeypatch)
    for maps, error, message in (
        (torch.zeros(7, 8, 8), ValueError, "heatmaps: expected 48 .*, got 7 in"),
        (torch.zeros(48, 8, 8, dtype=torch.float64), TypeError, "heatmaps: expected float32, float16 or bfloat16"),
        (torch.zeros(48, 0, 8), ValueError, "heatmaps: expected maps with at least one cell"),
    ):
        with pytest.raises(error, match=message):
            sp.decode(maps)
    with pytest.raises(ValueError, match="peaks: expected one Peaks for each of 2 images, got 0"):
        sp.match_parts(torch.zeros(2, 48, 8, 8), [])
