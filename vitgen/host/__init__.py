"""A device that stands in for a board: pynq and the shipped driver run on a simulation, unchanged.

Importing the package loads no pynq; :func:`open_device` does.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitgen.host.device import SimulatedDevice

KINDS = ("csim", "rtl")
