"""The netlist as C++ text: declarations, calls and parameters of the top function."""

import textwrap
from dataclasses import dataclass

from vitgen.design import netlist
from vitgen.design.engine import Engine
from vitgen.design.isa import Source
from vitgen.design.netlist import Per, Pointer, Process, Stream

INSTRUCTIONS = "instructions"

DONE_STREAMS = {
    Source.FEED: "feed_done",
    Source.KEYS: "key_done",
    Source.VALUE_TURN: "turn_done",
    Source.ACT_WRITE: "act_write_done",
    Source.KEY_WRITE: "key_write_done",
    Source.VALUE_WRITE: "value_write_done",
    Source.PROB_WRITE: "prob_write_done",
    Source.RESIDUAL: "residual_done",
    Source.STORE: "store_done",
}

# Processes behind those of the token groups. Where calls run one after the other, as in Vitis's own
# C simulation, every process must follow those that it reads from.
_LAST = ("store", "dma_write")

_LINE = 100

_EXTENT = {Per.GROUP: "TOKEN_GROUPS", Per.PORT: "WEIGHT_PORTS"}


@dataclass(frozen=True)
class Port:
    """An m_axi port of the top function; the ports of one buffer share its name in the netlist."""

    name: str
    buffer: str
    written: bool


@dataclass(frozen=True)
class Block:
    """Calls of the top function under one comment, broken into lines."""

    title: str
    calls: list[str]


def ports(engine: Engine) -> list[Port]:
    """Every DRAM pointer, weights split by port."""
    found = []
    for pointer in netlist.pointers():
        found += [Port(name, pointer.name, pointer.written) for name in _names(engine, pointer)]
    return found


def _names(engine: Engine, pointer: Pointer) -> list[str]:
    if pointer.per is Per.ACCELERATOR:
        return [pointer.name]
    return [f"{pointer.name}_{port}" for port in range(engine.weight_ports)]


def bank_ports(engine: Engine) -> list[tuple[str, netlist.Bank, str]]:
    """``(name, bank, "rd" or "wr")`` of every port of every bank, by group."""
    return [
        (f"{bank.name}_{group}_{side}", bank, side)
        for group in range(engine.groups)
        for bank in netlist.banks(engine)
        for side in ("rd", "wr")
    ]


def parameters(engine: Engine) -> list[str]:
    """Parameters of the top function."""
    pointers = [f"{'' if p.written else 'const '}beat_t* {p.name}" for p in ports(engine)]
    banks = [
        f"{'const ' if side == 'rd' else ''}{bank.type} {name}[{bank.name.upper()}_DEPTH]"
        for name, bank, side in bank_ports(engine)
    ]
    return [*pointers, f"ap_uint<16> {INSTRUCTIONS}", *banks]


def declarator(stream: Stream) -> str:
    """Name and extent of a stream."""
    extent = _EXTENT.get(stream.per)
    return f"{stream.name}[{extent}]" if extent else stream.name


def signature(engine: Engine, process: Process) -> list[str]:
    """Parameters of a process that takes whole streams; commands in the plural, because a stream of
    the netlist may have the name of its type."""
    table = {stream.name: stream for stream in netlist.streams(engine)}
    found = []
    for name in process.args:
        stream = table[name]
        extent = _EXTENT.get(stream.per)
        local = local_name(name)
        found.append(
            f"hls::stream<{stream.type}> (&{local})[{extent}]"
            if extent
            else f"hls::stream<{stream.type}>& {local}"
        )
    return found


def local_name(stream: str) -> str:
    """Name of a stream inside dispatch."""
    return f"{stream}s" if stream.endswith("_command") else stream


def commands_and_requests(engine: Engine, process: Process) -> list[str]:
    """Streams of a process that end with a stop, by their name inside it."""
    table = {stream.name: stream for stream in netlist.streams(engine)}
    return [
        local_name(name)
        for name in process.args
        if table[name].type == "dma_request" or table[name].type.endswith("_command")
    ]


def call(engine: Engine, process: Process, element: int | None) -> str:
    """The ``PROCESS`` statement; ``element`` is the group or port of the process."""
    found = [process.function]
    banks = {bank.name for bank in netlist.banks(engine)}
    pointers = {pointer.name for pointer in netlist.pointers()}
    for arg in process.args:
        name = arg.removesuffix("[]")
        own = arg.endswith("[]")
        bank, _, side = name.rpartition("_")
        if bank in banks and side in ("rd", "wr"):
            groups = [element] if own else range(engine.groups)
            found += [f"{bank}_{group}_{side}" for group in groups]
        elif name in pointers and own:
            found.append(f"{name}_{element}")
        else:
            found.append(f"{name}[{element}]" if own else name)
    return textwrap.fill(
        f"PROCESS({', '.join(found)});",
        width=_LINE,
        initial_indent="  ",
        subsequent_indent=" " * len("  PROCESS("),
        break_on_hyphens=False,
    )


def blocks(engine: Engine) -> list[Block]:
    """All calls, in the order of the data's flow."""
    shared: list[str] = []
    last: list[str] = []
    for process in netlist.processes(engine):
        if process.per is Per.GROUP:
            continue
        count = engine.weight_ports if process.per is Per.PORT else 1
        elements = range(count) if process.per is Per.PORT else [None]
        place = last if process.function in _LAST else shared
        place += [call(engine, process, element) for element in elements]
    grouped = [
        Block(
            f"Token group {group}.",
            [call(engine, p, group) for p in netlist.processes(engine) if p.per is Per.GROUP],
        )
        for group in range(engine.groups)
    ]
    return [
        Block("Program, loads and row operands.", shared),
        *grouped,
        Block("Results.", last),
    ]
