"""What the shell's files say: ports, streams and their order."""

import re

import pytest

from tests.emit import engines
from vitgen.emit import wiring
from vitgen.emit.shell import STATIC_FILES, core_streams, emit_shell


@pytest.fixture(params=engines.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_same_engine_same_bytes(name: str) -> None:
    assert emit_shell(engines.make(name)).digest() == emit_shell(engines.make(name)).digest()


def test_every_file_is_headed(name: str) -> None:
    for file, text in emit_shell(engines.make(name)).texts().items():
        first, second, third = text.splitlines()[:3]
        assert "do not edit" in first and second.startswith("// Design ")
        assert third.startswith("// "), f"{file}: a module says what it does"


def test_one_bus_per_pointer_under_the_names_of_vitis(name: str) -> None:
    engine = engines.make(name)
    top = emit_shell(engine).texts()["vit_top.sv"]
    buses = re.findall(r"wire m_axi_(\w+)_A[RW]VALID", top)
    assert buses == [f"gmem_{port.name}" for port in wiring.ports(engine)]
    written = re.findall(r"wire m_axi_gmem_(\w+)_WVALID", top)
    assert written == ["output"]


def test_streams_of_the_core() -> None:
    assert core_streams(engines.make("b")) == [
        "program_beats", "param_request", "param_beats", "image_request", "image_beats",
        "constant_request", "constant_beats", "weight_request_0", "weight_beats_0",
        "weight_request_1", "weight_beats_1", "output_request", "output_beats", "store_done",
    ]  # fmt: skip


def test_static_files_do_not_depend_on_the_design() -> None:
    bodies = [
        [text.split("\n", 2)[2] for name, text in emit_shell(engines.make(engine)).texts().items()
         if name in STATIC_FILES]
        for engine in engines.NAMES
    ]  # fmt: skip
    assert all(body == bodies[0] for body in bodies)
