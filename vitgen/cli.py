"""The command line. Each command checks its options, then calls the library; ``docs/`` has more."""

import errno
import json
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from vitgen import __version__
from vitgen.errors import FoundWrong, VitgenError

app = typer.Typer(
    name="vitgen",
    help=(
        "Turn a quantized Vision Transformer into an FPGA accelerator, checked bit by bit.\n\n"
        "Start with `vitgen build --model vit_digits --bits 4/8 --verify csim`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console(stderr=True)
INTERRUPTED = 130  # what typer makes of Ctrl-C
THE_USERS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of the machine that no code can mend: a full disk, a place that must not be written."""

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Model = Annotated[
    str, typer.Option("--model", help="Name from `vitgen models`, or a model config file.")
]
BITS_HELP = "Weights/activations: 4/8 is 4-bit weights and 8-bit activations, 4+8/8 mixes rows."
Bits = Annotated[str, typer.Option("--bits", help=BITS_HELP)]
OpenBits = Annotated[
    str | None,
    typer.Option("--bits", help=f"{BITS_HELP} With --target-fps they may be left to the search."),
]
Target = Annotated[
    float | None,
    typer.Option(
        help="Frames/s to reach: the smallest engine that does, and without --bits the highest "
        "precision."
    ),
]
Scheme = Annotated[
    str | None,
    typer.Option(
        "--scheme",
        help="Rows of 4-bit weights: fixed, pot (powers of two) or mixed. Default: mixed for 4-bit "
        "weights, fixed otherwise.",
    ),
]

Array = Annotated[
    str, typer.Option(help="Multiplier array: dsp48 (RTL module) or hls (plain C++).")
]
PotRatio = Annotated[
    str,
    typer.Option(
        help="Share of power-of-two rows where rows mix, 0 to 1; auto: the search chooses (train: a "
        "quarter)."
    ),
]
Board = Annotated[str, typer.Option(help="Name from `vitgen boards`.")]
Clock = Annotated[float | None, typer.Option(help="Clock; default: the board's.")]
Config = Annotated[
    Path | None,
    typer.Option(help="TOML file with settings per layer (docs/configuration.md)."),
]
Directory = Annotated[Path, typer.Argument(help="Directory of a build.")]
Images = Annotated[
    int | None,
    typer.Option(help="Images to verify; default: every test digit, or one photograph; one for rtl."),
]
Keep = Annotated[
    str | None,
    typer.Option(
        help="Prune tokens before blocks: BLOCK:RATE,..., the share of the image's patches that goes on, "
        "such as 3:0.70,6:0.39,9:0.21 (docs/heatvit.md)."
    ),
]


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


@app.command()
def build(
    model: Model,
    bits: OpenBits = None,
    scheme: Scheme = None,
    target_fps: Target = None,
    array: Array = "dsp48",
    pot_ratio: PotRatio = "auto",
    board: Board = "zcu102",
    clock_mhz: Clock = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights (.safetensors, .pth, .pt), or a quantized network (.onnx, QONNX); default: "
            "seeded, synthetic."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(help="Folder of images that set the activation scales and are verified."),
    ] = None,
    config: Config = None,
    verify: Annotated[
        str,
        typer.Option(
            help="none; csim: simulate the emitted C++ and compare every tensor; rtl: the same with "
            "the RTL made of it, which also counts cycles."
        ),
    ] = "none",
    images: Images = None,
    out: Annotated[Path | None, typer.Option(help="Directory; default: build/MODEL.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of synthetic weights.")] = 0,
    keep: Keep = None,
    as_json: Json = False,
) -> None:
    """Build an accelerator: HLS C++, weights, program, and evidence.

    The same command goes on with a build that was interrupted.
    """
    from vitgen.flow.build import build as run
    from vitgen.flow.request import BuildRequest

    request = BuildRequest(
        model=model, bits=bits, scheme=scheme, array=array, pot_ratio=_ratio(pot_ratio),
        board=board, clock_mhz=clock_mhz, checkpoint=checkpoint, calibrate=calibrate,
        config=config, seed=seed, target_fps=target_fps, keep=keep,
    )  # fmt: skip
    directory = out or Path("build") / request.name
    report = run(request, directory, verify=verify, images=images, console=console)
    _finish(report, directory, as_json)


def _ratio(text: str) -> float | None:
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise VitgenError(f"--pot-ratio is {text!r}.", "Give a share from 0 to 1, or auto.") from None


def _finish(report: dict[str, Any], directory: Path, as_json: bool) -> None:
    """Show a report; leave with 1 where a comparison found a difference."""
    from vitgen.report.terminal import show

    if as_json:
        _print_json(report)
    else:
        show(report, directory)
    if any(level and level["mismatches"] for level in report["verification"].values()):
        raise typer.Exit(1)


@app.command()
def verify(
    directory: Directory,
    level: Annotated[str, typer.Option(help="csim: the emitted C++; rtl: the RTL made of it.")] = "csim",
    images: Images = None,
    vcd: Annotated[
        Path | None, typer.Option(help="File for the signals of one image's run; with --level rtl.")
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="Cycles that --vcd shows, FIRST:LAST; default: all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare a build with the integer reference, bit by bit."""
    from vitgen.flow.build import verify as run

    report = run(directory, level=level, images=images, vcd=vcd, window=window, console=console)
    _finish(report, directory, as_json)


@app.command(name="run")
def run_device(
    directory: Directory,
    pictures: Annotated[
        list[Path] | None,
        typer.Argument(help="JPEG, PNG or .npy files; default: the golden input of the build."),
    ] = None,
    device: Annotated[
        str,
        typer.Option(help="csim: the emitted C++; rtl: the RTL made of it; board: a PYNQ board."),
    ] = "csim",
    images: Annotated[
        int | None, typer.Option(help="So many of the test digits, with their labels.")
    ] = None,
    notebook: Annotated[
        Path | None,
        typer.Option(help="Run the build's notebook instead and write it here, with its outputs."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Classify pictures with the driver of a build, on the board or off it.

    Results are compared with the integer reference, bit by bit.
    """
    from vitgen.flow.run import run, run_notebook
    from vitgen.report.answers import show_answers

    if notebook is not None:
        if pictures or images is not None:
            raise VitgenError("--notebook brings its own picture.", "Give --notebook alone.")
        run_notebook(directory, device, notebook, console=console)
        typer.echo(f"notebook: {notebook}")
        return
    result = run(directory, device, pictures or [], images=images, console=console)
    if as_json:
        _print_json(result)
    else:
        show_answers(result)
    if result["mismatches"]:
        wrong = next(answer for answer in result["images"] if not answer["equal"])
        index, expected, got = wrong["first_wrong"]
        raise FoundWrong(
            f"{result['mismatches']} of {len(result['images'])} pictures differ from the reference; "
            f"the first is {wrong['name']}: logit {index} is {got} instead of {expected}.",
            "Run `vitgen verify` to find the op.",
        )


@app.command()
def resources(directory: Directory, as_json: Json = False) -> None:
    """Count DSPs, LUTs, flip-flops and block RAMs of a build's RTL.

    The counts are yosys's, module by module; they go into the report beside the estimates.
    """
    from vitgen.flow.resources import resources as run

    _finish(run(directory, console=console), directory, as_json)


@app.command()
def synth(
    directory: Directory,
    only: Annotated[
        str | None,
        typer.Option(help="hls: end with the IP of Vitis HLS; vivado: begin with it."),
    ] = None,
    road: Annotated[
        str | None,
        typer.Option(
            help="vitis: the C++ through Vitis HLS; open: the open road's SystemVerilog, which needs "
            "Vivado alone. Default: vitis where it is installed."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the bitstream with Vitis HLS and Vivado.

    Hours for a large model. Figures of both tools go into the report beside the estimates.
    """
    from vitgen.flow.synth import synth as run

    result = run(directory, only=only, road=road, console=console)
    _finish(result, directory, as_json)
    vivado = result["synthesis"]["vivado"]
    if vivado is not None and not vivado["met"]:
        raise typer.Exit(1)


@app.command(name="eval")
def evaluate(
    directory: Directory,
    data: Annotated[
        Path | None, typer.Option(help="Image folder, one folder per class; default: test digits.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the accuracy of the float and quantized networks.

    Float, fake-quantized and integer network side by side, on a folder or the held-out digits.
    """
    from vitgen.flow.evaluate import evaluate as run

    result = run(directory, data, console=console)
    if as_json:
        _print_json(result)
        return
    if result["top1"] is not None:
        table = Table("network", "top-1 %")
        for name in ("float", "fake_quantized", "integer"):
            table.add_row(name.replace("_", "-"), f"{100 * result['top1'][name]:.2f}")
        Console().print(table)
    agreement = result["top1_agreement"]
    said = "not stated below 100" if agreement is None else f"{100 * agreement:.2f} %"
    typer.echo(f"{result['images']} images; integer agrees with fake-quantized: {said}")


@app.command()
def estimate(
    model: Model,
    bits: OpenBits = None,
    scheme: Scheme = None,
    target_fps: Target = None,
    array: Array = "dsp48",
    pot_ratio: PotRatio = "auto",
    board: Board = "zcu102",
    clock_mhz: Clock = None,
    config: Config = None,
    pareto: Annotated[
        Path | None,
        typer.Option(help="File (.svg) for a picture of frames/s against DSPs and LUTs of many designs."),
    ] = None,
    keep: Keep = None,
    as_json: Json = False,
) -> None:
    """Estimate frames per second and resources, without building.

    It searches the engine and, where they are open, the share of power-of-two rows and the bits.
    """
    from vitgen.flow.estimate import estimate as run
    from vitgen.flow.request import BuildRequest
    from vitgen.report.terminal import show_estimate

    request = BuildRequest(
        model=model, bits=bits, scheme=scheme, array=array, pot_ratio=_ratio(pot_ratio),
        board=board, clock_mhz=clock_mhz, config=config, target_fps=target_fps, keep=keep,
    )  # fmt: skip
    result = run(request, pareto=pareto, console=console)
    if as_json:
        _print_json(result)
    else:
        show_estimate(result)


@app.command()
def report(
    directory: Directory,
    as_json: Json = False,
) -> None:
    """Show the report of a build.

    `report.html` in the build's directory has the pictures.
    """
    from vitgen.flow.build import read_report

    _finish(read_report(directory), directory, as_json)


@app.command()
def export(
    directory: Directory,
    format: Annotated[
        str,
        typer.Option(help="bundle: integers, golden vectors, specification; qonnx: an ONNX file."),
    ],
    out: Annotated[Path, typer.Option(help="New directory (bundle) or file (qonnx).")],
    images: Annotated[
        int | None, typer.Option(help="Images with golden vectors in a bundle; default: one.")
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            help="exact: qonnx's executor gives every integer of the network; plain: ONNX's own "
            "Softmax, LayerNormalization and Erf in float32. Default: exact."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the network of a build for other tools.

    `docs/interoperation.md` describes the formats.
    """
    from vitgen.flow.export import export as run

    written = run(directory, format=format, out=out, images=images, style=style)
    if as_json:
        _print_json({"format": format, "files": [str(file) for file in written]})
        return
    for file in written:
        typer.echo(file)


@app.command()
def train(
    model: Model,
    bits: Bits,
    scheme: Scheme = None,
    pot_ratio: PotRatio = "auto",
    config: Config = None,
    epochs: Annotated[int | None, typer.Option(help="Default: the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and batches.")] = 0,
    keep: Keep = None,
    latency: Annotated[
        float | None,
        typer.Option(
            help="Find where to prune for this share of the unpruned network's modelled cycles, 0 to 1."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory; default: build/MODEL_train.")] = None,
    as_json: Json = False,
) -> None:
    """Train a model of digits, quantization-aware.

    The same command goes on with a training that was interrupted.
    """
    from vitgen.flow.training import train as run
    from vitgen.models.config import config as model_config

    result = run(
        model, bits, scheme=scheme, pot_ratio=_ratio(pot_ratio), settings=config, epochs=epochs,
        seed=seed, keep=keep, target=latency, out=out or Path("build") / f"{model_config(model).name}_train", console=console,
    )  # fmt: skip
    if as_json:
        _print_json(result)
        return
    typer.echo(
        f"top-1: float {100 * result['accuracy_float']:.2f} %, quantized "
        f"{100 * result['accuracy_quant']:.2f} % after {result['epochs']} epochs"
    )
    if "keep" in result:
        rates = ", ".join(f"{100 * rate:.1f} %" for rate in result["rates"])
        typer.echo(f"keep rates: {result['keep']}; kept of held-out patches: {rates}")
        typer.echo(f"modelled cycles: {100 * result['cycles']:.1f} % of the unpruned network's")
    typer.echo(f"checkpoint: {result['checkpoint']}")


@app.command()
def models(as_json: Json = False) -> None:
    """List the models."""
    from vitgen.models.config import config, names
    from vitgen.report.listing import show_models

    rows = [config(name).to_dict() for name in names()]
    if as_json:
        _print_json(rows)
        return
    show_models(rows)


@app.command()
def boards(
    name: Annotated[
        str | None, typer.Argument(help="Show this one, with the source of every figure.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the boards, or show one."""
    from vitgen.boards import load, names
    from vitgen.report.listing import show_boards

    rows = [load(name) for name in names()] if name is None else [load(name)]
    if as_json:
        records = [row.to_dict() for row in rows]
        _print_json(records if name is None else records[0])
        return
    show_boards(rows, details=name is not None)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"vitgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def _say(*lines: str) -> None:
    """Lines on standard error, unbroken: a path stays whole for whoever copies it."""
    for line in filter(None, lines):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def main() -> NoReturn:
    """Run the command line: 0 done, 1 checked and found wrong, 2 bad input, 130 interrupted."""
    try:
        app()
    except VitgenError as error:
        _say(f"vitgen: {error.problem}", f"        {error.remedy}" if error.remedy else "")
        sys.exit(1 if isinstance(error, FoundWrong) else 2)
    except OSError as error:
        if error.errno not in THE_USERS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        _say(f"vitgen: {where}{error.strerror}.", "        Free space or choose another place.")
        sys.exit(2)
    except SystemExit as leaving:
        if leaving.code == INTERRUPTED:
            _say("vitgen: interrupted; a build or a training goes on with the same command.")
        raise
    sys.exit(0)


if __name__ == "__main__":
    main()
