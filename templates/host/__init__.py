"""Driver of a Vision Transformer accelerator under PYNQ.

Importing it registers the driver with PYNQ and touches no hardware; :class:`Accelerator` does.
"""

from .accelerator import Accelerator
from .errors import (
    AcceleratorError,
    BadImage,
    DeviceBusy,
    DeviceFault,
    DeviceTimeout,
    NoMemory,
    WrongBitstream,
    WrongData,
)
from .predictions import Predictions
from .profiling import Profile

__all__ = [
    "Accelerator",
    "AcceleratorError",
    "BadImage",
    "DeviceBusy",
    "DeviceFault",
    "DeviceTimeout",
    "NoMemory",
    "Predictions",
    "Profile",
    "WrongBitstream",
    "WrongData",
]
