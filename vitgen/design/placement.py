"""Where tensors live on chip: regions of the activation banks, reused when their readers are done.

A region is counted in features per slot, so that its size is the same for every engine; its base
address is ``offset * slots`` and a word stands at ``base + slot * features + feature``.
"""

from dataclasses import dataclass

from vitgen.design.chains import chains
from vitgen.design.isa import LoadTarget, Route
from vitgen.design.steps import AttentionStep, LoadStep, NormStep, StemStep, Step
from vitgen.ir import Tensor


@dataclass(frozen=True)
class ActPlan:
    """Offsets of the tensors in the ACT bank.

    Parameters
    ----------
    offsets : feature offset of each tensor, by name.
    features : features per slot that the whole bank needs.
    """

    offsets: dict[str, int]
    features: int


@dataclass
class _Life:
    features: int
    first: int
    last: int


def _lives(steps: list[Step]) -> dict[str, _Life]:
    lives: dict[str, _Life] = {}
    for index, step in enumerate(steps):
        if isinstance(step, LoadStep):
            written = step.tensor if step.target is LoadTarget.ACT else None
            read: list[Tensor] = []
        elif isinstance(step, NormStep):
            written, read = step.y, []
        elif isinstance(step, AttentionStep):
            written, read = step.y, [step.q]
        elif isinstance(step, StemStep):
            written, read = None, []  # it has the bank to itself: its regions lie in vitgen.design.stem
        else:
            stays = step.route in (Route.ACT, Route.GELU)
            written, read = step.y if stays else None, [step.x]
        for tensor in read:
            lives[tensor.name].last = index
        if written is not None:
            lives[written.name] = _Life(written.features, index, index)
    for chain in chains(steps):  # it is written while the product before it still reads
        norm = steps[chain.norm]
        assert isinstance(norm, NormStep)
        lives[norm.y.name].first = chain.adds
    return lives


def plan_act(steps: list[Step]) -> ActPlan:
    """First fit by lifetime, the largest tensors first; two tensors that live at once never share."""
    lives = _lives(steps)
    offsets: dict[str, int] = {}
    for name in sorted(lives, key=lambda n: (-lives[n].features, lives[n].first)):
        life = lives[name]
        taken = sorted(
            (offsets[other], offsets[other] + lives[other].features)
            for other in offsets
            if lives[other].first <= life.last and life.first <= lives[other].last
        )
        offset = 0
        for low, high in taken:
            if offset + life.features <= low:
                break
            offset = max(offset, high)
        offsets[name] = offset
    ends = [offset + lives[name].features for name, offset in offsets.items()]
    return ActPlan(offsets, max(ends, default=1))


