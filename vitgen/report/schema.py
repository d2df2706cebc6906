"""The form of ``report.json``; ``docs/report.md`` explains the figures.

A figure that nobody measured is None. There is no time or date: same inputs, same bytes.
"""

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from vitgen.report.published import Trust

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    """Base of all parts: no unknown key, no silent conversion, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Cycles(Part):
    """Cycles of an image: of the cost model, and of an RTL simulation of the same design."""

    estimated: Count
    rtl: Count | None


class LayerCycles(Cycles):
    """Cycles of a layer; ``completed`` are the cost model's, told apart as the simulation's are."""

    completed: Count


class Resource(Part):
    """One resource: the cost model's figure, what ``resources_from`` counted, what Vivado placed for
    the whole block design, the board's stock."""

    estimated: Count
    synthesized: Count | None
    vivado: Count | None
    available: Count


class Resources(Part):
    """The resources of the programmable logic."""

    dsp: Resource
    lut: Resource
    ff: Resource
    bram36: Resource
    uram: Resource


class Item(Part):
    """A line of the estimated bill; ``bram18`` counts halves of block RAMs."""

    name: str
    count: Count
    dsp: Count
    lut: Count
    ff: Count
    bram18: Count
    uram: Count


class Module(Part):
    """A module of the RTL: ``copies`` of it, and what one takes; ``bram36`` comes in halves."""

    name: str
    kind: Literal["shell", "process", "fifo", "ram"]
    copies: Count
    dsp: Count
    lut: Count
    ff: Count
    bram36: Annotated[float, Field(ge=0)]
    uram: Count


class Efficiency(Part):
    """Beats in which the array multiplies, and useful products, over what the cycles could hold."""

    ideal: Share
    busy_lanes: Share


class Binding(Part):
    """The resource that the design takes most of, and every resource's share of the search's limit."""

    resource: str
    shares: dict[str, float]


class NextStep(Part):
    """The next larger array: what it would give and take, by how much it exceeds what the search may
    use, and the boards that hold it."""

    dsp_rows: Count
    pot_rows: Count
    more_rows: Count
    fps: Positive
    gain_fps: Positive
    resources: dict[str, Count]
    beyond_limit: dict[str, Count]
    beyond_board: list[str]
    boards: list[str]


class Tried(Part):
    """A precision that the exploration looked at: its best design, and whether that meets the target."""

    bits: str
    scheme: str
    wide_ratio: Share | None
    pot_ratio: Share | None
    fps: Positive
    bound_fps: Positive
    met: bool
    resources: dict[str, Count]


class Exploration(Part):
    """What was left to the search and how it was decided."""

    target_fps: Positive | None
    bits: str
    scheme: str
    pot_ratio: Share
    pot_ratio_from: Literal["search", "request", "checkpoint", "scheme"]
    wide_ratio: Share | None
    reason: str
    bound_fps: Positive | None
    tried: list[Tried]


class DesignPoint(Part):
    """A design among others; ``frontier``: none gives its frames with as few DSPs and LUTs."""

    fps: Positive
    resources: dict[str, Count]
    token_lanes: Count
    dsp_rows: Count
    pot_rows: Count
    pot_ratio: Share | None
    frontier: bool
    chosen: bool


class EnergyItem(Part):
    """Energy of one kind of event; None where nothing is known of it."""

    name: str
    count: Count | None
    millijoules: Annotated[float, Field(ge=0)] | None
    coefficient: Annotated[float, Field(ge=0)] | None
    unit: Literal["pJ", "uW", "W"]
    trust: Literal["stated", "derived", "unverified", "chosen"]
    source: str


class Energy(Part):
    """Estimated energy of an image by item, the sum of what is known, and its power."""

    items: list[EnergyItem]
    millijoules: Positive
    watts: Positive


class Traffic(Part):
    """Bytes of an image between accelerator and DRAM, padding included."""

    total: Count
    weights: Count
    params: Count
    image: Count
    constants: Count
    program: Count
    output: Count


class Difference(Part):
    """The first value that a comparison found wrong."""

    image: Count
    run: str
    op: str
    tensor: str
    head: int | None
    row: Count
    column: Count
    expected: int
    got: int


class Level(Part):
    """What one level of verification compared; ``cycles`` where the level has a clock."""

    images: Count
    tensors: Count
    values: Count
    mismatches: Count
    first: Difference | None
    cycles: Count | None = None


class Verification(Part):
    """Comparisons with the integer reference, ``==``; None where none was made."""

    csim: Level | None
    rtl: Level | None


class Top1(Part):
    """Accuracy of the three networks."""

    float: Share | None
    fake_quantized: Share | None
    integer: Share | None


class Fidelity(Part):
    """The integer network against the one it was lowered from."""

    images: Count
    top1_agreement: Share | None
    top1: Top1 | None
    sqnr_db: dict[str, float | None]


class Parts(Part):
    """Cycles of a layer: array multiplies, drains, stands still inside the layer, waits for it."""

    products: Count
    drain: Count
    stall: Count
    wait: Count


class Layer(Part):
    """A layer's part of the image; all layers' cycles and bytes sum to the image's."""

    name: str
    kind: Literal["linear", "scores", "values", "layernorm", "load", "program", "dram"]
    macs: Count
    cycles: LayerCycles
    parts: Parts
    bound: str
    dram_bytes: Count
    share: Share


class Clock(Part):
    """Periods in ns: asked for, and what Vitis HLS expects to reach."""

    target: float | None
    estimated: float | None


class Latency(Part):
    """Cycles of a call; None where they depend on data."""

    min: Count | None
    max: Count | None


class HlsResources(Part):
    """What Vitis HLS expects a module to take; ``bram18`` counts halves of block RAMs."""

    dsp: Count
    lut: Count
    ff: Count
    bram18: Count
    uram: Count


class HlsModule(HlsResources):
    """A module of Vitis HLS."""

    name: str


class HlsLoop(Part):
    """A loop in a pipeline: the interval it has (None: it is not pipelined) and the one asked for."""

    module: str
    loop: str
    ii: Count | None
    target: Count
    depth: Count | None


class HlsSynthesis(Part):
    """What Vitis HLS reported; ``missed`` are the loops whose interval is longer than asked for."""

    tool: str
    clock_ns: Clock
    latency: Latency
    resources: HlsResources
    modules: list[HlsModule]
    loops: list[HlsLoop]
    missed: list[HlsLoop]


class VivadoResources(Part):
    """What Vivado placed; ``bram36`` comes in halves."""

    dsp: Count
    lut: Count
    ff: Count
    bram36: Annotated[float, Field(ge=0)]
    uram: Count


class Timing(Part):
    """Worst slacks in ns (None without a path), their sum, and endpoints that fail."""

    wns_ns: float | None
    tns_ns: float | None
    setup_failing: Count | None
    whs_ns: float | None
    hold_failing: Count | None


class VivadoSynthesis(Part):
    """What Vivado reported of the routed design, and of the accelerator in it; whether the timing is
    met."""

    tool: str
    road: Literal["vitis", "open"]
    resources: VivadoResources
    accelerator: VivadoResources
    timing: Timing
    met: bool


class Synthesis(Part):
    """Figures of the vendor's tools; None where one did not run."""

    hls: HlsSynthesis | None
    vivado: VivadoSynthesis | None


class Roof(Part):
    """A bound of the roofline: products per cycle (compute) or bytes per cycle (memory)."""

    label: str
    per_cycle: Positive


class Point(Part):
    """Where a design stands."""

    mac_per_byte: Positive
    mac_per_cycle: Positive


class Roofline(Part):
    """Roofs and the design's point."""

    peak_mac_per_cycle: Count
    dram_bytes_per_cycle: Positive
    compute: list[Roof]
    memory: list[Roof]
    point: Point


class ComparedFigure(Part):
    """A figure of a compared design, how far it carries, and where a published one is from."""

    value: Positive
    trust: Trust
    source: str
    note: str


class ComparedDesign(Part):
    """A design beside others (:class:`vitgen.report.comparison.Row`)."""

    name: str
    model: str
    bits: str
    device: str
    vitgen: str
    ours: bool
    figures: dict[str, ComparedFigure | None]


class BoardFigure(Part):
    """A figure of the board file, how far it can be trusted, and where it comes from."""

    value: int | str
    trust: Literal["stated", "derived", "unverified", "chosen"]
    source: str


class Report(Part):
    """``report.json``."""

    vitgen: str
    model: str
    bits: str
    scheme: str
    array: Literal["dsp48", "hls"]
    board: str
    clock_mhz: Positive
    weights: Literal["trained", "synthetic"]
    macs: Count
    params: Count
    rows: dict[str, Count]
    cycles: Cycles
    cycles_by_cause: dict[str, Count]
    fps: Positive
    fps_from: Literal["rtl", "estimated"]
    latency_ms: Positive
    efficiency: Efficiency
    resources: Resources
    resources_from: Literal["yosys"] | None
    items: list[Item]
    modules: list[Module]
    synthesis: Synthesis
    binding: Binding
    next_step: NextStep | None
    exploration: Exploration | None
    pareto: list[DesignPoint]
    energy: Energy
    dram_bytes_per_image: Traffic
    verification: Verification
    fidelity: Fidelity | None
    layers: list[Layer]
    engine: dict[str, Any]
    roofline: Roofline
    comparison: list[ComparedDesign]
    board_figures: dict[str, BoardFigure]
    request: dict[str, Any]


def check(report: dict[str, Any]) -> None:
    """Check that ``report`` has the form of :class:`Report` and that its sums agree.

    Raises
    ------
    ValueError : it has not; a report that vitgen makes itself never fails.
    """
    parsed = Report.model_validate(report)
    sums = {
        "cycles of layers": (
            sum(layer.cycles.estimated for layer in parsed.layers),
            parsed.cycles.estimated,
        ),
        "completed cycles of layers": (
            sum(layer.cycles.completed for layer in parsed.layers),
            parsed.cycles.estimated,
        ),
        "cycles_by_cause": (sum(parsed.cycles_by_cause.values()), parsed.cycles.estimated),
        "macs of layers": (sum(layer.macs for layer in parsed.layers), parsed.macs),
        "dram_bytes of layers": (
            sum(layer.dram_bytes for layer in parsed.layers),
            parsed.dram_bytes_per_image.total,
        ),
    }
    simulated = [layer.cycles.rtl for layer in parsed.layers if layer.cycles.rtl is not None]
    if simulated and parsed.cycles.rtl is not None:
        sums["simulated cycles of layers"] = (sum(simulated), parsed.cycles.rtl)
    for name in ("dsp", "lut", "ff", "bram36", "uram") if parsed.modules else ():
        total = math.ceil(sum(m.copies * getattr(m, name) for m in parsed.modules))
        sums[f"{name} of modules"] = (total, getattr(parsed.resources, name).synthesized)
    for what, (found, total) in sums.items():
        if found != total:
            raise ValueError(f"{what} sum to {found}, not {total}")
