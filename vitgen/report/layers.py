"""The cycles of an image, layer by layer: every cycle belongs to exactly one layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from vitgen.design.cost import Estimate
from vitgen.design.cost_cycles import Road, breakdown, product_times, result_beats
from vitgen.design.cost_traffic import traffic
from vitgen.design.cost_work import Control, Load, Norm, Product, Task
from vitgen.design.engine import Engine
from vitgen.design.isa import Route, RowSource
from vitgen.design.latencies import sub_words

PROGRAM = "program"
_SOURCE_KIND = {
    RowSource.WEIGHTS: "linear",
    RowSource.KEYS: "scores",
    RowSource.VALUES: "values",
}
_RESULT_UNIT = {Route.GELU: "GELU", Route.SOFTMAX: "softmax"}


def kind_of(task: Task) -> str:
    """Kind of the layer that a task belongs to, as the schema lists them."""
    work = task.work
    if isinstance(work, Product):
        return _SOURCE_KIND[work.source]
    if isinstance(work, Norm):
        return "layernorm"
    return "load" if isinstance(work, Load) else PROGRAM


def layer_name(task: Task) -> str:
    """Name of the layer that a task belongs to."""
    return PROGRAM if isinstance(task.work, Control) else task.name


@dataclass
class _Account:
    """What one layer has been charged so far."""

    kind: str
    tasks: list[Task] = field(default_factory=list)
    parts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("products", "drain", "stall", "wait"), 0)
    )
    stalls: dict[str, float] = field(default_factory=dict)
    waits: str = "latency"

    def bound(self) -> str:
        """What took most of the layer's cycles."""
        causes = {
            "array": self.parts["products"],
            "drain": self.parts["drain"],
            max(self.stalls, key=lambda c: self.stalls[c], default="stall"): self.parts["stall"],
            self.waits: self.parts["wait"],
        }
        return max(causes, key=lambda cause: causes[cause])


def _stall_causes(engine: Engine, work: Product, road: Road) -> dict[str, float]:
    """Why the array stands still inside a product that runs alone, in cycles."""
    alone = breakdown(engine, work, road)
    requant = work.tile_rows * sub_words(engine, engine.requant_lanes)
    unit = _RESULT_UNIT.get(work.route, "") if result_beats(engine, work) > requant else ""
    fetch = "transpose" if work.source is RowSource.VALUES else "weights fetch"
    return {fetch: alone.fetch, unit or "requantizer": alone.results}


def _wait_cause(task: Task) -> str:
    """What the cycles are called that the array spends outside a product for its layer."""
    work = task.work
    if isinstance(work, Norm):
        return "LayerNorm"
    if isinstance(work, Load):
        return "load"
    if isinstance(work, Product) and work.route is Route.SOFTMAX:
        return "softmax"
    return "latency"


class _Charger:
    def __init__(self, estimate: Estimate, tasks: Sequence[Task], road: Road) -> None:
        self.engine, self.tasks, self.road = estimate.engine, tasks, road
        self.spans = estimate.timeline.spans
        self.accounts: dict[str, _Account] = {}
        for task in tasks:
            account = self.accounts.setdefault(layer_name(task), _Account(kind_of(task)))
            account.tasks.append(task)
            account.waits = _wait_cause(task)
        self.now = 0  # every cycle before it is charged

    def account(self, index: int) -> _Account:
        return self.accounts[layer_name(self.tasks[index])]

    def gap(self, until: int, waiting: int) -> None:
        """Charge the time in which the array belongs to nobody.

        Each cycle goes to the latest instruction that is under way, else to the one that waits.
        """
        edges = {self.now, until}
        under_way = []
        for index in range(waiting - 1, -1, -1):
            span = self.spans[index]
            start, end = round(span.start), round(span.end)
            if end > self.now and start < until:
                under_way.append((index, start, end))
                edges.update(edge for edge in (start, end) if self.now < edge < until)
            # Results of a product leave within the next; earlier instructions are long done.
            if waiting - index > 8:
                break
        ordered = sorted(edges)
        for low, high in pairwise(ordered):
            owner = next((i for i, s, e in under_way if s <= low and high <= e), waiting)
            self.account(owner).parts["wait"] += high - low
        self.now = max(self.now, until)

    def product(self, index: int, work: Product) -> None:
        """Charge a product's time on the array."""
        span, account = self.spans[index], self.account(index)
        self.gap(round(span.start), index)
        end = round(span.start + span.busy)
        times = product_times(self.engine, work, self.road)
        ideal, drain = work.ideal_beats, work.tiles * times.gap + times.after
        stall = end - self.now - ideal - drain
        for part, cycles in (("products", ideal), ("drain", drain), ("stall", stall)):
            account.parts[part] += cycles
        if stall:
            for cause, weight in _stall_causes(self.engine, work, self.road).items():
                account.stalls[cause] = account.stalls.get(cause, 0.0) + weight
        self.now = end

    def run(self, finish: int) -> dict[str, _Account]:
        for index, task in enumerate(self.tasks):
            if isinstance(task.work, Product):
                self.product(index, task.work)
        self.gap(finish, len(self.tasks) - 1)
        return self.accounts


def completions(estimate: Estimate, tasks: Sequence[Task]) -> dict[str, int]:
    """Estimated cycles by layer as a simulation counts them: those by which a layer moved the latest
    completion. They sum to the timeline's; what is left at the end is the program's."""
    found = {layer_name(task): 0 for task in tasks}
    latest = 0
    for task, span in zip(tasks, estimate.timeline.spans, strict=True):
        end = max(latest, round(span.end))
        found[layer_name(task)] += end - latest
        latest = end
    found[PROGRAM] += round(estimate.timeline.cycles) - latest
    return found


def layer_rows(
    estimate: Estimate,
    tasks: Sequence[Task],
    road: Road,
    rtl: Callable[[str], int | None] = lambda name: None,
) -> list[dict[str, Any]]:
    """Layers in order of execution, as ``report.json`` lists them.

    Parameters
    ----------
    estimate, tasks : the estimate and the tasks that it timed.
    road : the DRAM that it was timed with.
    rtl : simulated cycles of a layer by its name, None where nobody counted them.

    Notes
    -----
    A layer has the cycles in which the array computes its products, and the cycles in which the
    array idles while the layer's LayerNorm, load or last results are all that is under way. Work that
    is hidden behind products of another layer costs nothing. A simulation sees completions only; what
    is to be compared with it is ``completed``.
    """
    finish, total = round(estimate.timeline.cycles), round(estimate.cycles)
    accounts = _Charger(estimate, tasks, road).run(finish)
    completed = completions(estimate, tasks)
    rows = []
    for name, account in accounts.items():
        cycles = sum(account.parts.values())
        macs = sum(task.work.macs for task in account.tasks if isinstance(task.work, Product))
        rows.append(
            {
                "name": name,
                "kind": account.kind,
                "macs": macs,
                "cycles": {"estimated": cycles, "completed": completed[name], "rtl": rtl(name)},
                "parts": account.parts,
                "bound": "dispatch" if account.kind == PROGRAM else account.bound(),
                "dram_bytes": traffic(estimate.engine, account.tasks).total,
                "share": cycles / total,
            }
        )
    if total > finish:  # the DRAM as a whole is slower than the accelerator
        more = total - finish
        parts = {"products": 0, "drain": 0, "stall": 0, "wait": more}
        rows.append(
            {
                "name": "dram", "kind": "dram", "macs": 0, "parts": parts, "bound": "DRAM",
                "cycles": {"estimated": more, "completed": more, "rtl": rtl("dram")},
                "dram_bytes": 0, "share": more / total,
            }
        )  # fmt: skip
    return rows
