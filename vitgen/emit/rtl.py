"""The multiplier array as Verilog, with what Vitis HLS needs to take it as an RTL blackbox."""

import json
from typing import Any

from vitgen.design.array import (
    carry_bits,
    longest_k,
    open_tiles,
    pot_cell_bits,
    pot_sum_bits,
    step_bits,
)
from vitgen.design.engine import Engine, drain_chains
from vitgen.design.lanes import layout_for
from vitgen.emit.hls import design_digest
from vitgen.emit.plan import BuildPlan
from vitgen.emit.render import render
from vitgen.errors import VitgenError

ARRAY_FILES = (
    "multiply.v",
    "multiply_array.v",
    "multiply_mac.v",
    "multiply_count.v",
    "multiply_lut.v",
    "multiply_dsp.v",
    "multiply_pot.v",
    "multiply_mux.v",
)
"""Files of the array; ``multiply.v`` holds the module that Vitis calls."""


def emit_array(engine: Engine, chains: int | None = None) -> BuildPlan:
    """The files of the multiplier array of one token group, for ``rtl/``.

    Parameters
    ----------
    engine : a design with the array ``dsp48``.
    chains : cascades that every token lane is drained through, 1 to ``dsp_rows``. More chains drain
        a tile in fewer cycles and cost a small RAM each. Without it, :func:`vitgen.design.engine.drain_chains`.

    Returns
    -------
    Verilog-2001 and ``multiply.json``, which ``add_files -blackbox`` takes. Module ``multiply`` has
    Vitis's FIFO ports, ``multiply_array`` inside it has ports of data, valid and ready.

    Raises
    ------
    VitgenError : the design has the array ``hls``, or ``chains`` is out of range.
    """
    if engine.array != "dsp48":
        raise VitgenError(
            f"The array {engine.array!r} has no Verilog.", "Use the array dsp48, or its C++."
        )
    if chains is None:
        chains = drain_chains(engine.dsp_rows)
    if not 1 <= chains <= engine.dsp_rows:
        raise VitgenError(
            f"{chains} chains of {engine.dsp_rows} DSPs.", f"Choose 1 to {engine.dsp_rows}."
        )
    max_k = longest_k(engine)
    cell_bits, upper_bits = pot_cell_bits(engine.pot_rows, max_k, engine.act_bits)
    narrow = layout_for("dsp48", 4, engine.act_bits)
    values: dict[str, Any] = {
        "engine": engine,
        "chains": chains,
        "max_k": max_k,
        "double": max(border.canary_bits for border in narrow.borders) == 2,
        "narrow": narrow,
        "wide": layout_for("dsp48", 8, engine.act_bits),
        "carry_bits": carry_bits(max_k, engine.act_bits),
        "step_bits": step_bits(-(-engine.dsp_rows // chains), max_k, engine.act_bits),
        "pot_cell_bits": cell_bits,
        "pot_step_bits": upper_bits,
        "open_tiles": open_tiles("dsp48", engine.pot_rows),
        "pot_sum_bits": pot_sum_bits(max_k, engine.act_bits),
    }
    design = design_digest(engine)
    files = {name: render(f"rtl/{name}.j2", values, design, "verilog") for name in ARRAY_FILES}
    files["multiply.json"] = json.dumps(blackbox(engine), indent=2).encode() + b"\n"
    return BuildPlan(files)


def blackbox(engine: Engine) -> dict[str, Any]:
    """Vitis's description of the blackbox (UG1399, JSON File for RTL Blackbox).

    Latency is nominal: the number of beats is a command's. The resources are DSPs only, which are
    certain.
    """
    inputs = ("commands", "rows", "acts")
    parameters = [
        {
            "c_name": name,
            "c_port_direction": "in",
            "rtl_ports": {
                "FIFO_empty_flag": f"{name}_empty_n",
                "FIFO_read_enable": f"{name}_read",
                "FIFO_data_read_in": f"{name}_dout",
            },
        }
        for name in inputs
    ]
    parameters.append(
        {
            "c_name": "sums",
            "c_port_direction": "out",
            "rtl_ports": {
                "FIFO_full_flag": "sums_full_n",
                "FIFO_write_enable": "sums_write",
                "FIFO_data_write_out": "sums_din",
            },
        }
    )
    protocol = ("idle", "start", "ready", "done", "continue")
    return {
        "c_function_name": "multiply",
        "rtl_top_module_name": "multiply",
        "c_files": [{"c_file": "../hls/array.h", "cflag": ""}],
        "rtl_files": list(ARRAY_FILES),
        "c_parameters": parameters,
        "rtl_common_signal": {
            "module_clock": "ap_clk",
            "module_reset": "ap_rst",
            "module_clock_enable": "ap_ce",
            **{f"ap_ctrl_chain_protocol_{name}": f"ap_{name}" for name in protocol},
        },
        "rtl_performance": {"latency": "1", "II": "1"},
        "rtl_resource_usage": {
            "FF": "0",
            "LUT": "0",
            "BRAM": "0",
            "URAM": "0",
            "DSP": str(engine.dsp_rows * engine.group_lanes),
        },
    }
