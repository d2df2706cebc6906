"""The exported QONNX file, run by qonnx's executor and compared with the naive executor's integers."""

import json

import numpy as np
import pytest

from tests.interop import qonnx_run
from tests.quant.conftest import stem_images, stem_model
from tests.reference import naive
from tests.support.graphs import tiny_vit_graph
from vitgen import ir, lower
from vitgen.errors import VitgenError
from vitgen.interop.qonnx_write import to_qonnx

__all__ = ["stem_images", "stem_model"]

NEARLY_TIED = 0.05  # of the logits' deviation: half of what the floats may be away


def naive_values(graph, patches):
    values = naive.execute(ir.dump(graph), patches.tolist())
    return {name: np.asarray(value) for name, value in values.items()}


def compare(graph, path, seed):
    model = qonnx_run.load(to_qonnx(graph), path)
    image = qonnx_run.on_grid(graph, np.random.default_rng(seed))
    found = qonnx_run.integers(model, image)
    wanted = naive_values(graph, found[graph.input])
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert (found[name] == value).all(), name
    return model, image, wanted


def test_qonnx_gives_every_integer_of_the_network(built, tmp_path):
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes
    from qonnx.util.cleanup import cleanup_model

    from vitgen.reference.preprocess import patches_of

    graph = ir.load(built)
    model, image, wanted = compare(graph, tmp_path / "m.onnx", 0)
    codes = np.rint(image[0] / graph.meta["input_scale"]).astype(np.int64)
    assert (wanted[graph.input][1:] == patches_of(codes, graph.meta["patch"])[1:]).all()
    # As a toolchain would take it in: cleaned up, shapes inferred anew.
    clean = cleanup_model(model.transform(InferShapes()))
    (logits,) = execute_onnx(clean, {clean.graph.input[0].name: image}).values()
    scale = graph.tensors[graph.output].scale
    assert (np.rint(logits / scale) == wanted[graph.output]).all()
    assert np.allclose(logits, wanted[graph.output] * scale, rtol=1e-6)


def test_weights_have_a_scale_per_row_and_the_width_of_their_rows(built, tmp_path):
    graph = ir.load(built)
    model = qonnx_run.load(to_qonnx(graph), tmp_path / "m.onnx")
    widths = {}
    for node in model.get_nodes_by_op_type("Quant"):
        kind = node.output[0].rpartition("/")[2]
        if kind in ("fixed4", "fixed8", "pot"):
            scale, bits = model.get_initializer(node.input[1]), model.get_initializer(node.input[3])
            rows = model.get_initializer(node.input[0]).shape[1]
            assert scale.shape == (1, rows) and (scale > 0).all()
            widths[kind] = float(bits)
            codes = model.get_initializer(node.input[0]) / scale
            assert (codes == np.rint(codes)).all() and np.abs(codes).max() < 2 ** (bits - 1)
    assert widths == {"fixed4": 4.0, "fixed8": 8.0, "pot": 8.0}


@pytest.mark.slow
def test_a_network_with_a_stem_of_convolutions(stem_model, tmp_path):
    compare(lower.lower(stem_model), tmp_path / "m.onnx", 1)


def test_odd_graphs(tmp_path):
    """Saturation, a GELU gain, softmax shifts, rows without and with a negative multiplier."""
    graph = tiny_vit_graph(
        np.random.default_rng(3), patch_features=4, residual_std=16000.0, delta=128, act_bits=6,
        shifts=(3,), depth=1, fraction=9,
    )  # fmt: skip
    linear = next(op for op in graph.ops if op.name == "blocks.0.mlp.fc2")
    linear.mult[0], linear.mult[1] = 0, -linear.mult[1]
    graph.meta.update(image=[1, 4, 4], patch=2, input_scale=0.013)
    _, _, wanted = compare(graph, tmp_path / "m.onnx", 4)
    assert np.abs(wanted["blocks.0.mlp.add"]).max() == 32767


def test_plain_style_is_near(built, tmp_path):
    """Signal over noise of the standard functions, and logits in the same order but for near ties."""
    graph = ir.load(built)
    model = qonnx_run.load(to_qonnx(graph, exact=False), tmp_path / "m.onnx")
    kinds = {node.op_type for node in model.graph.node}
    assert {"Softmax", "LayerNormalization", "Erf"} <= kinds and not {"Floor", "Cast"} & kinds
    rng = np.random.default_rng(5)
    ratios = {}
    for _ in range(4):
        found = qonnx_run.integers(model, qonnx_run.on_grid(graph, rng))
        wanted = naive_values(graph, found[graph.input])
        logits, near = (values[graph.output].ravel() for values in (wanted, found))
        clear = np.subtract.outer(logits, logits) > NEARLY_TIED * logits.std()
        assert clear.sum() > 0.4 * logits.size * (logits.size - 1)  # of half the ordered pairs
        assert (np.subtract.outer(near, near)[clear] > 0).all()
        for name, value in wanted.items():
            noise = max(float(((found[name] - value) ** 2).sum()), 1e-9)
            ratio = 10 * np.log10(float((value**2).sum()) / noise)
            ratios[name] = min(ratio, ratios.get(name, 999.0))
    assert ratios["embed.add.out"] > 100
    assert min(ratios.values()) > 20, ratios


def test_command_and_refusals(vitgen, built, tmp_path, monkeypatch):
    file = tmp_path / "tiny.onnx"
    said = vitgen("export", built, "--format", "qonnx", "--style", "plain", "--out", file, "--json")
    assert said.status == 0 and json.loads(said.out)["files"] == [str(file)]
    assert file.read_bytes() == to_qonnx(ir.load(built), exact=False)
    said = vitgen("export", built, "--format", "qonnx", "--out", tmp_path)
    assert said.status == 2 and "is a directory" in said.err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = vitgen("export", built, "--format", "qonnx", "--out", tmp_path / "no.onnx")
    assert said.status == 2 and "onnx is not installed" in said.err
    assert "pip install 'vitgen[interop]'" in said.err and not (tmp_path / "no.onnx").exists()


def test_a_graph_that_knows_no_images_is_refused():
    with pytest.raises(VitgenError, match="does not say what its images look like"):
        to_qonnx(tiny_vit_graph(np.random.default_rng(0)))
