"""A model in the forms among which a search may choose: shares of power-of-two rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from vitgen.design.cost_workload import LinearShape, RowKinds, Workload
from vitgen.design.needs import Needs, needs_of
from vitgen.design.steps import fuse
from vitgen.ir import Graph


@dataclass(frozen=True)
class Variant:
    """A model with its rows' kinds decided.

    Parameters
    ----------
    needs, workload : what it asks of an engine.
    pot_ratio : the share of power-of-two rows that it stands for; None where nothing is to be chosen.
    """

    needs: Needs
    workload: Workload
    pot_ratio: float | None = None

    @classmethod
    def of(cls, graph: Graph, pot_ratio: float | None = None) -> "Variant":
        """The variant that a graph, or an outline, is."""
        steps = fuse(graph)
        return cls(needs_of(graph, steps), Workload(steps), pot_ratio)

    def recounted(self, kinds: Mapping[str, RowKinds], pot_ratio: float) -> "Variant":
        """The same model with other kinds of rows, by the names of its linear layers.

        A stem's projection keeps its own.
        """
        needs = self.needs
        staying = needs.pot_rows - sum(
            count * shape.pot
            for shape, count in self.workload.shapes.items()
            if isinstance(shape, LinearShape)
        )
        workload = self.workload.recounted(kinds)
        names = {unit.name for unit in workload.units if isinstance(unit.shape, LinearShape)}
        pot_rows = staying + sum(kinds[name].pot for name in names)
        return Variant(replace(needs, pot_rows=pot_rows), workload, pot_ratio)
