"""The architecture of the package: direction of imports, file names of the ops, and lightweight imports."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from helpers.processes import run_python

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "simplepose"

LAYERS = (
    ("checks", "exit_gate"),
    ("io",),
    ("skeleton",),
    ("adapters.sleap_io",),
    ("poses",),
    ("io.formats",),
    ("ops.config", "ops.candidates"),
    ("ops.reference",),
    ("ops.pytorch", "ops.native"),
    ("ops",),
    ("adapters",),
    ("info", "network", "data", "synth", "drawing"),
    ("inference",),
    ("evaluation", "bulk"),
    ("training",),
    ("web",),
    ("",),
    ("cli",),
    ("__main__",),
)
"""The folders (and files outside of folders) by layer, lowest first. A module may import from its own folder and from
lower layers. Folders of one layer do not import each other. The empty name is ``simplepose/__init__.py``."""

OPS = ["render_targets", "find_peaks", "match_parts", "assign_keypoints"]


def module_name(path: Path) -> str:
    """The dotted name of a file within the package."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


class Imports(ast.NodeVisitor):
    """Collects the modules of the package that a module imports, at its top or in a function.

    Imports under ``if TYPE_CHECKING`` are ignored, because they do not run.
    """

    def __init__(self) -> None:
        self.modules: set[str] = set()

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
        self.modules.add(inner)


def imports_of(source: str) -> set[str]:
    visitor = Imports()
    visitor.visit(ast.parse(source))
    return visitor.modules


def layer_of(module: str) -> tuple[int, str]:
    """The number of a module's layer, and its folder: the longest name in `LAYERS` that is a prefix of the module."""
    matches = [
        (len(folder), number, folder)
        for number, layer in enumerate(LAYERS)
        for folder in layer
        if module == folder or (folder and module.startswith(f"{folder}."))
    ]
    assert matches, f"simplepose/{module}: its folder is not in LAYERS"
    _, number, folder = max(matches)
    return number, folder


def forbidden_imports(module: str, source: str) -> list[str]:
    """The imports of ``module`` that do not come from its own folder or a lower layer."""
    number, folder = layer_of(module)
    forbidden = []
    for imported in imports_of(source) - {module}:
        imported_number, imported_folder = layer_of(imported)
        if imported_folder != folder and imported_number >= number:
            forbidden.append(imported)
    return sorted(forbidden)


@pytest.mark.parametrize("module", MODULES)
def test_imports_come_from_lower_layers(module):
    forbidden = forbidden_imports(module, MODULES[module].read_text(encoding="utf-8"))
    assert not forbidden, f"simplepose.{module} imports {', '.join(forbidden)}, which are not in lower layers"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ops.config", "from simplepose.ops.decode import decode"),
        ("io.atomic", "def f():\n    import simplepose.skeleton.skeleton.skeleton"),
        ("data.images", "from simplepose.network import config"),
        ("skeleton.names", "import simplepose"),
    ],
)
def test_a_forbidden_import_is_detected(module, source):
    assert forbidden_imports(module, source)


def test_imports_have_no_cycle():
    remaining = {module: imports_of(path.read_text(encoding="utf-8")) - {module} for module, path in MODULES.items()}
    while resolved := [module for module, imported in remaining.items() if not imported & remaining.keys()]:
        for module in resolved:
            del remaining[module]
    assert not remaining, f"these modules import each other in a cycle: {sorted(remaining)}"


def test_every_folder_in_the_layers_exists():
    for folder in {folder for layer in LAYERS for folder in layer}:
        assert any(layer_of(module)[1] == folder for module in MODULES), f"remove {folder!r} from LAYERS"


@pytest.mark.parametrize("folder", sorted(path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*/__init__.py")))
def test_init_files_of_subpackages_hold_only_a_docstring(folder):
    body = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")).body
    assert all(isinstance(node, ast.Expr) for node in body), f"{folder}/__init__.py: expected only a docstring"


@pytest.mark.parametrize("op", OPS)
def test_the_files_of_an_op_have_its_name(op):
    paths = [
        PACKAGE / "ops" / f"{op}.py",
        PACKAGE / "ops" / "reference" / f"{op}.py",
        *(ROOT / "csrc" / op / f"{op}.{kind}" for kind in ("h", "cpp")),
        ROOT / "tests" / "ops" / f"test_{op}.py",
        ROOT / "benchmarks" / f"bench_{op}.py",
    ]
    if op != "assign_keypoints":  # it always runs on the CPU
        paths += [PACKAGE / "ops" / "pytorch" / f"{op}.py", PACKAGE / "ops" / "native" / f"{op}.py"]
    missing = [str(path.relative_to(ROOT)) for path in paths if not path.is_file()]
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


def test_the_ops_on_arrays_need_neither_torch_nor_opencv():
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
