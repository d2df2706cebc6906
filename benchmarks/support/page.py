"""Puts what the benchmarks measured into the tables of ``docs/performance.md``.

``python -m benchmarks.support.page [--out build/bench]``. A table stands between ``<!-- table: NAME -->``
and ``<!-- end -->``; the rest of the page is prose, and stays. Rows that were not measured are the
estimates that lie there (``python -m benchmarks.engine --estimate``).
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.published import BOARD, CLOCK_MHZ
from benchmarks.support import results, tables
from benchmarks.support.results import OUT, ROWS
from vitgen.flow.directory import write_whole
from vitgen.report import comparison_chart
from vitgen.report.comparison import Row as Design
from vitgen.report.comparison import compare

PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"
PICTURE = "published.svg"
LAYER = "hls4ml_layer.json"
_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, made: Mapping[str, str]) -> str:
    """``text`` with every block replaced.

    Raises
    ------
    SystemExit : a block that nothing was made for, or the reverse.
    """
    places = [name for _, name, _ in _BLOCK.findall(text)]
    odd = sorted(set(places) ^ set(made))
    if odd:
        raise SystemExit(f"The page and its tables disagree on {', '.join(odd)}.")

    def block(found: re.Match[str]) -> str:
        body = made[found[2]]
        return f"{found[1]}{body}{chr(10) if body else ''}{found[3]}"

    return _BLOCK.sub(block, text)


def blocks(
    known: tables.Measured, designs: Sequence[Design], layer: Mapping[str, Any] | None
) -> dict[str, str]:
    """The tables of the page by name, as Markdown."""
    largest = max(known, key=lambda pair: pair[1]["report"]["macs"])
    heaviest = tables.markdown(tables.heaviest_modules(largest[1]))
    made = {
        "state": _state(known),
        "images": tables.markdown(tables.whole_images(known)),
        "causes": tables.markdown(tables.causes(known)),
        "bounds": tables.markdown(tables.bound_by(known)),
        "luts": tables.markdown(tables.account(known, "lut")),
        "dsps": tables.markdown(tables.account(known, "dsp")),
        "modules": heaviest or "yosys's count of the RTL has not been run for these tables.",
        "times": tables.markdown(tables.times(known)),
        "compared": tables.markdown(tables.compared(designs, CLOCK_MHZ)),
        "layer": "This comparison has not been run for these tables.",
    }
    if layer is not None:
        made["layer"] = tables.markdown(tables.layer(layer))
    return made


def _state(known: tables.Measured) -> str:
    """One sentence on what the tables rest on."""
    names = [
        f"{row.model} {row.bits}" for row, found in known if found["report"]["fps_from"] != "rtl"
    ]
    if not names:
        return "**Every row of ours comes from RTL simulation.**"
    return f"**Only an estimate of the cost model, no simulation: {', '.join(names)}.**"


def main() -> None:
    """Write the page and its picture."""
    parser = argparse.ArgumentParser(description="Refresh docs/performance.md.")
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    known = [(row, found) for row in ROWS if (found := results.best(row, out)) is not None]
    if not known:
        raise SystemExit(f"Nothing in {out}: run python -m benchmarks.engine first.")
    reports = [found["report"] for _, found in known]
    designs = compare(reports, board=BOARD, clock_mhz=CLOCK_MHZ)
    path = out / LAYER
    layer = json.loads(path.read_text()) if path.exists() else None
    if layer is not None and layer["tool"] != results.tool_digest():
        layer = None  # another vitgen's
    text = fill(PAGE.read_text(), blocks(known, designs, layer))
    picture = comparison_chart.render(designs, clock_mhz=CLOCK_MHZ, board=BOARD)
    svg = comparison_chart.standalone(picture, comparison_chart.legend(designs))
    write_whole(PAGE, text.encode())
    write_whole(PAGE.parent / PICTURE, svg.encode())


if __name__ == "__main__":
    main()
