"""What this package drives: ``deployment.json``, the files that it names, and the bitstream."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .errors import AcceleratorError, WrongBitstream, WrongData

FORMAT = 1
BITFILE_VARIABLE = "VITGEN_BITFILE"
BITFILE = "vit_top.bit"

TIMEOUT_VARIABLE = "VITGEN_TIMEOUT"
LEAST_TIMEOUT = 5.0
PATIENCE = 100
"""A run may take this many times its estimated cycles."""

_PACKAGE = Path(__file__).resolve().parent
_AGAIN = "Build again, or install the package again."


def _roots() -> list[Path]:
    """Where data and bitstream lie: inside an installed package, else in the build directory."""
    return [_PACKAGE, _PACKAGE.parent.parent]


class Deployment:
    """``deployment.json`` of this package.

    Parameters
    ----------
    path : the file.

    Attributes
    ----------
    record : its content.

    Raises
    ------
    WrongData : it is missing, damaged or of another format.
    """

    def __init__(self, path: Path = _PACKAGE / "deployment.json") -> None:
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WrongData(f"{path} cannot be read: {error}.", _AGAIN) from error
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise WrongData(f"{path} is not of format {FORMAT}.", _AGAIN)
        self.record: dict[str, Any] = record

    def __getitem__(self, key: str) -> Any:
        return self.record[key]

    @property
    def cycles(self) -> int:
        """Estimated clock cycles of an image."""
        return sum(layer["cycles"] for layer in self.record["layers"])

    def timeout(self, given: float | None) -> float:
        """Seconds that a run may take: ``given``, or those of the environment, or by the estimate.

        Raises
        ------
        AcceleratorError : it is no number above 0.
        """
        if given is None and TIMEOUT_VARIABLE in os.environ:
            try:
                given = float(os.environ[TIMEOUT_VARIABLE])
            except ValueError as error:
                raise AcceleratorError(
                    f"{TIMEOUT_VARIABLE} is {os.environ[TIMEOUT_VARIABLE]!r}.", "Set it to seconds."
                ) from error
        if given is not None:
            if not given > 0:
                raise AcceleratorError(f"A timeout of {given} seconds.", "Give more than 0.")
            return given
        estimate = self.cycles / self["clock_mhz"] * 1e-6
        return max(LEAST_TIMEOUT, PATIENCE * estimate)

    def faults(self, status: int | None) -> list[str]:
        """What a status word complains of, a sentence for each bit; None complains of nothing."""
        if status is None:
            return []
        bits = self["status"]
        faults = ["the program is illegal"] if status >> bits["illegal"] & 1 else []
        for index, entry in enumerate(self["buffers"]):
            if status >> (bits["first_error"] + index) & 1:
                faults.append(f"the memory answered an access to {entry['name']} with an error")
        return faults

    def load(self, entry: dict[str, Any]) -> bytes:
        """A file of ``data/``, checked.

        Parameters
        ----------
        entry : ``file`` (name), ``bytes`` and ``sha256``.

        Raises
        ------
        WrongData : it is missing, cut short, or not the file that was built.
        """
        path = self._find("data", entry["file"])
        if path is None:
            raise WrongData(f"The data file {entry['file']} is missing.", _AGAIN)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WrongData(f"{path} cannot be read: {error.strerror}.", _AGAIN) from error
        if len(content) != entry["bytes"]:
            raise WrongData(
                f"{path} has {len(content)} bytes instead of {entry['bytes']}.",
                "It was cut short or belongs to another build: copy it again.",
            )
        found = hashlib.sha256(content).hexdigest()
        if found != entry["sha256"]:
            raise WrongData(
                f"{path} has the digest {found[:16]} instead of {entry['sha256'][:16]}.",
                "It was damaged or belongs to another build: copy it again.",
            )
        return content

    @staticmethod
    def _find(folder: str, name: str) -> Path | None:
        places = (root / folder / name for root in _roots())
        return next((path for path in places if path.is_file()), None)

    def bitfile(self, given: str | os.PathLike[str] | None) -> Path:
        """The bitstream to load: ``given``, or that of the environment, or the build's own.

        Raises
        ------
        WrongBitstream : there is none, or it was made of another design.
        """
        chosen = given or os.environ.get(BITFILE_VARIABLE)
        path = Path(chosen) if chosen else self._find("bitstream", BITFILE)
        if path is None:
            raise WrongBitstream(
                "There is no bitstream in this package.",
                f"Make one with `vitgen synth`, or pass its path or set {BITFILE_VARIABLE}.",
            )
        self._check_bitfile(path)
        return path.resolve()

    def _check_bitfile(self, path: Path) -> None:
        design = self.record["design"]
        header = _bit_header(path)
        handoff = path.with_suffix(".hwh")
        for file, name in ((path, header["design"]), (handoff, _handoff_design(handoff))):
            if not re.fullmatch(rf"vit_{design}(_wrapper)?", name):
                raise WrongBitstream(
                    f"{file} holds the design {name!r}; this package drives vit_{design}.",
                    "Use the bitstream of this build, or the package of that one.",
                )
        # Vivado writes the part with or without its prefix, depending on the family.
        part = self.record["part"].split("-")[0].removeprefix("xc")
        if not header["part"].lower().removeprefix("xc").startswith(part):
            raise WrongBitstream(
                f"{path} is for the part {header['part']}; this build is for "
                f"{self.record['part']}.",
                "Use the bitstream for this board.",
            )


def _bit_header(path: Path) -> dict[str, str]:
    """``design`` and ``part`` of a ``.bit`` file, whose header is a list of tagged strings."""
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
            whole = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise WrongBitstream(
            f"The bitstream {path} cannot be read: {error.strerror}.", "Check the path."
        ) from error
    fields: dict[int, str] = {}
    try:
        (length,) = struct.unpack_from(">H", head)
        place = 2 + length + 2  # a fixed field, then the count of the next one
        while head[place] != ord("e"):
            (length,) = struct.unpack_from(">H", head, place + 1)
            raw = head[place + 3 : place + 3 + length]
            fields[head[place]] = raw.decode("ascii").rstrip("\0")
            place += 3 + length
        (length,) = struct.unpack_from(">I", head, place + 1)
        design = fields[ord("a")].split(";")[0]
        part = fields[ord("b")]
    except (struct.error, IndexError, KeyError, UnicodeDecodeError) as error:
        raise WrongBitstream(
            f"{path} is not a bitstream with a header.", "Use the .bit file that Vivado wrote."
        ) from error
    if place + 5 + length != whole:
        raise WrongBitstream(
            f"{path} has {whole} bytes instead of {place + 5 + length}.",
            "It was cut short: copy it again.",
        )
    return {"design": design, "part": part}


def _handoff_design(path: Path) -> str:
    """Name of the block design in a ``.hwh`` file."""
    try:
        for _, element in ElementTree.iterparse(path, ("start",)):
            if element.tag == "SYSTEMINFO":
                return element.get("NAME", "")
    except OSError as error:
        raise WrongBitstream(
            f"The hardware handoff {path} cannot be read: {error.strerror}.",
            "It belongs beside the bitstream, under the same name: copy both.",
        ) from error
    except ElementTree.ParseError as error:
        raise WrongBitstream(
            f"The hardware handoff {path} is damaged: {error}.", "Copy it again."
        ) from error
    raise WrongBitstream(f"{path} names no block design.", "Use the .hwh file that Vivado wrote.")
