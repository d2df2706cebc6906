"""Power of the board's supply rails, as PYNQ reads them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any


def read_power(names: Sequence[str]) -> dict[str, float] | None:
    """Watts by rail.

    Parameters
    ----------
    names : rails that the board is known to have, by PYNQ's names.

    Returns
    -------
    Those that could be read; None where there is none.
    """
    if not names:
        return None
    from pynq import get_rails

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a machine without libsensors
        rails = get_rails()
    found = {name: _watts(rails[name]) for name in names if name in rails}
    return {name: watts for name, watts in found.items() if watts is not None} or None


def _watts(rail: Any) -> float | None:
    if rail.power is not None:
        return float(rail.power.value)
    if rail.voltage is not None and rail.current is not None:
        return float(rail.voltage.value) * float(rail.current.value)
    return None
