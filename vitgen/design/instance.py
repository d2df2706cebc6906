"""An engine made for a graph: bank depths from the graph's needs."""

from dataclasses import replace

from vitgen.design.cost_memory import ultra_banks
from vitgen.design.engine import Engine
from vitgen.design.needs import Needs
from vitgen.errors import DoesNotFit


def engine_for(
    needs: Needs,
    *,
    array: str,
    group_lanes: int,
    groups: int,
    dsp_rows: int,
    pot_rows: int,
    requant_lanes: int,
    gelu_lanes: int,
    softmax_lanes: int,
    norm_lanes: int,
    weight_ports: int,
    weight_fifo: int,
    uram: int = 0,
) -> Engine:
    """The engine of this shape that holds what ``needs`` asks for.

    Parameters
    ----------
    uram : RAMs of 288 kbit that its banks may take.

    Raises
    ------
    VitgenError : the shape breaks a rule of :class:`Engine`.
    """
    slots = -(-needs.tokens // (group_lanes * groups))
    engine = Engine(
        array=array,
        group_lanes=group_lanes,
        groups=groups,
        dsp_rows=dsp_rows,
        pot_rows=pot_rows,
        act_bits=needs.act_bits,
        requant_lanes=requant_lanes,
        gelu_lanes=gelu_lanes,
        softmax_lanes=softmax_lanes,
        norm_lanes=norm_lanes,
        weight_ports=weight_ports,
        weight_fifo=weight_fifo,
        max_k=needs.max_k,
        replay_depth=needs.replay_depth,
        max_tokens=needs.tokens,
        max_features=needs.max_features,
        max_head_dim=needs.max_head_dim,
        residual_depth=needs.residual_words * slots,
        act_depth=max(needs.act_words * slots, needs.stem_words),
        prob_depth=needs.prob_words * slots,
        key_depth=needs.key_words * slots,
        value_depth=needs.value_words * slots,
    )
    return replace(engine, ultra_banks=ultra_banks(engine, uram)) if uram else engine


def require_capacity(engine: Engine, needs: Needs) -> None:
    """Refuse a graph that an existing engine cannot hold.

    Raises
    ------
    DoesNotFit : names the parameter, the need and what the engine has.
    """
    slots = engine.slots(needs.tokens)
    wanted = {
        "act_bits": needs.act_bits,
        "max_k": needs.max_k,
        "replay_depth": needs.replay_depth,
        "max_tokens": needs.tokens,
        "max_features": needs.max_features,
        "max_head_dim": needs.max_head_dim,
        "residual_depth": needs.residual_words * slots,
        "act_depth": max(needs.act_words * slots, needs.stem_words),
        "prob_depth": needs.prob_words * slots,
        "key_depth": needs.key_words * slots,
        "value_depth": needs.value_words * slots,
    }
    for name, need in wanted.items():
        if need > getattr(engine, name):
            raise DoesNotFit(
                f"The model needs {name} of {need}, the engine has {getattr(engine, name)}.",
                "Design an engine for this model.",
            )
