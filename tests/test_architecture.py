"""The shape of the package: imports go one way, an op has one stem in every place, and light imports stay light."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from helpers.processes import run_python

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "simplepose"

LAYERS = (
    ("checks", "io"),
    ("skeleton",),
    ("poses",),
    ("ops.config", "ops.candidates"),
    ("ops.reference",),
    ("ops.pytorch", "ops.native"),
    ("ops",),
    ("info", "network", "data", "synth", "drawing"),
    ("inference",),
    ("evaluation",),
    ("training",),
    ("",),
    ("cli",),
    ("__main__",),
)
"""The folders (and files outside of folders), from the bottom up. A module imports from its own folder and from lower
layers. Folders of one layer do not import each other. The empty name is ``simplepose/__init__.py``."""

OPS = ["render_targets", "find_peaks", "match_parts", "assign_keypoints"]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class Imports(ast.NodeVisitor):
    """Collects the modules of the package that a module imports, at its top or in a function.

    What stands under ``if TYPE_CHECKING`` is left out: only type checkers read it.
    """

    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "relative import; write the full name"
        for alias in node.names:
            self.add(f"{node.module}.{alias.name}")

    def add(self, name: str) -> None:
        if name.split(".")[0] != "simplepose":
            return
        inner = name.removeprefix("simplepose").removeprefix(".")
        while inner and inner not in MODULES:
            inner = inner.rpartition(".")[0]
        self.found.add(inner)


def imports_of(source: str) -> set[str]:
    visitor = Imports()
    visitor.visit(ast.parse(source))
    return visitor.found


def place(module: str) -> tuple[int, str]:
    """The number of a module's layer and its folder: the longest name of `LAYERS` that the module begins with."""
    fitting = [
        (len(folder), number, folder)
        for number, layer in enumerate(LAYERS)
        for folder in layer
        if module == folder or (folder and module.startswith(f"{folder}."))
    ]
    assert fitting, f"simplepose/{module}: its folder is not in LAYERS"
    _, number, folder = max(fitting)
    return number, folder


def back_edges(module: str, source: str) -> list[str]:
    """The modules that ``module`` must not import."""
    number, folder = place(module)
    wrong = []
    for imported in imports_of(source) - {module}:
        other_number, other = place(imported)
        if other != folder and other_number >= number:
            wrong.append(imported)
    return sorted(wrong)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down(module):
    wrong = back_edges(module, MODULES[module].read_text(encoding="utf-8"))
    assert not wrong, f"simplepose.{module} imports {', '.join(wrong)}, which stand beside or above it in LAYERS"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ops.config", "from simplepose.ops.decode import decode"),
        ("io.atomic", "def f():\n    import simplepose.skeleton.skeleton.skeleton"),
        ("data.images", "from simplepose.network import config"),
        ("skeleton.names", "import simplepose"),
    ],
)
def test_a_back_edge_is_found(module, source):
    assert back_edges(module, source)


def test_no_module_imports_itself_through_others():
    below = {module: imports_of(path.read_text(encoding="utf-8")) - {module} for module, path in MODULES.items()}
    while free := [module for module, imported in below.items() if not imported & below.keys()]:
        for module in free:
            del below[module]
    assert not below, f"these modules import each other in a circle: {sorted(below)}"


def test_every_layer_is_there():
    for folder in {folder for layer in LAYERS for folder in layer}:
        assert any(place(module)[1] == folder for module in MODULES), f"take {folder!r} out of LAYERS"


@pytest.mark.parametrize("folder", sorted(path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*/__init__.py")))
def test_subpackages_import_nothing_by_themselves(folder):
    body = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")).body
    assert all(isinstance(node, ast.Expr) for node in body), f"{folder}/__init__.py: expected its docstring alone"


@pytest.mark.parametrize("op", OPS)
def test_an_op_has_one_stem_in_every_place(op):
    places = [
        PACKAGE / "ops" / f"{op}.py",
        PACKAGE / "ops" / "reference" / f"{op}.py",
        *(ROOT / "csrc" / op / f"{op}.{kind}" for kind in ("h", "cpp")),
        ROOT / "tests" / "ops" / f"test_{op}.py",
        ROOT / "benchmarks" / f"bench_{op}.py",
    ]
    if op != "assign_keypoints":  # it always runs on the CPU
        places += [PACKAGE / "ops" / "pytorch" / f"{op}.py", PACKAGE / "ops" / "native" / f"{op}.py"]
    missing = [str(path.relative_to(ROOT)) for path in places if not path.is_file()]
    assert not missing, f"{op}: {', '.join(missing)} missing"


def python(code: str) -> str:
    done = run_python("-W", "error", "-c", code)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_no_heavy_library():
    loaded = python(
        "import sys, simplepose; print(*(m for m in ('torch', 'cv2', 'pycocotools', 'PIL') if m in sys.modules))"
    )
    assert loaded.split() == []


def test_numpy_users_need_neither_torch_nor_opencv():
    out = python(
        "import sys\n"
        "sys.modules['torch'] = sys.modules['cv2'] = None  # importing them raises ImportError\n"
        "import numpy as np, simplepose as sp\n"
        "keypoints = np.full((1, 18, 3), 2.0)\n"
        "keypoints[0, :, :2] = np.random.default_rng(0).uniform(20, 100, (18, 2))\n"
        "for backend in ('auto', 'native', 'reference'):\n"
        "    maps = sp.render_targets(keypoints, (128, 128), backend=backend)\n"
        "    print(len(sp.decode(maps, backend=backend)[0]))\n"
        "print(sp.load_skeleton('hand21').num_keypoints, sp.COCO.spanning_tree().num_parts)\n"
    )
    assert out.split() == ["1", "1", "1", "21", "17"]


def test_the_command_runs_as_a_module():
    done = run_python("-m", "simplepose", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("simplepose ")
