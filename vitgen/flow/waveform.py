"""The signals of a run of the RTL, as a VCD file."""

import contextlib
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vitgen.csim.loader import SimulationFailed
from vitgen.design.engine import Engine
from vitgen.design.packing import Int
from vitgen.design.program import Program
from vitgen.errors import VitgenError
from vitgen.rtl.simulate import Memory, Simulation

_LAST = 10**18  # no run is so long


@dataclass(frozen=True)
class Waveform:
    """What a user asks for.

    Parameters
    ----------
    file : VCD.
    first, last : cycles of the run that it shows.
    """

    file: Path
    first: int = 0
    last: int = _LAST

    @classmethod
    def asked(cls, level: str, file: Path | None, window: str | None) -> "Waveform | None":
        """From options; None if there is no file.

        Parameters
        ----------
        level : of the verification; "rtl" is the one with signals.
        window : ``FIRST:LAST``, or None for all cycles.

        Raises
        ------
        VitgenError : the options contradict each other, or a value is bad.
        """
        if file is None:
            if window is not None:
                raise VitgenError(
                    f"--window is {window}, but no waveform is asked for.", "Add --vcd FILE."
                )
            return None
        if level != "rtl":
            raise VitgenError("--vcd shows the RTL, which is not simulated.", "Add --level rtl.")
        if not file.parent.is_dir() or file.is_dir():
            raise VitgenError(
                f"--vcd {file} is no place for a file.", "Choose a file in a directory."
            )
        if window is None:
            return cls(file)
        found = re.fullmatch(r"(\d{1,18}):(\d{1,18})", window)
        if found is None or int(found[1]) > int(found[2]):
            raise VitgenError(f"--window is {window!r}.", "Give two cycles, as in 1000:2000.")
        return cls(file, int(found[1]), int(found[2]))

    def write(
        self, simulation: Path, engine: Engine, program: Program, memory: Memory, patches: Int
    ) -> None:
        """Run one image and write the file, also of a run that does not end.

        Parameters
        ----------
        simulation : built for ``engine`` with waveforms.
        patches : ``(tokens, features)``.

        Raises
        ------
        VitgenError : the run ends before the window, or the file cannot be written.
        """
        with tempfile.TemporaryDirectory(prefix="vcd-") as scratch:
            place, window = Path(scratch), (self.first, self.last)
            with (
                Simulation(simulation, engine, program, memory=memory, waveform=place, window=window)
                as device,
                contextlib.suppress(SimulationFailed),
            ):  # fmt: skip
                device.predict(patches)
            if device.last is not None and device.last.cycles < self.first:
                raise VitgenError(
                    f"--window begins at cycle {self.first}, the run has {device.last.cycles}.",
                    "Choose an earlier one.",
                )
            try:
                shutil.copyfile(place / "core.vcd", self.file)
            except OSError as error:
                raise VitgenError(
                    f"{self.file} cannot be written: {error.strerror or error}.",
                    "Choose another --vcd.",
                ) from error
