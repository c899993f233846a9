"""Writes the commands' help into the README: what `make readme` runs."""

from __future__ import annotations

import re

from test_readme import README, help_text

from padmask.cli import COMMANDS

if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for name in COMMANDS:
        pattern = rf"(<!-- help: {name} -->\n```\n).*?(```\n<!-- end -->)"
        text = re.sub(pattern, lambda m: f"{m[1]}{help_text(name).strip()}\n{m[2]}", text, flags=re.S)  # noqa: B023
    README.write_text(text, encoding="utf-8")
