"""A Jupyter notebook from a text with cells: ``# %%`` begins code, ``# %% [markdown]`` prose in
comments."""

import json
from typing import Any

_CODE, _MARKDOWN = "# %%", "# %% [markdown]"


def notebook(text: str) -> bytes:
    """The notebook (format 4.5) of a text; cells are numbered, so that equal texts give equal bytes.

    Raises
    ------
    ValueError : there is text before the first cell, or prose that is no comment.
    """
    cells: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line in (_CODE, _MARKDOWN):
            cells.append((line, []))
        elif cells:
            cells[-1][1].append(line)
        elif line.strip():
            raise ValueError(f"{line!r} stands before the first cell")
    record = {
        "cells": [_cell(number, kind, lines) for number, (kind, lines) in enumerate(cells)],
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n"


def _cell(number: int, kind: str, lines: list[str]) -> dict[str, Any]:
    stripped = "\n".join(lines).strip("\n").split("\n")
    cell: dict[str, Any] = {"id": f"cell-{number}", "metadata": {}}
    if kind == _CODE:
        return cell | {
            "cell_type": "code", "execution_count": None, "outputs": [], "source": _source(stripped)
        }  # fmt: skip
    wrong = [line for line in stripped if line != "#" and not line.startswith("# ")]
    if wrong:
        raise ValueError(f"prose that is no comment: {wrong[0]!r}")
    return cell | {"cell_type": "markdown", "source": _source([line[2:] for line in stripped])}


def _source(lines: list[str]) -> list[str]:
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:]
