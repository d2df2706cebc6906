"""A compiled C-sim library, driven through the C functions of ``include/vitgen_csim.h``."""

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


class SimulationFailed(RuntimeError):
    """The accelerator went wrong: deadlock, leftover, or a process that threw.

    Parameters
    ----------
    report : the whole text of the simulation.
    """

    def __init__(self, report: str) -> None:
        self.report = report
        super().__init__(report)


class Library:
    """A loaded library. Its state is global: one simulation per library and process at a time.

    Call it in a :class:`vitgen.csim.worker.Worker`: a running simulation hears no Ctrl-C.

    Parameters
    ----------
    path : the shared library.
    """

    def __init__(self, path: Path) -> None:
        self._handle = ctypes.CDLL(str(path))
        name, size = ctypes.c_char_p, ctypes.c_size_t
        self._depth = self._declare("vitgen_csim_depth", None, [name, ctypes.c_uint])
        self._stack = self._declare("vitgen_csim_stack", None, [size])
        self._tap = self._declare("vitgen_csim_tap", None, [name])
        self._tap_count = self._declare("vitgen_csim_tap_count", ctypes.c_int64, [name])
        self._tap_bytes = self._declare("vitgen_csim_tap_value_bytes", size, [name])
        self._tap_data = self._declare("vitgen_csim_tap_data", ctypes.c_void_p, [name])

    def _declare(self, name: str, result: Any, arguments: Sequence[Any]) -> Any:
        function = getattr(self._handle, name)
        function.restype = result
        function.argtypes = list(arguments)
        return function

    def function(self, name: str, arguments: Sequence[Any]) -> Callable[..., None]:
        """An ``extern "C" const char* name(...)`` of the harness that returns a report.

        Parameters
        ----------
        name : its name.
        arguments : ctypes of its arguments.

        Returns
        -------
        A function that raises :class:`SimulationFailed` when the report is not empty.
        """
        raw = self._declare(name, ctypes.c_char_p, arguments)

        def call(*values: Any) -> None:
            report: bytes = raw(*values)
            if report:
                raise SimulationFailed(report.decode(errors="replace"))

        return call

    def set_depth(self, stream: str, depth: int) -> None:
        """Depth of a stream, or of every element of an array of streams, for all later runs."""
        if not 1 <= depth < 1 << 31:
            raise ValueError(f"depth {depth} of stream {stream}")
        self._depth(stream.encode(), depth)

    def set_stack(self, size: int) -> None:
        """Bytes of address space per process, at least 64 KiB."""
        if size < 1 << 16:
            raise ValueError(f"stack of {size} bytes")
        self._stack(size)

    def tap(self, stream: str) -> None:
        """Records the values of a stream from now on; drops what was recorded before."""
        self._tap(stream.encode())

    def tapped(self, stream: str) -> npt.NDArray[np.uint8]:
        """Values of a tapped stream: (values, bytes of one value in memory), oldest first.

        KeyError if no process has used a stream of this name.
        """
        name = stream.encode()
        count = self._tap_count(name)
        if count < 0:
            raise KeyError(stream)
        if count == 0:
            return np.zeros((0, self._tap_bytes(name)), np.uint8)
        shape = (count, self._tap_bytes(name))
        raw = ctypes.string_at(self._tap_data(name), shape[0] * shape[1])
        return np.frombuffer(raw, np.uint8).reshape(shape)
