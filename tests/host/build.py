"""A small build for the driver, made without torch, and a bitstream in name only."""

import hashlib
import io
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.graphs import StemSizes, tiny_vit_graph
from vitgen import boards
from vitgen.design.choice import Design
from vitgen.design.engine import Engine
from vitgen.design.instance import engine_for
from vitgen.design.isa import encode_program
from vitgen.design.needs import needs_of
from vitgen.design.program import Program
from vitgen.design.schedule import build_program
from vitgen.emit.hls import design_digest
from vitgen.emit.host import DataFile, Picture, emit_host
from vitgen.ir import Graph
from vitgen.reference import predict, preprocess

PACKAGE = "vitgen_tiny_vit"
META = {"image": [1, 8, 8], "patch": 2, "mean": [0.5], "std": [0.5], "input_scale": 2.0 / 127}


@dataclass(frozen=True)
class Built:
    """A build directory with what it was made of."""

    path: Path
    graph: Graph
    engine: Engine
    program: Program

    @property
    def host(self) -> Path:
        """The directory to import the package from."""
        return self.path / "host"

    def logits(self, image: NDArray) -> NDArray[np.int64]:
        """What the reference says of one array."""
        tokens = preprocess(self.graph.meta, image).astype(np.int64)
        return predict(self.graph, tokens[None])[0].astype(np.int64)


def graph_of(seed: int = 0, classes: int = 10) -> Graph:
    """A random ViT that reads 8 x 8 grey images."""
    rng = np.random.default_rng(seed)
    graph = tiny_vit_graph(rng, tokens=17, patch_features=4, classes=classes)
    return replace(graph, meta=graph.meta | META)


def stem_graph(seed: int = 0) -> Graph:
    """A random ViT with convolutions that reads 12 x 12 colour images."""
    sizes = StemSizes(12, 3, ((3, 2, 4), (3, 1, 4)), 2)
    graph = tiny_vit_graph(np.random.default_rng(seed), stem=sizes, classes=10)
    meta = {
        "image": [3, 12, 12], "patch": 4, "mean": [0.4, 0.5, 0.6], "std": [0.3, 0.2, 0.1],
        "input_scale": 0.03, "input_form": "pixels",
    }  # fmt: skip
    return replace(graph, meta=graph.meta | meta)


def design_of(graph: Graph, **shape: int) -> Design:
    """A small engine; ``shape`` changes it."""
    values = dict(
        group_lanes=3, groups=2, dsp_rows=4, pot_rows=2, weight_ports=2, weight_fifo=16,
        requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1,
    ) | shape  # fmt: skip
    engine = engine_for(needs_of(graph), array="dsp48", **values)
    return Design("zcu102", 150.0, engine, "lut", {"lut": 0.1}, 1)


def picture() -> Picture:
    file = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(file, "PNG")
    return Picture(file.getvalue(), "sample.png: a ramp.")


def data_of(graph: Graph, design: Design, program: Program) -> dict[str, bytes]:
    """The files of ``data/``, as a build packs them."""
    channels, height, width = graph.meta["image"]
    image = np.random.default_rng(7).integers(0, 256, (height, width, channels), dtype=np.uint8)
    tokens = preprocess(graph.meta, image).astype(np.int64)
    files = {
        "program.bin": encode_program(program.instructions),
        "params.bin": program.params.tobytes(),
        "constants.bin": program.constants.tobytes(),
        "image.bin": program.pack_image(design.engine, tokens).tobytes(),
        "logits.bin": predict(graph, tokens[None])[0].astype("<i2").tobytes(),
    }
    for port, weights in enumerate(program.weights):
        files[f"weights_{port}.bin"] = weights.tobytes()
    return files


def emit(graph: Graph, design: Design, path: Path) -> Built:
    """Write the build's ``host/`` and ``data/``."""
    program = build_program(graph, design.engine)
    files = data_of(graph, design, program)
    digests = {n: DataFile(len(c), hashlib.sha256(c).hexdigest()) for n, c in files.items()}
    cycles = {i.op: 100 for i in program.instructions}
    plan = emit_host(
        design, graph, program, data=digests, cycles=cycles, weights="synthetic", picture=picture()
    )
    plan.write(path)
    (path / "data").mkdir()
    for name, content in files.items():
        (path / "data" / name).write_bytes(content)
    return Built(path, graph, design.engine, program)


def write_bitstream(
    folder: Path, design: str, part: str = "xczu9eg-ffvb1156-2-e", handoff: str | None = None
) -> Path:
    """``vit_top.bit`` and ``vit_top.hwh`` that name a design and hold nothing else."""

    def field(key: bytes, text: str) -> bytes:
        value = text.encode() + b"\0"
        return key + struct.pack(">H", len(value)) + value

    content = b"\0" * 64
    header = struct.pack(">H", 9) + bytes.fromhex("0ff00ff00ff00ff000") + struct.pack(">H", 1)
    header += field(b"a", f"vit_{design}_wrapper;UserID=0XFFFFFFFF;Version=2022.1")
    header += field(b"b", part) + field(b"c", "2026/01/01") + field(b"d", "12:00:00")
    header += b"e" + struct.pack(">I", len(content))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vit_top.bit").write_bytes(header + content)
    (folder / "vit_top.hwh").write_text(
        '<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n<EDKSYSTEM EDWVERSION="1.2">\n'
        f'<SYSTEMINFO ARCH="zynquplus" DEVICE="xczu9eg" NAME="vit_{handoff or design}"/>\n'
        "</EDKSYSTEM>\n"
    )
    return folder / "vit_top.bit"


def bitstream_of(built: Built) -> Path:
    """A bitstream in its place in the build directory."""
    return write_bitstream(built.path / "bitstream", design_digest(built.engine))


def part_of(board: str) -> str:
    return boards.load(board).part
