"""The integer reference: executes a graph exactly; C-sim, RTL and board are compared with it."""

from vitgen.reference.execute import EXECUTORS, Call, exact_float, execute, executes, predict
from vitgen.reference.preprocess import (
    digit_image,
    fit_image,
    patches_of,
    pixels_of,
    preprocess,
)
from vitgen.reference.selection import PACKAGE

__all__ = [
    "EXECUTORS",
    "PACKAGE",
    "Call",
    "digit_image",
    "exact_float",
    "execute",
    "executes",
    "fit_image",
    "patches_of",
    "pixels_of",
    "predict",
    "preprocess",
]
