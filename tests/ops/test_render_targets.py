"""render_targets: all backends against the reference, and the reference against formulas and the released code."""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pytest
from helpers.shared_data import shared
from helpers.target_cases import edge_cases, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import simplepose as sp
from simplepose.ops import backend
from simplepose.ops.native import module as native_module
from simplepose.ops.native.module import require_native
from simplepose.ops.reference.render_targets import TargetRules

SIZES_AND_STRIDES = [((96, 128), 4), ((100, 52), 4), ((20, 28), 1), ((136, 72), 8), ((4, 4), 4)]
GOLDEN = [
    "coco_manh_2299",
    "coco_mmpose_40083",
    "edge_zero_axis_half",
    "empty_all_missing",
    "overlap_limbs",
    "rand_1",
    "rand_8_offimage",
]


def both(keypoints, size, config, **options):
    """The maps of the reference and of the native implementation."""
    return [
        sp.render_targets(keypoints, size, config=config, backend=backend, **options)
        for backend in ("reference", "native")
    ]


coordinates = st.one_of(
    st.floats(-80, 160, width=32),
    st.integers(-20, 40).map(lambda cell: cell * 2.0 - 0.5),
    st.floats(width=32),
)
configs = st.builds(
    sp.TargetConfig,
    keypoint_sigma=st.floats(0.01, 60),
    part_sigma=st.floats(0.01, 60),
    threshold=st.floats(1e-6, 0.999),
    stride=st.sampled_from([1, 2, 3, 4, 8]),
    shape=st.sampled_from(["ellipse", "line"]),
)


@settings(max_examples=250, deadline=None, derandomize=True, database=None)
@given(
    keypoints=arrays(np.float32, st.tuples(st.integers(0, 4), st.just(18), st.just(3)), elements=coordinates),
    cells=st.tuples(st.integers(1, 21), st.integers(1, 21)),
    config=configs,
)
def test_native_gives_the_bits_of_the_reference(keypoints, cells, config):
    reference, native = both(keypoints, (cells[0] * config.stride, cells[1] * config.stride), config, envelope=True)
    np.testing.assert_array_equal(native, reference)


@pytest.mark.parametrize("shape", ["ellipse", "line"])
@pytest.mark.parametrize(("size", "stride"), SIZES_AND_STRIDES)
def test_native_gives_the_bits_of_the_reference_on_edge_cases(size, stride, shape):
    for name, keypoints in edge_cases(size).items():
        reference, native = both(keypoints, size, sp.TargetConfig(stride=stride, shape=shape), envelope=True)
        np.testing.assert_array_equal(native, reference, name)


WRONG_RULES = {
    "line": True,
    "stride": 5.0,
    "threshold": 0.02,
    "keypoint_scale": 0.1,
    "keypoint_radius": 9.0,
    "part_scale": 0.13,
    "part_radius": 9.0,
    "part_inside": 0.2,
}


@pytest.mark.parametrize("name", [*WRONG_RULES, "window"])
def test_the_native_op_uses_every_rule(name):
    shape = "line" if name == "window" else "ellipse"
    config, size = sp.TargetConfig(shape=shape), (128, 128)
    keypoints = scene(3, size)
    rules = TargetRules.of(config)._replace(**{name: WRONG_RULES.get(name, 6)})
    maps = np.empty((1, 48, 32, 32), np.float32)
    require_native().render_targets(keypoints[None], sp.COCO.part_index, rules, [maps], False, 1)
    assert not np.array_equal(maps[0], sp.render_targets(keypoints, size, config=config, backend="reference"))


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_a_batch_gives_the_maps_of_its_images(backend):
    keypoints = np.stack([scene(4, (64, 96), seed) for seed in range(3)])
    batch = sp.render_targets(keypoints, (64, 96), backend=backend)
    for maps, people in zip(batch, keypoints, strict=True):
        np.testing.assert_array_equal(maps, sp.render_targets(people, (64, 96), backend=backend))
    assert sp.render_targets(keypoints[:0], (64, 96), backend=backend).shape == (0, 48, 16, 24)


@pytest.mark.parametrize("shape", ["ellipse", "line"])
def test_maps_do_not_depend_on_the_number_of_threads(shape):
    keypoints = np.stack([scene(6, (512, 512), seed) for seed in range(3)])
    config = sp.TargetConfig(shape=shape)
    one, two = (sp.render_targets(keypoints, (512, 512), config=config, threads=n, scales=5) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dtypes_and_memory_layouts_of_keypoints_give_the_same_maps():
    keypoints = scene(3, (64, 64))
    expected = sp.render_targets(keypoints, (64, 64))
    read_only = keypoints.copy()
    read_only.setflags(write=False)
    strided = np.repeat(keypoints, 2, axis=1)[:, ::2]
    for form in (keypoints.astype(np.float64), read_only, strided, np.asfortranarray(keypoints)):
        np.testing.assert_array_equal(sp.render_targets(form, (np.int64(64), 64)), expected)
    too_large = np.array([[[1e300, 5, 2]] * 18])
    assert not sp.render_targets(too_large, (64, 64)).any()


@pytest.mark.parametrize("backend", ["reference", "native"])
def test_the_pyramid_is_the_average_pool(backend):
    keypoints = scene(4, (128, 192))
    maps = sp.render_targets(keypoints, (128, 192), scales=5, envelope=True, backend=backend)
    assert [m.shape for m in maps] == [(49, 32 >> k, 48 >> k) for k in range(5)]
    np.testing.assert_array_equal(maps[0], sp.render_targets(keypoints, (128, 192), envelope=True))
    for fine, coarse in itertools.pairwise(maps):
        a, b, c, d = fine[:, ::2, ::2], fine[:, ::2, 1::2], fine[:, 1::2, ::2], fine[:, 1::2, 1::2]
        np.testing.assert_array_equal(coarse, ((a + b) + (c + d)) * np.float32(0.25))
    np.testing.assert_array_equal(maps[0][48], maps[0][30:48].max(0))


def one_keypoint(name, x, y):
    keypoints = np.zeros((1, 18, 3), np.float32)
    keypoints[0, sp.COCO.keypoints.index(name)] = x, y, 1
    return keypoints


def test_a_keypoint_is_a_gaussian_above_the_threshold():
    x, y = 16 * 4 + 1.5, 12 * 4 + 1.5  # on cell (16, 12)
    maps = sp.render_targets(one_keypoint("neck", x, y), (128, 128))
    neck = maps[30 + 1]
    assert neck[12, 16] == 1
    assert np.count_nonzero(neck[12]) == np.count_nonzero(neck[:, 16]) == 13  # 9 sqrt(-2 ln 0.015) px: 6.5 cells
    rows, columns = np.nonzero(neck)
    r2 = (16.0 * (columns - 16) ** 2 + 16.0 * (rows - 12) ** 2) / (2 * 81)
    np.testing.assert_allclose(neck[rows, columns], np.exp(-r2), rtol=1e-6)
    assert neck[rows, columns].min() >= np.float32(0.015)
    maps[31] = 0
    assert not maps.any()


def test_a_part_is_an_ellipse_one_stride_longer_than_the_part():
    keypoints = one_keypoint("neck", 8 * 4 + 1.5, 16 * 4 + 1.5)
    keypoints += one_keypoint("nose", 24 * 4 + 1.5, 16 * 4 + 1.5)
    part = sp.render_targets(keypoints, (128, 128))[0]
    assert (part[16, 7:26] == 1).all()  # cells 8 to 24, and one more cell at each end on the edge of the ellipse
    assert np.count_nonzero(part[16]) == 19
    assert np.count_nonzero(part[:, 16]) == 11  # 7 sqrt(-2 ln 0.015) px: 5.07 cells on each side
    a, b = 8 * 4 + 4, 7 * math.sqrt(-2 * math.log(0.015))
    y, x = (4.0 * (np.arange(32) - 16) for _ in range(2))
    inside = (x[None] / a) ** 2 + (y[:, None] / b) ** 2 <= 1 + 1e-9
    np.testing.assert_allclose(part, inside * np.exp(-(y[:, None] ** 2) / 98), atol=1e-6)


def test_a_part_has_no_direction_and_is_transposed_with_its_keypoints():
    ends = [(20.25, 31.5), (90.5, 77.0)]
    forward, backward = (
        sp.render_targets(one_keypoint("neck", *a) + one_keypoint("nose", *b), (128, 128))[0]
        for a, b in (ends, ends[::-1])
    )
    np.testing.assert_allclose(forward, backward, atol=1e-6)
    swapped = [(y, x) for x, y in ends]
    transposed = sp.render_targets(one_keypoint("neck", *swapped[0]) + one_keypoint("nose", *swapped[1]), (128, 128))[0]
    np.testing.assert_allclose(transposed, forward.T, atol=1e-6)


def test_people_are_combined_by_maximum_and_unlabeled_keypoints_are_not_drawn():
    keypoints = scene(4, (128, 128))
    single_people = [sp.render_targets(keypoints[i : i + 1], (128, 128)) for i in range(4)]
    np.testing.assert_array_equal(sp.render_targets(keypoints, (128, 128)), np.max(single_people, 0))
    hidden, unlabeled = keypoints.copy(), keypoints.copy()
    hidden[..., 2] = np.minimum(hidden[..., 2], 1)
    np.testing.assert_array_equal(sp.render_targets(hidden, (128, 128)), np.max(single_people, 0))
    unlabeled[:, 1, 2] = 0  # the neck
    maps = sp.render_targets(unlabeled, (128, 128))
    neck_parts = (sp.COCO.part_index == 1).any(1)
    assert not maps[:30][neck_parts].any()
    assert not maps[31].any()
    assert maps[:30][~neck_parts].any(axis=(1, 2)).all()


def test_the_window_of_the_line_shape_is_seven_cells_at_the_default_settings():
    assert TargetRules.of(sp.TargetConfig(shape="line")).window == 7


@pytest.mark.parametrize("backend", ["reference", "native"])
@pytest.mark.parametrize("name", GOLDEN)
def test_the_line_shape_reproduces_the_released_code(name, backend):
    with np.load(shared(f"golden/targets_{name}.npz")) as golden:
        keypoints, expected = golden["joints"].copy(), golden["heatmaps"]
    visibility = keypoints[..., 2].copy()
    keypoints[..., 2] = np.select([visibility == 0, visibility == 1], [1, 2], 0)
    config = sp.TargetConfig(shape="line")
    maps = sp.render_targets(keypoints, (512, 512), config=config, backend=backend, envelope=True)
    np.testing.assert_allclose(maps, expected[[*range(48), 49]], atol=1e-5, rtol=0)


KEYPOINTS = scene(2, (64, 64))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"keypoints": KEYPOINTS.tolist()}, TypeError, "keypoints: expected a NumPy array or a torch tensor, got list"),
        ({"keypoints": KEYPOINTS.astype(int)}, TypeError, "keypoints: expected float32 or float64, got int64"),
        ({"keypoints": KEYPOINTS[0]}, ValueError, r"keypoints: expected \[P, 18, 3\] or .* 'coco', got \[18, 3\]"),
        ({"keypoints": KEYPOINTS[:, :17]}, ValueError, r"keypoints: .*got \[2, 17, 3\]"),
        ({"keypoints": KEYPOINTS[..., :2]}, ValueError, r"keypoints: .*got \[2, 18, 2\]"),
        ({"size": 64}, TypeError, r"size: expected \(height, width\) as two integers, got 64"),
        ({"size": (64, 64, 3)}, TypeError, "size: expected"),
        ({"size": (64.0, 64)}, TypeError, "size: expected"),
        ({"size": (64, 66)}, ValueError, r"size: expected positive multiples of the stride 4, .*got \(64, 66\)"),
        ({"size": (0, 64)}, ValueError, "size: expected positive"),
        ({"size": (-64, 64)}, ValueError, "size: expected positive"),
        ({"size": (2**21, 64)}, ValueError, "size: expected .* up to 1048576"),
        (
            {"size": (64, 96), "scales": 5},
            ValueError,
            r"size: expected positive multiples of 64, .* stride 4 times 2\^4",
        ),
        ({"scales": 0}, ValueError, "scales: expected 1 to 16, got 0"),
        ({"scales": 2.0}, TypeError, "scales: expected an integer, got 2.0"),
        ({"skeleton": "coco"}, TypeError, "skeleton: expected a Skeleton, got str"),
        ({"config": sp.DecodeConfig()}, TypeError, "config: expected a TargetConfig, got DecodeConfig"),
        (
            {"backend": "cuda"},
            ValueError,
            "backend: expected one of 'auto', 'native', 'torch', 'reference', got 'cuda'",
        ),
        ({"threads": 0}, ValueError, "threads: expected None or 1 to 1024, got 0"),
        ({"threads": "2"}, TypeError, "threads: expected None or an integer, got '2'"),
        ({"envelope": 1}, TypeError, "envelope: expected True or False, got 1"),
    ],
)
def test_invalid_arguments_are_rejected_with_a_message(change, error, message):
    with pytest.raises(error, match=message):
        sp.render_targets(**{"keypoints": KEYPOINTS, "size": (64, 64), **change})


@pytest.mark.parametrize("field", ["keypoint_sigma", "part_sigma", "threshold"])
def test_settings_that_float32_cannot_hold_are_rejected(field):
    with pytest.raises(ValueError, match=f"{field}: expected a finite number at least"):
        sp.TargetConfig(**{field: 1e-30})


def test_the_native_module_rejects_inconsistent_arguments():
    module, rules = require_native(), TargetRules.of(sp.TargetConfig())
    maps = np.empty((1, 48, 16, 16), np.float32)
    valid = [KEYPOINTS[None], sp.COCO.part_index, rules, [maps], False, 1]
    for position, wrong, message in [
        (0, KEYPOINTS, "keypoints: expected"),
        (1, np.full((30, 2), 18, np.int32), "parts: expected keypoint types below 18, got 18"),
        (3, [], "maps: expected one array a scale"),
        (3, [maps, maps], "maps: scale 1: expected shape"),
        (4, True, "maps: scale 0: expected shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            module.render_targets(*valid[:position], wrong, *valid[position + 1 :])


@pytest.fixture
def no_native(monkeypatch):
    """Simulate an installation without a native module."""
    monkeypatch.setitem(sys.modules, "simplepose._native", None)
    monkeypatch.setattr(backend, "_warned", set())
    native_module.load_native.cache_clear()
    yield
    native_module.load_native.cache_clear()


def test_without_the_native_module_auto_falls_back_and_native_raises(no_native):
    with pytest.warns(RuntimeWarning, match="render_targets runs in PyTorch"):
        maps = sp.render_targets(KEYPOINTS, (64, 64), scales=2)
    for drawn, expected in zip(
        maps, sp.render_targets(KEYPOINTS, (64, 64), backend="reference", scales=2), strict=True
    ):
        np.testing.assert_allclose(drawn, expected, atol=2e-6)
    with pytest.raises(RuntimeError, match=r"backend 'native': the native ops do not load .*pip install"):
        sp.render_targets(KEYPOINTS, (64, 64), backend="native")
