"""Write the help of each command into the README, as `make readme` does."""

from __future__ import annotations

import re
import subprocess

from test_readme import README, help_text

from padmask.cli import COMMANDS


def output(command: str) -> str:
    """Return the output of a command without trailing blanks."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, cwd=README.parent)
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines())


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    for name in COMMANDS:
        pattern = rf"(<!-- help: {name} -->\n```\n).*?(```\n<!-- end -->)"
        text = re.sub(pattern, lambda m: f"{m[1]}{help_text(name).strip()}\n{m[2]}", text, flags=re.S)  # noqa: B023
    text = re.sub(
        r"(\$ (COLUMNS=100 padmask inspect [^\n]*)\n).*?(```)",
        lambda m: m[1] + output(m[2]) + m[3],
        text,
        flags=re.S,
    )
    README.write_text(text, encoding="utf-8")
