"""The driver package of a build, imported from where it was emitted."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

from vitgen.errors import VitgenError


def package_of(build: Path) -> tuple[str, Path]:
    """Name and directory of the driver package of a build.

    Raises
    ------
    VitgenError : there is none.
    """
    found = sorted((build / "host").glob("*/deployment.json"))
    if len(found) != 1:
        raise VitgenError(f"{build} has no driver in host/.", "Build again with this version.")
    name = json.loads(found[0].read_text())["package"]
    if name != found[0].parent.name:
        raise VitgenError(f"{found[0]} is of the package {name}.", "Build again.")
    return name, found[0].parent


def load_package(build: Path) -> ModuleType:
    """Import the driver package of a build, in the place of one of the same name.

    Whoever calls has checked that the files are those of the build. Nothing else in ``host/`` is
    importable by it, and no byte code is written there.

    Raises
    ------
    VitgenError : there is none.
    """
    name, folder = package_of(build)
    for old in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[old]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.dont_write_bytecode = writes
    return module
