"""Print the findings of `verify` and `inspect`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from padmask.render.console import print_line, printable_line
from padmask.verify.report import describe_finding, describe_place

if TYPE_CHECKING:
    from rich.console import Console

    from padmask.verify.data.findings import Finding


def print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print findings in the style of a linter: each line starts with the location, and lines are not wrapped.

    For findings that the user allowed, only the names of the rules are printed.
    """
    for finding in findings:
        severity = finding.rule.severity
        if severity == "allowed":
            continue
        colour = "red" if severity == "error" else "yellow"
        for place, text in describe_finding(finding):
            rule, _, rest = text.partition(": ")
            # Warnings have the same form as warnings about the run.
            name = rule if severity == "error" else f"{severity}\\[{rule}]"
            where = printable_line(describe_place(place))
            print_line(f"{where}: [{colour}]{name}[/{colour}]: {printable_line(rest)}", console)
    names = dict.fromkeys(finding.rule.name for finding in findings if finding.rule.severity == "allowed")
    if names:
        print_line(f"allowed: {', '.join(names)}", console, style="dim")
