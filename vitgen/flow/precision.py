"""What a request leaves open, bits or the share of power-of-two rows, decided by a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from vitgen import boards
from vitgen.design.choice import Design, Outcome, choose_variant, too_slow
from vitgen.design.cost_workload import RowKinds
from vitgen.design.frontier import frontier
from vitgen.design.variants import Variant
from vitgen.errors import DoesNotFit, VitgenError
from vitgen.flow.lowering import is_import
from vitgen.flow.request import BuildRequest
from vitgen.lower.outline import outline, row_counts
from vitgen.models.config import config as model_config
from vitgen.quant.config import DEFAULT_POT_RATIO, QuantConfig

Tell = Callable[[str], None]

LADDER: tuple[tuple[str, float | None], ...] = (
    ("8/8", None),
    ("4+8/8", 0.75),
    ("4+8/8", 0.5),
    ("4+8/8", 0.25),
    ("4/8", None),
    ("4/6", None),
)
"""Bits, and the share of 8-bit rows, from the highest precision down: what a target takes in order."""


@dataclass(frozen=True)
class Rung:
    """One precision.

    Parameters
    ----------
    request : with its bits.
    variants : the model at every share of power-of-two rows that may be chosen.
    """

    request: BuildRequest
    variants: list[Variant]

    @classmethod
    def of(cls, request: BuildRequest) -> Rung:
        """The rung of a request whose bits are given.

        Raises
        ------
        VitgenError : the per-layer settings fit no op, or no share.
        """
        config, quant = model_config(request.model), request.quant()
        first = Variant.of(outline(config, quant))
        if not leaves_ratio(quant):
            return cls(request, [first])
        variants = []
        for parts in range(1, config.head_dim):
            ratio = parts / config.head_dim
            if ratio + (quant.wide_ratio if quant.weight_bits == "4+8" else 0.0) > 1:
                break
            try:
                counts = row_counts(config, replace(quant, pot_ratio=ratio))
            except VitgenError:  # more than the 8-bit rows of some layer leave
                break
            kinds = {op: RowKinds(*rows) for op, rows in counts.items()}
            variants.append(first.recounted(kinds, ratio))
        return cls(request, variants or [first])

    @property
    def said(self) -> str:
        """The precision in words."""
        quant = self.request.quant()
        wide = f", {quant.wide_ratio:.0%} of rows at 8 bits" if quant.weight_bits == "4+8" else ""
        return f"{quant.label} {quant.scheme}{wide}"


def leaves_ratio(quant: QuantConfig) -> bool:
    """Whether the share of power-of-two rows is open."""
    return quant.scheme == "mixed" and quant.pot_ratio is None


def ladder(request: BuildRequest) -> Iterator[BuildRequest]:
    """The request at every precision, the highest first; those that it rules out are left out."""
    if request.bits is not None:
        yield request
        return
    possible = 0
    reason: VitgenError | None = None
    for bits, wide in LADDER:
        fixed8 = bits == "8/8"
        scheme = "fixed" if fixed8 else request.scheme
        ratio = None if fixed8 else request.pot_ratio
        try:
            yield replace(request, bits=bits, wide_ratio=wide, scheme=scheme, pot_ratio=ratio)
            possible += 1
        except VitgenError as error:
            reason = error
    if not possible and reason is not None:
        raise reason


@dataclass(frozen=True)
class Settled:
    """A request with nothing left open.

    Parameters
    ----------
    request : with bits and ratios.
    outcome : the search; None where only the lowered network knows its rows.
    record : what was decided and why, as ``exploration`` of a report has it.
    """

    request: BuildRequest
    outcome: Outcome | None
    record: dict[str, Any]

    def design(self) -> Design | None:
        """The design that the search chose."""
        if self.outcome is None:
            return None
        board = boards.load(self.request.board)
        return Design.of(self.outcome.choice, board, self.request.clock)

    def pareto(self) -> list[dict[str, Any]]:
        """Designs over the whole range of sizes, as a report has them."""
        if self.outcome is None:
            return []
        points = frontier(self.outcome.search, self.outcome.choice.found)
        return [point.to_json() for point in points]

    def to_json(self, pareto: bool = True) -> dict[str, Any]:
        """What ``exploration.json`` of a build holds."""
        design, request = self.design(), self.request
        return {
            "settled": {
                name: getattr(request, name)
                for name in ("bits", "scheme", "pot_ratio", "wide_ratio")
            },
            "record": self.record,
            "design": None if design is None else design.to_json(),
            "pareto": self.pareto() if pareto else [],
        }


def settle(request: BuildRequest, tell: Tell = lambda _: None) -> Settled:
    """Decide what ``request`` leaves open.

    With a target, the highest precision of the ladder that meets it, and the smallest engine that
    does; without, the fastest engine. Where rows mix and no share is given, the share of power-of-two
    rows is chosen together with the engine, in parts of a head so that every head and every layer is
    divided alike.

    Parameters
    ----------
    tell : gets what is being done, for a line of progress.

    Raises
    ------
    VitgenError : bad input, nothing fits, or no design meets the target.
    """
    if is_import(request):
        return _imported(request)
    if request.architecture().keep:
        return _pruned(request)
    request, origin = _trained(request)
    board = boards.load(request.board)
    tried: list[dict[str, Any]] = []
    nearest: tuple[Rung, Outcome] | None = None
    refused: DoesNotFit | None = None
    for asked in ladder(request):
        rung = Rung.of(asked)
        tell(f"{rung.said}: searching {board.name}")
        try:
            found = choose_variant(
                rung.variants, board, request.clock, request.array, request.target_fps
            )
        except DoesNotFit as error:
            refused = error
            continue
        tried.append(_tried(rung, found))
        if found.met:
            return _settled(rung, found, tried, origin, tell)
        if nearest is None or found.choice.estimate.fps > nearest[1].choice.estimate.fps:
            nearest = (rung, found)
    if nearest is None:
        assert refused is not None
        raise refused
    raise too_slow(
        nearest[1], board, request.clock, request.target_fps or 0.0, nearest[0].said
    )


def _imported(request: BuildRequest) -> Settled:
    """The request of a quantized network, whose rows the file alone knows."""
    assert request.checkpoint is not None
    _require_bits(request)
    reason = f"The rows of {request.checkpoint.name} have their schemes: the engine follows them."
    return Settled(request, None, _record(request, "checkpoint", reason, [], None))


def _pruned(request: BuildRequest) -> Settled:
    """The request of a network with token selectors: it is lowered, and no engine is searched."""
    if request.bits is None:
        raise VitgenError(
            "The network has token selectors, for which no engine is searched yet.",
            "Give --bits instead of a target.",
        )
    reason = "The network has token selectors, for which no engine is searched yet."
    return Settled(request, None, _record(request, "request", reason, [], None))


def _trained(request: BuildRequest) -> tuple[BuildRequest, str]:
    """The request with the share of power-of-two rows that its checkpoint was trained with, and where
    a given share is from."""
    if request.checkpoint is None:
        return request, "request"
    from vitgen.models.checkpoint import quantization_of

    quantized = quantization_of(request.checkpoint)
    if quantized is None:
        return request, "request"
    _require_bits(request)
    if not leaves_ratio(request.quant()):
        return request, "request"
    ratio = quantized.get("pot_ratio") or DEFAULT_POT_RATIO
    return replace(request, pot_ratio=ratio), "checkpoint"


def _require_bits(request: BuildRequest) -> None:
    if request.bits is None:
        raise VitgenError(
            f"{request.checkpoint} is quantized, so a target does not decide its bits.",
            "Give the --bits that it was trained with.",
        )


def _tried(rung: Rung, found: Outcome) -> dict[str, Any]:
    choice, quant = found.choice, rung.request.quant()
    totals = choice.estimate.bill.totals()
    return {
        "bits": quant.label,
        "scheme": quant.scheme,
        "wide_ratio": quant.wide_ratio if quant.weight_bits == "4+8" else None,
        "pot_ratio": choice.variant.pot_ratio if leaves_ratio(quant) else _ratio(quant),
        "fps": choice.estimate.fps,
        "bound_fps": choice.bound,
        "met": found.met,
        "resources": totals,
    }


def _ratio(quant: QuantConfig) -> float:
    """The share of power-of-two rows of a quantization that has one."""
    default = {"fixed": 0.0, "pot": 1.0, "mixed": DEFAULT_POT_RATIO}[quant.scheme]
    return default if quant.pot_ratio is None else float(quant.pot_ratio)


def _settled(
    rung: Rung, found: Outcome, tried: list[dict[str, Any]], given: str, tell: Tell
) -> Settled:
    request, quant, choice = rung.request, rung.request.quant(), found.choice
    chosen = choice.variant.pot_ratio
    if chosen is not None:
        origin, reason = "search", _why(rung, found, tell)
        request = replace(request, pot_ratio=chosen)
    elif quant.scheme != "mixed":
        origin, reason = "scheme", f"Rows of the scheme {quant.scheme} do not mix."
    elif given == "checkpoint":
        origin, reason = given, "The rows of the checkpoint were trained with this share."
    else:
        origin, reason = given, "The share of power-of-two rows was given."
    return Settled(request, found, _record(request, origin, reason, tried, choice.bound))


def _why(rung: Rung, found: Outcome, tell: Tell) -> str:
    """Why the search chose its share of power-of-two rows."""
    choice, request = found.choice, rung.request
    engine, ratio = choice.engine, choice.variant.pot_ratio or 0.0
    fixed = engine.fixed_rows(4 if choice.variant.workload.narrow else 8)
    words = [
        (
            f"A tile has {fixed} fixed rows on {engine.dsp_rows} DSP rows and {engine.pot_rows} "
            f"power-of-two rows on LUTs, so {ratio:.4g} of the rows are powers of two"
        )
    ]
    goal = "the most frames/s" if request.target_fps is None else "the smallest engine for the target"
    words.append(f"of {len(rung.variants)} shares in parts of a head it gives {goal}")
    if request.target_fps is None:
        board = boards.load(request.board)
        for said, other in (
            ("a quarter", replace(request, pot_ratio=DEFAULT_POT_RATIO)),
            ("fixed rows alone", replace(request, scheme="fixed", pot_ratio=None)),
        ):
            tell(f"{rung.said}: beside {said}")
            try:
                beside = choose_variant(
                    Rung.of(other).variants, board, request.clock, request.array
                )
            except VitgenError:
                continue
            words.append(f"{said} would give {beside.choice.estimate.fps:.4g}")
    shares = choice.shares
    words.append(f"it takes {shares['dsp']:.0%} of the DSPs and {shares['lut']:.0%} of the LUTs allowed")
    return "; ".join(words) + "."


def _record(
    request: BuildRequest,
    origin: str,
    reason: str,
    tried: list[dict[str, Any]],
    bound: float | None,
) -> dict[str, Any]:
    quant = request.quant()
    return {
        "target_fps": request.target_fps,
        "bits": quant.label,
        "scheme": quant.scheme,
        "pot_ratio": _ratio(quant),
        "pot_ratio_from": origin,
        "wide_ratio": quant.wide_ratio if quant.weight_bits == "4+8" else None,
        "reason": reason,
        "bound_fps": bound,
        "tried": tried,
    }
