"""What a graph asks of an engine, whatever its shape: depths per slot, longest products."""

from dataclasses import dataclass

from vitgen.design.isa import Route
from vitgen.design.placement import ActPlan, plan_act
from vitgen.design.steps import (
    AttentionStep,
    LinearStep,
    LoadStep,
    NormStep,
    StemStep,
    Step,
    fuse,
)
from vitgen.ir import Graph

PROB_BUFFERS = 2  # the next head's probabilities are written while this head's are read


@dataclass(frozen=True)
class Needs:
    """Requirements of a graph.

    Parameters
    ----------
    tokens : tokens of the residual stream (and keys).
    act_bits : widest activation that an activation bank holds.
    max_k : longest dot product of a linear layer.
    replay_depth : longest one whose weights serve several token tiles.
    max_features : most features of a LayerNorm.
    max_head_dim : most features of a head.
    residual_words, act_words, key_words, value_words : words of each bank per slot and group.
    stem_words : words of the ACT bank that a convolutional stem takes, whatever the slots.
    prob_words : the same for the probability bank, all buffers.
    pot_rows, total_rows : power-of-two rows and all rows of the linear layers.
    """

    tokens: int
    act_bits: int
    max_k: int
    replay_depth: int
    max_features: int
    max_head_dim: int
    residual_words: int
    act_words: int
    stem_words: int
    key_words: int
    value_words: int
    prob_words: int
    pot_rows: int
    total_rows: int


def needs_of(graph: Graph, steps: list[Step] | None = None) -> Needs:
    """Requirements of ``graph`` (``steps``: its fused steps, if at hand)."""
    steps = fuse(graph) if steps is None else steps
    act: ActPlan = plan_act(steps)
    stems = [s for s in steps if isinstance(s, StemStep)]
    stages = [stage for s in stems for stage in s.stem.stages]
    replayed = [s for s in steps if isinstance(s, LinearStep)]
    linear = [*replayed, *(s.project for s in stems)]
    attention = [s for s in steps if isinstance(s, AttentionStep)]
    norms = [s for s in steps if isinstance(s, NormStep)]
    loads = [s for s in steps if isinstance(s, LoadStep)]
    narrow = [s.x.bits for s in linear] + [s.v.bits for s in attention]
    narrow += [t.bits for s in attention for t in (s.q, s.k, s.prob)]
    narrow += [graph.tensors[stage.source.tensor].bits for stage in stages]
    replay_depth = max([s.x.features for s in replayed] + [stage.k for stage in stages])
    keys = max((s.prob.features for s in attention), default=1)
    return Needs(
        tokens=max([s.tensor.tokens for s in loads] + [s.project.y.tokens for s in stems]),
        act_bits=max(narrow),
        max_k=max([s.x.features for s in linear] + [replay_depth]),
        replay_depth=replay_depth,
        max_features=max((s.x.features for s in norms), default=1),
        max_head_dim=max((s.head_dim for s in attention), default=1),
        residual_words=max(
            (s.y.features for s in linear if s.route is Route.RESIDUAL), default=1
        ),
        act_words=act.features,
        stem_words=max((s.stem.words for s in stems), default=0),
        key_words=max((s.k.features for s in attention), default=1),
        value_words=max((s.v.features for s in attention), default=1),
        prob_words=PROB_BUFFERS * keys,
        pot_rows=sum(s.rows_by_kind["pot"] for s in linear),
        total_rows=sum(s.op.rows for s in linear),
    )
