"""The shape of the package: imports go one way, every op has all its places, and light imports stay light."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from processes import run_python

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "simplepose"

ORDER = [
    "skeleton_checks", "skeleton", "config", "results",
    "reference.maths", "reference.render_targets", "reference.find_peaks", "reference.match_parts",
    "reference.assign_keypoints", "reference",
    "baseline.render_targets", "baseline.maths", "baseline.find_peaks", "baseline.match_parts", "baseline",
    "native", "arguments", "atomic", "npz", "info",
    "targets", "torch_targets",
    "poses", "torch_decode", "ops", "decode", "draw_layer", "draw", "images", "annotations", "coco", "oracle",
    "augment", "data", "supervision", "inspect_data", "loss",
    "model_config", "layers", "model", "optimize", "tensor_names", "checkpoint", "convert", "export",
    "frame", "heatmaps", "pipeline", "predict", "video", "evaluate",
    "synth_pose", "synth_body", "synth_looks", "synth_paint", "synth_background", "synth_person", "synth_scene",
    "synth",
    "train_config", "train_process", "train_data", "train_log", "train_state", "train_run", "train_errors", "train",
    "",
    "commands", "commands.convert", "commands.decode", "commands.demo", "commands.bench", "commands.evaluate",
    "commands.export", "commands.info", "commands.inspect", "commands.predict", "commands.synth", "commands.train",
    "cli",
]  # fmt: skip
"""The modules of the package: each imports only what stands before it. The empty name is ``simplepose`` itself."""

ALLOWED = {
    ("poses", "draw"): "Poses.draw is a method for convenience; decoding needs no OpenCV",
    ("train", "cli"): "torchrun starts modules: python -m simplepose.train is the command simplepose train",
    ("targets", "torch_targets"): "imported when a tensor comes in, so that NumPy users need no torch",
}
"""Back edges that are meant, with the reason; they must be inside a function."""

OPS = ["render_targets", "find_peaks", "match_parts", "assign_keypoints"]
BENCHMARKS = {"render_targets": "bench_render_targets.py"}
"""Where an op's benchmark stands; the others are in bench_decode.py."""


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class Imports(ast.NodeVisitor):
    """Collects (module of the package, whether inside a function), without what only type checkers read."""

    def __init__(self, module: str) -> None:
        self.module, self.depth, self.found = module, 0, []

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self.depth += 1
        self.generic_visit(node)
        self.depth -= 1

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, f"simplepose/{self.module}: relative import; write the full name"
        for alias in node.names:
            self.add(f"{node.module}.{alias.name}")

    def add(self, name: str) -> None:
        if name.split(".")[0] != "simplepose":
            return
        inner = name.removeprefix("simplepose").removeprefix(".")
        whole = inner
        while inner and inner not in MODULES:
            inner = inner.rpartition(".")[0]
        if not inner and "." in whole:  # from a module that is not there
            inner = whole.split(".")[0]
        self.found.append((inner, self.depth > 0))


def edges(module: str) -> list[tuple[str, bool]]:
    visitor = Imports(module)
    visitor.visit(ast.parse(MODULES[module].read_text()))
    return visitor.found


def test_every_module_has_its_place_in_the_order():
    new, gone = set(MODULES) - set(ORDER), set(ORDER) - set(MODULES)
    assert not new, f"add {sorted(new)} to ORDER in {Path(__file__).name}, after all that they import"
    assert len(set(ORDER)) == len(ORDER)
    assert not gone, f"take {sorted(gone)} out of ORDER in {Path(__file__).name}"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_stands_before_it(module):
    order = {name: place for place, name in enumerate(ORDER)}
    for imported, inside in edges(module):
        if (module, imported) in ALLOWED:
            assert inside, f"simplepose/{module}: {imported} must be imported inside a function"
            continue
        assert imported in order, f"simplepose.{module} imports simplepose.{imported}, which is not in ORDER"
        assert order[imported] < order[module], (
            f"simplepose.{module} imports simplepose.{imported}, which stands after it in ORDER"
        )


def test_meant_back_edges_are_there():
    for module, imported in ALLOWED:
        assert (imported, True) in edges(module), f"take ({module}, {imported}) out of ALLOWED"


def test_the_reference_imports_nothing_compiled():
    for module in MODULES:
        if module.startswith("reference"):
            assert not {"native", "ops"} & {imported for imported, _ in edges(module)}


def test_a_back_edge_is_seen():
    visitor = Imports("config")
    visitor.visit(ast.parse("if TYPE_CHECKING:\n    import torch\ndef f():\n    from simplepose import decode"))
    assert visitor.found == [("decode", True)]


@pytest.mark.parametrize("op", OPS)
def test_an_op_has_all_its_places(op):
    benchmark = ROOT / "benchmarks" / BENCHMARKS.get(op, "bench_decode.py")
    native = [ROOT / "csrc" / op / f"{op}.{kind}" for kind in ("h", "cpp")]
    places = [PACKAGE / "reference" / f"{op}.py", *native, benchmark]
    for place in places:
        assert place.is_file(), f"{op}: {place.relative_to(ROOT)} is missing"
    tests = [path for path in (ROOT / "tests").glob("test_*.py") if path != Path(__file__)]
    assert any(f"{op}(" in path.read_text() for path in tests), f"{op}: no test calls it"


def python(code: str) -> str:
    done = run_python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_no_heavy_library():
    loaded = python(
        "import sys, simplepose; print(*(m for m in ('torch', 'cv2', 'pycocotools', 'PIL') if m in sys.modules))"
    )
    assert loaded.split() == []


def test_numpy_users_need_no_torch():
    out = python(
        "import sys\n"
        "sys.modules['torch'] = None  # importing it raises ImportError\n"
        "import numpy as np, simplepose as sp\n"
        "keypoints = np.full((1, 18, 3), 2.0)\n"
        "keypoints[0, :, :2] = np.random.default_rng(0).uniform(20, 100, (18, 2))\n"
        "for backend in ('auto', 'native', 'reference'):\n"
        "    maps = sp.render_targets(keypoints, (128, 128), backend=backend)\n"
        "    print(len(sp.decode(maps, backend=backend)[0]))\n"
        "print(sp.load_skeleton('hand21').num_keypoints, sp.COCO.spanning_tree().num_parts)\n"
    )
    assert out.split() == ["1", "1", "1", "21", "17"]
