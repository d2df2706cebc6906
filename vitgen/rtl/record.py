"""What a run of the simulated core leaves: when instructions ran, and what went wrong."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vitgen.csim.loader import SimulationFailed
from vitgen.design import netlist
from vitgen.design.isa import INSTRUCTION_BEATS, Instruction, LoadTarget, Opcode, Route
from vitgen.emit.wiring import DONE_STREAMS


@dataclass(frozen=True)
class Moment:
    """When an instruction ran, in cycles from the first request for the program.

    Parameters
    ----------
    op : its name.
    read : dispatch has read it.
    issued : its waits are met and its last command has been dealt.
    completed : the last process has reported its end; of an instruction that nobody reports, ``issued``.
    """

    op: str
    read: int
    issued: int
    completed: int


@dataclass(frozen=True)
class Run:
    """What one run took.

    Parameters
    ----------
    cycles : from the first request for the program to the last stop.
    moments : of every instruction, in order.
    most : words that every FIFO held at most, by its name (and group).
    """

    cycles: int
    moments: tuple[Moment, ...]
    most: Mapping[str, int]

    def by_op(self) -> dict[str, int]:
        """Cycles by name of the op; they sum to the run's.

        An instruction has the cycles by which it moved the latest completion: what is hidden behind
        earlier instructions costs nothing. The rest of the run goes to the last one, the stop.
        """
        found: dict[str, int] = {}
        latest = 0
        for moment in self.moments:
            end = max(latest, moment.completed)
            found[moment.op] = found.get(moment.op, 0) + end - latest
            latest = end
        found[self.moments[-1].op] += self.cycles - latest
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with ``cycles_by_op`` of :meth:`by_op`."""
        return {
            "cycles": self.cycles,
            "cycles_by_op": self.by_op(),
            "instructions": [asdict(moment) for moment in self.moments],
            "most_in_fifo": _folded(self.most, max),
        }


def moments(record: Mapping[str, Any], chosen: Sequence[Instruction]) -> tuple[Moment, ...]:
    """From the cycles in which beats of the program, commands and completions moved."""
    beats: list[int] = record["program"]
    events: dict[str, list[list[int]]] = {}
    for name, cycles in record["events"].items():
        events.setdefault(name.split()[0], []).append(cycles)
    # A command or completion of a grouped process counts when all groups have it.
    last = {name: [max(c) for c in zip(*groups, strict=True)] for name, groups in events.items()}
    taken = dict.fromkeys(last, 0)

    def following(stream: str) -> int:
        taken[stream] += 1
        return last[stream][taken[stream] - 1]

    found = []
    for index, instruction in enumerate(chosen):
        read = beats[index * INSTRUCTION_BEATS + INSTRUCTION_BEATS - 1]
        issued = max([read, *(following(stream) for stream in _withheld(instruction))])
        ends = [following(DONE_STREAMS[source]) for source in sorted(instruction.reports)]
        found.append(Moment(instruction.op, read, issued, max([issued, *ends])))
    return tuple(found)


def _withheld(instruction: Instruction) -> list[str]:
    """Command streams that tell when an instruction was dealt: what touches a bank first, and what
    shares a stream with that."""
    fields = instruction.fields
    if instruction.opcode is Opcode.NORM:
        return [] if fields.get("by_slot") else ["residual_command"]
    if instruction.opcode is Opcode.LOAD:
        to_residual = fields["load_target"] == LoadTarget.RESIDUAL
        return ["load_command", *(["residual_command"] if to_residual else [])]
    if instruction.opcode is Opcode.GEMM:
        adds = fields["route"] == Route.RESIDUAL
        return ["feed_command", *(["residual_command"] if adds else [])]
    return []


def refuse(
    record: Mapping[str, Any],
    chosen: Sequence[Instruction],
    processes: Sequence[netlist.Process],
    weather: str = "",
) -> None:
    """Raise what went wrong in a run of :meth:`SimulatedCore.execute`.

    Parameters
    ----------
    processes : of the core, and
    weather : of its streams, for the message.

    Raises
    ------
    SimulationFailed : an address beyond its region, a deadlock, or words left in the streams.
    """
    if record["fault"]:
        raise SimulationFailed(f"An address beyond its DRAM region{weather}: {record['fault']}.")
    if record["deadlock"]:
        raise SimulationFailed(_deadlock(record, chosen, processes, weather))
    if record["held"]:
        held = ", ".join(f"{name}: {count}" for name, count in _folded(record["held"]).items())
        raise SimulationFailed(f"Words are left in the streams at the end{weather}: {held}.")


def _deadlock(
    record: Mapping[str, Any],
    chosen: Sequence[Instruction],
    processes: Sequence[netlist.Process],
    weather: str,
) -> str:
    read = len(record["program"]) // INSTRUCTION_BEATS
    lines = [f"Deadlock{weather}: no word has moved since cycle {record['last_move']}; "]
    if read:
        last = chosen[read - 1]
        lines[0] += f"dispatch is at instruction {read - 1} of {len(chosen)} "
        lines[0] += f"({last.opcode.name} {last.op})."
        for source, wanted in last.waits.items():
            stream = DONE_STREAMS[source]
            found = [len(c) for name, c in record["events"].items() if name.split()[0] == stream]
            if min(found) < wanted:
                lines.append(f"  it waits for {stream}: {min(found)} of {wanted} have come")
    else:
        lines[0] += "dispatch has read no instruction."
    for title, names in (
        ("full, and more is offered", record["full"]),
        ("offered, but not taken", record["offered"]),
        # Processes made of C++ are ready only when something is offered: these are the others.
        ("empty, but awaited", record["awaited"]),
    ):
        if names:
            counts = {name: record["held"].get(name, 0) for name in names}
            lines.append(f"  {title}:")
            lines += [
                f"    {stream}, {count} words{_ends(stream, processes)}"
                for stream, count in _folded(counts, max).items()
            ]
    return "\n".join(lines)


def _ends(stream: str, processes: Sequence[netlist.Process]) -> str:
    """The processes at the ends of a stream, for a report."""
    name = re.sub(r"(_\d+)?(\[.*\])?$", "", stream)
    ends = [
        process.args[0].removesuffix("[]").removesuffix("_command")
        if process.function in ("bank_write", "twin_write")
        else process.function
        for process in processes
        if name in [argument.removesuffix("[]") for argument in process.args]
    ]
    return f" ({' and '.join(ends)})" if ends else ""


def _folded(values: Mapping[str, int], join: Callable[[list[int]], int] = sum) -> dict[str, int]:
    """Groups under one name: ``acts 0``, ``acts 1`` become ``acts[0,1]``, their values joined."""
    groups: dict[str, list[str]] = {}
    held: dict[str, list[int]] = {}
    for name, value in values.items():
        stream, _, group = name.partition(" ")
        groups.setdefault(stream, []).extend([group] if group else [])
        held.setdefault(stream, []).append(value)
    return {
        stream + (f"[{','.join(sorted(members, key=int))}]" if members else ""): join(held[stream])
        for stream, members in groups.items()
    }
