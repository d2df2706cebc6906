"""Many random programs side by side in one golden program and in one Verilator model."""

import copy
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.rtl.cosim import HERE, MAIN, Bench, Values, golden_source, signature
from tests.rtl.engines import ENGINES
from tests.rtl.fuzz import Node, Program
from vitgen.csim import compile_program
from vitgen.emit import emit_hls
from vitgen.rtl.clang import compile_process
from vitgen.rtl.llvm import parse_function
from vitgen.rtl.structs import HEADER, packing_header
from vitgen.rtl.translate import Translation, translate
from vitgen.rtl.xls import schedule

_FILE = "fuzz.h"
_UNIT = 50  # programs that clang compiles at once: the reader looks through all of a unit for each


def sources(programs: Mapping[str, Program]) -> dict[str, str]:
    """Headers of the programs, by name; the lanes of words are the emitted ones."""
    files = emit_hls(ENGINES["even"]).texts()
    structs = "\n".join(program.struct_text(name) for name, program in programs.items())
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
                translation = translate(parse_function(llvm[name], name))
                text = schedule(translation, stages=1 + program.seed % 4).verilog
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
        self.simulation = self._verilate(texts, place / "verilator", "-O0")

    def _main(self) -> str:
        lines = ['#include "Vbench.h"', (HERE / "bench.h").read_text()]
        lines.append("static void bind(const std::string&) {")
        for name in self.translations:
            for channel, _, sends in self._outer(name):
                port = f"top->{name}_of_{channel}"
                lines.append(f'  channel("{name}.{channel}", 0, {int(sends)}, {port}_data, '
                             f"{port}_vld, {port}_rdy);")  # fmt: skip
        return "\n".join([*lines, "}", MAIN, ""])

    def expected(self) -> dict[str, Values]:
        """What the C++ sends, by program; the process runs twice."""
        found = {}
        for name in self.translations:
            once = self.run_golden(name, Values(self.programs[name].inputs()))
            found[name] = Values({port: 2 * words for port, words in once.streams.items()})
        return found

    def differences(self, stall: int, expected: Mapping[str, Values]) -> dict[str, str]:
        """The first value that differs, by program, of a run of all at random stalls."""
        lines = []
        for name in self.translations:
            inputs, left = self.programs[name].inputs(), expected[name].streams
            for channel, _, sends in self._outer(name):
                if sends:
                    lines.append(f"{name}.{channel} {len(left[channel])}")
                    continue
                # The golden program leaves what it has not read: the second run begins there.
                words = inputs[channel]
                unread = len(left[channel]) // 2
                words = words[: len(words) - unread] * 2
                text = " ".join(f"{word:x}" for word in words)
                lines.append(f"{name}.{channel} {len(words)} {text}")
        done = subprocess.run([self.simulation, "all", str(stall), str(stall)],
                              input="\n".join(lines) + "\n", capture_output=True, text=True,
                              timeout=600, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = {}
        for text in done.stdout.splitlines():
            port, *words = text.split()
            name, _, channel = port.partition(".")
            if not channel:
                continue
            wanted, sent = expected[name].streams[channel], [int(word, 16) for word in words]
            if sent != wanted and name not in found:
                place = next((i for i, (a, b) in enumerate(zip(wanted, sent, strict=False)) if a != b),
                             min(len(wanted), len(sent)))  # fmt: skip
                want, got = (
                    f"{x[place]:#x}" if place < len(x) else "nothing" for x in (wanted, sent)
                )
                found[name] = (f"value {place} of {channel} at stall {stall}: "
                               f"{got} in RTL, {want} in C++")  # fmt: skip
        return found


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
    return f"seed {program.seed}: {what}\n{program.struct_text(name)}\n{program.text(name)}"


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
