"""The first step of a build: weights, calibration, integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vitgen.errors import VitgenError
from vitgen.flow.images import calibration_batch
from vitgen.flow.request import BuildRequest
from vitgen.interop.tools import require
from vitgen.ir import Graph

if TYPE_CHECKING:
    from vitgen.models.vit import Vit

CALIBRATION_IMAGES = 16
IMPORT_IMAGES = 4  # qonnx executes node by node: seconds for each


def is_import(request: BuildRequest) -> bool:
    """Whether the weights are a network that another tool quantized."""
    return request.checkpoint is not None and request.checkpoint.suffix == ".onnx"


def model_of(request: BuildRequest, tell: Callable[[str], None] = lambda _: None) -> Vit:
    """The calibrated, quantized model of a request; ``tell`` gets lines for the user.

    Raises
    ------
    VitgenError : the checkpoint does not fit the model, or is no model of PyTorch's.
    """
    if is_import(request):
        raise VitgenError(
            f"{request.checkpoint} is a quantized network; its float model is not in the file.",
            "Compare it with the build by the tool that made it.",
        )
    from vitgen.lower.prepare import prepare

    config = request.architecture()
    return prepare(
        config,
        request.quant(),
        request.seed,
        request.checkpoint,
        lambda: calibration_batch(config, request.calibrate, CALIBRATION_IMAGES, request.seed),
        tell,
    )


def lower_request(request: BuildRequest, tell: Callable[[str], None] = lambda _: None) -> Graph:
    """The integer graph of a request; ``tell`` gets lines for the user."""
    if is_import(request):
        return _import_request(request, tell)
    from vitgen import lower

    return lower.lower(model_of(request, tell), request.name)


def _import_request(request: BuildRequest, tell: Callable[[str], None]) -> Graph:
    """The integer graph of a QONNX file, compared with it."""
    assert request.checkpoint is not None
    require("onnx", "onnxruntime", "qonnx")
    from vitgen.interop.qonnx_import import agreement, read_qonnx
    from vitgen.lower.network import assemble

    config = request.architecture()
    if config.keep:
        raise VitgenError(
            f"{request.checkpoint} is a quantized network; token selectors cannot be added to it.",
            "Leave the keep rates out, or give weights.",
        )
    images = calibration_batch(config, request.calibrate, IMPORT_IMAGES, request.seed)
    network = read_qonnx(request.checkpoint, config, request.quant(), images)
    graph = assemble(network.numbers, request.name)
    ratio = agreement(network, graph, images)
    tell(f"{request.checkpoint.name}: logits of {len(images)} images agree to {ratio:.1f} dB.")
    return graph
