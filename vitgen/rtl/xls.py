"""Schedules a process with XLS and generates SystemVerilog.

XLS comes from the package ``xls-python``, whose interface is declared unstable and therefore pinned.
"""

from dataclasses import dataclass
from typing import Any

from vitgen.errors import VitgenError
from vitgen.rtl.interface import Channel, Ram
from vitgen.rtl.translate import Translation

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
    state_bits : flip-flops that hold what one activation leaves to the next.
    channels : ready/valid ports of the module.
    rams : memories that belong beside the module, between their channels (``process_ram.sv``).
    bank_widths : bits of a word of every bank and RAM, by name.
    """

    name: str
    verilog: str
    interval: int
    stages: int
    state_bits: int
    channels: tuple[Channel, ...]
    rams: tuple[Ram, ...]
    bank_widths: dict[str, int]


def _load() -> Any:
    try:
        from xls import c_api  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError as error:
        raise VitgenError("XLS is not installed; the way to RTL needs it.", _ADVICE) from error
    return c_api


def schedule(process: Translation, stages: int = 8, interval: int = 1) -> Scheduled:
    """Optimises, schedules and generates.

    Parameters
    ----------
    process : a translation.
    stages : of the pipeline, at least 1; more where the process does not fit is up to the caller.
    interval : clock cycles from one activation to the next (the II of the pragma).

    Raises
    ------
    VitgenError : XLS is missing, or has no schedule of this interval and so many stages.
    """
    c_api = _load()
    try:
        text = c_api.raw.c_api.xls_optimize_ir(process.text, process.name)
        result = c_api.Package.parse_ir(text).schedule_and_codegen(
            generator="pipeline", with_delay_model=True, delay_model="unit",
            pipeline_stages=stages, worst_case_throughput=interval, module_name=process.name,
            reset="rst", use_system_verilog=True, flop_inputs=True, flop_outputs=True,
            flop_inputs_kind="skid_buffer", flop_outputs_kind="skid_buffer",
            # Without the three suffixes XLS gives the signals of a channel one name.
            streaming_channel_data_suffix="_data", streaming_channel_valid_suffix="_vld",
            streaming_channel_ready_suffix="_rdy", gate_recvs=False,
            array_index_bounds_checking=True, add_invariant_assertions=False,
            # Never ram_configurations: that rewrite corrupts data under back-pressure.
            ram_configurations=None, io_constraints=list(process.constraints) or None,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise VitgenError(
            f"XLS has no schedule for {process.name} at II={interval} in {stages} stages: "
            f"{str(error).strip().splitlines()[0][:300]}",
            "Allow more stages, or shorten what one iteration leaves to the next.",
        ) from error
    verilog = result.get_verilog_text() if hasattr(result, "get_verilog_text") else (
        result.verilog_text
    )
    return Scheduled(
        process.name, verilog, interval, stages, process.state_bits, process.channels, process.rams,
        process.bank_widths,
    )  # fmt: skip
