"""Training from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from vitgen.flow.latency import latency_table
from vitgen.flow.request import BuildRequest
from vitgen.models.keep import format_keep
from vitgen.train import recipe_for
from vitgen.train import train as run

if TYPE_CHECKING:
    from vitgen.train.loop import Epoch


def train(
    model: str,
    bits: str,
    *,
    scheme: str | None = None,
    pot_ratio: float | None = None,
    settings: Path | None = None,
    epochs: int | None = None,
    seed: int = 0,
    keep: str | None = None,
    target: float | None = None,
    out: Path,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train ``model`` on scikit-learn's digits, quantization-aware.

    Parameters
    ----------
    settings : TOML file of per-layer settings; the others as for a build.
    epochs : None takes the recipe's.
    keep : keep rates of token selectors, ``3:0.70,6:0.39``.
    target : modelled cycles of an image over those of the unpruned network, which blocks and rates are
        found for.
    out : directory; the same call resumes an interrupted training.
    console : progress goes there; None is quiet.

    Returns
    -------
    dict : ``accuracy_float``, ``accuracy_quant`` (top-1 on the held-out third, 0..1), ``epochs`` and
        ``checkpoint``; where tokens are pruned also ``keep`` (text), ``rates`` (reached) and ``cycles``
        (modelled, over those of the unpruned network).

    Raises
    ------
    VitgenError : bad input, or a model that does not read digits.
    """
    request = BuildRequest(
        model=model, bits=bits, scheme=scheme, pot_ratio=pot_ratio, config=settings, seed=seed,
        keep=keep,
    )  # fmt: skip
    recipe = recipe_for(request.architecture(), epochs)
    shown = console or Console(quiet=True)
    table = None
    if request.architecture().keep or target is not None:
        with shown.status("modelling the latency of a block"):
            table = latency_table(request)
    with Progress(console=shown, transient=True) as progress:
        phases = {"float": recipe.float_epochs, "quant": recipe.quant_epochs}
        tasks = {name: progress.add_task(name, total=total) for name, total in phases.items()}

        def tell(epoch: "Epoch") -> None:
            if epoch.phase not in tasks or (epoch.phase == "stage" and epoch.number == 1):
                tasks[epoch.phase] = progress.add_task(epoch.phase, total=epoch.total)
            progress.update(
                tasks[epoch.phase],
                completed=epoch.number,
                description=described(epoch, request.architecture().tokens - 1),
            )

        result = run(
            model, request.quant(), out, seed=seed, epochs=epochs, keep=keep, target=target,
            table=table, progress=tell,
        )  # fmt: skip
    found: dict[str, Any] = {
        "accuracy_float": result.accuracy_float,
        "accuracy_quant": result.accuracy_quant,
        "epochs": result.epochs,
        "checkpoint": str(result.checkpoint),
    }
    if result.keep:
        found |= {
            "keep": format_keep(result.keep),
            "rates": list(result.rates),
            "cycles": result.cycles,
        }
    return found


def described(epoch: "Epoch", patches: int) -> str:
    """An epoch in a line: loss, accuracy, and where tokens are pruned patches kept and latency."""
    text = f"{epoch.phase}: loss {epoch.loss:.3f}, top-1 {100 * epoch.accuracy:.1f} %"
    if not epoch.keep:
        return text
    kept = ", ".join(f"{rate * patches:.1f}" for rate in epoch.rates)
    blocks = ", ".join(str(block) for block, _ in epoch.keep)
    text += f", {kept} of {patches} patches from block {blocks}"
    return text if epoch.cycles is None else f"{text}, {100 * epoch.cycles:.0f} % of the cycles"
