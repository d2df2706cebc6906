"""Many random programs side by side in one golden program and in one Verilator model."""

import copy
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.rtl.cosim import HERE, MAIN, Bench, Parameter, Values, golden_source, signature
from tests.rtl.engines import ENGINES
from tests.rtl.fuzz_program import Node, Program
from vitgen.csim import compile_program
from vitgen.emit import emit_hls
from vitgen.rtl.clang import compile_process
from vitgen.rtl.llvm_reader import parse_function
from vitgen.rtl.structs import HEADER, packing_header
from vitgen.rtl.translate import Translation, translate
from vitgen.rtl.xls import schedule

_FILE = "fuzz.h"
_UNIT = 50  # programs that clang compiles at once: the reader looks through all of a unit for each


def sources(programs: Mapping[str, Program]) -> dict[str, str]:
    """Headers of the programs, by name; the lanes of words are the emitted ones."""
    files = emit_hls(ENGINES["even"]).texts()
    structs = "\n".join(
        dict.fromkeys(s.declaration for program in programs.values() for s in program.structs)
    )
    functions = "\n".join(program.text(name) for name, program in programs.items())
    return {
        **{name: files[name] for name in ("config.h", "types.h", "process.h")},
        "commands.h": f'#ifndef COMMANDS_H\n#define COMMANDS_H\n#include "types.h"\n{structs}\n#endif\n',
        _FILE: f'#ifndef FUZZ_H\n#define FUZZ_H\n#include "process.h"\n{functions}#endif\n',
    }  # fmt: skip


class FuzzBench(Bench):
    """Programs by name; ``refused`` holds what the translator or XLS says against some."""

    def __init__(self, programs: Mapping[str, Program], place: Path, cache: Path) -> None:
        self.programs = programs
        self.refused: dict[str, str] = {}
        self.translations: dict[str, Translation] = {}
        files = sources(programs)
        texts = []
        names = list(programs)
        llvm = {}
        for first in range(0, len(names), _UNIT):
            unit = names[first : first + _UNIT]
            llvm |= dict.fromkeys(unit, compile_process(files, _FILE, *unit))
        for name, program in programs.items():
            try:
                rams = frozenset(one.name for one in program.memories if one.kind == "ram")
                translation = translate(parse_function(llvm[name], name), rams)
                text = schedule(translation, stages=program.stages).verilog
            except Exception as error:  # noqa: BLE001 (a crash is as wrong as a refusal)
                self.refused[name] = f"{type(error).__name__}: {error}"
                continue
            self.translations[name] = translation
            texts.append(text)
        self.functions = {name: _FILE for name in self.translations}
        self.parameters = {name: signature(files[_FILE], name) for name in self.functions}
        files[HEADER] = packing_header(files)
        files["golden.cpp"] = golden_source(files, self.functions)
        self.golden = compile_program(files, units=["golden.cpp"], flags=("-O0", "-w"),
                                      cache=cache).path  # fmt: skip
        # Compiling takes longer than running: no optimization, and one unit.
        options = [f"OPT_{part}=-O0" for part in ("FAST", "SLOW", "GLOBAL")]
        self.simulation = self._verilate(
            texts, place / "verilator", "-O0", [*options, "VM_PARALLEL_BUILDS=0"]
        )

    def _main(self) -> str:
        lines = ['#include "Vbench.h"', (HERE / "bench.h").read_text()]
        lines.append("static void bind(const std::string&) {")
        for name in self.translations:
            for channel, _, sends in self._outer(name):
                port = f"top->{name}_of_{channel}"
                bits = self._word_bits(name, channel)
                lines.append(f'  channel("{name}.{channel}", {bits}, {int(sends)}, {port}_data, '
                             f"{port}_vld, {port}_rdy);")  # fmt: skip
        return "\n".join([*lines, "}", MAIN, ""])

    def ports_of(self, name: str, parameter: Parameter) -> list[str]:
        """Ports of a stream parameter, among them those of streams that the RTL has not."""
        for stream in self.programs[name].streams:
            if stream.name == parameter.name:
                return [port for _, port in stream.elements()]
        return [parameter.name]

    def expected(self) -> dict[str, Values]:
        """What the C++ sends and leaves in banks, by program; the process runs twice."""
        found = {}
        for name in self.translations:
            program = self.programs[name]
            once = self.run_golden(name, Values(program.inputs(), program.words()))
            twice = {port: 2 * words for port, words in once.streams.items()}
            found[name] = Values(twice, once.banks)
        return found

    def _input(self, stall: int, expected: Mapping[str, Values]) -> str:
        """Standard input of the simulation."""
        lines = []
        for name in self.translations:
            program, left = self.programs[name], expected[name].streams
            inputs, banks = program.inputs(), program.words()
            for channel, _, sends in self._outer(name):
                if channel.endswith("_rd_req"):
                    words = banks[_bank(channel)]
                elif channel.endswith(("_rd_resp", "_wr_req")):
                    continue
                elif sends:
                    lines.append(f"{name}.{channel} {len(left[channel])}")
                    continue
                else:
                    # The golden program leaves what it has not read: the second run begins there.
                    words = inputs[channel]
                    words = words[: len(words) - len(left[channel]) // 2] * 2
                text = " ".join(f"{word:x}" for word in words)
                lines.append(f"{name}.{channel} {len(words)} {text}")
        return "\n".join(lines) + "\n"

    def differences(self, stall: int, expected: Mapping[str, Values]) -> dict[str, str]:
        """The first value that differs, by program, of a run of all at random stalls."""
        done = subprocess.run([self.simulation, "all", str(stall), str(stall)],
                              input=self._input(stall, expected), capture_output=True, text=True,
                              timeout=600, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        sent: dict[str, dict[str, list[int]]] = {name: {} for name in self.translations}
        for text in done.stdout.splitlines():
            port, *words = text.split()
            name, _, channel = port.partition(".")
            if channel:
                sent[name][channel] = [int(word, 16) for word in words]
        found: dict[str, str] = {}
        for name, values in sent.items():
            for port, wanted, got in self._compared(name, values, expected[name]):
                if wanted != got:
                    place = next((i for i, (a, b) in enumerate(zip(wanted, got, strict=False)) if a != b),
                                 min(len(wanted), len(got)))  # fmt: skip
                    want, is_ = (
                        f"{x[place]:#x}" if place < len(x) else "nothing" for x in (wanted, got)
                    )
                    found[name] = (f"value {place} of {port} at stall {stall}: "
                                   f"{is_} in RTL, {want} in C++")  # fmt: skip
                    break
        return found

    def _compared(
        self, name: str, sent: Mapping[str, list[int]], expected: Values
    ) -> Iterator[tuple[str, list[int], list[int]]]:
        """Every stream and bank that the C++ writes: what it leaves there, and what the RTL does."""
        program = self.programs[name]
        for stream in program.streams:
            for _, port in stream.elements() if stream.sends else ():
                yield port, expected.streams[port], sent.get(port, [])
        for bank, words in program.words().items():
            left = list(words)
            channel = f"{bank}_wr_wr_req"
            for request in sent.get(channel, []):
                width = self._bank_width(name, channel)
                left[request >> width] = request & ((1 << width) - 1)
            yield bank, expected.banks[bank], left


def _bank(channel: str) -> str:
    """The bank that a port asks for a word, without the direction."""
    return channel.removesuffix("_rd_req").removesuffix("_rd")


def failures(programs: Mapping[str, Program], place: Path, cache: Path) -> dict[str, str]:
    """What is wrong with each of the programs that fail: a difference, or a refusal.

    Parameters
    ----------
    place : an empty directory for the RTL.
    cache : where golden programs are kept, by their content.
    """
    bench = FuzzBench(programs, place, cache)
    expected = bench.expected()
    found = dict(bench.refused)
    for stall in (0, 40, 75):
        for name, text in bench.differences(stall, expected).items():
            found.setdefault(name, text)
    return found


def report(program: Program, name: str, what: str) -> str:
    """Seed, difference and text of a program."""
    structs = "\n".join(struct.declaration for struct in program.structs)
    return f"seed {program.seed}: {what}\n{structs}\n{program.text(name)}"


def _statements(nodes: list[Node]) -> Iterator[tuple[list[Node], Node]]:
    """Every statement with the list that it is in, outer ones first."""
    for node in nodes:
        yield nodes, node
        for inner in node.children():
            yield from _statements(inner)


def _without(program: Program, number: int) -> Program | None:
    """The program without a statement, None where others need it."""
    made = copy.deepcopy(program)
    holder, node = list(_statements(made.body))[number]
    if node.fixed:
        return None
    holder.remove(node)
    if node.declares and re.search(rf"\b{node.declares}\b", made.text("x")):
        return None
    return made


def shrink(program: Program, place: Path, rounds: int = 12) -> tuple[Program, str]:
    """Leaves out statements, one a round, while the program still fails.

    Returns
    -------
    The last one that fails, and what it does wrong.
    """
    what = failures({"fuzz": program}, place / "whole", place).get("fuzz", "does not fail any more")
    for number in range(rounds):
        count = len(list(_statements(program.body)))
        smaller = [_without(program, statement) for statement in range(count)]
        tries = {f"fuzz_{i}": made for i, made in enumerate(smaller) if made is not None}
        failed = failures(tries, place / f"round{number}", place) if tries else {}
        if not failed:
            break
        best = min(failed, key=lambda name: len(tries[name].text("x")))
        program, what = tries[best], failed[best]
    return program, what
