"""Our designs beside published ones, at equal clock and device: a table and a picture.

    python -m benchmarks.published [--out build/bench]

Ours are what ``python -m benchmarks.engine`` measured; a row that was not measured is estimated here
and marked so. Published figures come from ``benchmarks/published.toml``. Writes ``published.svg`` and
``published.json``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.support import results, steps, tables
from benchmarks.support.results import OUT, ROWS
from vitgen.flow.directory import write_whole
from vitgen.report import comparison_chart
from vitgen.report.comparison import Row, compare

BOARD, CLOCK_MHZ = "zcu102", 150.0


def our_reports(out: Path) -> list[dict[str, Any]]:
    """Reports of the table's rows, as measured or else as estimated."""
    found = []
    for row in ROWS:
        known = results.best(row, out)
        if known is None:
            known = results.estimated(row, out, steps.run, say=print)
        found.append(known["report"])
    return found


def write(designs: list[Row], out: Path) -> Path:
    """Write the picture and the figures; returns the picture's path."""
    picture = comparison_chart.render(designs, clock_mhz=CLOCK_MHZ, board=BOARD)
    svg = comparison_chart.standalone(picture, comparison_chart.legend(designs))
    write_whole(out / "published.svg", svg.encode())
    figures = json.dumps([design.to_json() for design in designs], indent=1)
    write_whole(out / "published.json", figures.encode() + b"\n")
    return out / "published.svg"


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="Our designs beside published ones.")
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    designs = compare(our_reports(out), board=BOARD, clock_mhz=CLOCK_MHZ)
    console = Console(width=max(190, Console().width), highlight=False)
    console.print(tables.rich_table(tables.compared(designs, CLOCK_MHZ)))
    console.print("~ estimated by the cost model; ? rests on an unverified figure; – unknown.")
    console.print(f"Picture: {write(designs, out)}", soft_wrap=True)


if __name__ == "__main__":
    main()
