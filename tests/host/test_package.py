"""The package runs on the board: Python 3.10, NumPy, Pillow and pynq, and nothing of vitgen."""

import ast
import sys

from vitgen.resources import templates_dir

ON_THE_BOARD = {"numpy", "PIL", "pynq"}
FOR_THE_NOTEBOOK = {"matplotlib"}
MODULES = sorted((templates_dir() / "host").rglob("*.py"))


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of what is imported absolutely."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def test_it_needs_only_what_a_board_has():
    assert len(MODULES) > 8
    for path in MODULES:
        allowed = ON_THE_BOARD | (FOR_THE_NOTEBOOK if path.name == "plots.py" else set())
        tree = ast.parse(path.read_text(), feature_version=(3, 10))
        assert imported(tree) - sys.stdlib_module_names <= allowed, path.name


def test_no_register_is_found_by_its_place():
    """Offsets come from the .hwh: in the driver of the IP, none is a number."""
    tree = ast.parse((templates_dir() / "host" / "ip.py").read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    accesses = [c for c in calls if getattr(c.func, "attr", "") in ("read", "write")]
    assert len(accesses) > 8
    for call in accesses:
        assert not isinstance(call.args[0], ast.Constant)
