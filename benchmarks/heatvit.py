"""Token selectors against pruning at random, by a static mask and by attention, at equal tokens.

Run from the root of the repository: ``python -m benchmarks.heatvit [--long] [--first N] [--seeds N] [--json FILE]``. A small
network learns digits on noisy canvases; from the same weights every rule is fine-tuned for as many
epochs with the same loss, and the unpruned network too. Accuracies are of float networks on the 599
held-out canvases. About three minutes of one idle core for each seed, six with ``--long``.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vitgen import models
from vitgen.models.keep import Keep
from vitgen.models.selector import Selection, Selector, Stream
from vitgen.models.vit import Vit
from vitgen.quant import QuantConfig
from vitgen.train.latency import mac_table
from vitgen.train.loop import Epoch, Evaluation, Trainer
from vitgen.train.pruned import PrunedTrainer
from vitgen.train.recipe import CANVAS, Recipe
from vitgen.train.schedule import Given, Pruning

KEEP = "1:0.5,2:0.3,3:0.2"
"""Half of the tokens, in the mean over the four blocks."""

SHORT = replace(CANVAS, float_epochs=30, stage_epochs=2, joint_epochs=5)

Scores = Callable[[Selector, Stream, Tensor], Tensor]
"""Scores ``(B, N)`` from a selector, its stream, and the attention of the block before
``(B, heads, N, N)``."""


def random_scores(_selector: Selector, stream: Stream, _attention: Tensor) -> Tensor:
    """Any tokens."""
    return torch.rand(stream.x.shape[:2])


def attention_scores(_selector: Selector, _stream: Stream, attention: Tensor) -> Tensor:
    """What the class token attends to, in the mean over heads."""
    return attention[:, :, 0].mean(dim=1)


def static_scores(order: Tensor, _selector: Selector, stream: Stream, _: Tensor) -> Tensor:
    """The same places in every image, by what the class token attends to in the mean over images."""
    scores = order[: stream.x.shape[1]]
    return torch.nn.functional.pad(scores, (0, stream.x.shape[1] - len(scores))).expand(
        len(stream.x), -1
    )


class RuleTrainer(PrunedTrainer):
    """Fine-tunes a network whose tokens are chosen by a rule: as many in every image."""

    rule: Scores

    def _plan(self, unpruned: float) -> Given:
        return Given(())

    def _network(self, keep: Keep, before: dict[str, Any]) -> Vit:
        network = super()._network(self.config.keep, before)
        for block, selector in zip(network.block_list(), [b.selector for b in network.block_list()][1:]
                                   + [None], strict=True):  # fmt: skip
            if selector is not None:
                seen: list[Tensor] = []
                hook = partial(_remember, seen)
                block.attn.softmax_out.register_forward_hook(hook)
                rate = self.config.kept[selector.block]
                count = round(rate * (self.config.tokens - 1))
                selector.decide = partial(_decide, self.rule, selector, seen, count)  # type: ignore[method-assign]
        return network

    def _evaluate(self, model: Vit) -> Evaluation:
        return Trainer._evaluate(self, model)


def _remember(seen: list[Tensor], _module: Any, _args: Any, out: Tensor) -> None:
    seen[:] = [out.detach()]


def _decide(
    rule: Scores, selector: Selector, seen: list[Tensor], count: int, stream: Stream, _noise: Any
) -> Selection:
    with torch.no_grad():
        score = rule(selector, stream, seen[0])
        candidates = torch.ones_like(score, dtype=torch.bool)
        if stream.mask is not None:
            candidates = stream.mask > 0
        candidates[:, 0] = False
        if stream.package:
            candidates[:, -1] = False
        best = score.masked_fill(~candidates, -1.0).topk(count, dim=1).indices
        keep = torch.zeros_like(score).scatter(1, best, 1.0)
        keep[:, 0] = 1.0
    return Selection(selector.block, score.clamp(0, 1), candidates, keep)


def _mean_attention(model: Vit, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    block = model.block_list()[-1]
    hook = block.attn.softmax_out.register_forward_hook(partial(_remember, seen))
    with torch.no_grad():
        model.eval()(images)
    hook.remove()
    return attention_scores(model.selectors(), None, seen[0]).mean(dim=0)  # type: ignore[arg-type]


def measure(seed: int, recipe: Recipe, tell: Callable[[str, Epoch], None]) -> dict[str, float]:
    """Accuracies by rule, and the tokens that the selectors kept."""
    # What has no stages is fine-tuned in one go, for as many epochs.
    joint = replace(recipe, joint_epochs=3 * recipe.stage_epochs + recipe.joint_epochs)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    config = replace(models.config("vit_canvas"), keep=KEEP)
    quantization = QuantConfig.parse("8/8", scheme="fixed")
    told: list[Epoch] = []

    def note(name: str, epoch: Epoch) -> None:
        told.append(epoch)
        tell(name, epoch)

    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:

        def trainer(kind: type[PrunedTrainer], name: str) -> PrunedTrainer:
            made = kind(config, quantization, recipe, seed, Path(place), Pruning(mac_table(config)))
            made._tell = partial(note, name)
            return made

        base = trainer(PrunedTrainer, "float")
        unpruned = models.create(replace(config, keep=()), None, seed)
        reached = base._phase("float", unpruned, {}, {})
        before = {"float": unpruned.state_dict(), "float_accuracy": reached.accuracy}
        order = _mean_attention(unpruned, base._some_images())

        longer = models.create(replace(config, keep=()), None, seed)
        longer.load_state_dict(before["float"])
        plain = trainer(PrunedTrainer, "unpruned")
        plain.recipe = joint
        found["unpruned"] = plain._phase("joint", longer, {}, before).accuracy

        selectors = trainer(PrunedTrainer, "selectors")
        selectors._prune(unpruned, before, {})
        found["selectors"] = told[-1].accuracy
        found["tokens"] = 0.25 * (1 + sum(told[-1].rates))
        rules: dict[str, Scores] = {
            "random": random_scores,
            "static": partial(static_scores, order),
            "attention": attention_scores,
        }
        for name, rule in rules.items():
            other = trainer(RuleTrainer, name)
            assert isinstance(other, RuleTrainer)
            other.recipe, other.rule = joint, rule
            other._prune(unpruned, before, {})
            found[name] = told[-1].accuracy
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--long", action="store_true", help="the recipe of `vitgen train`")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []

    def tell(name: str, epoch: Epoch) -> None:
        print(f"\r{name:10} {epoch.phase} {epoch.number}/{epoch.total} loss {epoch.loss:.3f} "
              f"top-1 {100 * epoch.accuracy:.1f} %", end="", flush=True)  # fmt: skip

    recipe = CANVAS if arguments.long else SHORT
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        rows.append(measure(seed, recipe, tell))
        print("\r", {name: round(100 * value, 2) for name, value in rows[-1].items()})
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(rows, indent=1))
    for name in rows[0]:
        values = [100 * row[name] for row in rows]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name:10} {statistics.mean(values):6.2f} % +- {spread:.2f}")


if __name__ == "__main__":
    main()
