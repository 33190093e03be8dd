"""The path from tensors to the kernels and back, with the emulation in place of a GPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.builds import count_as_cuda
from helpers.emulation import EmulatedKernels
from helpers.fake_network import FACE, blob_image, blob_network
from helpers.map_scenes import PAIR, crowd, flipped, people_maps
from helpers.parity import assert_same_columns, assert_same_poses
from torch import library

import simplepose as sp
from simplepose.inference.predictor import Predictor
from simplepose.ops.native import decode_batch
from simplepose.ops.native import find_peaks as cuda_find_peaks
from simplepose.ops.native import kernels as kernels_module
from simplepose.ops.native import match_parts as cuda_match_parts

f32 = np.float32


@pytest.fixture
def kernels(monkeypatch):
    """A function after which every tensor is processed by the emulated kernels."""

    def use(skeleton=sp.COCO, config=None):
        emulated = EmulatedKernels(skeleton, config or sp.DecodeConfig())
        monkeypatch.setattr(kernels_module, "kernels", lambda: emulated)
        monkeypatch.setattr(kernels_module, "stream", lambda device: 0)
        count_as_cuda(monkeypatch)

    return use


def scenes() -> np.ndarray:
    return np.stack([people_maps(people, (40, 48), people) for people in (3, 0, 5)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_tensors_give_the_results_of_arrays(kernels, dtype):
    maps = torch.from_numpy(scenes()).to(dtype)
    host = maps.float().numpy()
    peaks, parts, poses = (sp.find_peaks(host), sp.match_parts(host, sp.find_peaks(host)), sp.decode(host))
    kernels()
    for found, expected in zip(sp.find_peaks(maps), peaks, strict=True):
        assert_same_columns(found, expected)
    for found, expected in zip(sp.find_peaks(maps[:, 30:]), peaks, strict=True):
        assert_same_columns(found, expected)
    for found, expected in zip(sp.match_parts(maps, peaks), parts, strict=True):
        assert_same_columns(found, expected)
    for found, expected in zip(sp.match_parts(maps[:, :30], peaks), parts, strict=True):
        assert_same_columns(found, expected)
    for found, expected in zip(sp.decode(maps), poses, strict=True):
        assert_same_poses(found, expected)
    assert_same_poses(sp.decode(maps[0])[0], poses[0])
    assert sp.decode(maps[:0]) == sp.find_peaks(maps[:0]) == sp.match_parts(maps[:0], []) == []


def test_the_reference_and_other_devices_do_not_call_the_kernels(monkeypatch):
    monkeypatch.setattr(kernels_module, "kernels", lambda: pytest.fail("the kernels were called"))
    maps = torch.from_numpy(scenes()[0])
    sp.decode(maps)
    count_as_cuda(monkeypatch)
    sp.decode(maps, backend="reference")


def test_match_parts_runs_again_if_its_capacity_was_too_small(kernels):
    maps = crowd(24)
    config = sp.DecodeConfig(max_peaks=400)
    peaks = sp.find_peaks(maps, PAIR, config)
    expected = sp.match_parts(maps, peaks, PAIR, config)
    assert len(expected[0].type) > 1 << 16
    kernels(PAIR, config)
    assert_same_columns(sp.match_parts(torch.from_numpy(maps), peaks, PAIR, config)[0], expected[0])


def test_too_many_candidates_for_the_device_are_decoded_on_the_host(kernels, monkeypatch):
    plain = scenes()
    mirror = sp.COCO.channel_flip[: plain.shape[1]].astype(np.int32)
    batch = np.concatenate([plain, (plain[..., ::-1][:, mirror] * f32(0.75))])
    sizes = np.array([[40, 48], [30, 40], [33, 31]], np.int32)
    values = flipped(batch, mirror)
    expected = [sp.decode(np.ascontiguousarray(v[:, :h, :w]))[0] for v, (h, w) in zip(values, sizes, strict=True)]
    kernels()
    for too_much in (False, True):
        decoding = decode_batch.DecodeBatch(torch.from_numpy(batch), sp.COCO, sp.DecodeConfig(), sizes, mirror)
        if too_much:
            decoding._batch.decoded = decoding._batch.decoded._replace(poses=None)
        for image, poses in enumerate(expected):
            assert_same_poses(decoding.poses(image, 4.0, 1.5), poses)
        for found, poses in zip(decoding.all_poses(4.0, 1.5, 1), expected, strict=True):
            assert_same_poses(found, poses)
    monkeypatch.setattr(cuda_match_parts, "MAX_PEAKS", 1)
    assert len(sp.match_parts(torch.from_numpy(plain), sp.find_peaks(plain))[0].type)


def test_invalid_tensors_are_rejected_with_a_message(kernels):
    kernels()
    for maps, error, message in (
        (torch.zeros(7, 8, 8), ValueError, "heatmaps: expected 48 .*, got 7 in"),
        (torch.zeros(48, 8, 8, dtype=torch.float64), TypeError, "heatmaps: expected float32, float16 or bfloat16"),
        (torch.zeros(48, 8), ValueError, "heatmaps: expected .C, H, W. or"),
        (torch.zeros(48, 0, 8), ValueError, "heatmaps: expected maps with at least one cell"),
        (torch.zeros(48, 8, 8).to_sparse(), TypeError, "heatmaps: expected a dense tensor"),
    ):
        with pytest.raises(error, match=message):
            sp.decode(maps)


def test_the_custom_ops_pass_opcheck_and_compile(kernels):
    kernels()
    maps = torch.from_numpy(scenes()[:1])
    mirror = sp.COCO.channel_flip[: maps.shape[1]].tolist()
    both = torch.cat([maps, maps.flip(3)[:, mirror]])
    for arguments in ((maps, 30, 18, [], 0.1, 8), (both, 30, 18, mirror, 0.1, 8)):
        library.opcheck(cuda_find_peaks.find_peaks_op, arguments)
    slots, counts = cuda_find_peaks.find_peaks_op(both, 30, 18, mirror, 0.1, 8)
    averaged = torch.from_numpy(flipped(both.numpy(), mirror))
    for output, expected in zip(
        (slots, counts), cuda_find_peaks.find_peaks_op(averaged, 30, 18, [], 0.1, 8), strict=True
    ):
        assert torch.equal(output, expected)
    one_part = (maps, slots, counts, [0, 0], [], 0.1, 10, 8, 64)
    kernels(sp.Skeleton("one", ("a", "b"), (("a", "b"),)))
    pair = (maps[:, :3], slots[:, :, :2].contiguous(), counts[:, :2].contiguous(), [0, 1], *one_part[4:])
    library.opcheck(cuda_match_parts.match_parts_op, pair)
    compiled = torch.compile(cuda_find_peaks.find_peaks_op, fullgraph=True, backend="aot_eager")
    for output, expected in zip(
        compiled(maps, 30, 18, [], 0.1, 8),
        cuda_find_peaks.find_peaks_op(maps, 30, 18, [], 0.1, 8),
        strict=True,
    ):
        assert torch.equal(output, expected)


def test_indices_are_checked_before_a_kernel_reads_with_them(kernels):
    kernels()
    maps = torch.from_numpy(scenes()[:1])
    with pytest.raises(ValueError, match="mirror: expected indices from 0 to 47, got 0 to 48"):
        cuda_find_peaks.find_peaks_op(torch.cat([maps, maps]), 30, 18, [*range(47), 48], 0.1, 8)
    slots, counts = cuda_find_peaks.find_peaks_op(maps, 30, 18, [], 0.1, 8)
    with pytest.raises(ValueError, match="parts: expected indices from 0 to 17, got -1 to 0"):
        cuda_match_parts.match_parts_op(maps, slots, counts, [0, -1], [], 0.1, 10, 8, 64)
    mirror = np.full(48, 99, np.int32)
    with pytest.raises(ValueError, match="mirror: expected indices from 0 to 47, got 99 to 99"):
        decode_batch.DecodeBatch(torch.cat([maps, maps]), sp.COCO, sp.DecodeConfig(), mirror=mirror)


def test_decode_releases_cached_memory_once_if_the_device_is_full(kernels, monkeypatch):
    kernels()
    maps = torch.from_numpy(scenes())
    expected = sp.decode(maps)
    emulated, emptied = kernels_module.kernels(), []
    start = emulated.start_decode

    def full(*arguments):
        if not emptied:
            raise RuntimeError("decode: device memory: out of memory")
        return start(*arguments)

    monkeypatch.setattr(emulated, "start_decode", full, raising=False)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    for found, poses in zip(sp.decode(maps), expected, strict=True):
        assert_same_poses(found, poses)
    assert emptied == [1]
    monkeypatch.setattr(emulated, "start_decode", lambda *_: (_ for _ in ()).throw(RuntimeError("another error")))
    with pytest.raises(RuntimeError, match="another error"):
        sp.decode(maps)


@pytest.mark.parametrize("settings", [{}, {"flip": True}, {"scales": (1.0, 0.5), "flip": True}])
def test_the_predictor_decodes_batches_by_kernels(kernels, settings):
    images = [blob_image(*shape)[0] for shape in ((120, 150), (70, 200), (120, 170), (120, 150))]
    predictor = Predictor(blob_network, FACE, size=128, **settings)
    expected = predictor(images)
    assert all(len(poses) for poses in expected)
    kernels(FACE, predictor.config.decode)
    for prediction, poses in zip(predictor.predict_many(images, batch_size=3), expected, strict=True):
        assert_same_poses(prediction.poses, poses)
    assert_same_poses(predictor(images[0]), expected[0])
