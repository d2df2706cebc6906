"""Schedules a process with XLS and generates SystemVerilog.

XLS comes from the package ``xls-python``, whose interface is declared unstable and therefore pinned.
"""

import re
import time
from dataclasses import dataclass, field
from typing import Any

from vitgen.errors import VitgenError
from vitgen.rtl.interface import Channel, Ram
from vitgen.rtl.timing import Feedback, longest_feedback
from vitgen.rtl.translate import Translation

PERIOD = 1200
"""Delay of a stage that holds one product of a DSP slice, in the units of the delay model."""

# XLS has no model of an FPGA. The gates of this one weigh operations by their widths: a product of
# 27 x 18 bits is a stage of its own, or about 30 gates are, which fit in 6 to 10 LUTs.
_MODEL = "asap7"
# No process has a shorter one: products bound the clock, and every stage more costs latency.
_PERIODS = (PERIOD, 1400, 1600, 2000, 2500, 3000, 4000)
_LARGEST_INTERVAL = 4  # where no pragma asks for one
_ADVICE = "Install it: pip install 'xls-python==0.1.9934'."


@dataclass(frozen=True)
class Scheduled:
    """A process as hardware.

    Parameters
    ----------
    name : of the module.
    verilog : SystemVerilog text.
    interval : clock cycles between activations.
    stages : of the pipeline.
    period : delay of the longest stage, of which :data:`PERIOD` is a product of a DSP slice; 0 where
        the caller chose the stages.
    feedback : the longest way from state to state, which no stage can cut, where ``period`` is above
        :data:`PERIOD`; else "".
    state_bits : flip-flops that hold what one activation leaves to the next.
    registers : flip-flops of the module: state, pipeline and buffers of its ports.
    seconds : that optimization and scheduling took.
    channels : ready/valid ports of the module.
    rams : memories that belong beside the module, between their channels (``process_ram.sv``).
    bank_widths : bits of a word of every bank and RAM, by name.
    """

    name: str
    verilog: str
    interval: int
    stages: int
    period: int
    feedback: str
    state_bits: int
    registers: int
    channels: tuple[Channel, ...]
    rams: tuple[Ram, ...]
    bank_widths: dict[str, int]
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _Try:
    """What XLS made of one set of options: text, or the reason why not."""

    verilog: str = ""
    reason: str = ""

    @property
    def stages(self) -> int:
        """Registers of a stage are named after it; those that end stage ``n`` begin with ``p<n>_``."""
        ends = [
            int(n)
            for n in re.findall(r"^  reg (?:\[\d+:\d+\] )?p(\d+)_", self.verilog, re.MULTILINE)
        ]
        return max(ends, default=-1) + 2 if ends else 1


def _load() -> Any:
    try:
        from xls import c_api  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise VitgenError("XLS is not installed; the way to RTL needs it.", _ADVICE) from error
    return c_api


def schedule(
    process: Translation, stages: int | None = None, interval: int | None = None
) -> Scheduled:
    """Optimises, schedules and generates.

    Parameters
    ----------
    process : a translation.
    stages : of the pipeline, at least 1. Without it, as many as stages of one product need, or of
        the longest way from state to state where that is longer.
    interval : clock cycles from one activation to the next. Without it, the smallest II of the
        process's pragmas; where there is none, as few as the stages allow.

    Raises
    ------
    VitgenError : XLS is missing, or has no schedule of this interval; the error names the loop and
        the variable whose way from iteration to iteration is too long.
    """
    c_api = _load()
    start = time.monotonic()
    try:
        text = c_api.raw.c_api.xls_optimize_ir(process.text, process.name)
    except (RuntimeError, ValueError) as error:
        raise VitgenError(f"XLS does not take {process.name}: {_first(error)}.") from error
    optimized = time.monotonic()
    asked = interval or (process.interval if process.loop else None)
    if stages is not None:
        period, reached = 0, asked or 1
        found = _attempt(c_api, process, text, reached, pipeline_stages=stages)
    else:
        period, reached, found = _search(c_api, process, text, asked)
    if not found.verilog:
        raise _refusal(process, reached, longest_feedback(text), found.reason)
    feedback = str(longest_feedback(text)) if period > PERIOD else ""
    seconds = {"optimize": optimized - start, "schedule": time.monotonic() - optimized}
    return Scheduled(
        process.name, found.verilog, reached, stages or found.stages, period, feedback,
        _flip_flops(found.verilog, _elements(text)), _flip_flops(found.verilog), process.channels, process.rams,
        process.bank_widths, {name: round(value, 3) for name, value in seconds.items()},
    )  # fmt: skip


def _search(
    c_api: Any, process: Translation, text: str, asked: int | None
) -> tuple[int, int, _Try]:
    """The shortest stages that XLS can schedule: its delay, interval, result."""
    found, interval = _Try(), asked or 1
    for period in _PERIODS:
        interval = asked or 1
        found = _attempt(c_api, process, text, interval, clock_period_ps=period)
        wanted = re.search(r"--worst_case_throughput=(\d+)", found.reason)
        if asked is None and wanted and int(wanted[1]) <= _LARGEST_INTERVAL:
            interval = int(wanted[1])
            found = _attempt(c_api, process, text, interval, clock_period_ps=period)
        if found.verilog:
            return period, interval, found
    return _PERIODS[-1], interval, found


def _attempt(
    c_api: Any, process: Translation, text: str, interval: int, **options: int
) -> _Try:  # fmt: skip
    try:
        result = c_api.Package.parse_ir(text).schedule_and_codegen(
            generator="pipeline", with_delay_model=True, delay_model=_MODEL,
            worst_case_throughput=interval, module_name=process.name,
            reset="rst", use_system_verilog=True,
            # A FIFO or a RAM stands at every port: registers of the ports' own would only be more of
            # the same, two or three words a stream.
            flop_inputs=False, flop_outputs=False,
            # Without the three suffixes XLS gives the signals of a channel one name.
            streaming_channel_data_suffix="_data", streaming_channel_valid_suffix="_vld",
            streaming_channel_ready_suffix="_rdy",
            # Nothing depends on data where none is received (Channel.type).
            gate_recvs=False,
            array_index_bounds_checking=True, add_invariant_assertions=False,
            # Never ram_configurations: that rewrite corrupts data under back-pressure.
            ram_configurations=None, io_constraints=list(process.constraints) or None, **options,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        return _Try(reason=_first(error))
    if hasattr(result, "get_verilog_text"):
        return _Try(result.get_verilog_text())
    return _Try(result.verilog_text)


def _first(error: Exception) -> str:
    return str(error).strip().splitlines()[0].split("; Running pass")[0][:300]


def _refusal(process: Translation, interval: int, way: Feedback, reason: str) -> VitgenError:
    place = f"{process.loop}: " if process.loop else ""
    return VitgenError(
        f"{place}{process.name} cannot run at II={interval}: what one iteration leaves to the next "
        f"takes too long ({way}; XLS: {reason}).",
        "Shorten it, ask for a larger II in the pragma, or give more stages.",
    )


def _elements(text: str) -> frozenset[str]:
    """Names of the state elements of an optimized process."""
    return frozenset(re.findall(r"state_read\(state_element=(\w+)", text))


def _flip_flops(verilog: str, elements: frozenset[str] | None = None) -> int:
    """Bits of the registers that the module declares, or of those that hold state elements."""
    total = 0
    declared = r"^  (?:reg|logic) ((?:\[\d+:\d+\]\s*)*)(\w+)((?:\[\d+(?::\d+)?\])*);"
    for packed, name, unpacked in re.findall(declared, verilog, re.MULTILINE):
        if elements is not None and name.removeprefix("__") not in elements:
            continue
        bits = 1
        for high, low in re.findall(r"\[(\d+)(?::(\d+))?\]", packed + unpacked):
            # Of elements, [n] or [0:n-1]; of bits, [n-1:0].
            bits *= abs(int(high) - int(low)) + 1 if low else int(high)
        total += bits
    return total
