"""What a build leaves: the same bytes for the same inputs, and figures that hold for these bytes."""

import hashlib
import json
from dataclasses import replace

import pytest
from safetensors.torch import save_file

import vitgen as library
from tests.flow.conftest import files_of
from tests.reference import naive
from vitgen import VitgenError, ir
from vitgen.csim.loader import SimulationFailed
from vitgen.data import digits
from vitgen.flow import steps as flow_steps
from vitgen.flow.build import build, verify
from vitgen.flow.evaluate import evaluate
from vitgen.flow.lowering import model_of
from vitgen.flow.request import BuildRequest
from vitgen.lower import lower
from vitgen.lower.fidelity import evaluate as compare
from vitgen.lower.prepare import float_twin
from vitgen.models import config, create
from vitgen.reference.preprocess import preprocess


@pytest.fixture(scope="module")
def request_of_tiny(tiny, tmp_path_factory):
    """Weights from a file, so that there is an accuracy, if not a good one."""
    weights = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(create(config(tiny), None, 7).state_dict(), weights)
    return BuildRequest(model=str(tiny), bits="4/8", checkpoint=weights)


@pytest.fixture(scope="module")
def built(request_of_tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    return out, build(request_of_tiny, out, verify="csim", images=3)


def test_the_report_counts_what_was_compared(built, vitgen):
    out, report = built
    csim = report["verification"]["csim"]
    assert (csim["images"], csim["mismatches"]) == (3, 0) and csim["tensors"] > 3
    assert json.loads((out / "report.json").read_text()) == report
    assert vitgen("report", out).status == 0
    said = vitgen("report", out, "--json")
    assert said.status == 0 and json.loads(said.out) == report


def test_the_manifest_names_every_file(built):
    out, _ = built
    named = json.loads((out / "manifest.json").read_text())
    assert set(named) == set(files_of(out)) - {"manifest.json"}
    assert {"ir.json", "design.json", "report.json", "data/program.bin"} <= set(named)


def test_the_driver_names_what_was_built(built):
    """Its record of data and cycles is that of the files and of the report."""
    out, report = built
    record = json.loads((out / "host" / "vitgen_tiny" / "deployment.json").read_text())
    files = [b for b in (*record["buffers"], *record["golden"].values()) if b["file"]]
    assert {b["file"] for b in files} == {p.name for p in (out / "data").iterdir()}
    for entry in files:
        content = (out / "data" / entry["file"]).read_bytes()
        assert len(content) == entry["bytes"]
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    completed = {row["name"]: row["cycles"]["completed"] for row in report["layers"]}
    assert {row["name"]: row["cycles"] for row in record["layers"]} == completed
    assert record["weights"] == report["weights"]


def test_the_same_inputs_give_the_same_bytes(built, request_of_tiny, tmp_path):
    build(request_of_tiny, tmp_path / "again", verify="csim", images=3)
    assert files_of(tmp_path / "again") == files_of(built[0])


def test_a_finished_build_is_not_made_again(built, request_of_tiny, monkeypatch):
    def refuse(*_):
        raise AssertionError("a complete step ran again")

    monkeypatch.setattr("vitgen.flow.lowering.lower_request", refuse)
    for name in ("choose_design", "emit_build", "build_program", "compile_engine"):
        monkeypatch.setattr(f"vitgen.flow.steps.{name}", refuse)
    before = files_of(built[0])
    build(request_of_tiny, built[0], verify="csim", images=3)
    assert build(request_of_tiny, built[0]) == built[1]  # the verification still holds
    assert files_of(built[0]) == before


def test_hardware_depends_on_the_design_alone(built, request_of_tiny, tiny, tmp_path):
    """New weights run on the same bitstream."""
    others = [replace(request_of_tiny, checkpoint=None, seed=seed) for seed in (0, 1)]
    builds = [built[0]]
    for index, other in enumerate(others):
        builds.append(tmp_path / str(index))
        build(other, builds[-1])
    assert len({(out / "design.json").read_bytes() for out in builds}) == 1
    files = [files_of(out) for out in builds]
    for name in files[1]:
        same = all(f[name] == files[0][name] for f in files)
        if name.startswith(("hls/", "rtl/", "scripts/")):
            assert same, name
        if name in ("ir.npz", "data/weights_0.bin"):
            assert not same, name


@pytest.mark.parametrize("file", ["data/weights_0.bin", "hls/types.h", "ir.npz", "report.html"])
def test_a_changed_byte_is_noticed_and_mended(built, request_of_tiny, vitgen, file):
    out, _ = built
    before = files_of(out)
    damaged = bytearray(before[file])
    damaged[len(damaged) // 2] ^= 1
    (out / file).write_bytes(damaged)
    said = vitgen("report", out)
    assert said.status == 2 and "files were changed" in said.err
    build(request_of_tiny, out, verify="csim", images=3)
    assert files_of(out) == before


@pytest.fixture
def wrong_weights(monkeypatch):
    """The memory image on disk holds weights that are not the network's."""
    honest = flow_steps.build_program

    def planted(graph, engine):
        program = honest(graph, engine)
        port = program.weights[0].copy()
        port[: len(port) // 2] ^= 1
        return replace(program, weights=(port, *program.weights[1:]))

    monkeypatch.setattr(flow_steps, "build_program", planted)


def test_a_difference_ends_with_1(wrong_weights, tiny, vitgen, tmp_path):
    command = ("build", "--model", tiny, "--bits", "4/8", "--out", tmp_path / "out")
    said = vitgen(*command, "--verify", "csim", "--images", 1, "--json")
    assert said.status == 1
    csim = json.loads(said.out)["verification"]["csim"]
    assert csim["mismatches"] > 0 and csim["first"]["op"] == "embed"
    assert vitgen("report", tmp_path / "out").status == 1
    # It is found again as long as nothing else was compared.
    assert vitgen(*command).status == 1


def test_a_deadlock_ends_with_1(tiny, vitgen, tmp_path, monkeypatch):
    def stuck(*_):
        raise SimulationFailed("deadlock: process feed waits for weights")

    monkeypatch.setattr("vitgen.flow.steps.Worker.call", stuck)
    said = vitgen("build", "--model", tiny, "--bits", "4/8", "--out", tmp_path / "out",
                  "--verify", "csim", "--images", 1)  # fmt: skip
    assert said.status == 1 and "process feed waits" in said.err
    assert vitgen("report", tmp_path / "out").status == 2


def test_other_images_are_compared_anew(built, request_of_tiny):
    out, report = built
    assert verify(out, level="csim", images=2)["verification"]["csim"]["images"] == 2
    assert build(request_of_tiny, out, verify="csim", images=3) == report


def test_figures_of_another_vitgen_do_not_outlive_it(built, request_of_tiny, monkeypatch):
    out, report = built
    with monkeypatch.context() as patch:
        patch.setattr("vitgen.flow.directory.tool_digest", lambda: "another")
        assert build(request_of_tiny, out)["verification"]["csim"] is None
    assert build(request_of_tiny, out, verify="csim", images=3) == report


def test_evaluation_is_kept_in_the_report(request_of_tiny, tmp_path):
    out = tmp_path / "out"
    build(request_of_tiny, out)
    result = evaluate(out, None)
    assert result["images"] == 599
    fidelity = json.loads((out / "report.json").read_text())["fidelity"]
    assert fidelity["top1"] == result["top1"]
    assert "fidelity.json" in json.loads((out / "manifest.json").read_text())
    assert evaluate(out, None) == result


def test_the_integer_networks_accuracy_by_plain_integers(request_of_tiny):
    model = model_of(request_of_tiny)
    graph = lower(model)
    files = ir.dump(graph)
    images, labels = (part[:100] for part in digits()[1])
    right = 0
    for image, label in zip(images, labels, strict=True):
        patches = preprocess(graph.meta, image).tolist()
        (logits,) = naive.execute(files, patches)[graph.output]
        right += logits.index(max(logits)) == label
    samples = [(image, int(label)) for image, label in zip(images, labels, strict=True)]
    found = compare(graph, float_twin(model), model, samples)
    assert found["top1"]["integer"] == right / 100


def test_the_library_builds_as_the_command_line_does(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = library.build(str(tiny), "4/8")
    assert json.loads((tmp_path / "build/tiny/report.json").read_text()) == report
    with pytest.raises(VitgenError, match="Unknown board"):
        library.build(str(tiny), "4/8", board="none")
