"""The notebook that ships, executed as it is by ``vitgen run --notebook`` on the C-sim."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def executed(vitgen, digits, tmp_path):
    out = tmp_path / "out.ipynb"
    said = vitgen("run", digits, "--notebook", out)
    assert said.status == 0, said.err
    return json.loads(out.read_text())


def test_it_runs_from_end_to_end(executed, digits):
    (shipped,) = digits.glob("host/*/notebooks/classify.ipynb")
    cells = json.loads(shipped.read_text())["cells"]
    assert [c["source"] for c in executed["cells"]] == [c["source"] for c in cells], "unchanged"
    code = [cell for cell in executed["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    said = "".join("".join(o.get("text", "")) for o in outputs)
    assert "All logits are equal to the reference." in said
    figures = [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]
    assert len(figures) == 2
    for figure in figures:
        pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(figure))).convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20, "not blank"


def test_a_cell_that_fails_is_named(vitgen, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("VITGEN_TIMEOUT", "never")
    said = vitgen("run", digits, "--notebook", tmp_path / "out.ipynb")
    assert said.status == 1 and "VITGEN_TIMEOUT is 'never'" in " ".join(said.err.split())
    assert not (tmp_path / "out.ipynb").exists()
