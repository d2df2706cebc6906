"""Reports of a DeiT-B and of a small model with weights, made as a build makes them."""

import copy

import numpy as np
import pytest

from tests.support.deit_steps import deit_steps
from tests.support.graphs import tiny_vit_graph
from vitgen import boards
from vitgen.design.choice import Design, choose_design
from vitgen.design.engine import Engine
from vitgen.report.summary import Subject, compose, summarize

BOARD = boards.load("zcu102")
EXACT = dict(images=1, tensors=514, values=9_812_345, mismatches=0, first=None)
FIRST = dict(
    image=0, run="step", op="blocks.3.attn.qk", tensor="blocks.3.attn.softmax", head=2, row=17,
    column=4, expected=12, got=-3,
)  # fmt: skip
FIDELITY = dict(
    images=599,
    top1_agreement=0.9966,
    top1=dict(float=0.9733, fake_quantized=0.9683, integer=0.9683),
    sqnr_db={"blocks.0.attn.q": 31.5, "blocks.0.norm1": 42.0, "embed": float("inf")},
)

# For 4-bit DeiT-B with a quarter of power-of-two rows; it takes more LUTs than the board has.
DEIT_B_ENGINE = Engine(
    array="dsp48", group_lanes=20, groups=2, dsp_rows=48, pot_rows=48, act_bits=8,
    requant_lanes=10, gelu_lanes=5, softmax_lanes=10, norm_lanes=20, weight_ports=4,
    weight_fifo=2048, max_k=3072, replay_depth=3072, max_tokens=197, max_features=768, max_head_dim=64,
    residual_depth=3840, act_depth=19200, prob_depth=1970, key_depth=3840, value_depth=3840,
)  # fmt: skip

MODULES = [
    dict(name="vit_top", kind="shell", copies=1, dsp=0, lut=1_040, ff=1, bram36=0.5, uram=0),
    dict(
        name="multiply_i", kind="process", copies=2, dsp=960, lut=68_000, ff=25_000, bram36=0.5,
        uram=0,
    ),
]


@pytest.fixture(scope="session")
def make_deit():
    """Composes DeiT-B's report with other evidence."""
    subject = Subject(
        "deit_b", "4/8", "mixed", 86_566_888, deit_steps("b", bits=4, pot_ratio=0.25)
    )
    shares = {"dsp": 0.9956, "lut": 0.9947, "ff": 0.627, "bram36": 0.6676, "uram": 0.0}
    design = Design("zcu102", 150.0, DEIT_B_ENGINE, "dsp", shares, 17897)

    def make(**evidence):
        return compose(subject, design, request={"model": "deit_b", "bits": "4/8"}, **evidence)

    return make


@pytest.fixture(scope="session")
def _deit(make_deit):
    return make_deit(verification={"csim": EXACT})


@pytest.fixture(scope="session")
def _tiny():
    graph = tiny_vit_graph(np.random.default_rng(3), tokens=9, width=24, depth=2, mlp=40)
    design = choose_design(graph, BOARD, 150.0, "dsp48")
    return graph, design, summarize(
        graph, design, request={"model": "tiny_vit"}, verification={"csim": None},
        fidelity=FIDELITY, weights="trained",
    )  # fmt: skip


@pytest.fixture
def deit(_deit):
    """DeiT-B with synthetic weights, compared on one photograph; a copy to change at will."""
    return copy.deepcopy(_deit)


@pytest.fixture
def tiny(_tiny):
    """A small model with fidelity and without any comparison; a copy to change at will."""
    return copy.deepcopy(_tiny[2])


@pytest.fixture
def tiny_build(_tiny):
    """Graph and design of ``tiny``."""
    return _tiny[:2]
