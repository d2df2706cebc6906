"""The mixed linear layer as hls4ml compiles it, compared with the naive executor's integers."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.reference import naive
from tests.support.graphs import Rows, random_linear
from vitgen.errors import VitgenError
from vitgen.interop.hls4ml_layer import NAME, MixedLinear, register, torch_module


def layer(seed, rows, features, mix, in_bits=8, out_bits=8, relu=False, **fractions):
    op = random_linear(
        np.random.default_rng(seed), "layer", "x", rows=rows, features=features, mix=mix, relu=relu,
        input_std=2 ** (in_bits - 1) / 3, output_std=2 ** (out_bits - 1) / 2,
    )  # fmt: skip
    return MixedLinear(op, in_bits, out_bits, **fractions)


def expected(numbers, x):
    op = dataclasses.asdict(numbers.op)
    op |= {name: op[name].tolist() for name in ("weight", "bias", "mult")}
    return naive.linear(op, x.tolist(), numbers.out_bits)


class Chain(torch.nn.Module):
    def __init__(self, *numbers):
        super().__init__()
        self.first, self.second, self.third = (torch_module(n) for n in numbers)

    def forward(self, x):
        return self.third(self.second(self.first(x)))


def convert(model, shape, folder, precision):
    import hls4ml

    config = hls4ml.utils.config_from_pytorch_model(
        model, shape, granularity="name", backend="Vitis", channels_last_conversion="off",
        transpose_outputs=False, default_precision=precision,
    )  # fmt: skip
    return hls4ml.converters.convert_from_pytorch_model(
        model, output_dir=str(folder), backend="Vitis", io_type="io_parallel", hls_config=config
    )


def test_compiled_layers_give_the_integers(tmp_path):
    """Three layers in a row: rows of all kinds, powers of two alone with ReLU, fixed rows alone."""
    numbers = (
        layer(0, 11, 13, Rows(4, pot_ratio=0.4, wide_ratio=0.3), out_fraction=5),
        layer(1, 7, 11, Rows(4, pot_ratio=1.0), out_bits=6, relu=True, in_fraction=5),
        layer(2, 5, 7, Rows(4), in_bits=6, out_bits=12),
    )
    register("Vitis")
    register("Vitis")  # again: nothing happens
    model = Chain(*numbers).eval()
    compiled = convert(model, (3, 13), tmp_path / "hls", "ap_fixed<8,8>")
    compiled.compile()
    rng = np.random.default_rng(4)
    images = rng.integers(-127, 128, (20, 3, 13))
    images[0] = 127 * np.where(rng.random((3, 13)) < 0.5, -1, 1)
    found = compiled.predict(images.astype(np.float32)).reshape(20, 3, 5)
    values = [images]
    for one in numbers:
        values.append(np.asarray([expected(one, x) for x in values[-1]]))
    assert (found == values[-1]).all()
    with torch.no_grad():
        assert (model(torch.from_numpy(images).float()).numpy() == values[-1]).all()
    # Every part is exercised: saturated codes, rectified ones, many values.
    assert np.abs(values[1]).max() == 127 and (values[2] == 0).any() and values[2].max() == 31
    assert len(np.unique(values[3])) > 50
    source = (tmp_path / "hls/firmware/myproject.cpp").read_text()
    assert source.count("nnet::vitgen_mixed_linear<") == 3


def test_what_does_not_fit_is_refused(tmp_path):
    register("Vitis")
    numbers = layer(0, 4, 6, Rows(4, pot_ratio=0.5))
    model = Chain(numbers, layer(1, 4, 4, Rows(4)), layer(2, 4, 4, Rows(4))).eval()
    with pytest.raises(VitgenError, match="not codes of 8 bits with 0 fractional"):
        convert(model, (6,), tmp_path / "hls", "ap_fixed<16,6>").write()
    with pytest.raises(VitgenError, match="no layer for the backend 'Quartus'"):
        register("Quartus")
    first = dataclasses.replace(numbers.op, tokens=1)
    with pytest.raises(VitgenError, match="first 1 tokens only"):
        MixedLinear(first, 8, 8)
    with pytest.raises(VitgenError, match="accumulator"):
        MixedLinear(dataclasses.replace(numbers.op, bias=numbers.op.bias + 2**26), 8, 8)


def test_the_layer_is_named_as_its_module():
    module = torch_module(layer(0, 4, 6, Rows(4)))
    assert type(module).__name__ == NAME
