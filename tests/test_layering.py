"""The house of the design page: imports point downward only, and what is heavy loads late.

Modules are read as text, never imported: an import inside a function counts as much as one at the
top, for it is knowledge all the same.
"""

import ast
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vitgen

PACKAGE = Path(vitgen.__file__).resolve().parent

# A package may import those of lower floors and of its own group. Two groups share floor 2: the
# models know nothing of hardware, and the design nothing of torch.
FLOORS: dict[str, tuple[int, str]] = {
    **dict.fromkeys(("errors", "resources", "arith", "ir", "boards"), (0, "ground")),
    "reference": (1, "reference"),
    "data": (1, "data"),
    "design": (2, "hardware"),
    **dict.fromkeys(("models", "quant", "train", "search", "lower"), (2, "models")),
    "emit": (3, "emit"),
    "interop": (3, "interop"),
    **dict.fromkeys(("csim", "rtl", "synth", "host"), (4, "tools")),
    "report": (5, "report"),
    **dict.fromkeys(("flow", "cli", "__main__"), (6, "top")),
}
MODEL_PACKAGES = {name for name, (_, group) in FLOORS.items() if group == "models"}
TORCH = {"torch", "brevitas"}
# Only inside functions: pynq exists on the board alone, the others are an extra or take long.
LATE = {"pynq", "onnx", "onnxruntime", "qonnx", "hls4ml"}
# The tools and the reports above the models see only what lowering made of them.
MAY_USE_MODELS = MODEL_PACKAGES | {"interop", "flow", "cli"}
# What any module may take from the package itself, whose __init__ has run by then.
FROM_THE_ROOT = {"__version__", "VitgenError"}


@dataclass(frozen=True)
class Import:
    """One imported name: ``module`` absolute, at ``line``; ``late`` inside a function or for type
    checkers only."""

    module: str
    line: int
    late: bool


def imports_of(source: str, module: str, is_package: bool) -> Iterator[Import]:
    """Everything that the text of ``module`` imports, import_module("...") included."""
    base = module.split(".") if is_package else module.split(".")[:-1]

    def walk(node: ast.AST, late: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, late)
        elif isinstance(node, ast.ImportFrom):
            prefix = node.module or ""
            if node.level:
                stem = base[: len(base) - node.level + 1]
                prefix = ".".join([*stem, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(f"{prefix}.{alias.name}", node.lineno, late)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            target = node.args[0] if node.args else None
            if (
                name in ("import_module", "__import__")
                and isinstance(target, ast.Constant)
                and isinstance(target.value, str)
                and not target.value.startswith(".")
            ):
                yield Import(target.value, node.lineno, late)
        inside = (
            late
            or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        )
        for child in ast.iter_child_nodes(node):
            yield from walk(child, inside)

    yield from walk(ast.parse(source), False)


def fault(importer: str, found: Import) -> str | None:
    """Why package ``importer`` ("" for vitgen/__init__) may not have this import; None if it may."""
    top, *rest = found.module.split(".")
    if top in TORCH and importer not in MODEL_PACKAGES:
        return f"{top} is for {', '.join(sorted(MODEL_PACKAGES))} only"
    if top in LATE and not found.late:
        return f"{top} is imported inside functions only"
    if top != "vitgen" or not rest or rest[0] in FROM_THE_ROOT:
        return None
    target = rest[0]
    if target not in FLOORS:
        return f"vitgen.{target} stands on no floor: give it one in FLOORS"
    if importer == "":
        # `import vitgen` is light, and the package's __getattr__ may lead anywhere.
        if found.late or FLOORS[target][0] == 0:
            return None
        return "vitgen/__init__ imports the ground floor only, the rest inside functions"
    (floor, group), (target_floor, target_group) = FLOORS[importer], FLOORS[target]
    if target in MODEL_PACKAGES and importer not in MAY_USE_MODELS:
        return f"{importer} must not know the models"
    if target_floor < floor or group == target_group:
        return None
    return f"{importer} (floor {floor}) lies below or beside {target} (floor {target_floor})"


def modules() -> list[tuple[str, Path]]:
    """Every module under vitgen/, by dotted name."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def package_of(module: str) -> str:
    """Top-level package or module: "ir" of "vitgen.ir.ops.add", "" of "vitgen"."""
    return module.split(".")[1] if "." in module else ""


def read(module: str, path: Path) -> list[Import]:
    return list(imports_of(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"))


def test_every_package_stands_on_a_floor():
    homeless = {package_of(module) for module, _ in modules()} - FLOORS.keys() - {""}
    assert not homeless, "give these a floor in FLOORS"


def test_imports_point_downward():
    faults = []
    for module, path in modules():
        for found in read(module, path):
            if problem := fault(package_of(module), found):
                faults.append(f"{path}:{found.line}: {found.module}: {problem}")
    assert not faults, "\n".join(faults)


def circle(imports: dict[str, list[Import]]) -> list[str]:
    """Modules that import one another at their top, in order; empty when there are none.

    An import of a package's member counts as one of the module that it is, or else of the package.
    """
    edges = {
        module: {
            target
            for one in found
            if not one.late
            for target in (one.module, one.module.rpartition(".")[0])
            if target in imports and target != module and not module.startswith(f"{target}.")
        }
        for module, found in imports.items()
    }
    done: set[str] = set()

    def visit(trail: list[str]) -> list[str]:
        for target in sorted(edges[trail[-1]] - done):
            if target in trail:
                return [*trail[trail.index(target) :], target]
            if round_trip := visit([*trail, target]):
                return round_trip
        done.add(trail[-1])
        return []

    return next((found for module in edges if (found := visit([module]))), [])


def test_modules_do_not_import_in_a_circle():
    assert circle({module: read(module, path) for module, path in modules()}) == []


def test_a_circle_is_found():
    def graph(**sources: str) -> dict[str, list[Import]]:
        return {
            f"vitgen.ir.{name}": list(imports_of(source, f"vitgen.ir.{name}", False))
            for name, source in sources.items()
        }

    assert circle(
        graph(a="from vitgen.ir.b import x", b="import vitgen.ir.c", c="from .a import y", d="")
    ) == ["vitgen.ir.a", "vitgen.ir.b", "vitgen.ir.c", "vitgen.ir.a"]
    late = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from vitgen.ir.a import x"
    assert circle(graph(a="from vitgen.ir import b", b=late)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vitgen.ir.graph", "from vitgen.reference import execute"),
        ("vitgen.ir.graph", "from vitgen import design"),
        ("vitgen.ir.graph", "def f():\n    import vitgen.emit.plan"),
        ("vitgen.ir.graph", "from ..reference import execute"),
        ("vitgen.ir.graph", "from .. import design"),
        ("vitgen.ir.ops.add", "from ...design.isa import Instruction"),
        ("vitgen.ir.graph", "from importlib import import_module\nimport_module('vitgen.flow')"),
        ("vitgen.ir.graph", "from vitgen import build"),
        ("vitgen.reference.execute", "import torch.nn as nn"),
        ("vitgen.design.engine", "from vitgen.lower import lower"),
        ("vitgen.lower.lower", "from vitgen.design import Engine"),
        ("vitgen.flow.build", "def f():\n    from torch import nn"),
        ("vitgen.csim.run", "from vitgen.models import vit"),
        ("vitgen.report.html", "from vitgen.lower import lower"),
        ("vitgen.report.html", "import brevitas"),
        ("vitgen.host.driver", "import pynq"),
        ("vitgen.host.driver", "class A:\n    from pynq import MMIO"),
        ("vitgen.emit.plan", "from vitgen.csim import compile"),
        ("vitgen.emit.plan", "from vitgen.attic import thing"),
        ("vitgen", "from vitgen.flow import build"),
    ],
)
def test_the_check_finds(module, source):
    found = list(imports_of(source, module, module == "vitgen"))
    assert any(fault(package_of(module), one) for one in found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("vitgen.ir.graph", "import numpy\nfrom .tensor import Tensor\nfrom vitgen.arith import codes"),
        ("vitgen.emit.plan", "from vitgen import __version__, VitgenError\nimport vitgen"),
        ("vitgen.lower.lower", "import torch\nfrom vitgen.quant import rows\nfrom vitgen.ir import Op"),
        ("vitgen.host.driver", "def connect():\n    import pynq"),
        ("vitgen.flow.build", "def f():\n    from vitgen.models import vit"),
        ("vitgen.report.html", "from vitgen.csim import results\nfrom vitgen.design import Engine"),
        ("vitgen", "from vitgen.errors import VitgenError\ndef f():\n    import vitgen.flow"),
    ],
)
def test_the_check_passes(module, source):
    found = list(imports_of(source, module, module == "vitgen"))
    assert found
    assert not any(fault(package_of(module), one) for one in found)


def light_modules() -> list[str]:
    """The package and all its top-level modules that have no business with torch."""
    names = [info.name for info in pkgutil.iter_modules([str(PACKAGE)])]
    return ["vitgen"] + [
        f"vitgen.{name}" for name in names if name not in MODEL_PACKAGES | {"__main__"}
    ]


@pytest.mark.parametrize("module", light_modules())
def test_importing_loads_nothing_heavy(module):
    script = (
        f"import json, sys, {module}; "
        f"print(json.dumps(sorted(sys.modules.keys() & {TORCH | LATE!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
