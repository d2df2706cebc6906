"""Layers and bill items folded into the few groups that a picture can hold."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BLOCK = re.compile(r"(?:.*\.)?(?:blocks|layers)\.(\d+)\.")

# What the layers of a block are for, in the order in which they run, and how their names end.
ROLES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("q, k, v", (".q", ".k", ".v")),
    ("scores, softmax", (".qk",)),
    ("weighted values", (".av",)),
    ("projection", (".proj",)),
    ("MLP, first", (".fc1",)),
    ("MLP, second", (".fc2",)),
)
NORM_ROLE, OTHER_ROLE = "LayerNorm", "other"
ROLE_NAMES = (*(name for name, _ in ROLES), NORM_ROLE, OTHER_ROLE)

ITEM_GROUPS: tuple[tuple[str, str], ...] = (
    ("array, DSP rows", r"array\.(?!pot_rows)\w+"),
    ("array, power-of-two rows", r"array\.pot_rows"),
    ("requantizer", r"requant(\.\w+)?"),
    ("GELU", r"gelu(\.\w+)?"),
    ("softmax", r"softmax(\.\w+)?"),
    ("LayerNorm", r"norm(\.\w+)?"),
    ("banks and buffers", r"bank\.\w+|\w+_replay|weight_words|value_turn\.\w+"),
)
REST = "control, DMA, streams"
ITEM_NAMES = (*(name for name, _ in ITEM_GROUPS), REST)


def role(layer: Mapping[str, Any]) -> str:
    """The group of a layer: what it is for inside its block."""
    if layer["kind"] == "layernorm":
        return NORM_ROLE
    if BLOCK.match(layer["name"]):
        for name, endings in ROLES:
            if layer["name"].endswith(endings):
                return name
    return OTHER_ROLE


def fold_rows(layers: Sequence[Mapping[str, Any]]) -> list[tuple[str, dict[str, int]]]:
    """Rows of a picture of the cycles: each block one, what comes before and after one each.

    Returns
    -------
    Label and cycles by role, roles in the order of :data:`ROLE_NAMES`; cycles sum to the layers'.
    """
    rows: dict[str, dict[str, int]] = {}
    seen_block = False
    for layer in layers:
        found = BLOCK.match(layer["name"])
        seen_block = seen_block or bool(found)
        label = f"block {found.group(1)}" if found else "output" if seen_block else "input"
        cells = rows.setdefault(label, {})
        cells[role(layer)] = cells.get(role(layer), 0) + layer["cycles"]["estimated"]
    return [
        (label, {name: cells[name] for name in ROLE_NAMES if cells.get(name)})
        for label, cells in rows.items()
    ]


def totals(pairs: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Sums by name, largest first; names without anything are left out."""
    sums: dict[str, int] = {}
    for name, value in pairs:
        sums[name] = sums.get(name, 0) + value
    return sorted(((n, v) for n, v in sums.items() if v), key=lambda pair: -pair[1])


def by_role(layers: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Cycles by role."""
    return totals((role(layer), layer["cycles"]["estimated"]) for layer in layers)


def by_bound(layers: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Cycles of layers by what limits them."""
    return totals((layer["bound"], layer["cycles"]["estimated"]) for layer in layers)


def item_group(name: str) -> str:
    """The group of a bill item."""
    return next((g for g, pattern in ITEM_GROUPS if re.fullmatch(pattern, name)), REST)


def fold_items(items: Iterable[Mapping[str, Any]]) -> list[tuple[str, dict[str, float]]]:
    """The bill by group, in the order of :data:`ITEM_NAMES`; block RAMs in units of 36 Kb."""
    sums = {name: dict.fromkeys(("dsp", "lut", "ff", "bram36", "uram"), 0.0) for name in ITEM_NAMES}
    for item in items:
        group = sums[item_group(item["name"])]
        for resource in ("dsp", "lut", "ff", "uram"):
            group[resource] += item[resource]
        group["bram36"] += item["bram18"] / 2
    return [(name, group) for name, group in sums.items() if any(group.values())]


def heaviest(layers: Sequence[Mapping[str, Any]], most: int = 5) -> list[dict[str, Any]]:
    """The layers that take most cycles; equal layers of different blocks count as one, ``times``.

    ``rtl`` are their simulated cycles, None where none were counted, and ``completed`` the estimated
    ones to compare them with.
    """
    groups: dict[tuple[Any, ...], dict[str, Any]] = {}
    for layer in layers:
        found = BLOCK.match(layer["name"])
        name = layer["name"] if not found else f"blocks.*.{layer['name'][found.end() :]}"
        entry = groups.setdefault(
            (name, layer["bound"]),
            {"name": name, "bound": layer["bound"], "times": 0, "cycles": 0, "share": 0.0,
             "completed": 0, "rtl": None},
        )
        entry["times"] += 1
        entry["cycles"] += layer["cycles"]["estimated"]
        entry["completed"] += layer["cycles"]["completed"]
        entry["share"] += layer["share"]
        if layer["cycles"]["rtl"] is not None:
            entry["rtl"] = (entry["rtl"] or 0) + layer["cycles"]["rtl"]
    return sorted(groups.values(), key=lambda entry: -entry["cycles"])[:most]
