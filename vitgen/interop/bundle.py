"""The integer bundle: a network's two IR files, golden vectors and the specification.

Whoever reads it needs a JSON parser and ``.npy`` arrays, nothing of vitgen.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitgen import __version__, ir
from vitgen.ir import Graph
from vitgen.reference.execute import execute
from vitgen.resources import specification, templates_dir

FORMAT = 1
GOLDEN = "golden.npz"
SPECIFICATION = "ir.md"


def golden_arrays(graph: Graph, images: Sequence[NDArray[Any]]) -> bytes:
    """An ``.npz`` of every tensor of every image, ``IMAGE/TENSOR`` with images counted from 0.

    Parameters
    ----------
    images : integer inputs of the graph, ``(tokens, features)`` each.

    Returns
    -------
    bytes : zip of ``.npy`` members, ``int16``, not compressed; the same bytes for the same values.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number, patches in enumerate(images):
            values = execute(graph, np.asarray(patches, dtype=np.int64), keep=list(graph.tensors))
            for name, value in sorted(values.items()):
                member = io.BytesIO()
                np.save(member, np.ascontiguousarray(value, dtype=np.int16), allow_pickle=False)
                archive.writestr(zipfile.ZipInfo(f"{number}/{name}.npy"), member.getvalue())
    return buffer.getvalue()


def bundle_files(graph: Graph, images: Sequence[NDArray[Any]]) -> dict[str, bytes]:
    """All files of a bundle by name; ``docs/interoperation.md`` describes them.

    Parameters
    ----------
    images : integer inputs for the golden vectors, ``(tokens, features)`` each, at least one.
    """
    files = ir.dump(graph)
    files[GOLDEN] = golden_arrays(graph, images)
    files[SPECIFICATION] = specification().read_bytes()
    files["README.md"] = (templates_dir() / "interop" / "README.md").read_bytes()
    record = {
        "format": FORMAT,
        "vitgen": __version__,
        "name": graph.name,
        "input": graph.input,
        "output": graph.output,
        "images": len(images),
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    files["bundle.json"] = json.dumps(record, indent=1).encode() + b"\n"
    return files
