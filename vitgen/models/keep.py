"""Where tokens are pruned, and how many stay: ``3:0.70,6:0.39,9:0.21``. Free of torch."""

import math
from typing import Any

from vitgen.errors import VitgenError

Keep = tuple[tuple[int, float], ...]

FORM = "Write BLOCK:RATE, comma-separated, such as 3:0.70,6:0.39,9:0.21."


def parse_keep(text: str) -> Keep:
    """Blocks and rates of a list such as ``3:0.70,6:0.39,9:0.21``; :func:`checked_keep` judges them.

    Raises
    ------
    VitgenError : a part is not ``BLOCK:RATE`` with a whole number and a decimal number.
    """
    found = []
    for part in text.split(","):
        block, colon, rate = (piece.strip() for piece in part.partition(":"))
        try:
            # int and float take digits of other scripts, 1_000 and nan.
            if not colon or not part.isascii() or "_" in part:
                raise ValueError
            found.append((int(block), float(rate)))
        except ValueError:
            raise VitgenError(
                f"{part.strip()!r} in the keep rates {text!r} is no rate.", FORM
            ) from None
    return tuple(found)


def format_keep(keep: Keep) -> str:
    """The text that :func:`parse_keep` reads."""
    return ",".join(f"{block}:{rate:g}" for block, rate in keep)


def checked_keep(value: Any, depth: int) -> Keep:
    """Keep rates as pairs of block and rate, in the order of the blocks.

    Parameters
    ----------
    value : text as :func:`parse_keep` reads it, or a list of pairs; empty for an unpruned network.
    depth : blocks of the network.

    Raises
    ------
    VitgenError : a block that does not exist, comes twice or out of order, or a rate outside 0..1 or
        not below the one before.
    """
    pairs = parse_keep(value) if isinstance(value, str) and value.strip() else value or ()
    if not isinstance(pairs, (list, tuple)):
        raise VitgenError(f"The keep rates are {value!r}.", FORM)
    found: list[tuple[int, float]] = []
    for pair in pairs:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise VitgenError(f"{pair!r} in the keep rates is no block and rate.", FORM)
        block, rate = pair
        if isinstance(block, bool) or not isinstance(block, int) or not 0 <= block < depth:
            raise VitgenError(
                f"The keep rates name block {block!r}.", f"Blocks are numbered 0 to {depth - 1}."
            )
        number = isinstance(rate, (int, float)) and not isinstance(rate, bool)
        if not number or not math.isfinite(rate) or not 0 < rate < 1:
            raise VitgenError(
                f"The keep rate before block {block} is {rate!r}.", "Give a share between 0 and 1."
            )
        if found and block <= found[-1][0]:
            raise VitgenError(
                f"The keep rates name block {block} after block {found[-1][0]}.",
                "Name each block once, in order.",
            )
        if found and rate >= found[-1][1]:
            raise VitgenError(
                f"The keep rate before block {block} is {rate:g}, {found[-1][1]:g} before block "
                f"{found[-1][0]}.",
                "Rates are shares of all patches of the image, so each is below the one before.",
            )
        found.append((block, float(rate)))
    return tuple(found)
