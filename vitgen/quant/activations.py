"""Activation quantizers, as Brevitas ``tensor_quant`` modules, and the range observer.

Five kinds of site, as the IR has them: quantized activations of 4 to 8 bits with a learned scale,
the softmax output (a fixed scale over a power of two, no sign), tensors with a fixed binary point
(scores, GELU input), 16-bit tensors with a calibrated scale (residual stream, logits), and the image.
"""

import math
from typing import Any

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import ActQuantProxyFromInjector
from torch import Tensor, nn

from vitgen.errors import VitgenError
from vitgen.quant.shifts import ShiftObserver

LEARNED = "learned"
CALIBRATED = "calibrated"
POINT = "point"
SHIFTED = "shifted"
CONSTANT = "constant"


class _FakeQuant(torch.autograd.Function):
    """``clip(floor(x / scale + 1/2)) * scale`` with LSQ's gradients (Esser et al., 2020).

    Straight through to ``x`` inside the clip range; to the scale, the rounding error inside and the
    limit outside, damped by ``1 / sqrt(elements * limit)``.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: float, high: float) -> Tensor:
        scaled = x / scale
        # Half up, as the integer requantizer rounds.
        rounded = (scaled + 0.5).floor_()
        code = rounded.clamp(low, high)
        inside = rounded == code
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(inside, torch.where(inside, code - scaled, code))
        else:
            ctx.save_for_backward(inside)
        ctx.damping = 1.0 / math.sqrt(max(x.numel(), 1) * high)
        return code.mul_(scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        gradient = gradients[0]
        to_scale = None
        if ctx.needs_input_grad[1]:
            product = torch.dot(gradient.flatten(), ctx.saved_tensors[1].flatten())
            to_scale = product * ctx.damping
        return gradient * ctx.saved_tensors[0], to_scale, None, None


class Observer:
    """Histogram of ``|x|`` over any number of batches, in constant memory.

    The bins double in width when a value exceeds them.
    """

    BINS = 2048

    def __init__(self) -> None:
        self.counts = torch.zeros(self.BINS, dtype=torch.float64)
        self.width = 0.0
        self.largest = 0.0

    def update(self, x: Tensor) -> None:
        """Count a batch.

        Raises
        ------
        VitgenError : a value is NaN or infinite.
        """
        magnitude = x.detach().abs()
        top = float(magnitude.max()) if magnitude.numel() else 0.0
        if not math.isfinite(top):
            raise VitgenError(
                f"An activation is {top} during calibration.",
                "Check the weights and the calibration images.",
            )
        self.largest = max(self.largest, top)
        if top == 0.0:
            return
        if self.width == 0.0:
            self.width = top / self.BINS
        while self.width * self.BINS < top:
            self.counts = torch.cat(
                [self.counts.view(-1, 2).sum(1), self.counts.new_zeros(self.BINS // 2)]
            )
            self.width *= 2.0
        self.counts += torch.histc(magnitude.float(), self.BINS, 0.0, self.width * self.BINS)

    def best_scale(self, limit: int) -> float:
        """Scale with the least mean squared error for codes up to ``limit``."""
        if self.largest == 0.0:
            return 1.0 / limit
        centers = (torch.arange(self.BINS, dtype=torch.float64) + 0.5) * self.width
        candidates = self.largest * torch.linspace(0.2, 1.0, 65, dtype=torch.float64) / limit
        steps = candidates[:, None]
        code = torch.floor(centers / steps + 0.5).clamp_(max=limit)
        error = ((code * steps - centers) ** 2 * self.counts).sum(dim=1)
        return float(candidates[int(error.argmin())])


class ActQuant(nn.Module):
    """Uniform quantizer of one tensor; passes its input through until it is ready.

    Parameters
    ----------
    bits : signed width of the tensor.
    kind : ``LEARNED`` (a parameter, set by calibration), ``CALIBRATED`` (set by calibration, not
        trained), ``POINT`` (a fixed binary point chosen by calibration), ``SHIFTED`` (``scale`` over
        a power of two chosen by calibration) or ``CONSTANT``.
    scale : initial scale; final where ``CONSTANT``, that of shift 0 where ``SHIFTED``.
    signed : False for 0 and above.

    Attributes
    ----------
    log_scale : scalar, base 2: steps of an optimizer are relative, the scale stays positive.
    ready : bool scalar; set by calibration.
    """

    MARGIN = 1.5
    """16-bit tensors get this much more than the range seen: they saturate, and have bits left."""

    def __init__(self, bits: int, kind: str, scale: float = 1.0, signed: bool = True) -> None:
        super().__init__()
        self.bits, self.kind = bits, kind
        self.limit = (1 << (bits - 1)) - 1
        self.low = -self.limit if signed else 0
        self.log_scale: Tensor
        self.ready: Tensor
        self.bit_width: Tensor
        self.zero_point: Tensor
        self.base = math.log2(scale)
        initial = torch.tensor(self.base)
        if kind == LEARNED:
            self.log_scale = nn.Parameter(initial)
        else:
            self.register_buffer("log_scale", initial)
        self.register_buffer("ready", torch.tensor(kind == CONSTANT))
        # Saved, so that scales trained for one width are not loaded for another.
        self.register_buffer("bit_width", torch.tensor(float(bits)))
        self.register_buffer("zero_point", torch.tensor(0.0), persistent=False)
        self.observer: Observer | ShiftObserver | None = None

    @property
    def active(self) -> bool:
        """Whether the input is quantized: calibrated, and not being observed."""
        return self.observer is None and bool(self.ready)

    @property
    def scale(self) -> float:
        """Real value of code 1."""
        return 2.0 ** float(self.log_scale.detach())

    @property
    def fraction(self) -> int | None:
        """Fractional bits where the binary point is fixed."""
        return round(-float(self.log_scale.detach())) if self.kind == POINT else None

    @property
    def shift(self) -> int:
        """Halvings of the first scale where the kind is ``SHIFTED``."""
        return round(self.base - float(self.log_scale.detach()))

    def observe(self) -> None:
        """Count ranges (errors of shifts) instead of quantizing, until :meth:`settle`."""
        if self.kind == SHIFTED:
            self.observer = ShiftObserver(2.0**self.base, self.limit)
        elif self.kind != CONSTANT:
            self.observer = Observer()

    def forget(self) -> None:
        """Pass through again until calibrated."""
        if self.kind != CONSTANT:
            self.ready.fill_(False)

    def settle(self) -> None:
        """Choose the scale from the ranges seen.

        LEARNED minimises the squared error; CALIBRATED covers the range with a margin; POINT takes
        the most fractional bits, 8 to 12, that cover it with the margin; SHIFTED the shift that
        serves the weighted values best.
        """
        observer, self.observer = self.observer, None
        if observer is None:
            return
        with torch.no_grad():
            self.log_scale.fill_(self._settled(observer))
            self.ready.fill_(True)

    def _settled(self, observer: Observer | ShiftObserver) -> float:
        if isinstance(observer, ShiftObserver):
            return self.base - observer.best()
        largest = max(observer.largest * self.MARGIN, 2.0**-20)
        if self.kind == LEARNED:
            return math.log2(observer.best_scale(self.limit))
        if self.kind == POINT:
            return -float(min(max(math.floor(math.log2(self.limit / largest)), 8), 12))
        return math.log2(largest / self.limit)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        scale = torch.exp2(self.log_scale)
        if self.observer is not None:
            self.observer.update(x)
            if isinstance(self.observer, ShiftObserver):
                # Sites behind see probabilities as coarse as they will be, by the best shift so far.
                step = torch.tensor(2.0 ** (self.base - self.observer.best()))
                x = _FakeQuant.apply(x, step, float(self.low), float(self.limit))
        elif self.active:
            x = _FakeQuant.apply(x, scale, float(self.low), float(self.limit))
        return x, scale, self.zero_point, self.bit_width


class ActProxy(ActQuantProxyFromInjector):
    """Brevitas' proxy that keeps its quantizer.

    Brevitas builds ``tensor_quant`` anew when a state dict is loaded; the injector would then hand
    out the original's quantizer, also to a deep copy of the model.
    """

    def init_tensor_quant(self) -> None:
        if getattr(self, "fused_activation_quant_proxy", None) is None:
            super().init_tensor_quant()


def act_injector(quantizer: ActQuant) -> type[ExtendedInjector]:
    """Brevitas injector of this activation quantizer."""
    return ExtendedInjector.let(
        tensor_quant=quantizer,
        proxy_class=ActProxy,
        signed=quantizer.low < 0,
        narrow_range=True,
        bit_width=quantizer.bits,
    )


def act_quantizer(site: nn.Module) -> ActQuant:
    """The :class:`ActQuant` of a ``QuantIdentity``."""
    proxy: Any = site.act_quant
    quantizer = proxy.fused_activation_quant_proxy.tensor_quant
    assert isinstance(quantizer, ActQuant)
    return quantizer
