"""``_native.pyi`` against the compiled module, with or without CUDA: the same names, arguments and defaults."""

from __future__ import annotations

import ast
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import simplepose
from simplepose.ops import config, torch_library
from simplepose.ops.native import match_parts
from simplepose.ops.native.module import require_native
from simplepose.skeleton import validate

STUB = (Path(simplepose.__file__).parent / "_native.pyi").read_text()

CUDA_ONLY = {"render_targets_cuda", "find_peaks_cuda", "match_parts_cuda", "start_decode", "CudaBatch"}
"""Names that a build without CUDA does not have."""

Interface = dict[str, object]
"""For each public name: the type of an attribute, the arguments and defaults of a function, or a class's interface."""


def stub_interface(text: str) -> Interface:
    """The interface that the stub declares. Names with an underscore are types that only the stub has."""
    return {name: member for name, member in _members(ast.parse(text).body).items() if not name.startswith("_")}


def _members(body: list[ast.stmt]) -> Interface:
    members: Interface = {}
    for node in body:
        if isinstance(node, ast.AnnAssign):
            members[ast.unparse(node.target)] = ast.unparse(node.annotation)
        elif isinstance(node, ast.ClassDef):
            members[node.name] = _members(node.body)
        elif isinstance(node, ast.FunctionDef):
            is_property = any(ast.unparse(d) == "property" for d in node.decorator_list)
            members[node.name] = "property" if is_property else _arguments(node)
    return members


def _arguments(node: ast.FunctionDef) -> list[str]:
    spec = node.args
    defaults = [""] * (len(spec.args) - len(spec.defaults)) + ["=" + ast.unparse(d) for d in spec.defaults]
    return [argument.arg + default for argument, default in zip(spec.args, defaults, strict=True)]


def module_interface(module: ModuleType) -> Interface:
    """The interface of the module; pybind11 writes a function's arguments into the first line of its docstring."""
    return {name: _described(getattr(module, name)) for name in dir(module) if not name.startswith("_")}


def _described(value: object) -> object:
    if isinstance(value, type):
        has_constructor = str(value.__init__.__doc__).startswith("__init__(")
        names = [name for name in vars(value) if not name.startswith("_") or (name == "__init__" and has_constructor)]
        return {name: _described(getattr(value, name)) for name in names}
    if isinstance(value, property):
        return "property"
    if callable(value):
        return _documented_arguments(str(value.__doc__))
    return type(value).__name__


def _documented_arguments(text: str) -> list[str]:
    """The arguments in a line such as ``name(first: list[int], second: int = 0) -> None``, which is valid Python."""
    function = ast.parse(f"def {text.splitlines()[0]}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return _arguments(function)


def differences(stub: Interface, module: Interface) -> list[str]:
    """One line for each name that differs, or that only one of the two has."""
    return [
        f"{name}: stub {stub.get(name)}, module {module.get(name)}"
        for name in sorted(stub.keys() | module.keys())
        if stub.get(name) != module.get(name)
    ]


def expected_interface(text: str) -> Interface:
    """The part of the stub's interface that this build has."""
    has_cuda = require_native().has_cuda
    return {name: member for name, member in stub_interface(text).items() if has_cuda or name not in CUDA_ONLY}


def test_the_stub_declares_the_interface_of_the_module():
    assert stub_interface(STUB).keys() >= CUDA_ONLY
    assert differences(expected_interface(STUB), module_interface(require_native())) == []


@pytest.mark.parametrize(
    ("right", "wrong", "name"),
    [
        ("has_cuda: bool", "has_cuda: int", "has_cuda"),
        ("version: str\n", "", "version"),
        ("MAX_HITS: int\n", "MAX_HITS: int\nMAX_LUCK: int\n", "MAX_LUCK"),
        ("device: int = 0", "device: int", "cuda_status"),
        ("device: int = 0", "device: int = 1", "cuda_status"),
        ("    envelope: bool,\n    threads", "    threads", "render_targets"),
        ("part_score: NDArray", "evidence: NDArray", "Decoder"),
        ("part_index: NDArray", "parts: NDArray", "Decoder"),
        ("def score_pairs", "def rank_pairs", "Decoder"),
        ("def uses_avx2", "def use_avx2", "uses_avx2"),
    ],
)
def test_a_wrong_stub_is_detected(right, wrong, name):
    assert right in STUB
    lines = differences(expected_interface(STUB.replace(right, wrong, 1)), module_interface(require_native()))
    assert any(line.startswith(f"{name}:") for line in lines)


def test_the_limits_in_python_equal_those_of_the_module():
    module = require_native()
    limits = {
        "MAX_KEYPOINTS": validate.MAX_KEYPOINTS,
        "MAX_PEAKS": config.MAX_PEAKS,
        "MAX_SAMPLES": config.MAX_SAMPLES,
        "MAX_FUSED_SCALES": torch_library.MAX_FUSED_SCALES,
        "MAX_HITS": match_parts.MAX_HITS,
    }
    assert {name: getattr(module, name) for name in dir(module) if name.startswith("MAX_")} == limits


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_peaks", 0), ("max_peaks", 4097), ("num_samples", 1), ("num_samples", 65), ("min_samples", 0)],
)
def test_the_decoder_checks_what_its_memory_depends_on(name, value):
    settings = {**asdict(config.DecodeConfig()), "min_samples": 8}
    decoder, parts = require_native().Decoder, np.zeros((0, 2), np.int32)
    decoder(256, parts, settings)
    with pytest.raises(ValueError, match=f"{name}: out of range"):
        decoder(256, parts, {**settings, name: value})
    with pytest.raises(ValueError, match="keypoints: out of range"):
        decoder(257, parts, settings)
