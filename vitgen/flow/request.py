"""What a build is asked for, checked before anything heavy is imported or written."""

import dataclasses
import difflib
import hashlib
import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitgen import __version__, boards
from vitgen.data import ImageFolder
from vitgen.design.lanes import KAPPA
from vitgen.errors import VitgenError
from vitgen.models.config import VitConfig
from vitgen.models.config import config as model_config
from vitgen.models.keep import parse_keep
from vitgen.quant.config import QuantConfig

SCHEMES = ("fixed", "pot", "mixed")
LEVELS = ("none", "csim", "rtl")
MAX_SEED = 2**32 - 1


@dataclass(frozen=True)
class BuildRequest:
    """One build.

    Parameters
    ----------
    model : a name that ``vitgen models`` lists, or the path of a config file.
    bits : weights/activations, e.g. ``4/8``, ``8/8``, ``4+8/8``; None, with a target, for the highest
        precision that meets it (:data:`vitgen.flow.precision.LADDER`).
    scheme : ``fixed``, ``pot`` or ``mixed`` rows; None: ``mixed`` where there are 4-bit weights,
        else ``fixed``.
    array : ``dsp48`` or ``hls``, see ``docs/accelerator.md``.
    pot_ratio : share of power-of-two rows where rows mix, 0 to 1; None leaves it to the search, and
        in training takes a quarter.
    board : a name that ``vitgen boards`` lists.
    clock_mhz : None takes the board's.
    checkpoint : float or quantized weights; None seeds synthetic ones.
    calibrate : folder of images; None takes the photographs that scikit-learn ships, or the
        training digits.
    config : TOML file of per-layer settings (``docs/configuration.md``); ``scheme`` and
        ``pot_ratio`` of this request win over the file's.
    seed : of synthetic weights, 0 to 2**32 - 1.
    target_fps : frames per second that the smallest engine is to give; None asks for the fastest.
    wide_ratio : share of 8-bit rows in ``4+8``; None takes the file's or the default.
    keep : keep rates of token selectors, ``3:0.70,6:0.39,9:0.21``; None takes the model's own.

    Raises
    ------
    VitgenError : a value that is not allowed.
    """

    model: str
    bits: str | None
    scheme: str | None = None
    array: str = "dsp48"
    pot_ratio: float | None = None
    board: str = "zcu102"
    clock_mhz: float | None = None
    checkpoint: Path | None = None
    calibrate: Path | None = None
    config: Path | None = None
    seed: int = 0
    target_fps: float | None = None
    wide_ratio: float | None = None
    keep: str | None = None

    def __post_init__(self) -> None:
        if self.scheme is not None:
            _choice("scheme", self.scheme, SCHEMES)
        _choice("array", self.array, tuple(KAPPA))
        self.architecture()
        board = boards.load(self.board)
        if self.pot_ratio is not None and not 0.0 <= self.pot_ratio <= 1.0:
            raise VitgenError(f"--pot-ratio is {self.pot_ratio}.", "Give a share from 0 to 1.")
        clock = self.clock_mhz
        if clock is not None and not (math.isfinite(clock) and 10 <= clock <= 1000):
            raise VitgenError(f"--clock-mhz is {clock}.", "Give a frequency from 10 to 1000.")
        if clock is not None and clock > board.max_clock_mhz:
            raise VitgenError(
                f"--clock-mhz is {clock:g}, which no design on {board.name} can reach.",
                f"Its limit is {board.max_clock_mhz} MHz; {board.clock_mhz} is the board's own clock.",
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise VitgenError(f"--seed is {self.seed}.", f"Give a number from 0 to {MAX_SEED}.")
        target = self.target_fps
        if target is not None and not (math.isfinite(target) and target > 0):
            raise VitgenError(f"--target-fps is {target}.", "Give frames per second above 0.")
        if self.bits is None:
            if target is None:
                raise VitgenError(
                    "Neither --bits nor --target-fps is given.",
                    "Give bits such as 4/8, or a target that decides them.",
                )
        else:
            self.quant()

    @property
    def name(self) -> str:
        """Name of the model, also where it comes from a config file."""
        return model_config(self.model).name

    def architecture(self) -> VitConfig:
        """The model asked for, with its token selectors."""
        config = model_config(self.model)
        if self.keep is None:
            return config
        return dataclasses.replace(config, keep=parse_keep(self.keep))

    def quant(self) -> QuantConfig:
        """The quantization asked for, per-layer settings included; the bits are given."""
        settings: dict[str, Any] = {}
        if self.config is not None:
            settings = _read_settings(self.config)
        if self.scheme is not None:
            settings["scheme"] = self.scheme
        assert self.bits is not None
        mixed = "4" in self.bits.partition("/")[0]
        settings.setdefault("scheme", "mixed" if mixed else "fixed")
        if self.pot_ratio is not None:
            settings["pot_ratio"] = self.pot_ratio
        if self.wide_ratio is not None:
            settings["wide_ratio"] = self.wide_ratio
        return QuantConfig.parse(self.bits, **settings)

    @property
    def clock(self) -> float:
        """Clock in MHz."""
        return self.clock_mhz or boards.load(self.board).clock_mhz

    def describe(self) -> dict[str, Any]:
        """The request as JSON values, with the digests of the files it names by option.

        Raises
        ------
        VitgenError : a file or folder is missing or cannot be read.
        """
        record: dict[str, Any] = {"vitgen": __version__}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            record[field.name] = str(value) if isinstance(value, Path) else value
        files = {"checkpoint": self.checkpoint, "config": self.config}
        if Path(self.model).suffix:
            files["model"] = Path(self.model)
        record["digests"] = {key: _digest(key, p) for key, p in files.items() if p is not None}
        if self.calibrate is not None:
            record["digests"]["calibrate"] = digest_folder(self.calibrate)
        return record


def _choice(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        close = difflib.get_close_matches(value, allowed, 1)
        hint = f"Did you mean {close[0]}?" if close else f"Choose {', '.join(allowed)}."
        raise VitgenError(f"Unknown {option} {value!r}.", hint)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise VitgenError(
            f"--config {path} cannot be read: {error}.", "See docs/configuration.md for its form."
        ) from error


def _digest(option: str, path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise VitgenError(f"--{option} {path} does not exist.", "Check the path.") from None
    except OSError as error:
        raise VitgenError(
            f"--{option} {path} cannot be read: {error.strerror}.", "Check the path."
        ) from error


def digest_folder(path: Path) -> str:
    """Digest of the names, sizes and times of an image folder's files: it may be large.

    Raises
    ------
    VitgenError : it is no folder of images.
    """
    ImageFolder(path)
    listing = [
        [str(p.relative_to(path)), p.stat().st_size, p.stat().st_mtime_ns]
        for p in sorted(path.rglob("*"))
        if p.is_file()
    ]
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()
