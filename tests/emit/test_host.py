"""What a build ships for the board: deployment.json says the truth, files depend on data alone."""

import hashlib
import json

import pytest

from tests.host.build import PACKAGE, design_of, emit, graph_of, stem_graph
from vitgen.design.isa import Opcode
from vitgen.design.stepping import single_steps
from vitgen.emit import wiring
from vitgen.emit.hls import design_digest
from vitgen.emit.host import package_name
from vitgen.emit.notebook import notebook


@pytest.fixture(scope="module")
def emitted(tmp_path_factory):
    graph = graph_of()
    built = emit(graph, design_of(graph), tmp_path_factory.mktemp("emit") / "build")
    return built, json.loads((built.host / PACKAGE / "deployment.json").read_text())


def test_names_of_packages():
    assert package_name("vit_digits") == "vitgen_vit_digits"
    assert package_name("My-Net.2") == "vitgen_my_net_2"


def test_what_the_build_is(emitted):
    built, record = emitted
    assert record["format"] == 1 and record["package"] == PACKAGE
    assert record["design"] == design_digest(built.engine)
    assert (record["board"], record["part"]) == ("zcu102", "xczu9eg-ffvb1156-2-e")
    assert record["instructions"] == len(built.program.instructions)
    assert record["weights"] == "synthetic" and record["clock_mhz"] == 150.0
    assert record["logits"]["classes"] == 10
    assert record["logits"]["scale"] == built.graph.tensors["head"].scale
    assert record["classes"] == list("0123456789")


def test_buffers_are_the_files_in_the_order_of_the_arguments(emitted):
    built, record = emitted
    assert [b["name"] for b in record["buffers"]] == [p.name for p in wiring.ports(built.engine)]
    assert [b["name"] for b in record["buffers"] if b["written"]] == ["output"]
    for entry in [*record["buffers"], *record["golden"].values()]:
        if entry["file"] is None:
            assert entry["name"] in ("image", "output")
            continue
        content = (built.path / "data" / entry["file"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    sizes = {b["name"]: b["bytes"] for b in record["buffers"]}
    assert sizes["image"] == (built.path / "data" / "image.bin").stat().st_size
    assert sizes["output"] == 32  # ten logits of two bytes, whole beats


@pytest.mark.parametrize("make", [graph_of, stem_graph])
def test_every_instruction_belongs_to_one_layer(make, tmp_path):
    graph = make()
    built = emit(graph, design_of(graph), tmp_path / "build")
    record = json.loads((built.host / PACKAGE / "deployment.json").read_text())
    owner = {}
    for layer in record["layers"]:
        for first, end in layer["instructions"]:
            for index in range(first, end):
                assert index not in owner
                owner[index] = layer["name"], layer["kind"]
    kinds = {Opcode.NORM: "layernorm", Opcode.LOAD: "load", Opcode.STOP: "program",
             Opcode.SET_TOKENS: "program"}  # fmt: skip
    for index, instruction in enumerate(built.program.instructions):
        name, kind = owner[index]
        if instruction.opcode is Opcode.GEMM:
            ending = {"scores": "qk", "values": "av"}.get(kind)
            assert name == instruction.op and (ending is None or ending in name)
        else:
            assert kind == kinds[instruction.opcode]
            assert name == ("program" if kind == "program" else instruction.op)
    assert len(owner) == len(built.program.instructions)


@pytest.mark.parametrize("make", [graph_of, stem_graph])
def test_stops_of_the_steps(make, tmp_path):
    """Put together here from the record alone, a step is what the stepping makes."""
    graph = make()
    built = emit(graph, design_of(graph), tmp_path / "build")
    record = json.loads((built.host / PACKAGE / "deployment.json").read_text())["steps"]
    mask = (1 << record["alone_bits"]) - 1
    expected = {index: step for index, step in single_steps(built.program)}
    assert {i for i, stop in enumerate(record["stop_of"]) if stop is not None} == set(expected)
    for index, step in expected.items():
        words = [one.encode() for one in step]
        assert int(record["stops"][record["stop_of"][index]], 16) == words[-1]
        assert built.program.instructions[index].encode() & mask == words[-2]
    assert len(record["stops"]) == len(set(record["stops"]))


def test_names_of_imagenet_go_with_a_thousand_classes(tmp_path):
    graph = graph_of(classes=1000)
    built = emit(graph, design_of(graph), tmp_path / "build")
    folder = built.host / PACKAGE
    names = json.loads((folder / "deployment.json").read_text())["classes"]
    assert len(names) == len(set(names)) == 1000
    # Well-known places of the list.
    known = {0: "tench", 1: "goldfish", 281: "tabby", 282: "tiger cat", 388: "giant panda",
             504: "coffee mug", 999: "toilet tissue"}  # fmt: skip
    assert {index: names[index] for index in known} == known
    assert "Princeton University" in (folder / "WORDNET-LICENSE.txt").read_text()
    few = graph_of(classes=7)
    other = emit(few, design_of(few), tmp_path / "other")
    assert json.loads((other.host / PACKAGE / "deployment.json").read_text())["classes"] is None
    assert not (other.host / PACKAGE / "WORDNET-LICENSE.txt").exists()


def test_the_driver_is_the_same_for_every_build(emitted, tmp_path):
    built, _ = emitted
    graph = stem_graph(5)
    other = emit(graph, design_of(graph, groups=3), tmp_path / "build")

    def code(one):
        return {p.relative_to(one.host): p.read_bytes() for p in one.host.rglob("*.py")}

    assert code(built) == code(other) and len(code(built)) > 8


def test_the_same_inputs_give_the_same_bytes(emitted, tmp_path):
    built, _ = emitted
    graph = graph_of()
    again = emit(graph, design_of(graph), tmp_path / "build")

    def files(one):
        return {p.relative_to(one.path): p.read_bytes() for p in one.path.rglob("*") if p.is_file()}

    assert files(built) == files(again)


def test_a_text_of_cells():
    made = json.loads(notebook("# %% [markdown]\n# # Title\n#\n# Text.\n\n# %%\nx = 1\n\ny = 2\n"))
    prose, code = made["cells"]
    assert prose["cell_type"] == "markdown" and "".join(prose["source"]) == "# Title\n\nText."
    assert code["cell_type"] == "code" and "".join(code["source"]) == "x = 1\n\ny = 2"
    with pytest.raises(ValueError, match="before the first cell"):
        notebook("x = 1\n# %%\n")
    with pytest.raises(ValueError, match="no comment"):
        notebook("# %% [markdown]\nx = 1\n")
