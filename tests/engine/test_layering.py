"""The house stays in order: who may import whom, read from the source text."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE, KERNELS = ROOT / "autograd_conv", ROOT / "kernels"


def imports(path: Path) -> set[str]:
    """Modules that a file imports when it is imported, absolute; type-checking blocks and functions left out."""
    relative = path.relative_to(ROOT).with_suffix("")
    parts = ["autograd_conv", *relative.parts] if path.is_relative_to(KERNELS) else list(relative.parts)
    package = parts[:-1]
    found: set[str] = set()

    def visit(nodes):
        for node in nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                visit(node.orelse)
                continue
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                found.add(module)
                found.update(f"{module}.{alias.name}" for alias in node.names)
            visit(ast.iter_child_nodes(node))

    visit(ast.parse(path.read_text()).body)
    return found


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    parts = ["autograd_conv", *relative.parts] if path.is_relative_to(KERNELS) else list(relative.parts)
    return ".".join(part for part in parts if part != "__init__")


SOURCES = sorted([*PACKAGE.rglob("*.py"), *KERNELS.rglob("*.py")])
STANDARD = set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", sorted(KERNELS.rglob("*.py")), ids=lambda p: p.name)
def test_kernels_import_only_numpy_numba_and_each_other(path):
    for name in imports(path):
        top = name.split(".")[0]
        assert (
            top in STANDARD | {"numpy", "numba", "llvmlite"}
            or name == "autograd_conv.kernels"
            or name.startswith("autograd_conv.kernels.")
        ), f"{path.name} imports {name}"


def test_the_package_needs_only_numpy_and_numba():
    for path in PACKAGE.rglob("*.py"):
        for name in imports(path):
            assert name.split(".")[0] in STANDARD | {"numpy", "autograd_conv"}, f"{path} imports {name}"


def test_the_tape_knows_no_numpy_function():
    assert not any(name.split(".")[0] == "numpy" for name in imports(PACKAGE / "tape.py"))


@pytest.mark.parametrize(
    ("module", "allowed"),
    [
        ("errors", set()),
        ("memory", set()),
        ("dispatch", set()),
        ("tape", {"errors", "memory"}),
        ("tensor", {"errors", "memory", "dispatch", "tape"}),
        ("plans", {"memory", "tensor"}),
        ("primitive", {"errors", "memory", "plans", "tape", "tensor"}),
        ("gradients", {"errors", "memory", "tape", "tensor", "trees"}),
    ],
)
def test_each_room_of_the_engine_opens_only_to_lower_ones(module, allowed):
    ours = {name.split(".")[1] for name in imports(PACKAGE / f"{module}.py") if name.startswith("autograd_conv.")}
    assert ours <= allowed


def test_tensor_does_nothing_numerical():
    """It names NumPy's functions to look them up, and calls none on values but to hold, copy and print them."""
    allowed = {
        "array", "asarray", "can_cast", "dtype", "copyto", "ones", "array2string", "ndarray", "generic",
        "ufunc", "add",
    }  # fmt: skip
    calls = {
        node.func.attr
        for node in ast.walk(ast.parse((PACKAGE / "tensor.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "np"
    }
    assert calls <= allowed


def test_there_are_no_import_circles():
    known = {module_name(path): path for path in SOURCES}
    graph = {name: {i for i in imports(path) if i in known and i != name} for name, path in known.items()}
    # A package imports its members; a member that imports its own package (not a sibling) would be a circle.
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"import circle: {' -> '.join((*trail, name))}"
        if name not in done:
            for other in graph[name]:
                if not name.startswith(other + ".") and other != "autograd_conv":
                    visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_kernels_are_not_duplicated():
    assert not (PACKAGE / "kernels").exists()
    for path in [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        for name in imports(path):
            assert name.split(".")[0] != "kernels", f"{path} imports {name}: a second copy, compiled twice"


def test_importing_the_package_loads_neither_numba_nor_extras():
    code = (
        "import sys, autograd_conv as ac;"
        "x = ac.tensor([1.0, 2.0], requires_grad=True); (x * x).sum().backward();"
        "print([m for m in ('numba', 'llvmlite', 'scipy', 'sklearn', 'matplotlib', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
