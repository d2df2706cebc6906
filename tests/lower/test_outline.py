"""The outline against the graph of the same model with weights: shapes, widths, rows, workload, needs."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from vitgen.design.cost_workload import Workload
from vitgen.design.needs import needs_of
from vitgen.design.steps import fuse
from vitgen.errors import VitgenError
from vitgen.ir import Linear
from vitgen.lower import lower
from vitgen.lower.outline import outline
from vitgen.models import config, create
from vitgen.models.config import names
from vitgen.quant import QuantConfig, calibrate

SETTINGS = {
    "plain": ("8/8", {}),
    "mixed": ("4/8", dict(scheme="mixed")),
    "few": ("4/8", dict(scheme="mixed", pot_ratio=0.12)),
    "pot": ("4/5", dict(scheme="pot")),
    "wide": ("4+8/6", dict(scheme="mixed", pot_ratio=0.3, wide_ratio=0.45)),
    "beside": ("8/7", dict(scheme="mixed", pot_ratio=0.5)),
    "layers": (
        "4+8/8",
        dict(
            scheme="mixed",
            overrides={
                "blocks.*.attn.q": {"pot_ratio": 0.5, "act_bits": 6},
                "blocks.0.mlp.*": {"weight_bits": "8", "scheme": "fixed"},
                "blocks.*.mlp.gelu": {"act_bits": 4},
            },
        ),
    ),
}
EVERY = [("vit_digits", setting) for setting in SETTINGS] + [
    ("deit_t", "layers"), ("deit_s", "few"), ("deit_b", "mixed"), ("lvvit_s", "wide"),
    ("lvvit_m", "beside"), ("vit_canvas", "mixed"),
]  # fmt: skip


def small(name):
    """The model with a block or two and four patches: rows and features are its own."""
    whole = config(name)
    if name == "vit_digits":
        return whole
    depth = 1 if whole.embed_dim > 512 else 2
    return dataclasses.replace(whole, image=2 * whole.patch, depth=depth)


def lowered(shape, quant):
    model = create(shape, quant, 0).eval()
    side = shape.image
    generator = torch.Generator().manual_seed(1)
    calibrate(model, torch.randn(1, shape.channels, side, side, generator=generator))
    return lower(model)


def assert_alike(found, expected):
    assert found.name == expected.name and found.input == expected.input
    assert found.output == expected.output
    assert {k: v for k, v in found.meta.items() if k != "input_scale"} == {
        k: v for k, v in expected.meta.items() if k != "input_scale"
    }
    assert [(op.kind, op.name, op.inputs, op.output) for op in found.ops] == [
        (op.kind, op.name, op.inputs, op.output) for op in expected.ops
    ]
    assert {t.name: (t.shape, t.bits) for t in found.tensors.values()} == {
        t.name: (t.shape, t.bits) for t in expected.tensors.values()
    }
    for one, other in zip(found.ops, expected.ops, strict=True):
        if isinstance(other, Linear):
            assert one.weight.shape == other.weight.shape
            assert one.tokens == other.tokens and one.relu == other.relu
            for kind in (0, 1):
                for bits in (4, 8):
                    rows = [
                        int(np.sum((op.row_scheme == kind) & (op.row_bits == bits)))
                        for op in (one, other)
                    ]
                    assert rows[0] == rows[1], other.name
    assert found.macs == expected.macs and found.weights == expected.weights


def spoken(shape):
    """A shape as text; those of a stem hold ops, which are not compared by value."""
    fields = dataclasses.asdict(shape)
    if "stem" in fields:
        stages = shape.stem.stages
        return (
            "stem", shape.tokens, shape.macs, shape.project.rows_by_kind, shape.stem.words,
            [(s.rows, s.k, s.source, s.target) for s in stages],
        )  # fmt: skip
    return (type(shape).__name__, fields)


@pytest.mark.parametrize(("name", "setting"), EVERY)
def test_outline_is_the_graph_without_its_integers(name, setting):
    bits, options = SETTINGS[setting]
    shape, quant = small(name), QuantConfig.parse(bits, **options)
    found, expected = outline(shape, quant), lowered(shape, quant)
    assert_alike(found, expected)
    steps, whole = fuse(found), fuse(expected)
    assert needs_of(found, steps) == needs_of(expected, whole)
    units, others = Workload(steps).units, Workload(whole).units
    assert [(u.name, spoken(u.shape), u.accesses) for u in units] == [
        (u.name, spoken(u.shape), u.accesses) for u in others
    ]


def test_every_model_was_compared():
    assert {name for name, _ in EVERY} == set(names())
    assert {setting for _, setting in EVERY} == set(SETTINGS)


def test_an_override_of_nothing_is_refused():
    quant = QuantConfig.parse("4/8", overrides={"blocks.9.*": {"act_bits": 6}})
    with pytest.raises(VitgenError, match="matches no op"):
        outline(config("vit_digits"), quant)


def test_outline_needs_no_torch():
    script = (
        "import sys; from vitgen.lower.outline import outline; "
        "from vitgen.models.config import config; from vitgen.quant.config import QuantConfig; "
        "outline(config('deit_b'), QuantConfig.parse('4/8')); "
        "assert not {'torch', 'brevitas'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
