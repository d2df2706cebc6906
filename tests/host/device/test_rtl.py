"""The shipped driver on the simulated RTL, which counts cycles."""

import json

import numpy as np
import pytest

import vitgen as package
from tests.host.device.conftest import Bench
from vitgen import ir
from vitgen.data import digits as sample_digits
from vitgen.host import open_device, stand_in
from vitgen.host.package import load_package
from vitgen.reference import predict, preprocess

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The build of tests/rtl/test_digits.py: what is slow about its RTL is in the cache."""
    out = tmp_path_factory.mktemp("rtl") / "vit_digits"
    package.build("vit_digits", bits="4/8", out=out)
    return out


def test_digits_on_the_rtl(vitgen, built):
    """It makes the RTL first; a second time it is there."""
    assert not (built / "rtl" / "vit_core.sv").exists()
    said = vitgen("run", built, "--device", "rtl", "--images", 3, "--json")
    result = json.loads(said.out)
    assert said.status == 0 and result["mismatches"] == 0
    cycles = {answer["cycles"] for answer in result["images"]}
    estimated = json.loads((built / "report.json").read_text())["cycles"]["estimated"]
    assert len(cycles) == 1 and cycles.pop() == pytest.approx(estimated, rel=0.02)
    written = (built / "rtl" / "vit_core.sv").stat().st_mtime_ns
    again = json.loads(vitgen("run", built, "--device", "rtl", "--json").out)
    assert again["images"][0]["equal"] and again["images"][0]["cycles"]
    assert (built / "rtl" / "vit_core.sv").stat().st_mtime_ns == written


@pytest.fixture
def device(built):
    made = open_device(built, "rtl")
    yield made
    made.close()


def test_single_instructions(built, device):
    driver, graph = load_package(built), ir.load(built)
    image = sample_digits()[1].images[5]
    patches = preprocess(graph.meta, image).astype(np.int64)
    with driver.Accelerator(str(stand_in(built)), timeout=600) as vit:
        profile = vit.profile(image)
        whole = vit.predict([image])
        cycles = vit.status()["cycles"]
    assert profile.predictions.logits.tolist() == predict(graph, patches[None]).tolist()
    assert whole.logits.tolist() == profile.predictions.logits.tolist()
    assert sum(step.cycles for step in profile.steps) > cycles, "nothing overlaps"


@pytest.mark.parametrize("pointer", ["image", "weights_0", "output"])
def test_a_wrong_pointer_is_an_error_bit(built, device, pointer):
    bench = Bench(built, device)
    bit = 8 + ["program", "params", "image", "constants", "weights_0", "output"].index(pointer)
    address = bench.buffers[pointer].device_address
    bench.point(pointer, address & 0xFFFF_FFFF)
    assert bench.run() == 1 << bit
    bench.point(pointer, address)
    assert bench.run() == 0 and (bench.logits() == bench.golden()).all()


def test_what_is_not_written_stays(built, device):
    bench = Bench(built, device)
    wide = bench.buffers["output"]
    wide[:] = 0xEE
    wide.flush()
    program = np.array(bench.buffers["program"])
    bench.buffers["program"][:64] = program[-64:]  # a stop alone, without its waits
    bench.buffers["program"][8:64] = 0
    bench.buffers["program"].flush()
    bench.ip.register_map.instructions = 1
    assert bench.run() == 0
    wide.invalidate()
    assert (np.array(wide) == 0xEE).all()


def test_an_accelerator_that_hangs_says_why(built):
    device = open_device(built, "rtl", raises=False)
    bench = Bench(built, device)
    bench.point("params", 0)  # a record of zeros drops its row
    bench.start()
    assert bench.end() == 1 << 9 | 1 and "Deadlock" in device.failure
    bench.overlay.download()
    again = Bench(built, device, overlay=bench.overlay)
    assert again.run() == 0 and (again.logits() == again.golden()).all()
    device.close()
