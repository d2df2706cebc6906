"""What runs on the board: the driver package of a build, its notebook and its ``deployment.json``.

The driver is the same for every build; what differs stands in ``deployment.json``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import vitgen
from vitgen import boards
from vitgen.design import isa
from vitgen.design.choice import Design
from vitgen.design.engine import BEAT_BITS, Engine
from vitgen.design.isa import Instruction, Opcode, RowSource, alone_bits
from vitgen.design.program import Program
from vitgen.design.stepping import single_steps
from vitgen.emit import wiring
from vitgen.emit.hls import design_digest
from vitgen.emit.notebook import notebook
from vitgen.emit.plan import BuildPlan
from vitgen.emit.registers import FIRST_ERROR, ILLEGAL
from vitgen.emit.render import render
from vitgen.ir import Graph
from vitgen.resources import templates_dir

FORMAT = 1
"""Of ``deployment.json``; the driver refuses any other."""

VLNVS = ("xilinx.com:hls:vit_top:1.0", "vitgen:rtl:vit_top:1.0")
"""Names of the accelerator as an IP: exported by Vitis HLS, packaged from the open road's RTL."""

IMAGE, OUTPUT = "image", "output"
"""Buffers that are not loaded from a file."""

GOLDEN = ("image.bin", "logits.bin")
"""An image as the accelerator reads it and its logits by the reference."""

IMAGENET_CLASSES = 1000

_IMAGE_META = ("image", "patch", "mean", "std", "input_scale", "input_form")
_BOARD_FACTS = ("title", "pynq", "power")
_KINDS = {
    RowSource.WEIGHTS: "linear",
    RowSource.KEYS: "scores",
    RowSource.VALUES: "values",
}


@dataclass(frozen=True)
class DataFile:
    """A file of ``data/``: its size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Picture:
    """A picture that the notebook starts with: a PNG file, and who made it and under which terms."""

    png: bytes
    credit: str


def package_name(model: str) -> str:
    """Name of the Python package of a model's driver, ``vitgen_`` and the model's name."""
    return "vitgen_" + re.sub(r"[^a-z0-9_]", "_", model.lower())


def emit_host(
    design: Design,
    graph: Graph,
    program: Program,
    *,
    data: Mapping[str, DataFile],
    cycles: Mapping[str, int],
    weights: str,
    picture: Picture,
) -> BuildPlan:
    """``host/``, ``pyproject.toml`` and the place of the bitstream in a build directory.

    Parameters
    ----------
    design, graph, program : what was built.
    data : every file of ``data/`` by name.
    cycles : estimated cycles of an image by layer; they sum to the image's.
    weights : "trained" or "synthetic".
    picture : for the notebook.
    """
    package = package_name(graph.name)
    digest = design_digest(design.engine)
    values = {
        "package": package,
        "model": graph.name,
        "version": vitgen.__version__,
        "design": digest,
        "bits": str(graph.meta.get("bits", "")),
        "board": boards.load(design.board).title,
        "trained": weights == "trained",
    }
    deployment = {
        "format": FORMAT,
        "vitgen": vitgen.__version__,
        "name": graph.name,
        "package": package,
        "model": graph.name,
        "bits": values["bits"],
        "scheme": str(graph.meta.get("scheme", "")),
        "weights": weights,
        "design": digest,
        "board": design.board,
        "part": boards.load(design.board).part,
        "clock_mhz": float(design.clock_mhz),
        "ip": list(VLNVS),
        "instructions": len(program.instructions),
        "status": {"illegal": ILLEGAL, "first_error": FIRST_ERROR},
        "buffers": _buffers(design.engine, program, data),
        "image": _image(design.engine, graph, program),
        "logits": {
            "classes": program.classes,
            "scale": float(graph.tensors[graph.output].scale),
            "beat_bytes": BEAT_BITS // 8,
        },
        "classes": _class_names(graph, program.classes),
        "golden": {name.removesuffix(".bin"): _file(name, data) for name in GOLDEN},
        "layers": _layers(program.instructions, cycles),
        "steps": _steps(program),
        "board_facts": _board_facts(design.board),
    }
    package_files = {
        "deployment.json": _lines(deployment),
        "notebooks/classify.ipynb": notebook(
            render("host/classify.py.j2", values, digest, "python").decode()
        ),
        "notebooks/sample.png": picture.png,
        "notebooks/CREDITS.txt": picture.credit.encode() + b"\n",
        **_driver_files(),
    }
    if deployment["classes"] and program.classes == IMAGENET_CLASSES:
        package_files["WORDNET-LICENSE.txt"] = _read("WORDNET-LICENSE.txt")
    return BuildPlan(package_files).under(f"host/{package}") | BuildPlan(
        {
            "pyproject.toml": render("host/pyproject.toml.j2", values, digest, "python"),
            "bitstream/README.txt": render("host/bitstream.txt.j2", values, digest, "python"),
        }
    )


def _read(name: str) -> bytes:
    return (templates_dir() / "host" / name).read_bytes()


def _driver_files() -> dict[str, bytes]:
    root = templates_dir() / "host"
    return {
        file.relative_to(root).as_posix(): file.read_bytes() for file in sorted(root.rglob("*.py"))
    }


def _lines(record: Mapping[str, Any]) -> bytes:
    """JSON with a line per entry: long lists of numbers stay on theirs."""
    entries = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in record.items()]
    return ("{\n" + ",\n".join(entries) + "\n}\n").encode()


def _file(name: str, data: Mapping[str, DataFile]) -> dict[str, Any]:
    return {"file": name, "bytes": data[name].bytes, "sha256": data[name].sha256}


def _buffers(
    engine: Engine, program: Program, data: Mapping[str, DataFile]
) -> list[dict[str, Any]]:
    """DRAM buffers in the order of the arguments of ``vit_top``."""
    beat = BEAT_BITS // 8
    unloaded = {
        IMAGE: data["image.bin"].bytes,
        OUTPUT: -(-program.classes * 2 // beat) * beat,
    }
    found = []
    for port in wiring.ports(engine):
        record = (
            {"file": None, "bytes": unloaded[port.name], "sha256": None}
            if port.name in unloaded
            else _file(f"{port.name}.bin", data)
        )
        found.append({"name": port.name, **record, "written": port.written})
    return found


def _image(engine: Engine, graph: Graph, program: Program) -> dict[str, Any]:
    """The image format of the graph, and how its integers lie in the image buffer.

    ``layout``: the lanes of the engine (``docs/accelerator.md``); ``region``: what each token of a
    model with a convolutional stem reads of the image, null where tokens are patches.
    """
    record = {key: graph.meta[key] for key in _IMAGE_META if key in graph.meta}
    record.setdefault("input_form", "patches")
    region = None
    if program.stem is not None:
        image = program.stem.image
        names = ("size", "channels", "flagged", "side", "origin", "pitch")
        region = {name: getattr(image, name) for name in names}
        region["patches"] = program.stem.patches
    layout = {
        "groups": engine.groups,
        "group_lanes": engine.group_lanes,
        "bits": engine.act_bits,
        "word_bytes": engine.act_load_beats * BEAT_BITS // 8,
    }
    return {**record, "layout": layout, "region": region}


def _class_names(graph: Graph, classes: int) -> list[str] | None:
    if classes == IMAGENET_CLASSES:
        return _read("imagenet_classes.txt").decode().splitlines()
    digits = [1, 8, 8]  # scikit-learn's
    if classes == 10 and graph.meta.get("image") == digits:
        return [str(digit) for digit in range(classes)]
    return None


def _kind(instruction: Instruction) -> str:
    if instruction.opcode is Opcode.GEMM:
        return _KINDS[RowSource(instruction.fields["row_source"])]
    return {Opcode.NORM: "layernorm", Opcode.LOAD: "load"}.get(instruction.opcode, "program")


def _layers(instructions: Sequence[Instruction], cycles: Mapping[str, int]) -> list[dict[str, Any]]:
    """Layers in the order in which they begin, with the ranges of their instructions."""
    found: dict[str, dict[str, Any]] = {}

    def name_of(entry: tuple[int, Instruction]) -> str:
        kind = _kind(entry[1])
        return kind if kind == "program" else entry[1].op

    for name, members in groupby(enumerate(instructions), key=name_of):
        run = list(members)
        layer = found.setdefault(
            name,
            {"name": name, "kind": _kind(run[0][1]), "instructions": [],
             "cycles": int(cycles.get(name, 0))},
        )  # fmt: skip
        layer["instructions"].append([run[0][0], run[-1][0] + 1])
    return list(found.values())


def _steps(program: Program) -> dict[str, Any]:
    """How the driver makes a program of each instruction, as :mod:`vitgen.design.stepping` does.

    A step is: the SET_TOKENS before the instruction, the last of each register, and the instruction,
    all cut to ``alone_bits`` bits, without what ties them to others, and the STOP ``stops[stop_of[i]]`` of
    instruction ``i``, null where it is no step.
    """
    table = isa.offsets()
    stop_of: list[int | None] = [None] * len(program.instructions)
    stops: list[str] = []
    for index, step in single_steps(program):
        word = f"{step[-1].encode():0{isa.INSTRUCTION_BITS // 4}x}"
        if word not in stops:
            stops.append(word)
        stop_of[index] = stops.index(word)
    return {
        "instruction_bytes": isa.INSTRUCTION_BITS // 8,
        "opcode": list(table["opcode"]),
        "register": list(table["tokens_register"]),
        "set_tokens": int(Opcode.SET_TOKENS),
        "alone_bits": alone_bits(),
        "stops": stops,
        "stop_of": stop_of,
    }


def _board_facts(name: str) -> dict[str, Any]:
    record = boards.load(name).to_dict()
    return {key: record[key] for key in _BOARD_FACTS if key in record}
