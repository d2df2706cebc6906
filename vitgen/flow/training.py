"""Training from the command line."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress

from vitgen.flow.request import BuildRequest
from vitgen.models.config import config as model_config
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
    out: Path,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train ``model`` on scikit-learn's digits, quantization-aware.

    Parameters
    ----------
    settings : TOML file of per-layer settings; the others as for a build.
    epochs : None takes the recipe's.
    out : directory; the same call resumes an interrupted training.
    console : progress goes there; None is quiet.

    Returns
    -------
    dict : ``accuracy_float``, ``accuracy_quant`` (top-1 on the held-out third, 0..1), ``epochs`` and
        ``checkpoint``.

    Raises
    ------
    VitgenError : bad input, or a model that does not read digits.
    """
    request = BuildRequest(
        model=model, bits=bits, scheme=scheme, pot_ratio=pot_ratio, config=settings, seed=seed
    )
    recipe = recipe_for(model_config(model), epochs)
    with Progress(console=console or Console(quiet=True), transient=True) as progress:
        tasks = {
            "float": progress.add_task("float", total=recipe.float_epochs),
            "quant": progress.add_task("quantized", total=recipe.quant_epochs),
        }

        def tell(epoch: "Epoch") -> None:
            progress.update(
                tasks[epoch.phase],
                completed=epoch.number,
                description=f"{epoch.phase}: loss {epoch.loss:.3f}, top-1 {100 * epoch.accuracy:.1f} %",
            )

        result = run(model, request.quant(), out, seed=seed, epochs=epochs, progress=tell)
    return {
        "accuracy_float": result.accuracy_float,
        "accuracy_quant": result.accuracy_quant,
        "epochs": result.epochs,
        "checkpoint": str(result.checkpoint),
    }
