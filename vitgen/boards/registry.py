"""Which boards there are."""

import difflib
import os
import re
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from vitgen.boards.board import Board
from vitgen.boards.schema import FILE, read
from vitgen.errors import VitgenError
from vitgen.resources import boards_dir

ENTRY_POINT_GROUP = "vitgen.boards"
"""An entry point of this group names a path (``str`` or ``Path``) of a directory with a folder per
board, or a function without arguments that returns one."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def names() -> list[str]:
    """Every known board, in alphabetical order."""
    return sorted(_folders())


def load(name: str) -> Board:
    """The board ``name``.

    Raises
    ------
    VitgenError : there is no such board, or its file is malformed (the message names file and key).
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise VitgenError(
            f"{name!r} is not the name of a board.",
            "Names are lower-case letters, digits, '-' and '_', at most 64; "
            f"known: {', '.join(names())}.",
        )
    folders = _folders()
    if name not in folders:
        close = difflib.get_close_matches(name, folders, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        raise VitgenError(f"Unknown board {name!r}.", f"{hint}Known: {', '.join(sorted(folders))}.")
    return read(name, folders[name] / FILE)


def _folders() -> dict[str, Path]:
    """Folder of every board; two directories with one name are refused, for neither may win."""
    found: dict[str, Path] = {}
    for directory in [boards_dir(), *(_plugin_dir(e) for e in _entry_points())]:
        for folder in sorted(directory.iterdir()) if directory.is_dir() else []:
            if not _NAME.fullmatch(folder.name) or not (folder / FILE).is_file():
                continue
            if folder.name in found:
                raise VitgenError(
                    f"The board {folder.name!r} is defined in {found[folder.name]} and in {folder}.",
                    "Uninstall one of the packages or rename its board.",
                )
            found[folder.name] = folder
    return found


def _entry_points() -> list[EntryPoint]:
    return sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda e: (e.name, e.value))


def _plugin_dir(point: EntryPoint) -> Path:
    where = f"The entry point {point.name} = {point.value} of the group {ENTRY_POINT_GROUP}"
    remedy = "Repair or uninstall the package that declares it."
    try:
        target: str | os.PathLike[str] | Callable[[], Any] = point.load()
        directory = target() if callable(target) else target
    except Exception as error:  # another package's code: whatever it raises is its fault, by name
        raise VitgenError(f"{where} fails: {error!r}.", remedy) from error
    if not isinstance(directory, str | os.PathLike):
        raise VitgenError(f"{where} gives {directory!r}, not a path.", remedy)
    if not os.path.isdir(directory):  # Path.is_dir raises on a name too long
        raise VitgenError(f"{where} gives {str(directory)!r}, which is not a directory.", remedy)
    return Path(directory)
