"""decode as a public function: valid inputs, results, rejected arguments, and independence of threads."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.map_scenes import gaussian, people_maps
from helpers.parity import assert_same_poses

import simplepose as sp

MAPS = people_maps(4, (40, 48), seed=11)
BATCH = np.stack([people_maps(n, (40, 48), seed=n) for n in (0, 3, 1, 6, 2, 9, 4)])


@pytest.fixture(scope="module")
def expected() -> sp.Poses:
    poses = sp.decode(MAPS, backend="reference")[0]
    assert len(poses) >= 3
    return poses


@pytest.mark.parametrize("backend", ["auto", "native", "reference"])
def test_images_and_batches_with_and_without_extra_channels_give_the_same(backend, expected):
    extra = np.concatenate([MAPS, np.ones_like(MAPS[:2])])
    for maps in (MAPS, MAPS[None], extra, extra[None]):
        poses = sp.decode(maps, backend=backend)
        assert isinstance(poses, list)
        assert len(poses) == 1
        assert_same_poses(poses[0], expected)
        assert poses[0].skeleton is sp.COCO


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_images_of_a_batch_are_decoded_independently(backend):
    batch = sp.decode(BATCH, backend=backend)
    assert len(batch) == len(BATCH)
    for poses, maps in zip(batch, BATCH, strict=True):
        assert_same_poses(poses, sp.decode(maps, backend=backend)[0])
    assert len(batch[0]) == 0


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_an_empty_batch_gives_an_empty_list(backend):
    empty = np.empty((0, 48, 8, 8), np.float32)
    assert sp.decode(empty, backend=backend) == []
    assert sp.find_peaks(empty, backend=backend) == []
    assert sp.match_parts(empty, [], backend=backend) == []
    assert sp.assign_keypoints([], [], backend=backend) == []


def test_the_ops_in_sequence_give_the_people_of_decode(expected):
    for backend in ("native", "reference"):
        peaks = sp.find_peaks(MAPS, backend=backend)
        assert len(peaks) == 1
        from_keypoint_maps = sp.find_peaks(MAPS[30:], backend=backend)[0]
        np.testing.assert_array_equal(from_keypoint_maps.xy, peaks[0].xy)
        for argument in (peaks, peaks[0]):
            parts = sp.match_parts(MAPS, argument, backend=backend)
            from_part_maps = sp.match_parts(MAPS[:30], argument, backend=backend)[0]
            np.testing.assert_array_equal(from_part_maps.response, parts[0].response)
        assert_same_poses(sp.assign_keypoints(peaks[0], parts[0], backend=backend)[0], expected)


@pytest.mark.parametrize("stride", [1, 2, 4, 8, np.int64(3)])
def test_cells_lie_at_the_center_of_their_pixels(stride):
    maps = np.zeros((48, 16, 24), np.float32)
    maps[30] = gaussian((16, 24), 7, 5)
    for backend in ("native", "reference"):
        poses = sp.decode(maps, stride=stride, backend=backend)[0]
        expected = [7 * stride + stride / 2 - 0.5, 5 * stride + stride / 2 - 0.5, 1]
        assert poses.keypoints[0, 0].tolist() == expected
        peaks = sp.find_peaks(maps)
        assigned = sp.assign_keypoints(peaks, sp.match_parts(maps, peaks), stride=stride, backend=backend)[0]
        assert assigned.keypoints[0, 0].tolist() == expected


def memory_layouts():
    """Views and copies of `MAPS` with unusual memory layouts, by name."""
    wide = np.zeros((48, 40, 96), np.float32)
    wide[..., ::2] = MAPS
    read_only = MAPS.copy()
    read_only.setflags(write=False)
    return {
        "every second column": wide[..., ::2],
        "Fortran order": np.asfortranarray(MAPS),
        "channels last": np.ascontiguousarray(MAPS.transpose(1, 2, 0)).transpose(2, 0, 1),
        "reversed twice": MAPS[:, ::-1].copy()[:, ::-1],
        "read-only": read_only,
        "broadcast": np.broadcast_to(MAPS, (2, *MAPS.shape))[:1],
        "unaligned": np.frombuffer(b"\0" + MAPS.tobytes(), np.float32, offset=1).reshape(MAPS.shape),
    }


@pytest.mark.parametrize("name", memory_layouts())
def test_arrays_of_any_memory_layout_are_read(name, expected):
    maps = memory_layouts()[name]
    before = maps.copy()
    for backend in ("native", "reference"):
        assert_same_poses(sp.decode(maps, backend=backend)[0], expected)
    np.testing.assert_array_equal(maps, before)


def test_torch_tensors_are_read(expected):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(MAPS.copy())
    tensors = [
        tensor,
        tensor.clone().requires_grad_(),
        tensor.permute(1, 2, 0).contiguous().permute(2, 0, 1),
        tensor[None].expand(1, -1, -1, -1),
        tensor.clone().requires_grad_() * 1,
    ]
    for maps in tensors:
        assert_same_poses(sp.decode(maps)[0], expected)
    with torch.inference_mode():
        assert_same_poses(sp.decode(tensor * 1)[0], expected)


def test_half_precision_is_converted():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(MAPS)
    half = sp.decode(MAPS.astype(np.float16).astype(np.float32))[0]
    assert_same_poses(sp.decode(MAPS.astype(np.float16))[0], half)
    assert_same_poses(sp.decode(tensor.half())[0], half)
    assert_same_poses(sp.decode(tensor.bfloat16())[0], sp.decode(tensor.bfloat16().float())[0])


@pytest.mark.parametrize("threads", [2, 5, None])
def test_results_do_not_depend_on_the_number_of_threads(threads):
    for expected, poses in zip(sp.decode(BATCH, threads=1), sp.decode(BATCH, threads=threads), strict=True):
        assert_same_poses(poses, expected)
    for expected, peaks in zip(sp.find_peaks(BATCH, threads=1), sp.find_peaks(BATCH, threads=threads), strict=True):
        np.testing.assert_array_equal(peaks.xy, expected.xy)


def test_concurrent_calls_do_not_interfere():
    expected = sp.decode(BATCH, threads=1)

    def work(turn):
        return [sp.decode(BATCH, threads=1 + turn % 3) for _ in range(5)]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(8)):
            for batch in results:
                for poses, expected_poses in zip(batch, expected, strict=True):
                    assert_same_poses(poses, expected_poses)


def test_results_are_new_arrays():
    first, second = (sp.decode(MAPS)[0] for _ in range(2))
    kept = second.keypoints.copy()
    first.keypoints[:] = 7
    first.scores[:] = 7
    np.testing.assert_array_equal(second.keypoints, kept)
    assert second.keypoints.flags.writeable
    assert second.keypoints.flags.owndata


def starts_with(message):
    """A pattern that matches messages that start with ``message``."""
    return f"^{re.escape(message)}"


F32 = np.zeros((48, 8, 8), np.float32)
INVALID_MAPS = {
    "integers": (
        F32.astype(np.int32),
        TypeError,
        "heatmaps: expected float32, float16 or bfloat16, got NumPy int32 arr",
    ),
    "float64": (
        F32.astype(float),
        TypeError,
        "heatmaps: expected float32, float16 or bfloat16, got NumPy float64 array",
    ),
    "list": ([[1.0]], TypeError, "heatmaps: expected a NumPy array or torch tensor, got list [[1.0]]"),
    "none": (None, TypeError, "heatmaps: expected a NumPy array or torch tensor, got NoneType None"),
    "path": ("a.npz", TypeError, "heatmaps: expected a NumPy array or torch tensor, got str 'a.npz'"),
    "two axes": (F32[0], ValueError, "heatmaps: expected [C, H, W] or [B, C, H, W], got NumPy float32 array [8, 8]"),
    "five axes": (F32[None, None], ValueError, "heatmaps: expected [C, H, W] or [B, C, H, W], got NumPy float32 array"),
    "channels": (
        F32[:47],
        ValueError,
        "heatmaps: expected 48 (parts and keypoints) or 50 (and mask and envelope) channels, got 47 in NumPy float32",
    ),
    "no rows": (
        F32[:, :0],
        ValueError,
        "heatmaps: expected maps with at least one cell, got NumPy float32 array [48, 0",
    ),
    "no columns": (F32[..., :0], ValueError, "heatmaps: expected maps with at least one cell"),
}
INVALID_OPTIONS = {
    "stride 0": ({"stride": 0}, ValueError, "stride: expected 1 to 1048576, got 0"),
    "stride -1": ({"stride": -1}, ValueError, "stride: expected 1 to 1048576, got -1"),
    "stride 2.5": ({"stride": 2.5}, TypeError, "stride: expected an integer, got 2.5"),
    "stride 4.0": ({"stride": 4.0}, TypeError, "stride: expected an integer, got 4.0"),
    "stride True": ({"stride": True}, TypeError, "stride: expected an integer, got True"),
    "backend": (
        {"backend": "cuda"},
        ValueError,
        "backend: expected one of 'auto', 'native', 'torch', 'reference', got 'cuda'",
    ),
    "threads 0": ({"threads": 0}, ValueError, "threads: expected None or 1 to 1024, got 0"),
    "threads 1025": ({"threads": 1025}, ValueError, "threads: expected None or 1 to 1024, got 1025"),
    "threads True": ({"threads": True}, TypeError, "threads: expected None or an integer, got True"),
    "threads 1.5": ({"threads": 1.5}, TypeError, "threads: expected None or an integer, got 1.5"),
    "config": ({"config": {}}, TypeError, "config: expected a DecodeConfig, got dict {}"),
    "other config": ({"config": sp.TargetConfig()}, TypeError, "config: expected a DecodeConfig, got TargetConfig"),
    "skeleton": ({"skeleton": "coco"}, TypeError, "skeleton: expected a Skeleton, got str 'coco'"),
}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(("maps", "kind", "message"), INVALID_MAPS.values(), ids=INVALID_MAPS.keys())
def test_invalid_maps_are_rejected(maps, kind, message, backend):
    with pytest.raises(kind, match=starts_with(message)):
        sp.decode(maps, backend=backend)


@pytest.mark.parametrize(("options", "kind", "message"), INVALID_OPTIONS.values(), ids=INVALID_OPTIONS.keys())
def test_invalid_options_are_rejected(options, kind, message):
    with pytest.raises(kind, match=starts_with(message)):
        sp.decode(F32, **options)
    if "stride" not in options:
        with pytest.raises(kind, match=starts_with(message)):
            sp.find_peaks(F32, **options)
    if "threads" not in options:
        no_peaks = sp.find_peaks(F32)
        with pytest.raises(kind, match=starts_with(message)):
            sp.assign_keypoints(no_peaks, sp.match_parts(F32, no_peaks), **options)


def test_invalid_tensors_are_rejected():
    torch = pytest.importorskip("torch")
    for tensor, message in (
        (torch.zeros(48, 8, 8, dtype=torch.float64), "expected float32, float16 or bfloat16, got float64 tensor"),
        (torch.zeros(48, 8, dtype=torch.float32), r"expected \[C, H, W\] or \[B, C, H, W\], got float32 tensor"),
        (torch.zeros(48, 8, 8).to_sparse(), "expected a dense tensor, got torch.sparse_coo"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^heatmaps: {message}"):
            sp.decode(tensor)


def changed(**columns):
    peaks = sp.find_peaks(MAPS)[0]
    return peaks._replace(**{name: change(getattr(peaks, name)) for name, change in columns.items()})


INVALID_PEAKS = {
    "tuple": (lambda: (1, 2), TypeError, "peaks: expected Peaks or a list of them, got tuple (1, 2)"),
    "two images": (lambda: [changed()] * 2, ValueError, "peaks: expected one Peaks for each of 1 images, got 2"),
    "types as int64": (
        lambda: changed(type=lambda t: t.astype(int)),
        TypeError,
        "peaks.type: expected a contiguous int32",
    ),
    "fewer scores": (
        lambda: changed(score=lambda s: s[1:]),
        TypeError,
        "peaks.score: expected a contiguous float32 arra",
    ),
    "xy in rows": (
        lambda: changed(xy=lambda xy: xy.T.copy()),
        TypeError,
        "peaks.xy: expected a contiguous float32 array",
    ),
    "xy apart": (
        lambda: changed(xy=lambda xy: xy[:, ::-1]),
        TypeError,
        "peaks.xy: expected a contiguous float32 array",
    ),
    "xy nan": (
        lambda: changed(xy=lambda xy: xy * np.nan),
        ValueError,
        "peaks: expected positions up to 2147483647 cells",
    ),
    "xy far": (
        lambda: changed(xy=lambda xy: xy + 1e38),
        ValueError,
        "peaks: expected positions up to 2147483647 cells",
    ),
    "score inf": (
        lambda: changed(score=lambda s: s * np.inf),
        ValueError,
        "peaks: expected positions up to 2147483647 c",
    ),
    "descending": (
        lambda: changed(type=lambda t: t[::-1].copy()),
        ValueError,
        "peaks.type: expected ascending keypoint",
    ),
    "type 18": (
        lambda: changed(type=lambda t: t + np.int32(18)),
        ValueError,
        "peaks.type: expected ascending keypoint ty",
    ),
    "type -1": (
        lambda: changed(type=lambda t: t - np.int32(1)),
        ValueError,
        "peaks.type: expected ascending keypoint ty",
    ),
}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(("make", "kind", "message"), INVALID_PEAKS.values(), ids=INVALID_PEAKS.keys())
def test_invalid_peaks_are_rejected(make, kind, message, backend):
    with pytest.raises(kind, match=starts_with(message)):
        sp.match_parts(MAPS, make(), backend=backend)


INVALID_PARTS = {
    "peaks": (
        lambda parts: sp.find_peaks(MAPS),
        TypeError,
        "parts: expected CandidateParts or a list of them, got list",
    ),
    "none": (lambda parts: [], ValueError, "parts: expected one CandidateParts for each of 1 images, got 0"),
    "index": (
        lambda parts: parts._replace(from_peak=parts.from_peak + np.int32(1000)),
        ValueError,
        "parts.from_peak: expected indices of the",
    ),
    "negative": (
        lambda parts: parts._replace(to_peak=parts.to_peak - np.int32(1000)),
        ValueError,
        "parts.to_peak: expected indices of the",
    ),
    "lengths": (
        lambda parts: parts._replace(to_peak=parts.to_peak[1:]),
        TypeError,
        "parts.to_peak: expected a contiguous",
    ),
    "float64": (
        lambda parts: parts._replace(score=parts.score.astype(float)),
        TypeError,
        "parts.score: expected a contiguous float32 array",
    ),
    "nan": (
        lambda parts: parts._replace(score=parts.score * np.float32(np.nan)),
        ValueError,
        "parts.score: exp",
    ),
}


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(("change", "kind", "message"), INVALID_PARTS.values(), ids=INVALID_PARTS.keys())
def test_invalid_candidate_parts_are_rejected(change, kind, message, backend):
    peaks = sp.find_peaks(MAPS)
    with pytest.raises(kind, match=starts_with(message)):
        sp.assign_keypoints(peaks, change(sp.match_parts(MAPS, peaks)[0]), backend=backend)


INVALID_SETTINGS = {
    "peak_threshold": (0.0, -1, float("nan"), 1e31, "0.1", True),
    "part_threshold": (-0.1, float("inf")),
    "max_part_ratio": (-1.0, 1e7, float("nan")),
    "min_cut_length": (-1.0, 1e7),
    "min_single_score": (-0.1,),
    "max_peaks": (0, 4097, 2.0, True),
    "num_samples": (1, 65, 10.0),
    "min_sample_fraction": (0.0, 1.1),
    "part_score": ("sum", None),
    "reassign": (1, "yes"),
    "join_distance": (-1.0, 1e7),
    "min_join_size": (-1.0,),
    "min_keypoints": (0, 1.5),
    "allow_shared_keypoints": (None,),
}


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, values in INVALID_SETTINGS.items() for v in values])
def test_invalid_settings_are_rejected(name, value):
    with pytest.raises((TypeError, ValueError), match=rf"^{name}: expected .*got {re.escape(repr(value))}$"):
        sp.DecodeConfig(**{name: value})


def test_the_paper_configuration_has_the_settings_of_the_paper():
    paper = sp.DecodeConfig.paper(num_samples=7)
    assert (paper.part_score, paper.reassign, paper.max_part_ratio, paper.join_distance, paper.min_keypoints) == (
        "weighted_sum",
        False,
        0.0,
        0.0,
        2,
    )
    assert paper.num_samples == 7
    assert sp.DecodeConfig.paper(join_distance=1.0).join_distance == 1.0
