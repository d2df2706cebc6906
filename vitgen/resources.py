"""Where the files lie that are not Python: templates, boards, specification, published designs.

The wheel carries them as ``vitgen/_data``; a checkout (or an editable install of it) has them beside
the package.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def _data_dir(name: str) -> Path:
    carried = _PACKAGE / "_data" / name
    return carried if carried.is_dir() else _PACKAGE.parent / name


def templates_dir() -> Path:
    """Directory of the Jinja templates and the hand-written Verilog."""
    return _data_dir("templates")


def boards_dir() -> Path:
    """Directory with a folder for each board that vitgen itself knows."""
    return _data_dir("boards")


def specification() -> Path:
    """File that specifies the integer IR, ``docs/ir.md``."""
    return _data_dir("docs") / "ir.md"


def published_file() -> Path:
    """File of published accelerators, ``benchmarks/published.toml``."""
    return _data_dir("benchmarks") / "published.toml"
