"""Whole images of DeiT-T, DeiT-S and DeiT-B: cycles of the RTL, resources by yosys, times of the road.

    python -m benchmarks.engine [--only MODEL:BITS ...] [--no-count] [--estimate] [--warm]

Every row is built as ``vitgen build --verify rtl`` builds it, one step after the other, each in a
process of its own. Results lie in ``build/bench``, one file for each row: what was measured is not
measured again, until vitgen changes. Bounds of the issue: DeiT-B to C++ and RTL in 5 min, its C-sim in
3 min, both on two idle cores.
"""

import argparse
import functools
from pathlib import Path

from rich.console import Console

from benchmarks.support import results, steps, tables
from benchmarks.support.results import OUT, STEPS, Row


def say(line: str) -> None:
    """Tell at once how far it is."""
    print(line, flush=True)


def measure_all(rows: list[Row], out: Path, wanted: tuple[str, ...], warm: bool) -> None:
    """Run what is left of every row, small models first: what is quick is known early."""
    order = ("deit_t", "deit_s", "deit_b")
    runner = functools.partial(steps.run, warm=warm)
    for row in sorted(rows, key=lambda r: order.index(r.model) if r.model in order else -1):
        results.measure(row, out, runner, steps=wanted, say=say)


def show(rows: list[Row], out: Path) -> None:
    """Print the tables of what is known."""
    known = [(row, found) for row in rows if (found := results.best(row, out)) is not None]
    console = Console(width=max(150, Console().width), highlight=False)
    console.print()
    console.print(tables.rich_table(tables.whole_images(known), "One image, batch 1"))
    console.print("~ estimated by the cost model; ? unverified; shares are of the board.")
    console.print()
    console.print(tables.rich_table(tables.causes(known), "Where the cycles go"))
    if any(len(found["steps"]) > 1 for _, found in known):
        console.print()
        console.print(tables.rich_table(tables.times(known), "Times on this machine"))
        console.print("Peak memory is that of the largest process. ≥: a killed run was resumed.")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Whole images: RTL, yosys, times.")
    parser.add_argument("--only", action="append", default=[], metavar="MODEL:BITS")
    parser.add_argument("--no-count", action="store_true", help="leave yosys's count out")
    parser.add_argument("--estimate", action="store_true", help="ask the cost model, build nothing")
    parser.add_argument("--warm", action="store_true",
                        help="use the user's caches: quicker, but times are not of the whole work")  # fmt: skip
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    rows = results.chosen(asked.only)
    if asked.estimate:
        for row in rows:
            results.estimated(row, asked.out, steps.run, say=say)
    else:
        wanted = tuple(step for step in STEPS if step != "count" or not asked.no_count)
        measure_all(rows, asked.out, wanted, asked.warm)
    show(rows, asked.out)


if __name__ == "__main__":
    main()
