"""The accelerator as a library for Python: the harness around the emitted C++."""

from vitgen.design.engine import Engine
from vitgen.emit import wiring
from vitgen.emit.hls import context, design_digest
from vitgen.emit.plan import BuildPlan
from vitgen.emit.render import render

_HARNESS = "harness.cpp"


def emit_harness(engine: Engine) -> BuildPlan:
    """``harness.cpp``, to be compiled beside the files of :func:`vitgen.emit.hls.emit_hls` (without
    their testbench).

    Its C functions::

        const char* vitgen_run(program, params, image, constants, weights[], output, instructions)
        int vitgen_bank_count()
        const char* vitgen_bank_geometry(bank, &name, &depth, &word_bits)
        const char* vitgen_read_bank(bank, group, first, count, bytes)
        const char* vitgen_write_bank(bank, group, first, count, bytes)

    Buffers are arrays of 16-byte beats; a bank's word is ``ceil(bits / 8)`` little-endian bytes.
    Every ``const char*`` is a report, empty when all is well. Banks are numbered as in
    ``netlist.banks`` and keep their contents between runs.
    """
    values = {**context(engine), "run_arguments": _run_arguments(engine)}
    template = f"csim/{_HARNESS}.j2"
    return BuildPlan({_HARNESS: render(template, values, design_digest(engine), "c++")})


def _run_arguments(engine: Engine) -> list[str]:
    """Arguments of the top function in terms of the harness's parameters."""
    found = []
    for port in wiring.ports(engine):
        source = port.buffer
        if port.name != port.buffer:
            source = f"{port.buffer}[{port.name.removeprefix(port.buffer + '_')}]"
        const = "" if port.written else "const "
        found.append(f"static_cast<{const}beat_t*>({source})")
    found.append(wiring.INSTRUCTIONS)
    for name, bank, _ in wiring.bank_ports(engine):
        group = name.split("_")[-2]
        found.append(f"banks()[{group}].{bank.name}")
    return found
