"""An array of the size of a real token group, and what is emitted for Vitis."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.rtl.simulation import Simulation, make_engine, random_command
from vitgen.design.array import carry_bits, pot_sum_bits
from vitgen.emit.rtl import ARRAY_FILES, emit_array
from vitgen.errors import VitgenError


@pytest.mark.slow  # Verilator and the C++ compiler take a minute
def test_33_rows_of_22_lanes(tmp_path: Path) -> None:
    """Three chains of 11; tiles of 99 rows of 4 bits, of 66 of 8 bits, head size 64 of these."""
    engine, rng = make_engine(22, 33, 0), np.random.default_rng(1)
    array = Simulation(engine, tmp_path)
    commands = [
        random_command(engine, rng, 2, 150, False, values="mixed"),
        random_command(engine, rng, 2, 64, True),
        random_command(engine, rng, 2, 70, True, fixed_rows=64, values="mixed"),
        random_command(engine, rng, 2, 3, False),
    ]
    array.check(commands)
    array.check(commands, seed=2, stalls=(30, 30, 30, 30))
    tiles = 6
    command = random_command(engine, rng, tiles, 120, False)
    cycles = array.check([command]).reshape(tiles, -1)[:, -1]
    assert np.diff(cycles).tolist() == [120 + 11 - 1] * (tiles - 1)


@pytest.mark.parametrize("max_k", [1, 2, 3, 40, 1023, 3072, 4096, 8191])
def test_carry_bits_hold_the_extremes(max_k: int) -> None:
    lowest, highest = -8 * 127 * max_k, 8 * 128 * max_k
    carries = [s >> 11 for s in (lowest, highest)]
    carries += [(s + (s << 11)) >> 22 for s in (lowest, highest)]
    carries += [s >> 18 for s in (-128 * 127 * max_k, 128 * 128 * max_k)]
    limit = 1 << (carry_bits(max_k) - 1)
    assert -limit <= min(carries) and max(carries) < limit


@pytest.mark.parametrize("act_bits", [4, 8])
@pytest.mark.parametrize("max_k", [1, 2, 3, 40, 1023, 3072, 4096, 8191])
def test_pot_sum_bits_hold_the_extremes(max_k: int, act_bits: int) -> None:
    limit = 1 << (pot_sum_bits(max_k, act_bits) - 1)
    extreme = 64 * (1 << (act_bits - 1)) * max_k
    assert extreme < limit
    assert extreme >= limit // 2 or limit == 1 << 15


def test_blackbox_names_what_the_verilog_has() -> None:
    plan = emit_array(make_engine(5, 3, 4))
    texts = plan.texts()
    box = json.loads(texts["multiply.json"])
    assert set(box["rtl_files"]) == set(ARRAY_FILES) == set(texts) - {"multiply.json"}
    ports = set(re.findall(r"(?:input|output) +wire +(?:\[.*?\] )?(\w+)", texts["multiply.v"]))
    named = set(box["rtl_common_signal"].values())
    for parameter in box["c_parameters"]:
        named |= set(parameter["rtl_ports"].values())
    assert named == ports
    assert box["rtl_resource_usage"]["DSP"] == "15"


def test_refusals() -> None:
    with pytest.raises(VitgenError, match="chains"):
        emit_array(make_engine(3, 4, 0), chains=5)


def test_equal_engines_equal_bytes() -> None:
    assert emit_array(make_engine(3, 4, 0)).digest() == emit_array(make_engine(3, 4, 0)).digest()
    assert emit_array(make_engine(3, 4, 0)).digest() != emit_array(make_engine(3, 4, 1)).digest()
