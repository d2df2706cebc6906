"""When each instruction of a program runs: units as resources, waits as dependences.

A small event model, exact for its own rules: instructions are dealt in order, each unit serves them
in order, and an instruction starts when its waits are met. Buffers between units hold what the
netlist gives them; where one is full, the unit before it stands still.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vitgen.design import depths
from vitgen.design.array import open_tiles
from vitgen.design.cost_cycles import (
    NormUnit,
    ProductTimes,
    Road,
    array_cycles,
    await_cycles,
    load_beats,
    product_times,
    turn_cycles,
)
from vitgen.design.cost_work import Load, Norm, Product, Task, writer_of
from vitgen.design.depths import COMMAND_DEPTH
from vitgen.design.engine import Engine
from vitgen.design.isa import INSTRUCTION_BEATS, Route, RowSource, Source
from vitgen.design.latencies import (
    ARRAY_LATENCY,
    COMMAND_LATENCY,
    DEAL_CYCLES,
    EXP_LATENCY,
    FEED_LEAD,
    GELU_LATENCY,
    NEXT_CYCLES,
    REQUANT_LATENCY,
    RESIDUAL_LATENCY,
    RESIDUAL_SETTLE,
    SCALE_LATENCY,
    SLOT_LATENCY,
    SLOT_SETTLE,
    STORE_LATENCY,
    TURN_LATENCY,
    WEIGHT_LATENCY,
    WRITE_LATENCY,
    reciprocal_cycles,
    sub_words,
)

WAIT_CAUSE = {
    Source.ACT_WRITE: "activations",
    Source.KEY_WRITE: "keys",
    Source.VALUE_WRITE: "values",
    Source.PROB_WRITE: "softmax",
    Source.RESIDUAL: "residual",
    Source.FEED: "bank reuse",
    Source.KEYS: "bank reuse",
    Source.VALUE_TURN: "bank reuse",
    Source.STORE: "output",
}


@dataclass(frozen=True)
class Span:
    """An instruction in time, in cycles from the start of the image.

    Parameters
    ----------
    name : the task's name.
    task : its index in the program.
    start, end : first beat and last result.
    busy : cycles in which the array belongs to it (0 if it uses none).
    """

    name: str
    task: int
    start: float
    end: float
    busy: float


@dataclass(frozen=True)
class Timeline:
    """A program in time.

    Parameters
    ----------
    cycles : from the first instruction to the last result.
    spans : one an instruction, in order.
    where : cycles by cause; they sum to ``cycles``. ``products`` are the ideal beats, ``drain``,
        ``results`` and ``fetch`` as in :class:`~vitgen.design.cost_cycles.Breakdown`; the others are
        what the array waited for.
    """

    cycles: float
    spans: tuple[Span, ...]
    where: dict[str, float]

    @property
    def ideal(self) -> float:
        """Beats in which the array multiplies."""
        return self.where["products"]


class _Machine:
    """Time at which every unit is free, and the completions so far."""

    def __init__(self, engine: Engine, road: Road) -> None:
        self.engine, self.road = engine, road
        # The first instruction comes from DRAM, four beats.
        self.issue = float(road.latency + INSTRUCTION_BEATS)
        self.done: dict[Source, list[tuple[float, str]]] = {source: [] for source in Source}
        self.array_free = 0.0
        self.last_end = 0.0  # of the array, to attribute idle time
        self.results_free = 0.0
        self.fetch_free = 0.0
        self.load_free = 0.0
        self.residual_free = 0.0
        self.turn_free = 0.0
        self.norms: dict[int, NormUnit] = {}
        self.slots_ready: list[float] = []
        self.exp_taken = self.scale_end = 0.0  # last score taken, last term scaled
        self.starts: list[float] = []
        self.finish = 0.0
        self.where = dict.fromkeys(("products", "drain", "results", "fetch"), 0.0)
        self._times: dict[Product, ProductTimes] = {}

    def ready(self, task: Task) -> tuple[float, str]:
        """When the waits of ``task`` are met, and what came last."""
        latest, cause = 0.0, "dispatch"
        for source, count in task.waits.items():
            when, kind = self.done[source][count - 1]
            when += await_cycles(source)
            if when > latest:
                latest, cause = when, kind
        return latest, cause

    def complete(self, source: Source, when: float, cause: str) -> None:
        """Report a command of ``source``; a process completes its commands in order."""
        earlier = self.done[source][-1][0] if self.done[source] else 0.0
        self.done[source].append((max(when, earlier), cause))
        self.finish = max(self.finish, when)

    def charge(self, cause: str, cycles: float) -> None:
        """Add to the account of what the time went to."""
        if cycles:
            self.where[cause] = self.where.get(cause, 0.0) + cycles

    def deal(self, ready: float) -> tuple[float, float]:
        """Deal an instruction: when its early commands are out, and when those that wait are."""
        early = self.issue + DEAL_CYCLES
        dealt = max(early, ready)
        self.issue = dealt + NEXT_CYCLES
        return early, dealt

    def load(self, work: Load, ready: float) -> tuple[float, float]:
        _, dealt = self.deal(ready)
        start = max(dealt + self.road.latency, self.load_free)
        end = start + load_beats(self.engine, work) * self.road.beat
        self.load_free = end
        end += WRITE_LATENCY
        if work.residual:
            end += RESIDUAL_LATENCY
            self.residual_free = end
            self.complete(Source.RESIDUAL, end, "load")
        else:
            self.complete(Source.ACT_WRITE, end, "load")
        return start, end

    def norm(self, work: Norm, ready: float) -> tuple[float, float]:
        _, dealt = self.deal(ready)
        if work.by_slot:  # the product before it has sent the slots
            start, end = self.slots_ready[0], self.slots_ready[-1]
        else:
            unit = self.norm_unit(work.features)
            start = summed = max(dealt + COMMAND_LATENCY, self.residual_free)
            scaled = 0.0
            for _ in range(work.slots):
                summed, scaled = unit.take(summed + RESIDUAL_SETTLE)
            self.residual_free = summed
            self.complete(Source.RESIDUAL, summed, "layernorm")
            end = scaled + SCALE_LATENCY + WRITE_LATENCY
        self.complete(Source.ACT_WRITE, end, "layernorm")
        return start, end

    def norm_unit(self, features: int) -> NormUnit:
        """The LayerNorm unit, whose state outlives an instruction."""
        if features not in self.norms:
            self.norms = {features: NormUnit(self.engine, features)}
        return self.norms[features]

    def product(self, work: Product, ready: float, cause: str) -> tuple[float, float, float]:
        """Start, last result and busy cycles of a product."""
        engine, road = self.engine, self.road
        early, dealt = self.deal(ready)
        if len(self.starts) > COMMAND_DEPTH:
            self.issue = max(self.issue, self.starts[-COMMAND_DEPTH - 1])
        times = self._times.get(work)
        if times is None:
            times = self._times[work] = product_times(engine, work, road)
        fill = COMMAND_LATENCY + ARRAY_LATENCY
        start = max(dealt + fill, self.array_free)
        if work.by_slot and self.slots_ready[0] + SLOT_LATENCY > start:
            start, cause = self.slots_ready[0] + SLOT_LATENCY, "layernorm"
        ideal, drain = float(work.ideal_beats), float(work.tiles * times.gap + times.after)
        operand = 0.0
        if work.source is RowSource.WEIGHTS:
            since = max(early + road.latency + WEIGHT_LATENCY, self.fetch_free)
            words = min(engine.weight_fifo, work.row_tiles * work.k)
            ahead = min(max(0.0, (start - since) / times.word), words)
            if since > start:
                start, cause = since, "fetch"
            busy = array_cycles(work, times, ahead)
            operand = busy - work.tiles * times.tile - times.after
        else:
            busy = work.tiles * times.tile + times.after
            if work.source is RowSource.VALUES:
                turned = max(dealt + TURN_LATENCY, self.turn_free) + turn_cycles(engine, work)
                self.turn_free = turned
                self.complete(Source.VALUE_TURN, turned, "transpose")
                operand = max(0.0, turned - (start + work.k))
                busy += operand
        slots = self.wait_for_slots(work, times, start)
        busy += slots
        # The rows of the product before must have left before this one's first tile drains.
        blocked = max(0.0, self.results_free - (start + work.k + operand))
        busy += blocked
        late = self.outlet(work, times, start, busy)
        busy += late
        self.charge(cause, start - self.last_end)
        self.charge("products", ideal)
        self.charge("drain", drain)
        self.charge("fetch", operand)
        self.charge("layernorm", slots)
        self.charge("results", busy - ideal - drain - operand - slots)
        self.array_free = self.last_end = start + busy
        if work.source is RowSource.WEIGHTS:
            self.fetch_free = self.fetched(work, times, operand)
        self.starts.append(start)
        read = self.array_free - times.gap - times.after - FEED_LEAD
        self.complete(Source.FEED, read, WAIT_CAUSE[Source.FEED])
        if work.source is RowSource.KEYS:
            self.complete(Source.KEYS, read, WAIT_CAUSE[Source.KEYS])
        return start, self.done[writer_of(work)][-1][0], busy

    def wait_for_slots(self, work: Product, times: ProductTimes, start: float) -> float:
        """Cycles for which the first row tile waits for slots that a LayerNorm brings."""
        if not work.by_slot:
            return 0.0
        at = start
        for ready in self.slots_ready:
            at = max(at, ready + SLOT_LATENCY) + times.tile
        return at - start - work.slots * times.tile

    def fetched(self, work: Product, times: ProductTimes, operand: float) -> float:
        """When the last weight of a product that ends now has entered the FIFO."""
        last = (work.slots - 1) * times.tile + times.gap
        if not operand:  # the FIFO is full while the last words in it are taken
            ahead = min(self.engine.weight_fifo / work.k, float(work.row_tiles))
            last = max(last, ahead * work.slots * times.tile)
        return self.array_free - times.after - last

    def outlet(self, work: Product, times: ProductTimes, start: float, busy: float) -> float:
        """Complete the results of a product; cycles by which its way out holds up the array."""
        last = start + busy - times.gap + times.floor - times.after
        self.results_free = last
        end = last + REQUANT_LATENCY
        cause = WAIT_CAUSE[writer_of(work)]
        late = 0.0
        if work.route is Route.SOFTMAX:
            end, late = self.softmax(work, times, start, busy)
        elif work.route is Route.GELU:
            end += GELU_LATENCY
        elif work.route is Route.STORE:
            end += self.road.latency + STORE_LATENCY
        elif work.route is Route.RESIDUAL:
            end += RESIDUAL_LATENCY
            # Increments queue behind a load of the stream: a full queue stops the array.
            queue = depths.residual_rows(self.engine).depth - depths.HAND_OVER.depth
            held = open_tiles(self.engine.array, self.engine.pot_rows)
            first = start + held * times.tile - times.gap
            row = max(times.tile, times.floor) / work.tile_rows
            first += queue * max(row, sub_words(self.engine, self.engine.requant_lanes))
            late = max(0.0, self.residual_free - first)
            self.results_free += late
            loaded, self.residual_free = self.residual_free, end + late
            end = self.residual_free = max(self.residual_free, loaded + work.slots * work.limit)
            if work.sent_rows:
                rows = work.slots * (work.limit - work.sent_rows)
                sent = self.send_slots(work, times, end, loaded + rows)
                late += sent
                self.results_free += sent
                end = self.residual_free
        self.complete(writer_of(work), end + WRITE_LATENCY, cause)
        return late

    def send_slots(self, work: Product, times: ProductTimes, end: float, free: float) -> float:
        """Send each slot to the LayerNorm; cycles by which that holds up the array.

        Rows of the next slots wait in a FIFO while a slot is sent; the array stands still where it
        is full. The last row of the last slot comes at ``end``, those before the last row tile are
        added by ``free``.
        """
        unit = self.norm_unit(work.sent_features)
        held = (depths.residual_rows(self.engine).depth - depths.HAND_OVER.depth) // work.tile_rows
        late = 0.0
        added: list[float] = []
        self.slots_ready = []
        for slot in range(work.slots):
            arrived = end - (work.slots - 1 - slot) * times.tile + late
            if slot >= held > 0:
                wait = max(0.0, added[slot - held] - arrived)
                late, arrived = late + wait, arrived + wait
            added.append(max(arrived, free + work.sent_rows))
            summed, scaled = unit.take(added[slot] + RESIDUAL_SETTLE)
            free = summed
            ready = scaled + SCALE_LATENCY + WRITE_LATENCY + SLOT_SETTLE
            self.slots_ready.append(ready)
        self.residual_free = free
        return late

    def softmax(
        self, work: Product, times: ProductTimes, start: float, busy: float
    ) -> tuple[float, float]:
        """Last probability, and cycles by which the stages hold up the array.

        Maximum, terms and scaling each take a slot's keys in turn. The FIFO between two of them holds
        one slot of words and a little more, so a stage ends a slot by that little before the stage
        behind it ends the slot before, at the earliest.
        """
        sub = sub_words(self.engine, self.engine.softmax_lanes)
        words = work.limit * sub
        scores_room = (depths.scores(self.engine).depth - work.limit) * sub
        terms_room = (depths.terms(self.engine).depth - work.limit) * sub
        reciprocal = reciprocal_cycles(self.engine)
        per_slot = (busy - times.after) / work.slots
        # The last tile of a slot holds rows of no key; they leave behind the last score.
        none = work.row_tiles * work.tile_rows - work.limit
        left = times.floor - none * sub_words(self.engine, self.engine.requant_lanes)
        late = 0.0
        for slot in range(work.slots):
            arrived = start + (slot + 1) * per_slot + late - times.gap + max(0, left)
            arrived += REQUANT_LATENCY
            maxed = max(arrived, self.exp_taken - min(scores_room, words))
            late += maxed - arrived
            taken = max(maxed, self.exp_taken) + words
            self.exp_taken = max(taken, self.scale_end - min(terms_room, words))
            summed = self.exp_taken + EXP_LATENCY
            self.scale_end = max(summed + reciprocal, self.scale_end) + words
        self.results_free += late
        return self.scale_end + SCALE_LATENCY, late


def schedule(engine: Engine, tasks: Sequence[Task], road: Road) -> Timeline:
    """Run ``tasks`` in order."""
    machine = _Machine(engine, road)
    spans = []
    for index, task in enumerate(tasks):
        ready, cause = machine.ready(task)
        busy = 0.0
        if isinstance(task.work, Product):
            start, end, busy = machine.product(task.work, ready, cause)
        elif isinstance(task.work, Norm):
            start, end = machine.norm(task.work, ready)
        elif isinstance(task.work, Load):
            start, end = machine.load(task.work, ready)
        else:
            start, end = machine.deal(ready)
        spans.append(Span(task.name, index, start, end, busy))
        machine.finish = max(machine.finish, end)
    machine.charge("tail", machine.finish - machine.last_end)
    return Timeline(machine.finish, tuple(spans), machine.where)
