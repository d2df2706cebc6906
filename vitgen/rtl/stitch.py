"""The core of the accelerator: the netlist's processes, joined by FIFOs and banks, as SystemVerilog.

``vit_core`` holds the shared processes and one ``token_group`` per token group. What reaches DRAM
stays outside: requests leave and beats arrive through ports.
"""

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from vitgen.design import netlist
from vitgen.design.engine import Engine
from vitgen.design.netlist import Bank, Per, Process, Stream
from vitgen.errors import VitgenError
from vitgen.rtl.generate import VERILOG_PROCESSES
from vitgen.rtl.interface import Channel
from vitgen.rtl.modules import Module

CORE = "vit_core"
GROUP = "token_group"

_PARTS = ("data", "vld", "rdy")


@dataclass(frozen=True)
class Port:
    """A ready/valid port of ``vit_core``.

    Parameters
    ----------
    name : prefix of its signals ``_data``, ``_vld`` and ``_rdy``.
    width : bits of ``_data``.
    sends : whether the core offers the values.
    """

    name: str
    width: int
    sends: bool


@dataclass
class _Scope:
    """A module in the making."""

    name: str
    ports: list[str] = field(default_factory=list)
    body: list[str] = field(default_factory=list)
    wires: dict[str, int] = field(default_factory=dict)

    def port(self, name: str, width: int, sends: bool) -> None:
        forward, back = ("output", "input") if sends else ("input", "output")
        self.ports += [
            f"{forward} wire {_range(width)}{name}_data",
            f"{forward} wire {name}_vld",
            f"{back} wire {name}_rdy",
        ]

    def wire(self, name: str, width: int) -> None:
        self.wires[name] = width

    def instance(self, module: str, name: str, links: Iterable[tuple[str, str]]) -> None:
        pins = ["    .clk(clk)", "    .rst(rst)"]
        pins += [f"    .{pin}({net})" for pin, net in links]
        self.body.append(f"  {module} {name} (\n" + ",\n".join(pins) + "\n  );")

    def text(self, comment: str) -> str:
        ports = ["input wire clk", "input wire rst", *self.ports]
        lines = [
            f"// {comment}",
            f"module {self.name} (",
            ",\n".join(f"    {p}" for p in ports),
            ");",
        ]
        for name, width in self.wires.items():
            lines.append(f"  wire {_range(width)}{name}_data;")
            lines.append(f"  wire {name}_vld, {name}_rdy;")
        return "\n".join([*lines, *self.body, "endmodule", ""])


def _range(width: int) -> str:
    return f"[{width - 1}:0] "


def _same(pin: str, net: str) -> list[tuple[str, str]]:
    return [(f"{pin}_{part}", f"{net}_{part}") for part in _PARTS]


class _Stitcher:
    def __init__(self, engine: Engine, modules: Mapping[str, Module]) -> None:
        self.engine, self.modules = engine, modules
        self.streams = {stream.name: stream for stream in netlist.streams(engine)}
        self.banks = {bank.name: bank for bank in netlist.banks(engine)}
        self.processes = [p for p in netlist.processes(engine) if p.function not in VERILOG_PROCESSES]
        self.core, self.group = _Scope(CORE), _Scope(GROUP)
        self.outside: list[Port] = []
        self.widths: dict[str, int] = {}
        self.sides: dict[str, dict[bool, Process]] = {}
        for process in self.processes:
            self._survey(process)

    # -- what the processes say of streams

    def _survey(self, process: Process) -> None:
        """Widths of the streams of a process, and which of their ends it holds."""
        for stream, parameter in self._streams_of(process):
            for channel in self._elements(process, stream, parameter).values():
                known = self.widths.setdefault(stream.name, channel.width)
                if known != channel.width:
                    raise VitgenError(
                        f"The stream {stream.name} has {known} bits at one end and {channel.width} "
                        f"at {process.function}.",
                        "Both ends must use the netlist's type.",
                    )
                self.sides.setdefault(stream.name, {})[channel.sends] = process

    def _arguments(self, process: Process) -> list[tuple[str, str, str]]:
        """``(argument of the netlist, its plain name, C++ parameter)``; a bank port of a shared
        process is one argument and a parameter per group."""
        names: list[tuple[str, str]] = []
        for argument in process.args:
            name = argument.removesuffix("[]")
            bank, _, side = name.rpartition("_")
            if bank in self.banks and side in ("rd", "wr") and not argument.endswith("[]"):
                names += [
                    (argument, f"{bank}_{group}_{side}") for group in range(self.engine.groups)
                ]
            else:
                names.append((argument, name))
        parameters = self.modules[process.function].parameters
        return [(argument, name, p) for (argument, name), p in zip(names, parameters, strict=True)]

    def _streams_of(self, process: Process) -> list[tuple[Stream, str]]:
        return [
            (self.streams[name], parameter)
            for _, name, parameter in self._arguments(process)
            if name in self.streams
        ]

    def _count(self, per: Per) -> int:
        return {Per.GROUP: self.engine.groups, Per.PORT: self.engine.weight_ports}.get(per, 1)

    def _elements(self, process: Process, stream: Stream, parameter: str) -> dict[str, Channel]:
        """Channels of a stream of a process by its nets' names in the scope of the process."""
        channels = {channel.name: channel for channel in self.modules[process.function].channels}
        if process.per is Per.GROUP or stream.per is Per.ACCELERATOR:
            named = {stream.name: parameter}
        else:
            count = self._count(stream.per)
            named = {
                f"{stream.name}_{i}": f"{parameter}_{i}" if count > 1 else parameter
                for i in range(count)
            }
        missing = [name for name in named.values() if name not in channels]
        if missing:
            raise VitgenError(
                f"The process {process.function} has no port {missing[0]}.",
                "A process must use every stream that the netlist gives it.",
            )
        return {net: channels[name] for net, name in named.items()}

    # -- nets

    def _net(self, stream: Stream, element: str, sends: bool) -> str:
        """Net at the writer's (``sends``) or the reader's end of a stream, in the scope of the
        process that holds it."""
        crossing = stream.per is Per.GROUP and self._crosses(stream)
        holder = self.sides[stream.name].get(sends)
        if crossing and holder is not None and holder.per is Per.ACCELERATOR:
            return element  # a port of the group
        return f"{element}_{'in' if sends else 'out'}"

    def _crosses(self, stream: Stream) -> bool:
        return any(p.per is Per.ACCELERATOR for p in self.sides[stream.name].values())

    def _fifo(self, scope: _Scope, stream: Stream, element: str) -> None:
        """The FIFO of a stream; an end that no process of the scope holds is a port."""
        ends = {}
        for sends in (True, False):
            holder = self.sides[stream.name].get(sends)
            inside = holder is not None and (holder.per is Per.GROUP) == (scope is self.group)
            net = f"{element}_{'in' if sends else 'out'}" if inside else element
            ends[sends] = net
            if inside:
                scope.wire(net, self.widths[stream.name])
                continue
            scope.port(net, self.widths[stream.name], not sends)
            if scope is self.core:
                self.outside.append(Port(net, self.widths[stream.name], not sends))
        scope.body += [f"  // {line}" for line in textwrap.wrap(f"{stream.why}.", width=94)]
        scope.instance(
            f"stream_fifo #(.WIDTH({self.widths[stream.name]}), .DEPTH({stream.depth}))",
            f"{element}_fifo",
            [*_same("in", ends[True]), *_same("out", ends[False])],
        )

    # -- instances

    def _process(self, scope: _Scope, process: Process) -> None:
        module = self.modules[process.function]
        links: list[tuple[str, str]] = []
        own = process.args[0].removesuffix("[]").removesuffix("_command")
        instance = (
            f"{own if process.args[0].endswith(('_command', '_command[]')) else process.function}_i"
        )
        for _, name, parameter in self._arguments(process):
            if name in self.streams:
                stream = self.streams[name]
                for element, channel in self._elements(process, stream, parameter).items():
                    links += _same(channel.name, self._net(stream, element, channel.sends))
            else:
                links += self._bank_links(scope, process, name, parameter)
        for ram in module.rams:
            pins: list[tuple[str, str]] = []
            for channel in module.channels:
                side = channel.name.removeprefix(f"{ram.name}_")
                if channel.name == f"{ram.name}_{side}" and side in ("rd_req", "rd_resp", "wr_req"):
                    net = f"{own}_{channel.name}"
                    scope.wire(net, channel.width)
                    links += _same(channel.name, net)
                    pins += _same(side, net)
            scope.instance(
                f"process_ram #(.DEPTH({ram.depth}), .WIDTH({ram.width}), "
                f".ADDRESS_BITS({ram.address_bits}))",
                f"{own}_{ram.name}_ram",
                pins,
            )
        scope.instance(module.name, instance, links)

    def _bank_links(
        self, scope: _Scope, process: Process, name: str, parameter: str
    ) -> list[tuple[str, str]]:
        """Links of a port of a bank; the reader may be outside of the group."""
        links = []
        for channel in self.modules[process.function].channels:
            side = channel.name.removeprefix(f"{parameter}_")
            if channel.name != f"{parameter}_{side}" or side not in ("rd_req", "rd_resp", "wr_req"):
                continue
            bank, _, _ = re.sub(r"_\d+(?=_(rd|wr)$)", "", name).rpartition("_")
            net = f"{name.rpartition('_')[0]}_{side}"
            scope.wire(net, channel.width)
            if scope is self.core and name == f"{bank}_0_rd":
                self.group.port(f"{bank}_{side}", channel.width, not channel.sends)
            links += _same(channel.name, net)
        return links

    def _bank(self, bank: Bank) -> None:
        """A RAM between the process that writes the bank and the one that reads it."""
        address = max(1, (bank.depth - 1).bit_length())
        request, response = self._bank_channel(bank, "rd_req"), self._bank_channel(bank, "rd_resp")
        writes = self._bank_channel(bank, "wr_req")
        width = response.width
        low = writes.width - self._written_bits(bank)
        assert low >= address and request.width >= address, bank.name
        data = f"{bank.name}_wr_req_data"
        written = self._written_bits(bank)
        links = [
            ("rd_req_data", f"{bank.name}_rd_req_data[{address - 1}:0]"),
            ("wr_req_data", f"{{{data}[{written}+:{address}], {_resized(data, written, width)}}}"),
            ("rd_resp_data", f"{bank.name}_rd_resp_data"),
        ]
        for side in ("rd_req", "rd_resp", "wr_req"):
            links += [(f"{side}_{part}", f"{bank.name}_{side}_{part}") for part in ("vld", "rdy")]
        parameters = f".DEPTH({bank.depth}), .WIDTH({width}), .ADDRESS_BITS({address})"
        if bank.name in self.engine.ultra_banks:
            parameters += ", .ULTRA(1)"
        self.group.instance(
            f"process_ram #({parameters})",
            f"{bank.name}_bank",
            links,
        )

    def _bank_user(self, bank: Bank, side: str) -> tuple[Process, str]:
        for process in self.processes:
            for argument, name, parameter in self._arguments(process):
                plain = re.sub(r"_\d+(?=_(rd|wr)$)", "", name)
                if plain == f"{bank.name}_{side}" and argument not in self.streams:
                    return process, parameter
        raise AssertionError(bank.name)

    def _bank_channel(self, bank: Bank, side: str) -> Channel:
        process, parameter = self._bank_user(bank, side[:2])
        channels = self.modules[process.function].channels
        return next(c for c in channels if c.name == f"{parameter}_{side}")

    def _written_bits(self, bank: Bank) -> int:
        process, parameter = self._bank_user(bank, "wr")
        return self.modules[process.function].bank_widths[parameter]

    # -- the whole

    def stitch(self) -> str:
        engine = self.engine
        for stream in self.streams.values():
            if stream.name not in self.sides:
                continue  # between processes that reach DRAM
            if stream.per is Per.GROUP:
                self._fifo(self.group, stream, stream.name)
                if self._crosses(stream):
                    for group in range(engine.groups):
                        self.core.wire(f"{stream.name}_{group}", self.widths[stream.name])
                continue
            for i in range(self._count(stream.per)):
                element = f"{stream.name}_{i}" if stream.per is Per.PORT else stream.name
                self._fifo(self.core, stream, element)
        for process in self.processes:
            self._process(self.group if process.per is Per.GROUP else self.core, process)
        for bank in self.banks.values():
            self._bank(bank)
        nets = [port.split()[-1] for port in self.group.ports]
        for group in range(engine.groups):
            self.core.instance(GROUP, f"group_{group}", [(n, self._outer(n, group)) for n in nets])
        return "\n".join(
            (
                self.group.text("Units and banks of one token group."),
                self.core.text("All of the accelerator but what reaches DRAM."),
            )
        )

    def _outer(self, net: str, group: int) -> str:
        """Net of the core at a port of a group."""
        for bank in self.banks:
            found = re.fullmatch(rf"{bank}_((?:rd_req|rd_resp)_(?:data|vld|rdy))", net)
            if found:
                return f"{bank}_{group}_{found[1]}"
        name, _, part = net.rpartition("_")
        return f"{name}_{group}_{part}"


def _resized(data: str, have: int, want: int) -> str:
    """The low ``have`` bits of a net as ``want`` bits."""
    if want <= have:
        return f"{data}[{want - 1}:0]"
    return f"{want - have}'d0, {data}[{have - 1}:0]"


@dataclass(frozen=True)
class Core:
    """``vit_core`` and what it consists of.

    Parameters
    ----------
    files : SystemVerilog by name, but for the FIFO and the memory.
    ports : of ``vit_core``, besides ``clk`` and ``rst`` (synchronous, active high).
    """

    files: dict[str, str]
    ports: tuple[Port, ...]


def stitch(engine: Engine, modules: Mapping[str, Module]) -> Core:
    """Join the processes of an engine.

    Parameters
    ----------
    modules : by C++ function, as :func:`vitgen.rtl.modules.process_modules` makes them.

    Raises
    ------
    VitgenError : a process lacks a port that the netlist names, or the ends of a stream differ.
    """
    stitcher = _Stitcher(engine, modules)
    files = {"vit_core.sv": stitcher.stitch()}
    for module in modules.values():
        files |= {f"{module.name}.sv": module.verilog, **module.parts}
    return Core(files, tuple(stitcher.outside))
