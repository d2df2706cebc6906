"""FIFO, RAM and AXI masters of the shell, each under cocotb in one bench."""

from pathlib import Path

import pytest

from tests.emit import engines
from tests.rtl.bench import Instance, build, run, wrapper
from vitgen.emit.shell import STATIC_FILES, emit_shell

SEED = "7"
# Depth: width. The last three are in block RAM.
FIFOS = {1: 9, 2: 1, 3: 33, 5: 128, 16: 64, 17: 5, 64: 40, 65: 7, 1000: 70}
RAM = (37, 21)  # words, bits


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shell")
    files = emit_shell(engines.make("b")).texts()
    instances = [
        *(Instance(f"fifo_{depth}", "stream_fifo", {"WIDTH": width, "DEPTH": depth})
          for depth, width in FIFOS.items()),
        Instance("ram", "process_ram", {"DEPTH": RAM[0], "WIDTH": RAM[1], "ADDRESS_BITS": 6}),
        Instance("read", "axi_read", {"OUTSTANDING": 4, "ADDRESS_BITS": 28}),
        Instance("fast", "axi_read", {"OUTSTANDING": 8, "ADDRESS_BITS": 28}),
        Instance("write", "axi_write", {"OUTSTANDING": 4, "ADDRESS_BITS": 28}),
    ]  # fmt: skip
    static = {name: files[name] for name in STATIC_FILES}
    modules = {name.removesuffix(".sv"): text for name, text in static.items()}
    for name, text in {**static, "bench.sv": wrapper(modules, instances)}.items():
        (place / name).write_text(text)
    build([place / name for name in (*static, "bench.sv")], "bench", place)
    return place


@pytest.mark.parametrize("test", ["fifo_random", "fifo_fill", "fifo_full_rate", "ram_random"])
def test_memory(bench: Path, test: str) -> None:
    fifos = ",".join(f"{depth}x{width}" for depth, width in FIFOS.items())
    ram = "x".join(map(str, RAM))
    run("bench", "sim.shell_memory", bench, test, SEED=SEED, FIFOS=fifos, RAM=ram)


AXI_TESTS = ["reads", "read_rate", "read_holds", "read_errors", "read_flush", "writes",
             "write_reports", "write_rate", "write_errors"]  # fmt: skip


@pytest.mark.parametrize("test", AXI_TESTS)
def test_axi(bench: Path, test: str) -> None:
    run("bench", "sim.shell_axi", bench, test, SEED=SEED)
