"""Dispatch against a plain model: commands of random programs, waits, stops."""

import re
import subprocess

import numpy as np
import pytest

from tests.emit.dispatch_model import Dispatch
from tests.emit.engines import make
from tests.support.cpp import DRIVERS, headers
from vitgen.csim.compile import compile_program
from vitgen.design import netlist
from vitgen.design.isa import WIDTHS, Instruction, Opcode, RowSource, Source, encode_program
from vitgen.design.netlist import Per
from vitgen.emit.wiring import DONE_STREAMS

DONES = 60  # completions that wait in every stream

MAIN = """
#include <stdexcept>
#include "dispatch.h"
#include "driver.h"

SHOW
int main() {
  hls::stream<dma_request> fetch;
  program_fetch(next(), fetch);
  show(fetch);
  DECLARE
  for (std::int64_t left = next(); left > 0; --left) program_beats.write(next_bits<BEAT_BITS>());
  const std::int64_t dones = next();
  FILL
  bool starved = false;
  try {
    dispatch(ARGUMENTS);
  } catch (const std::exception&) {
    starved = true;
  }
  give(starved);
  REPORT
  give(static_cast<std::int64_t>(program_beats.size()));
  return 0;
}
"""

COMMANDS = [
    s.name
    for s in netlist.streams(make("a"))
    if s.type.endswith("_command") or s.type == "dma_request"
    if s.name != "program_request"
]


def structs(texts):
    """Fields by struct of the emitted headers."""
    found = {}
    for name, body in re.findall(r"struct (\w+) \{\n(.*?)\n\};", texts, re.DOTALL):
        found[name] = re.findall(r"^  \S+ (\w+);", body, re.MULTILINE)
    return {name: fields for name, fields in found.items() if fields[:1] == ["stop"]}


def driver_source(engine, texts):
    """The driver, generated from the netlist and the structs."""
    show = "".join(
        f"inline void show(hls::stream<{name}>& stream) {{\n  give_stream(stream, []({name} c) {{\n"
        + "".join(f"    give(c.{field}.to_int64());\n" for field in fields)
        + "  });\n}\n"
        for name, fields in structs(texts).items()
    )
    extents = {Per.ACCELERATOR: "", Per.GROUP: "[TOKEN_GROUPS]", Per.PORT: "[WEIGHT_PORTS]"}
    process = next(p for p in netlist.processes(engine) if p.function == "dispatch")
    table = {s.name: s for s in netlist.streams(engine)}
    used = [table[name] for name in process.args]
    declare = "".join(f"hls::stream<::{s.type}> {s.name}{extents[s.per]};\n" for s in used)
    fill, report = "", ""
    for stream in used:
        loop = f"for (auto& one : {stream.name}) " if extents[stream.per] else ""
        one = "one" if loop else stream.name
        if stream.type == "done_t":
            fill += f"{loop}for (int i = 0; i < dones; ++i) {one}.write(1);\n"
            report += f"{loop}give(static_cast<std::int64_t>({one}.size()));\n"
        elif stream.name in COMMANDS:
            report += f"{loop}show({one});\n"
    parts = dict(
        SHOW=show, DECLARE=declare, FILL=fill, REPORT=report, ARGUMENTS=", ".join(process.args)
    )
    text = MAIN
    for name, part in parts.items():
        text = text.replace(name, part)
    return text


@pytest.fixture(scope="session", params=["a", "c"])
def dispatcher(request, tmp_path_factory):
    """``(engine, run)``; ``run(words, dones)`` returns what came out, by stream."""
    engine = make(request.param)
    sources = headers(engine)
    fields = structs("\n".join(sources.values()))
    sources["driver.h"] = (DRIVERS / "driver.h").read_text().replace("stop(", "end(")
    sources["main.cpp"] = driver_source(engine, "\n".join(sources.values()))
    cache = tmp_path_factory.getbasetemp().parent / "vitgen-emit-drivers"
    program = compile_program(sources, flags=("-O1",), cache=cache).path
    order = next(p for p in netlist.processes(engine) if p.function == "dispatch").args
    table = {s.name: s for s in netlist.streams(engine)}
    copies = {Per.ACCELERATOR: 1, Per.GROUP: engine.groups, Per.PORT: engine.weight_ports}

    def run(code, dones=DONES):
        beats = np.frombuffer(code, dtype=np.int64)
        data = np.concatenate([[len(code) // 64, beats.size // 2], beats, [dones]])
        done = subprocess.run([program], input=data.tobytes(), capture_output=True, check=True)
        values = iter(np.frombuffer(done.stdout, dtype=np.int64).tolist())

        def rows(kind):
            return [tuple(next(values) for _ in fields[kind]) for _ in range(next(values))]

        assert rows("dma_request") == [(0, 0, beats.size // 2), pytest.approx((1, 0, 0), abs=1 << 28)]
        found = {"starved": next(values)}
        for stream in (table[name] for name in order if name != "program_beats"):
            each = [
                next(values) if stream.type == "done_t" else rows(stream.type)
                for _ in range(copies[stream.per])
            ]
            assert all(one == each[0] for one in each), stream.name
            found[stream.name] = each[0]
        found["beats left"] = next(values)
        assert next(values, None) is None
        return found

    return engine, run


def random_fields(rng, opcode):
    """Fields over their whole range, but for counts whose products must fit a command."""
    fields = {name: int(rng.integers(0, 1 << min(width, 62))) for name, width in WIDTHS.items()}
    fields |= {f"wait_{s.name.lower()}": int(rng.integers(0, DONES + 1)) for s in Source}
    small = dict(row_tiles=40, k=1000, limit=1000, route=7, row_source=3, fixed_rows=300, pot_rows=100)
    fields |= {name: int(rng.integers(0 if end < 8 else 1, end)) for name, end in small.items()}
    fields["opcode"] = opcode
    fields["tokens_register"] = int(rng.integers(0, 4))
    return fields


def set_tokens(rng, register):
    tokens = int(rng.integers(1, 1024))
    fields = dict(tokens_register=register, limit=tokens, row_tiles=tokens // 30 + 1, k=tokens // 9 + 1)
    return {**dict.fromkeys(WIDTHS, 0), "opcode": Opcode.SET_TOKENS, **fields}


def encode(program):
    return encode_program(Instruction("", fields) for fields in program)


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_deal_the_commands_of_the_model(dispatcher, seed):
    engine, run = dispatcher
    rng = np.random.default_rng(seed)
    program = [set_tokens(rng, register) for register in range(4)]
    for _ in range(60):
        opcode = rng.choice([Opcode.LOAD, Opcode.NORM, Opcode.GEMM, Opcode.GEMM, Opcode.GEMM])
        program.append(random_fields(rng, opcode))
        if rng.integers(0, 8) == 0:
            program.append(set_tokens(rng, int(rng.integers(0, 4))))
    program.append(random_fields(rng, Opcode.STOP))
    model = Dispatch(engine)
    model.run(program)
    found = run(encode(program))
    assert not found["starved"]
    assert found["beats left"] == 0
    for stream in COMMANDS:
        *dealt, stop = found[stream]
        assert dealt == model.sent[stream], stream
        assert stop[0] == 1, stream
    for source, stream in DONE_STREAMS.items():
        assert found[stream] == DONES - model.collected[source], stream


def gemm(row_source, wait):
    fields = dict.fromkeys(WIDTHS, 0) | dict(
        opcode=Opcode.GEMM, row_source=row_source, row_tiles=2, k=8, limit=6, fixed_rows=3
    )
    return fields | {f"wait_{wait.name.lower()}": 1}


@pytest.mark.parametrize("source", list(Source))
@pytest.mark.parametrize("rows", list(RowSource))
def test_only_what_touches_a_bank_is_withheld(dispatcher, rows, source):
    _, run = dispatcher
    rng = np.random.default_rng(0)
    found = run(encode([set_tokens(rng, 0), gemm(rows, source)]), dones=0)
    assert found["starved"]
    withheld = {"feed_command", "key_command", "turn_command"}
    assert not [stream for stream in withheld if found[stream]]
    issued = {"select_command", "param_command", "array_command", "requant_command"}
    assert all(len(found[stream]) == 1 for stream in issued)


def test_values_are_replayed_before_the_wait_and_turned_behind_it(dispatcher):
    _, run = dispatcher
    rng = np.random.default_rng(0)
    found = run(encode([set_tokens(rng, 0), gemm(RowSource.VALUES, Source.VALUE_WRITE)]), dones=0)
    assert len(found["value_command"]) == 1
    assert not found["turn_command"]
