"""What a device said of pictures, for the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_answers(result: Mapping[str, Any]) -> None:
    """Print the result of :func:`vitgen.flow.run.run`: a row per picture, and what they amount to."""
    answers = result["images"]
    table = Table("picture", "likeliest classes")
    labelled = any(answer["label"] is not None for answer in answers)
    counted = any(answer["cycles"] is not None for answer in answers)
    if labelled:
        table.add_column("label")
    table.add_column("seconds", justify="right")
    if counted:
        table.add_column("cycles", justify="right")
    table.add_column("reference")
    for answer in answers:
        top = Text("\n".join(f"{share:6.1%}  {name}" for name, share in answer["top"]))
        row: list[str | Text] = [Text(answer["name"], overflow="fold"), top]
        if labelled:
            wrong = answer["right"] is False
            row.append(Text(answer["label"] or "", style="red" if wrong else ""))
        row.append(f"{answer['seconds']:.3f}")
        if counted:
            row.append("" if answer["cycles"] is None else f"{answer['cycles']:,}")
        row.append("equal" if answer["equal"] else Text("differs", style="red"))
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"device: {result['device']}; design {result['design']}", highlight=False)
    if result["accuracy"] is not None:
        console.print(
            f"top-1: {100 * result['accuracy']:.2f} % of {len(answers)} labelled pictures",
            highlight=False,
        )
    equal = sum(answer["equal"] for answer in answers)
    against = "data/logits.bin" if answers[0]["name"] == "golden input" else "the integer reference"
    console.print(f"{equal} of {len(answers)} equal {against} in every logit", highlight=False)
