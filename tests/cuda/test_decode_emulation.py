"""The emulated decoding kernels: the bits of the reference on edge cases of every type, in any order of threads."""

from __future__ import annotations

import ctypes
import shutil

import numpy as np
import pytest
import torch
from helpers import emulation
from helpers.emulation import ORDERS, EmulationError, Maps, aligned
from helpers.implementations import reference
from helpers.map_cases import cases
from helpers.map_scenes import PAIR, crowd, flipped, gaussian, noise_maps, people_maps, sprinkle
from helpers.parity import assert_same_columns, assert_same_poses
from hypothesis import given, settings
from hypothesis import strategies as st

import simplepose as sp
from simplepose.ops.candidates import Peaks

f32 = np.float32
orders = st.sampled_from(list(ORDERS))


def as_type(maps, kind):
    """Maps converted to a type, and their float32 values."""
    if kind == "bfloat16":
        bits = (np.ascontiguousarray(maps, f32).view(np.uint32) >> 16).astype(np.uint16)
        return bits, (bits.astype(np.uint32) << 16).view(f32)
    with np.errstate(over="ignore"):
        typed = maps.astype(kind)
    return typed, typed.astype(f32)


def peaks_of(slots, counts, image, max_peaks) -> Peaks:
    """The slots of one image as `Peaks`."""
    kept = np.minimum(counts[image], max_peaks)
    rows = [slots[:n, image, kind] for kind, n in enumerate(kept)]
    types = np.repeat(np.arange(len(kept), dtype=np.int32), kept)
    found = np.concatenate([np.empty((0, 3), f32), *rows])
    return Peaks(types, found[:, :2], found[:, 2], bool((counts[image] > max_peaks).any()))


def slots_of(peaks: list[Peaks], keypoints: int, max_peaks: int):
    """The peaks of a batch as slots and counts."""
    slots = np.full((max_peaks, len(peaks), keypoints, 3), np.nan, f32)
    counts = np.zeros((len(peaks), keypoints), np.int32)
    for image, found in enumerate(peaks):
        for kind in range(keypoints):
            at = found.type == kind
            counts[image, kind] = at.sum()
            slots[: at.sum(), image, kind] = np.concatenate([found.xy[at], found.score[at, None]], 1)
    return slots, counts


lengths = st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 32, 33, 40, 64, 130])


@st.composite
def batches(draw):
    """(Maps, float32 values, config) of noise and plateaus in all types, some cut, flipped or not aligned."""
    seed = draw(st.integers(0, 2**32 - 1))
    images, channels = draw(st.integers(1, 2)), draw(st.integers(1, 4))
    rows, columns = draw(lengths), draw(lengths)
    flip = draw(st.booleans())
    values = noise_maps(draw(st.sampled_from(["uniform", "normal", "constant", "zero"])),
                        (images * (1 + flip) * channels, rows, columns), seed)  # fmt: skip
    levels = draw(st.sampled_from([0, 0, 2, 5]))
    if levels:
        values = np.round(values * f32(levels)) / f32(levels)
    sprinkle(values, draw(st.sampled_from(["clean", "not finite", "huge", "negative"])), seed)
    cells, values = as_type(values.reshape(-1, channels, rows, columns), draw(st.sampled_from(list(emulation.TYPES))))
    mirror = np.random.default_rng(seed).permutation(channels).astype(np.int32) if flip else None
    sizes = None
    if draw(st.booleans()):
        sizes = np.random.default_rng(seed).integers(1, [rows + 1, columns + 1], (images, 2)).astype(np.int32)
    offset = draw(st.sampled_from([0, 0, 0, 4, 8]))
    config = sp.DecodeConfig(
        peak_threshold=draw(st.sampled_from([0.05, 0.5])), max_peaks=draw(st.sampled_from([1, 3, 40, 256]))
    )
    if flip:
        values = flipped(values, mirror)
    return Maps(aligned(cells, offset), sizes, mirror), values, config


def cut(values, maps, image):
    """The values of an image within its size."""
    height, width = values.shape[2:] if maps.sizes is None else maps.sizes[image]
    return values[image][:, :height, :width]


@settings(max_examples=250, derandomize=True, deadline=None)
@given(batch=batches(), order=orders)
def test_find_peaks_gives_the_bits_of_the_reference(batch, order):
    maps, values, config = batch
    channels = values.shape[1]
    first = min(1, channels - 1)
    slots, counts = emulation.find_peaks(maps, channels - first, config, order, first_channel=first)
    for image in range(maps.images):
        expected = reference.find_peaks(cut(values, maps, image)[first:], config)
        assert_same_columns(peaks_of(slots, counts, image, config.max_peaks), expected)


@pytest.mark.parametrize("max_peaks", [1, 100, 256, 4096])
@pytest.mark.parametrize("kind", emulation.TYPES)
def test_an_overflowing_list_of_peaks_keeps_the_best(kind, max_peaks):
    """Checkerboards and noise have more peaks than the list of a round holds."""
    values = np.stack([noise_maps("uniform", (130, 200), 3), np.zeros((130, 200), f32)])
    values[1, ::2, ::2] = 0.5
    cells, values = as_type(values[None], kind)
    config = sp.DecodeConfig(max_peaks=max_peaks)
    slots, counts = emulation.find_peaks(Maps(aligned(cells)), 2, config, "shuffled")
    expected = reference.find_peaks(values[0], config)
    assert_same_columns(peaks_of(slots, counts, 0, max_peaks), expected)
    assert expected.truncated


@pytest.mark.parametrize("shape", [(2, 3, 0, 5), (2, 3, 5, 0), (2, 0, 5, 5), (0, 3, 5, 5)])
def test_maps_without_cells_have_no_peaks(shape):
    _, counts = emulation.find_peaks(Maps(np.zeros(shape, f32)), shape[1], sp.DecodeConfig())
    assert counts.shape == shape[:2]
    assert not counts.any()


def ranked(maps, hits, peaks, image, skeleton, config):
    """The hits of an image as candidate parts in the order of the reference."""
    columns = []
    for part, (start, end) in enumerate(skeleton.part_index):
        a, b = np.nonzero(peaks.type == start)[0], np.nonzero(peaks.type == end)[0]
        first, count = hits.first[image, part], hits.counts[image, part]
        found = hits.hits[first : first + count]
        pair, response = found[:, 0], np.ascontiguousarray(found[:, 1]).view(f32)
        assert (np.diff(pair) > 0).all()
        a, b = (a[pair // max(len(b), 1)], b[pair % max(len(b), 1)]) if len(pair) else (pair, pair)
        score = reference.match_parts.__globals__["part_score"](response, peaks.score[a], peaks.score[b], config)
        valid = np.nonzero(np.isfinite(score))[0]
        order = valid[np.lexsort((b[valid], a[valid], -score[valid]))]
        columns.append((np.full(len(order), part, np.int32), a[order], b[order], response[order], score[order]))
    types, *rest = (np.concatenate(column) for column in zip(*columns, strict=True))
    dtypes = (np.int32, np.int32, np.int32, f32, f32)
    return sp.CandidateParts(*(c.astype(d) for c, d in zip((types, *rest), dtypes, strict=True)))


@settings(max_examples=150, derandomize=True, deadline=None)
@given(case=cases, kind=st.sampled_from(list(emulation.TYPES)), order=orders, flip=st.booleans())
def test_match_parts_gives_the_bits_of_the_reference(case, kind, order, flip):
    maps, skeleton, config = case
    mirror = np.arange(maps.shape[0], dtype=np.int32)[::-1].copy() if flip else None
    batch = np.stack([maps, maps[::-1, ::-1]] * (1 + flip))
    cells, values = as_type(batch, kind)
    values = flipped(values, mirror) if flip else values
    count = skeleton.num_parts + skeleton.num_keypoints
    peaks = [reference.find_peaks(v[skeleton.num_parts : count], config) for v in values]
    slots, counts = slots_of(peaks, skeleton.num_keypoints, config.max_peaks)
    hits = emulation.match_parts(Maps(aligned(cells), None, mirror), slots, counts, skeleton, config, order)
    assert hits.total == hits.counts.sum()
    for image, (image_values, found) in enumerate(zip(values, peaks, strict=True)):
        expected = reference.match_parts(image_values[: skeleton.num_parts], found, skeleton, config)
        assert_same_columns(ranked(maps, hits, found, image, skeleton, config), expected)


def test_more_hits_than_shared_memory_or_the_output_holds_are_counted():
    config = sp.DecodeConfig(max_peaks=40)
    maps = Maps(crowd(40))
    peaks = [reference.find_peaks(maps.cells[0, 1:], config)]
    slots, counts = slots_of(peaks, 2, 40)
    hits = emulation.match_parts(maps, slots, counts, PAIR, config, "shuffled")
    assert hits.total == hits.counts[0, 0] == 1600
    expected = reference.match_parts(maps.cells[0, :1], peaks[0], PAIR, config)
    assert_same_columns(ranked(maps, hits, peaks[0], 0, PAIR, config), expected)
    hits = emulation.match_parts(maps, slots, counts, PAIR, config, "shuffled", capacity=1599)
    assert hits.total == 1600
    assert (hits.hits == -1).all()


@settings(max_examples=60, derandomize=True, deadline=None)
@given(case=cases, kind=st.sampled_from(list(emulation.TYPES)), order=orders)
def test_a_device_batch_gives_the_people_of_the_reference(case, kind, order):
    maps, skeleton, config = case
    cells, values = as_type(np.stack([maps, maps[::-1]]), kind)
    decoded = emulation.decode(Maps(aligned(cells)), skeleton, config, order)
    for image, poses in zip(values, decoded.poses, strict=True):
        expected = sp.decode(image, skeleton, config, backend="reference")[0]
        found = sp.Poses(poses.keypoints * f32([4, 4, 1]) + f32([1.5, 1.5, 0]), poses.scores, skeleton, poses.truncated)
        assert_same_poses(found, expected)


def test_a_flipped_and_cut_batch_gives_the_people_of_the_averaged_maps():
    rng = np.random.default_rng(7)
    plain = np.stack([people_maps(people, (48, 64), people) for people in (1, 6, 0)])
    mirror = sp.COCO.channel_flip[: plain.shape[1]].astype(np.int32)
    mirrored = plain[..., ::-1][:, mirror] * rng.uniform(0.7, 1, plain.shape).astype(f32)
    sizes = np.array([[48, 64], [41, 50], [33, 17]], np.int32)
    maps = Maps(aligned(np.concatenate([plain, mirrored])), sizes, mirror)
    poses = emulation.decode(maps, sp.COCO, sp.DecodeConfig()).poses
    assert [len(p) > 0 for p in poses] == [True, True, False]
    values = flipped(maps.cells, mirror)
    for image in range(3):
        expected = sp.decode(cut(values, maps, image).copy(), backend="reference")[0]
        np.testing.assert_array_equal(poses[image].keypoints * f32([4, 4, 1]) + f32([1.5, 1.5, 0]), expected.keypoints)


def test_buffers_and_the_copied_size_are_kept_between_batches():
    maps = Maps(np.concatenate([crowd(4), crowd(4)]))
    config = sp.DecodeConfig(max_peaks=250)
    emulation.decode_library().emulate_forget()
    first = emulation.decode(maps, PAIR, config)
    again = emulation.decode(maps, PAIR, config)
    assert (first.copies, again.copies) == (2, 1)
    assert (first.allocations > 0, again.allocations) == (True, 0)
    for poses, expected in zip(again.poses, first.poses, strict=True):
        assert_same_poses(poses, expected)
    assert len(emulation.decode(Maps(maps.cells[:0]), PAIR, config).poses) == 0


def test_a_crowd_does_not_increase_the_copied_size():
    crowded, config = Maps(crowd(16)), sp.DecodeConfig(max_peaks=250)
    emulation.decode_library().emulate_forget()
    assert [emulation.decode(crowded, PAIR, config).copies for _ in range(3)] == [3, 2, 2]


def test_a_batch_of_noise_is_not_decoded_on_the_device():
    maps = np.full((1, 3, 130, 130), 0.5, f32)
    maps[0, 1:, ::2, ::2] = np.random.default_rng(0).uniform(0.5, 1, (2, 65, 65))
    config = sp.DecodeConfig(max_peaks=2100, num_samples=2)
    assert emulation.decode(Maps(maps), PAIR, config).poses is None


FAULTS = {
    "an index beyond the row": ("cuda/map_batch.h", "columns - kLanes - column_of", "columns - column_of"),
    "memory that is not cleared": (
        "match_parts/match_parts_kernel.h",
        "if (thread < kWords) shared.accepted[thread] = 0;", "(void)thread, (void)shared;"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_kernel_is_detected(fault, tmp_path):
    name, right, wrong = FAULTS[fault]
    csrc = tmp_path / "csrc"
    shutil.copytree(emulation.CSRC, csrc)
    text = (csrc / name).read_text()
    assert right in text
    (csrc / name).write_text(text.replace(right, wrong))
    launch = csrc / "decode/launch.h"  # only float32, which compiles faster
    launch.write_text(launch.read_text().replace("typed<Half", "typed<float").replace("typed<BFloat", "typed<float"))
    plain = people_maps(4, (80, 160), 4)[None]
    mirror = sp.COCO.channel_flip[: plain.shape[1]].astype(np.int32)
    batch = Maps(aligned(np.concatenate([plain, plain[..., ::-1][:, mirror]])), None, mirror)
    expected = outputs(batch, emulation.decode_library())
    assert expected[1].sum() > 50
    try:
        found = outputs(batch, emulation.decode_library_of(csrc, "-O0"), expected[:2])
    except EmulationError:
        return
    assert any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(found, expected, strict=True))


def outputs(maps, library, peaks=None):
    """All outputs of the two kernels; ``peaks`` replaces the input of match_parts."""
    config = sp.DecodeConfig()
    slots, counts = emulation.find_peaks(maps, 18, config, first_channel=30, library=library)
    hits = emulation.match_parts(maps, *(peaks or (slots, counts)), sp.COCO, config, library=library)
    return slots, counts, hits.counts, hits.hits


def test_the_peak_of_a_gaussian_is_exact():
    maps = Maps(aligned(gaussian((32, 64), 20.25, 9.5)[None, None]))
    slots, counts = emulation.find_peaks(maps, 1, sp.DecodeConfig())
    assert counts.tolist() == [[1]]
    np.testing.assert_allclose(slots[0, 0, 0, :2], [20.25, 9.5], atol=1 / 128)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, 3, 4, 5),
        torch.zeros(2, 0, 18, 3),
        torch.zeros(256, 0, 18, 3),
        torch.zeros(0, 48, 8, 8),
        torch.zeros(1, 3, 1, 5).transpose(0, 2),
        torch.zeros(4, 3, 4, 5)[::2],
        torch.zeros(2, 3, 4, 5).transpose(1, 3),
        torch.zeros(1, 3, 4, 5)[:, 1:, 1:],
        torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.zeros(3, 1, 1, 1).expand(3, 2, 1, 1),
    ],
    ids=lambda tensor: f"{list(tensor.shape)} {tensor.stride()}",
)
def test_contiguous_tensors_are_accepted_as_in_torch(tensor):
    shape, strides = (np.array(values, np.int64) for values in (tensor.shape, tensor.stride()))
    is_contiguous = emulation.decode_library().borrowed_is_contiguous
    is_contiguous.restype = ctypes.c_bool
    pointers = (ctypes.c_void_p(values.ctypes.data) for values in (shape, strides))
    assert is_contiguous(*pointers, tensor.ndim) == tensor.is_contiguous()
