"""The SystemVerilog of an accelerator as the files of ``rtl/`` of a build."""

from vitgen.design.engine import Engine
from vitgen.emit.hls import design_digest
from vitgen.emit.plan import BuildPlan
from vitgen.emit.render import banner
from vitgen.emit.rtl import ARRAY_FILES
from vitgen.emit.shell import emit_shell
from vitgen.rtl.stitch import Core


def emit_accelerator(engine: Engine, core: Core) -> BuildPlan:
    """All files of the accelerator, but for those that :func:`vitgen.emit.rtl.emit_array` emits.

    Parameters
    ----------
    engine : a design.
    core : what :func:`vitgen.rtl.stitch.stitch` made of its processes.

    Returns
    -------
    SystemVerilog by name: the shell with its module ``vit_top``, and the core. FIFOs and memories
    serve both and are there once. The bytes depend on the design and on the version of XLS.
    """
    design = design_digest(engine)
    files = {
        name: f"{banner(_source(name), design, 'verilog')}\n{text}".encode()
        for name, text in core.files.items()
        if name not in ARRAY_FILES
    }
    return emit_shell(engine) | BuildPlan(files)


def _source(name: str) -> str:
    """What the banner calls the source of a file of the core."""
    function = name.removesuffix(".sv").removesuffix("_process")
    return "the netlist" if name == "vit_core.sv" else f"the process {function}"
