"""The notebook that ships, run headless in a kernel whose device is the reference."""

import base64
import io
import json
import os
import re
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from tests.host.build import PACKAGE, Built

SETUP = """
import sys, warnings
warnings.simplefilter("ignore")
sys.path[:0] = [{root!r}, {host!r}]
import pynq
from tests.host.fake import FakeDevice
from tests.host.build import Built, design_of, graph_of
from vitgen.design.schedule import build_program
from pathlib import Path
_graph = graph_of()
_engine = design_of(_graph).engine
_built = Built(Path({path!r}), _graph, _engine, build_program(_graph, _engine))
pynq.Device.active_device = FakeDevice(_built, "notebook")
import vitgen_tiny_vit
vitgen_tiny_vit.lock.FOLDERS = (_built.path,)
"""


@pytest.fixture(scope="module")
def executed(emitted: Built):
    """The notebook with its outputs, and the figures as arrays."""
    source = emitted.host / PACKAGE / "notebooks" / "classify.ipynb"
    notebook = nbformat.read(source, as_version=4)
    nbformat.validate(notebook)
    root = str(Path(__file__).resolve().parents[2])
    setup = SETUP.format(root=root, host=str(emitted.host), path=str(emitted.path))
    notebook.cells.insert(0, nbformat.v4.new_code_cell(setup, id="setup"))
    client = nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
        client.execute()
    return notebook


def outputs(notebook, containing):
    (cell,) = [c for c in notebook.cells if c.cell_type == "code" and containing in c.source]
    return cell.outputs


def text(found) -> str:
    return "".join(o.get("text", "") or o.get("data", {}).get("text/plain", "") for o in found)


def figure(found) -> np.ndarray:
    (data,) = [o["data"]["image/png"] for o in found if "image/png" in o.get("data", {})]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def test_it_runs(executed, emitted):
    assert "All logits are equal" in text(outputs(executed, "self_test"))
    said = text(outputs(executed, "predict_stream"))
    assert re.search(r"^\d+\.\d frames per second, file to class", said, re.MULTILINE)
    assert "at 150 MHz" in said
    image = np.asarray(Image.open(emitted.host / PACKAGE / "notebooks" / "sample.png"))
    assert np.array_str(emitted.logits(image)[:3])[1:-1].split()[0] in text(
        outputs(executed, "predictions.logits")
    )
    instructions = re.search(r"(\d+) instructions", text(outputs(executed, "show_layers(profile)")))
    assert int(instructions.group(1)) > 10


def test_its_figures_are_there(executed):
    for containing in ("show_top(PICTURE", "show_layers(profile)"):
        pixels = figure(outputs(executed, containing))
        assert min(pixels.shape[:2]) > 200 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20


def test_it_teaches(executed):
    prose = [cell for cell in executed.cells if cell.cell_type == "markdown"]
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert len(prose) >= 9 and len(code) >= 9
    assert "synthetic" in prose[0].source  # what this build is


def test_the_same_text_gives_the_same_bytes(emitted):
    path = emitted.host / PACKAGE / "notebooks" / "classify.ipynb"
    record = json.loads(path.read_text())
    assert [cell["id"] for cell in record["cells"]] == [
        f"cell-{number}" for number in range(len(record["cells"]))
    ]
    assert all(not cell.get("outputs") for cell in record["cells"])
