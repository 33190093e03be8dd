"""The dispatch: the implementation that runs for each op, backend, device and build."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from helpers.builds import NOT_BUILT, without_native
from helpers.map_scenes import people_maps
from helpers.parity import assert_same_columns, assert_same_poses

import simplepose as sp
from simplepose.info import OPS, RUNS, info, op_path
from simplepose.ops import backend
from simplepose.ops.backend import CPU, Device
from simplepose.ops.native import module as native

DEVICES = {"cpu": CPU, "cuda": Device("cuda", 0), "mps": Device("mps", 0)}

BUILDS = {
    # name: (the native module loads, the reason why the kernels cannot run on the CUDA device, PyTorch is installed)
    "complete": (True, "", True),
    "without CUDA": (True, "the build has no CUDA ops", True),
    "without PyTorch": (True, "the build has no CUDA ops", False),
    "nothing built": (False, NOT_BUILT, True),
    "nothing built, without PyTorch": (False, NOT_BUILT, False),
}

FAILS = "RuntimeError"

EXPECTED = {
    # (backend, device): the implementation for each build, in the order of BUILDS
    ("native", "cpu"): ("cpp", "cpp", "cpp", FAILS, FAILS),
    ("native", "cuda"): ("cuda", FAILS, FAILS, FAILS, FAILS),
    ("native", "mps"): (FAILS, FAILS, FAILS, FAILS, FAILS),
    ("torch", "cpu"): ("torch", "torch", FAILS, "torch", FAILS),
    ("torch", "cuda"): ("torch", "torch", FAILS, "torch", FAILS),
    ("torch", "mps"): ("torch", "torch", FAILS, "torch", FAILS),
    ("reference", "cpu"): ("reference",) * 5,
    ("reference", "cuda"): ("reference",) * 5,
    ("reference", "mps"): ("reference",) * 5,
    ("auto", "cpu"): ("cpp", "cpp", "cpp", "torch", "reference"),
    ("auto", "cuda"): ("cuda", "torch", "reference", "torch", "reference"),
    ("auto", "mps"): ("torch", "torch", "reference", "torch", "reference"),
}

GROUPING = {
    # assign_keypoints runs on the CPU for every device
    "native": ("cpp", "cpp", "cpp", FAILS, FAILS),
    "torch": ("cpp", "cpp", "cpp", "reference", "reference"),
    "reference": ("reference",) * 5,
    "auto": ("cpp", "cpp", "cpp", "reference", "reference"),
}

CASES = [
    (op, name, device, build)
    for op in OPS
    for name in ("native", "torch", "reference", "auto")
    for device in DEVICES
    for build in BUILDS
]


@pytest.fixture
def use_build(monkeypatch):
    """A function that simulates a build and resets the warnings of the dispatch."""

    def use(build: str) -> None:
        built, why_no_cuda, has_torch = BUILDS[build]
        monkeypatch.setattr(native, "load_native", lambda: (object(), "") if built else (None, NOT_BUILT))
        monkeypatch.setattr(native, "why_no_cuda", lambda number: why_no_cuda)
        monkeypatch.setattr(backend, "torch_installed", lambda: has_torch)
        monkeypatch.setattr(backend, "_warned", set())

    return use


@pytest.mark.parametrize(("op", "name", "device", "build"), CASES)
def test_every_op_backend_device_and_build_resolves_as_in_the_table(use_build, op, name, device, build):
    use_build(build)
    row = GROUPING[name] if op == "assign_keypoints" else EXPECTED[name, device]
    expected = row[list(BUILDS).index(build)]
    if expected == FAILS:
        with pytest.raises(RuntimeError, match=f"^backend '{name}': "):
            backend.resolve(op, name, DEVICES[device])
        return
    not_native = name == "auto" and expected in ("torch", "reference")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert backend.resolve(op, name, DEVICES[device]) == expected
    assert len(caught) == not_native, "expected one warning from auto if it is not native, and no other warning"


def test_the_table_covers_every_backend():
    assert set(EXPECTED) == {(name, device) for name in GROUPING for device in DEVICES}
    assert set(GROUPING) == {"native", "torch", "reference", "auto"}


def test_an_unknown_backend_is_rejected():
    for wrong in ("numpy", None, ["native"]):
        with pytest.raises(ValueError, match=r"^backend: expected one of 'auto', 'native', 'torch', 'reference', got "):
            backend.resolve("decode", wrong)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("nothing built", r"decode runs in PyTorch on cpu, 7 to 150 times slower than in C\+\+: the native ops do not"),
        ("nothing built, without PyTorch", r"NumPy reference on cpu, 35 to 300 times slower .*pip install \."),
    ],
)
def test_the_warning_states_implementation_slowdown_and_reason(use_build, build, message):
    use_build(build)
    with pytest.warns(RuntimeWarning, match=message):
        backend.resolve("decode", "auto")


def test_the_warning_points_to_the_callers_line(monkeypatch):
    without_native(monkeypatch)
    monkeypatch.setattr(backend, "_warned", set())
    with pytest.warns(RuntimeWarning) as caught:
        sp.decode(np.zeros((48, 8, 8), np.float32))
    assert caught[0].filename == __file__


def test_info_prints_the_implementations_that_the_dispatch_resolves(use_build):
    for build in BUILDS:
        use_build(build)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # info must not warn
            paths = {op: op_path(op) for op in OPS}
        host = EXPECTED["auto", "cpu"][list(BUILDS).index(build)]
        device = EXPECTED["auto", "cuda"][list(BUILDS).index(build)]
        grouping = GROUPING["auto"][list(BUILDS).index(build)]
        for op in OPS:
            if op == "assign_keypoints":
                assert paths[op] == f"{RUNS[grouping]}, always on the CPU"
            else:
                assert paths[op] == f"{RUNS[host]} on the CPU, {RUNS[device]} on a CUDA device"
    assert info().keys() >= {*OPS, "native", "cuda_reason"}


@pytest.mark.parametrize("name", ["native", "torch", "reference", "auto"])
@pytest.mark.parametrize("kind", ["array", "tensor", "read-only array", "half tensor"])
def test_all_backends_give_the_same_bits(name, kind):
    maps = people_maps(4, (40, 48), 4)
    expected = sp.decode(maps, backend="reference")[0]
    heatmaps = {
        "array": maps,
        "tensor": torch.from_numpy(maps),
        "read-only array": np.require(maps.copy()),
        "half tensor": torch.from_numpy(maps).half(),
    }[kind]
    if kind == "read-only array":
        heatmaps.setflags(write=False)
    if kind == "half tensor":
        expected = sp.decode(heatmaps.float().numpy(), backend="reference")[0]
    assert len(expected)
    assert_same_poses(sp.decode(heatmaps, backend=name)[0], expected)
    peaks = sp.find_peaks(heatmaps, backend=name)
    parts = sp.match_parts(heatmaps, peaks, backend=name)
    assert_same_poses(sp.assign_keypoints(peaks, parts, backend=name)[0], expected)
    assert_same_columns(peaks[0], sp.find_peaks(heatmaps, backend="reference")[0])


def test_native_without_a_build_raises_with_the_build_hint(monkeypatch):
    maps = people_maps(2, (24, 24), 1)
    without_native(monkeypatch)
    peaks = sp.find_peaks(maps, backend="reference")
    parts = sp.match_parts(maps, peaks, backend="reference")
    keypoints = np.zeros((1, 18, 3), np.float32)
    for heatmaps in (maps, torch.from_numpy(maps)):
        for call in (
            lambda heatmaps=heatmaps: sp.decode(heatmaps, backend="native"),
            lambda heatmaps=heatmaps: sp.find_peaks(heatmaps, backend="native"),
            lambda heatmaps=heatmaps: sp.match_parts(heatmaps, peaks, backend="native"),
            lambda: sp.assign_keypoints(peaks, parts, backend="native"),
            lambda: sp.render_targets(keypoints, (64, 64), backend="native"),
            lambda: sp.render_targets(torch.from_numpy(keypoints), (64, 64), backend="native"),
        ):
            with pytest.raises(RuntimeError, match=r"backend 'native': .*build it with 'pip install \.'"):
                call()


def test_auto_without_a_build_gives_the_same_people(monkeypatch):
    maps = people_maps(3, (40, 48), 3)
    expected = sp.decode(maps)[0]
    without_native(monkeypatch)
    monkeypatch.setattr(backend, "_warned", set())
    with pytest.warns(RuntimeWarning, match="decode runs in PyTorch"):
        assert_same_poses(sp.decode(maps)[0], expected)
    monkeypatch.setattr(backend, "torch_installed", lambda: False)
    with pytest.warns(RuntimeWarning, match="decode runs in the NumPy reference"):
        assert_same_poses(sp.decode(maps)[0], expected)
