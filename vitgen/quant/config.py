"""What to quantize how: bits, row schemes, and overrides per layer. Free of torch."""

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from vitgen.errors import VitgenError

SCHEMES = ("fixed", "pot", "mixed")
WEIGHT_BITS = ("4", "8", "4+8")
LABEL = re.compile(r"(4\+8|4|8)/([4-8])\Z")
DEFAULT_POT_RATIO = 0.25
DEFAULT_WIDE_RATIO = 0.25
ALWAYS_8 = ("embed", "norm", "head", "patch_embed.*", "blocks.*.selector.*")
"""Patterns of ops at 8 bits whatever the configuration: patch embedding, classifier, the norm before
it, the convolutions of a stem, and token selectors, which are a hundredth of the products."""


@dataclass(frozen=True)
class LayerQuant:
    """Quantization of one op.

    Parameters
    ----------
    weight_bits : ``"4"``, ``"8"`` or ``"4+8"``: width of fixed-point rows.
    scheme : ``fixed``, ``pot`` (every row a power of two) or ``mixed``.
    pot_ratio : share of power-of-two rows, 0 to 1 (0 for ``fixed``, 1 for ``pot``).
    wide_ratio : share of 8-bit rows where ``weight_bits`` is ``"4+8"``.
    act_bits : width of the op's output where that is a quantized activation, 4 to 8.
    """

    weight_bits: str
    scheme: str
    pot_ratio: float
    wide_ratio: float
    act_bits: int

    def shares(self, rows: int, groups: int = 1) -> tuple[int, int]:
        """Power-of-two rows and 8-bit rows of each group: what every count of rows goes by.

        Parameters
        ----------
        rows : of the layer.
        groups : consecutive rows that get equal shares (heads of q, k or v); 1 for other layers.

        Raises
        ------
        VitgenError : the rows do not divide into groups.
        """
        if rows % groups:
            raise VitgenError(
                f"{rows} rows do not divide into {groups} heads.", "Give the layer's head count."
            )
        each = rows // groups
        pot = _share(self.pot_ratio, each)
        wide = each if self.weight_bits == "8" else _share(self.wide_ratio, each)
        # Two ratios that add up to 1 may round up to one row more than there are.
        return pot, min(wide, each - pot)


def _share(ratio: float, rows: int) -> int:
    """Rows that a ratio stands for, rounded half up."""
    return int(ratio * rows + 0.5)


@dataclass(frozen=True)
class QuantConfig:
    """Quantization of a model.

    Parameters
    ----------
    weight_bits : ``"4"``, ``"8"`` or ``"4+8"`` (rows of both widths). Power-of-two rows always have
        4-bit codes, so ``"8"`` with ``mixed`` sets them beside 8-bit rows, and ``"8"`` with ``pot``
        is refused.
    act_bits : 4 to 8.
    scheme : ``fixed``, ``pot`` or ``mixed`` (Auto-ViT-Acc: rows of both in one layer).
    pot_ratio : share of power-of-two rows, by lowest variance; None: 0.25 where ``mixed``.
    wide_ratio : share of 8-bit rows in ``"4+8"``, by highest variance.
    delta1 : gain of the GELU polynomial, 0 to 1 in steps of 1/256 (HeatViT trains with 0.5).
    delta2 : gain of softmax, 1 or 0.5 (HeatViT).
    overrides : by glob pattern on op names (``blocks.0.mlp.*``, ``blocks.*.attn.q``), values of
        ``weight_bits``, ``scheme``, ``pot_ratio``, ``wide_ratio``, ``act_bits``; later patterns win.

    Raises
    ------
    VitgenError : a value that is not allowed; the message lists those that are.
    """

    weight_bits: str = "4"
    act_bits: int = 8
    scheme: str = "fixed"
    pot_ratio: float | None = None
    wide_ratio: float = DEFAULT_WIDE_RATIO
    delta1: float = 1.0
    delta2: float = 1.0
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight_bits", str(self.weight_bits))
        _resolve(self._base(), "the model")
        if not _is_number(self.delta1) or not 0 <= self.delta1 <= 1 or self.delta1 * 256 % 1:
            raise VitgenError(
                f"delta1 is {self.delta1!r}.", "Give a multiple of 1/256 between 0 and 1."
            )
        if self.delta2 not in (0.5, 1.0):
            raise VitgenError(f"delta2 is {self.delta2!r}.", "Give 1 or 0.5.")
        if not isinstance(self.overrides, Mapping):
            raise VitgenError(
                f"overrides is {self.overrides!r}.", 'Write tables: [overrides."blocks.0.mlp.*"].'
            )
        allowed = [f.name for f in dataclasses.fields(LayerQuant)]
        for pattern, values in self.overrides.items():
            if not isinstance(values, Mapping):
                raise VitgenError(
                    f"The override {pattern!r} is {values!r}.", "Give named values per pattern."
                )
            for key in values:
                if key not in allowed:
                    raise VitgenError(
                        f"The override {pattern!r} sets {key!r}.",
                        f"Overrides set {', '.join(allowed)}.",
                    )
            _resolve(_merge(self._base(), values), f"the override {pattern!r}")

    @classmethod
    def parse(cls, bits: str, **options: Any) -> "QuantConfig":
        """From a label such as ``4/8``, ``8/8``, ``4+8/8`` or ``4/6``; options as fields.

        Raises
        ------
        VitgenError : not ``W/A`` with W one of 4, 8, 4+8 and A from 4 to 8.
        """
        match = LABEL.match(str(bits))
        if match is None:
            raise VitgenError(
                f"Unknown bits {bits!r}.",
                "Give W/A with W one of 4, 8, 4+8 and A from 4 to 8, such as 4/8.",
            )
        known = [f.name for f in dataclasses.fields(cls) if f.name not in ("weight_bits", "act_bits")]
        for key in options:
            if key not in known:
                raise VitgenError(
                    f"Unknown quantization option {key!r}.", f"Known options: {', '.join(known)}."
                )
        return cls(match[1], int(match[2]), **options)

    @property
    def label(self) -> str:
        """``W/A``, as :meth:`parse` takes it."""
        return f"{self.weight_bits}/{self.act_bits}"

    def _base(self) -> dict[str, Any]:
        return {
            "weight_bits": self.weight_bits,
            "scheme": self.scheme,
            "pot_ratio": self.pot_ratio,
            "wide_ratio": self.wide_ratio,
            "act_bits": self.act_bits,
        }

    def layer(self, op: str) -> LayerQuant:
        """Quantization of the op with this name, overrides applied."""
        if _always_8(op):
            return LayerQuant("8", "fixed", 0.0, 0.0, 8)
        values = self._base()
        for pattern, override in self.overrides.items():
            if fnmatchcase(op, pattern):
                values = _merge(values, override)
        return _resolve(values, f"op {op}")

    def check(self, ops: list[str]) -> None:
        """Refuse overrides that match none of the ops, or change one that is always 8 bits wide.

        Raises
        ------
        VitgenError : names the pattern.
        """
        for op in ops:
            self.layer(op)
        for pattern in self.overrides:
            matched = [op for op in ops if fnmatchcase(op, pattern)]
            if not matched:
                raise VitgenError(
                    f"The override {pattern!r} matches no op.",
                    f"Ops are called {', '.join(ops[2:14])}, ...",
                )
            if all(_always_8(op) for op in matched):
                raise VitgenError(
                    f"The override {pattern!r} changes {', '.join(matched)}.",
                    f"{', '.join(ALWAYS_8)} always have 8 bits.",
                )

    def to_dict(self) -> dict[str, Any]:
        """Plain values; ``QuantConfig(**values)`` is the same configuration."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["overrides"] = {k: dict(v) for k, v in self.overrides.items()}
        return values


def _always_8(op: str) -> bool:
    return any(fnmatchcase(op, pattern) for pattern in ALWAYS_8)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _merge(values: dict[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**values, **override}
    # A ratio of the whole model says nothing about a layer with a scheme of its own.
    if "scheme" in override and "pot_ratio" not in override:
        merged["pot_ratio"] = None
    return merged


def _choice(where: str, what: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise VitgenError(f"{what} of {where} is {value!r}.", f"Allowed: {', '.join(allowed)}.")


def _resolve(values: Mapping[str, Any], where: str) -> LayerQuant:
    """Validated quantization of one layer, ratios filled in."""
    weight_bits, scheme = str(values["weight_bits"]), values["scheme"]
    _choice(where, "weight_bits", weight_bits, WEIGHT_BITS)
    _choice(where, "The scheme", scheme, SCHEMES)
    act_bits = values["act_bits"]
    if isinstance(act_bits, bool) or not isinstance(act_bits, int) or not 4 <= act_bits <= 8:
        raise VitgenError(f"act_bits of {where} is {act_bits!r}.", "Allowed: 4, 5, 6, 7, 8.")
    default = {"fixed": 0.0, "pot": 1.0, "mixed": DEFAULT_POT_RATIO}[scheme]
    pot = default if values["pot_ratio"] is None else values["pot_ratio"]
    wide = values["wide_ratio"]
    for what, ratio in (("pot_ratio", pot), ("wide_ratio", wide)):
        if not _is_number(ratio) or not 0 <= ratio <= 1:
            raise VitgenError(f"{what} of {where} is {ratio!r}.", "Give a number from 0 to 1.")
    if scheme != "mixed" and pot != default:
        raise VitgenError(
            f"pot_ratio of {where} is {pot} with the scheme {scheme}.",
            "Use the scheme mixed to choose a ratio.",
        )
    if scheme == "pot" and weight_bits != "4":
        raise VitgenError(
            f"The scheme of {where} is pot with {weight_bits}-bit weights.",
            "Power-of-two rows have 4-bit codes: use 4-bit weights, or the scheme mixed.",
        )
    wide = float(wide) if weight_bits == "4+8" else 0.0
    if pot + wide > 1:
        raise VitgenError(
            f"pot_ratio {pot} and wide_ratio {wide} of {where} exceed 1 together.",
            "Lower one of them.",
        )
    return LayerQuant(weight_bits, scheme, float(pot), wide, act_bits)
