"""Lowering: a calibrated Brevitas model becomes an integer graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitgen.ir import Graph
    from vitgen.models.vit import Vit

__all__ = ["lower"]


def lower(model: Vit, name: str | None = None) -> Graph:
    """The integer graph of a calibrated model, every interval proven.

    Parameters
    ----------
    model : quantized and calibrated; its ``config`` gives the image shape.
    name : of the graph; None takes the configuration's.

    Raises
    ------
    VitgenError : the model is not quantized or not calibrated.
    OverflowRefused : an integer of the named op does not fit.
    """
    from vitgen.lower.vit import lower as implementation

    return implementation(model, name or model.config.name)
