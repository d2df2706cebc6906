"""Compiles a C++ driver with the emitted headers of an engine, and runs it on int64 values."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vitgen.csim import compile_program
from vitgen.csim.compile import SANITIZED
from vitgen.design.engine import Engine
from vitgen.emit import emit_hls

Int = NDArray[np.int64]

DRIVERS = Path(__file__).resolve().parents[1] / "hls" / "drivers"


def headers(engine: Engine) -> dict[str, str]:
    """Text of the emitted headers by name."""
    return {name: text for name, text in emit_hls(engine).texts().items() if name.endswith(".h")}


class Driver:
    """A compiled driver.

    Parameters
    ----------
    engine : its headers are compiled.
    name : file of ``tests/hls/drivers`` without its suffix.
    cache : directory of compiled programs.
    sanitized : with the address and undefined behaviour sanitizers.
    """

    def __init__(self, engine: Engine, name: str, cache: Path, sanitized: bool = False) -> None:
        self.engine = engine
        sources = headers(engine)
        sources["driver.h"] = (DRIVERS / "driver.h").read_text()
        sources[f"{name}.cpp"] = (DRIVERS / f"{name}.cpp").read_text()
        flags = SANITIZED if sanitized else ("-O1",)
        built = compile_program(sources, units=[f"{name}.cpp"], flags=flags, cache=cache)
        self.program = built.path
        self.warnings = built.warnings

    def run(self, *values: ArrayLike) -> "Output":
        """The driver's output for the values, flattened in order."""
        data = np.concatenate([np.asarray(value, dtype=np.int64).ravel() for value in values])
        done = subprocess.run(
            [self.program], input=data.tobytes(), capture_output=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]
        return Output(np.frombuffer(done.stdout, dtype=np.int64))


class Output:
    """Values to be taken in order."""

    def __init__(self, values: Int) -> None:
        self._values = values
        self._taken = 0

    def take(self, *shape: int) -> Int:
        """The next values as an array."""
        count = int(np.prod(shape, dtype=np.int64))
        found = self._values[self._taken : self._taken + count]
        assert len(found) == count, f"{count} values wanted, {len(found)} left"
        self._taken += count
        return found.reshape(shape)

    def stream(self, *shape: int) -> Int:
        """A stream: its number of words, then the words of this shape."""
        return self.take(int(self.take(1)[0]), *shape)

    def finish(self) -> None:
        """No input was left in the process and no output is left here."""
        left = int(self.take(1)[0])
        assert left == 0, f"{left} values left in the input streams"
        assert self._taken == len(self._values)


def row_words(values: Iterable[int], bits: int) -> Int:
    """Words as their 64-bit limbs, the lowest first."""
    limbs = -(-bits // 64)
    raw = b"".join(value.to_bytes(8 * limbs, "little") for value in values)
    return np.frombuffer(raw, dtype=np.int64)
