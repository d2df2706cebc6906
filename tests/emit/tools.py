"""Runs an emitted script in Tcl, the commands of the vendor's tools recorded by stand-ins."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parent / "tcl" / "vendor.tcl"


@dataclass(frozen=True)
class Ran:
    """A script's end: exit status, standard error and its commands as lists of words."""

    status: int
    err: str
    commands: list[list[str]]

    def of(self, name: str) -> list[list[str]]:
        """The words of every command ``name`` behind it, in order."""
        return [words[1:] for words in self.commands if words[0] == name]

    def names(self) -> list[str]:
        """The commands in order."""
        return [words[0] for words in self.commands]


def run_tcl(
    script: Path,
    arguments: Sequence[str] = (),
    *,
    tool: str,
    place: Path,
    buses: Sequence[str] = (),
    env: dict[str, str] | None = None,
) -> Ran:
    """Run ``script`` in ``place``.

    Parameters
    ----------
    tool : "vivado" or "vitis_hls", whose commands exist.
    buses : what the IP packager finds.
    env : variables beside PATH.
    """
    place.mkdir(parents=True, exist_ok=True)
    record = place / "commands"
    found = shutil.which("tclsh")
    assert found is not None, "the tests of scripts need tclsh; the set-up installs it"
    done = subprocess.run(
        [found, VENDOR, record, tool, " ".join(buses), script, *arguments],
        cwd=place, env={"PATH": os.environ["PATH"], **(env or {})},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    lines = record.read_text().splitlines() if record.exists() else []
    return Ran(done.returncode, done.stderr, [line.split("\x1f") for line in lines])
