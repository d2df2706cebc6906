"""The shell of the open road under cocotb: each module by itself, and all of it around a small core.

One wrapper holds all instances, because compiling Verilator's runtime is what takes time.
"""

import json
from pathlib import Path

import pytest

from tests.emit import engines
from tests.rtl.bench import Instance, build, run, wrapper
from vitgen.emit import registers
from vitgen.emit.shell import emit_bank, emit_ip_top, emit_shell

SEED = "7"
ENGINE = engines.make("b")  # two weight ports
CORE = Path(__file__).parent / "shell_core.sv"
# Depth: width. The last two are in block RAM.
FIFOS = {1: 9, 2: 1, 3: 33, 5: 128, 16: 64, 17: 5, 64: 40, 65: 7, 1000: 70}
RAM = (37, 21)  # words, bits

INSTANCES = [
    *(Instance(f"fifo_{depth}", "stream_fifo", {"WIDTH": width, "DEPTH": depth})
      for depth, width in FIFOS.items()),
    Instance("ram", "process_ram", {"DEPTH": RAM[0], "WIDTH": RAM[1], "ADDRESS_BITS": 6}),
    Instance("read", "axi_read", {"OUTSTANDING": 4, "ADDRESS_BITS": 28}),
    Instance("fast", "axi_read", {"OUTSTANDING": 8, "ADDRESS_BITS": 28}),
    Instance("write", "axi_write", {"OUTSTANDING": 4, "ADDRESS_BITS": 28}),
    Instance("bank", "bank_ram", {"DEPTH": RAM[0], "WIDTH": RAM[1], "ADDRESS_BITS": 6}),
    Instance("top", "vit_ip", {}),  # around vit_top
]  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shell")
    files = (emit_shell(ENGINE) | emit_ip_top(ENGINE) | emit_bank(ENGINE)).texts()
    modules = {Path(name).stem: text for name, text in files.items()}
    files["bench.sv"] = wrapper(modules, INSTANCES)
    # Every warning about the shell is an error; the tests' own core is laxer.
    files["vit_core.sv"] = "/* verilator lint_off WIDTH */\n" + CORE.read_text()
    for name, text in files.items():
        (place / name).write_text(text)
    build([place / name for name in files], place)
    return place


def test_memories(bench: Path) -> None:
    fifos = ",".join(f"{depth}x{width}" for depth, width in FIFOS.items())
    run("shell_memory", bench, SEED=SEED, FIFOS=fifos, RAM="x".join(map(str, RAM)))


def test_masters(bench: Path) -> None:
    run("shell_axi", bench, SEED=SEED)


def test_top(bench: Path) -> None:
    places = [*registers.argument_registers(ENGINE), *registers.status_registers(ENGINE)]
    table = {register.name: (register.offset, register.width) for register in places}
    run("shell_top", bench, SEED=SEED, MAP=json.dumps(table))
