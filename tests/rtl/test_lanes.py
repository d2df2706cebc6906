"""Engines whose RTL is known to be wrong are refused, not simulated."""

from dataclasses import replace

import pytest

from tests.rtl.engines import ENGINES
from vitgen.errors import VitgenError
from vitgen.rtl.build import build_simulation


def test_groups_that_are_too_wide():
    wide = replace(
        ENGINES["even"], group_lanes=33, array="dsp48", dsp_rows=20, requant_lanes=33,
        gelu_lanes=33, softmax_lanes=33, norm_lanes=33,
    )  # fmt: skip
    with pytest.raises(VitgenError, match="33 lanes"):
        build_simulation(wide)
