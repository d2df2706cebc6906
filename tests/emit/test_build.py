"""What the scripts and descriptions of a build name lies where they say."""

import json
import re
from pathlib import PurePosixPath

import pytest

from tests.emit.engines import make
from vitgen.design.choice import Design
from vitgen.emit.build import emit_build

# Files under the build's directory, by the variable that a script has for it.
NAMED = re.compile(r"\$(root|hls|here)/([\w/]+\.\w+)")
PLACES = {"root": "", "hls": "hls/", "here": "scripts/"}


@pytest.fixture(scope="module", params=["hls", "dsp48"])
def files(request) -> dict[str, str]:
    design = Design("zcu102", 150.0, make("b", request.param), "lut", {}, 1)
    return emit_build(design).texts()


def test_scripts_name_files_that_are_there(files):
    named = {
        PLACES[variable] + path
        for name, text in files.items()
        if name.startswith("scripts/")
        for variable, path in NAMED.findall(text)
    }
    assert {"hls/vit_top.cpp", "hls/testbench.cpp", "scripts/hls_config.cfg"} <= named
    # The open road leaves the SystemVerilog; its script says so where it is missing.
    assert named - set(files) == {"rtl/vit_top.sv"}
    assert ("rtl/multiply.json" in named) == ("rtl/multiply.json" in files)


def test_the_blackbox_names_files_that_are_there(files):
    if "rtl/multiply.json" not in files:
        return
    box = json.loads(files["rtl/multiply.json"])
    assert {f"rtl/{name}" for name in box["rtl_files"]} == {
        name for name in files if name.startswith("rtl/multiply") and name.endswith(".v")
    }
    for entry in box["c_files"]:
        up, *rest = PurePosixPath(entry["c_file"]).parts
        assert up == ".." and "/".join(rest) in files
