"""Boards as data: what a design may use, and where each figure comes from.

A board is a folder with a ``board.toml``; vitgen's own lie in ``boards/`` of the repository. Another
package adds a directory of such folders with an entry point of the group ``vitgen.boards``.
"""

from vitgen.boards.board import (
    IMAGES,
    TRUST_LEVELS,
    Board,
    Dram,
    Power,
    ProcessingSystem,
    Provenance,
    Pynq,
    Resources,
)
from vitgen.boards.registry import ENTRY_POINT_GROUP, load, names

__all__ = [
    "ENTRY_POINT_GROUP",
    "IMAGES",
    "TRUST_LEVELS",
    "Board",
    "Dram",
    "Power",
    "ProcessingSystem",
    "Provenance",
    "Pynq",
    "Resources",
    "load",
    "names",
]
