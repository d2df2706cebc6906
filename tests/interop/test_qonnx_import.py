"""Networks read from QONNX: vitgen's own come back bit for bit, Brevitas' keep their quantizers."""

import json

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.interop import brevitas_vit
from vitgen import ir
from vitgen.errors import VitgenError
from vitgen.interop.qonnx_import import agreement, read_qonnx
from vitgen.lower.network import assemble
from vitgen.models.config import VitConfig
from vitgen.quant.config import QuantConfig
from vitgen.reference.execute import predict
from vitgen.reference.preprocess import patches_of

CONFIG = VitConfig(
    "other", image=8, patch=2, embed_dim=16, depth=2, heads=2, channels=1, classes=10, mlp_ratio=2.0,
    mean=(0.5,), std=(0.5,),
)  # fmt: skip
BITS = QuantConfig.parse("4/8")


def random_images(seed, count):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 1, 8, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def brevitas_model():
    return brevitas_vit.calibrated()


@pytest.fixture(scope="module")
def brevitas_file(brevitas_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("brevitas") / "other.onnx"
    with pytest.MonkeyPatch.context() as patch:
        brevitas_vit.export(brevitas_model, path, patch)
    return path


def test_an_export_comes_back_with_the_same_integers(vitgen, built, tmp_path):
    """Every weight, multiplier and constant, and with them every byte that the accelerator reads."""
    model = json.loads((built / "state.json").read_text())["request"]["model"]
    file, again = tmp_path / "tiny.onnx", tmp_path / "again"
    said = vitgen("export", built, "--format", "qonnx", "--style", "plain", "--out", file)
    assert said.status == 0, said.err
    options = ("--model", model, "--bits", "4+8/8", "--checkpoint", file)
    said = vitgen("build", *options, "--out", again)
    assert said.status == 0, said.err
    assert "logits of 4 images agree to" in said.err
    first, second = ir.load(built), ir.load(again)
    for op, other in zip(first.ops, second.ops, strict=True):
        assert {n: a.tolist() for n, a in op.arrays()} == {n: a.tolist() for n, a in other.arrays()}
    names = sorted(file.name for file in (built / "data").iterdir())
    assert "weights_0.bin" in names and "logits.bin" in names
    for name in names:
        assert (again / "data" / name).read_bytes() == (built / "data" / name).read_bytes(), name
    said = vitgen("eval", again)
    assert said.status == 2 and "its float model is not in the file" in said.err


def test_a_network_of_brevitas(brevitas_model, brevitas_file):
    network = read_qonnx(brevitas_file, CONFIG, BITS, random_images(0, 3))
    numbers, view = network.numbers, network.view
    graph = assemble(numbers, "other")
    images = random_images(1, 8)
    assert agreement(network, graph, images[:2]) > 30
    codes = np.clip(np.rint(images / graph.meta["input_scale"]), -127, 127).astype(np.int64)
    found = predict(graph, np.stack([patches_of(image, 2) for image in codes]))
    wanted = np.stack([view.execute(image[None])[view.output][0] for image in images])
    assert (found.argmax(1) == wanted.argmax(1)).mean() >= 0.9
    noise = wanted - found * graph.tensors["head.out"].scale
    assert 10 * np.log10((wanted**2).sum() / (noise**2).sum()) > 30
    # The codes and scales are Brevitas' own.
    block = brevitas_model.blocks[1]
    qkv = block.attn.qkv.quant_weight()
    ops = {op.name: op for op in graph.ops}
    parts = [ops[f"blocks.1.attn.{part}"] for part in "qkv"]
    assert (np.concatenate([op.weight for op in parts]) == qkv.int().numpy()).all()
    assert all((op.row_bits == 4).all() and (op.row_scheme == ir.FIXED).all() for op in parts)
    conv = brevitas_model.patch.quant_weight().int().numpy()
    assert (ops["embed"].weight == conv.reshape(16, 4)).all() and (ops["embed"].row_bits == 8).all()
    scale = float(block.act3.act_quant.scale())
    assert graph.tensors["blocks.1.mlp.gelu.out"].scale == pytest.approx(scale, rel=1e-6)
    head = brevitas_model.head.quant_weight().scale.item()
    assert numbers.rows["head"].scale == pytest.approx(np.full(10, head), rel=1e-6)


@pytest.mark.slow
def test_brevitas_other_export_and_the_accelerator_of_it(
    vitgen, brevitas_model, tmp_path, monkeypatch
):
    """torch.export's graph, GELU as one node; the emitted C++ computes what the file does."""
    file, model = tmp_path / "other.onnx", tmp_path / "other.json"
    brevitas_vit.export(brevitas_model, file, monkeypatch, dynamo=True)
    assert any(n.op_type == "Gelu" for n in onnx.load(file).graph.node)
    model.write_text(json.dumps(CONFIG.to_dict()))
    said = vitgen(
        "build", "--model", model, "--bits", "4/8", "--checkpoint", file, "--verify", "csim",
        "--images", 3, "--out", tmp_path / "build", "--json",
    )  # fmt: skip
    assert said.status == 0, said.err
    csim = json.loads(said.out)["verification"]["csim"]
    assert csim["images"] == 3 and csim["mismatches"] == 0


def rewritten(file, path, change):
    """A copy of a file with one thing changed."""
    model = onnx.load(file)
    change(model.graph)
    onnx.save(model, path)
    return path


def node(graph, kind, number=0):
    return [n for n in graph.node if n.op_type == kind][number]


def set_constant(graph, name, value):
    array = np.asarray(value, dtype=np.float32)
    for made in graph.node:
        if made.op_type == "Constant" and made.output[0] == name:
            made.attribute[0].t.CopyFrom(numpy_helper.from_array(array))


def no_softmax(graph):
    node(graph, "Softmax").op_type = "Sigmoid"
    node(graph, "Sigmoid").ClearField("attribute")


def no_quant_before_proj(graph):
    quant = next(
        n for n in graph.node if "blocks.0/attn/mixed" in n.output[0] and n.op_type == "Quant"
    )
    for reader in graph.node:
        for place, name in enumerate(reader.input):
            if name == quant.output[0]:
                reader.input[place] = quant.input[0]
    graph.node.remove(quant)


def zero_point(graph):
    set_constant(graph, node(graph, "Quant").input[2], 3.0)


def heads_interleaved(graph):
    """Queries of (head, token) read as (token, head): every shape agrees, the function differs."""
    first = next(
        n
        for n in graph.node
        if n.op_type == "Transpose" and list(n.attribute[0].ints) == [0, 2, 1, 3]
    )
    first.attribute[0].ints[:] = [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            no_softmax,
            r"node '/blocks.0/attn/Softmax' \(Sigmoid\) is read where a Softmax is expected",
        ),
        (
            no_quant_before_proj,
            r"node '/blocks.0/attn/MatMul_1' \(MatMul\) is read where no Quant precedes",
        ),
        (zero_point, "has a zero point"),
    ],
)
def test_what_is_not_recognised_is_refused_by_name(brevitas_file, tmp_path, change, said):
    path = rewritten(brevitas_file, tmp_path / "m.onnx", change)
    with pytest.raises(VitgenError, match=said):
        read_qonnx(path, CONFIG, BITS, random_images(0, 1))


def test_another_order_of_heads_is_found_by_what_it_answers(brevitas_file, tmp_path):
    path = rewritten(brevitas_file, tmp_path / "m.onnx", heads_interleaved)
    images = random_images(0, 2)
    network = read_qonnx(path, CONFIG, BITS, images)
    graph = assemble(network.numbers, "other")
    with pytest.raises(VitgenError, match=r"computes another tensor than blocks\.0\.attn\.av"):
        agreement(network, graph, images)


def test_other_models_widths_and_files_are_refused(brevitas_file, built, tmp_path):
    def read(path, said, config=CONFIG, bits="4/8"):
        with pytest.raises(VitgenError, match=said):
            read_qonnx(path, config, QuantConfig.parse(bits), random_images(0, 1))

    other = VitConfig(**{**CONFIG.to_dict(), "heads": 4, "stem": ()})
    read(brevitas_file, "has heads 2, the model other has 4", other)
    read(brevitas_file, r"weights of 4 bits and activations of up to 8, not 8/8", bits="8/8")
    larger = VitConfig(**{**CONFIG.to_dict(), "image": 16, "stem": ()})
    read(brevitas_file, r"takes images \[1, 1, 8, 8\], not \[1, 1, 16, 16\]", larger)
    (tmp_path / "none.onnx").write_bytes(b"no protobuf at all")
    read(tmp_path / "none.onnx", "is no ONNX file")
    read(tmp_path / "absent.onnx", "cannot be read: No such file")
    (tmp_path / "half.onnx").write_bytes(brevitas_file.read_bytes()[:5000])
    read(tmp_path / "half.onnx", "not a whole one|no Quant nodes|no valid ONNX model")
    from vitgen.interop.qonnx_write import to_qonnx

    (tmp_path / "exact.onnx").write_bytes(to_qonnx(ir.load(built)))
    tiny = VitConfig(**{**CONFIG.to_dict(), "depth": 1, "stem": ()})
    read(tmp_path / "exact.onnx", r"node .* is read where", tiny, "4+8/8")
