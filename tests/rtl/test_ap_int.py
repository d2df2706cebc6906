"""Our ap_int, compiled by clang, against hls4ml's, compiled by g++: all operations, many widths."""

import random
import struct
import subprocess
from pathlib import Path

import pytest

from vitgen.csim.toolchain import ap_int_headers, find_compiler
from vitgen.rtl.clang import INCLUDE, find_clang

HERE = Path(__file__).parent
EXTREMES = [0, 1, 2**63, 2**63 - 1, 2**64 - 1, 2**32 - 1, 2**31]


@pytest.fixture(scope="session")
def compare(tmp_path_factory):
    """A program that compares both on the words that it is given."""
    place = tmp_path_factory.mktemp("ap_int")
    cases = HERE / "ap_int_cases.cpp"
    common = ["-std=c++17", "-O1", "-w", "-c", cases]
    clang = [part for part in find_clang() if not part.startswith("x86_64-")]
    clang = [part for part in clang if part != "-target"]
    target = ["-target", "x86_64-linux-gnu"]
    commands = [
        [*clang, *target, *common, "-ffreestanding", "-nostdinc++", "-fno-stack-protector",
         "-isystem", INCLUDE, "-DRUN=run_ours", "-o", "ours.o"],
        [*find_compiler().command, *common, "-isystem", ap_int_headers(), "-DRUN=run_theirs",
         "-o", "theirs.o"],
        [*find_compiler().command, HERE / "ap_int_main.cpp", "ours.o", "theirs.o", "-o", "compare"],
    ]  # fmt: skip
    for command in commands:
        subprocess.run(command, cwd=place, check=True)
    return place / "compare"


@pytest.mark.parametrize("seed", range(3))
def test_every_operation_gives_the_same_bits(compare, seed):
    rng = random.Random(seed)
    words = [
        rng.choice(EXTREMES) if rng.random() < 0.4 else rng.getrandbits(64) >> rng.randrange(64)
        for _ in range(8 * 100)
    ]
    words[:4] = [0x7F, 0, 0, 0]  # the highest ap_int<8>, which wraps
    done = subprocess.run([compare], input=struct.pack(f"<{len(words)}Q", *words),
                          capture_output=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout.decode()
    assert int(done.stdout.split()[0]) > 500_000
