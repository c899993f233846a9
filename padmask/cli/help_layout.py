"""Break long lines of help texts, so that they fit the terminal."""

from __future__ import annotations

import inspect
import re

# click indents the help text by 2 spaces, and padmask indents examples by 2 more.
_INDENT = 2


def wrap_examples(text: str, width: int) -> str:
    r"""Break long example commands in a help text. A backslash continues a command in the shell.

    >>> print(wrap_examples("Pad.\n    Examples:\n      padmask pad a.jsonl -o b.jsonl --maxlen 8", 36))
    Pad.
    Examples:
      padmask pad a.jsonl -o b.jsonl \
          --maxlen 8

    Args:
        text: help text. Its example commands are indented.
        width: width of the terminal in characters.
    """
    lines = []
    for line in inspect.cleandoc(text).split("\n"):
        if line.startswith("  "):
            lines += _wrap(line, width)
        else:
            lines.append(line)
    return "\n".join(lines)


def _wrap(line: str, width: int) -> list[str]:
    """Break a command before options and pipes, so that an option and its value stay on one line."""
    lines = [""]
    for part in re.split(r"(?<=\S) (?=[-|])", line):
        if lines[-1] and len(f"{lines[-1]} {part} \\") + _INDENT > width:
            lines[-1] += " \\"
            lines.append(" " * 5)
        lines[-1] += f" {part}" if lines[-1] else part
    return lines


def wrap_choices(term: str, width: int) -> str:
    r"""Break the list of choices of an option if the list is wider than the terminal.

    >>> print(wrap_choices("--emit [segment_ids|position_ids|cu_seqlens]", 36))
    --emit [segment_ids|position_ids|
          cu_seqlens]

    Args:
        term: the option and its choices.
        width: width of the terminal in characters.
    """
    lines = [""]
    for part in term.replace("|", "|\0").split("\0"):
        if lines[-1] and len(lines[-1] + part) + _INDENT > width:
            lines.append(" " * 6)
        lines[-1] += part
    return "\n".join(lines)
