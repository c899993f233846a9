"""The summary lines of `pad` and `unpad`."""

from __future__ import annotations

from padmask.errors import share
from padmask.stream.ledger import Ledger, PadResult, UnpadResult


def count(number: int, noun: str) -> str:
    """Write a number and its noun.

    >>> count(1, "row"), count(1234, "token")
    ('1 row', '1,234 tokens')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def summary(result: PadResult, goal: str, rejects: str | None = None) -> list[str]:
    """Say in lines what was done, what was lost, and what to look at."""
    ledger = result.ledger
    found = "given" if result.maxlen_found == "given" else f"found: {result.maxlen_found}"
    if result.maxlen_exact != result.maxlen:
        found = f"{result.maxlen_found} is {result.maxlen_exact:,}, rounded up"
    where = "stdout" if goal == "-" else goal
    if result.shards:
        before = f", {result.resumed:,} of them done before" if result.resumed else ""
        where += f" ({count(result.shards, 'shard')}{before})"
    lines = [
        f"{count(ledger.rows_written, 'row')} -> {where}: "
        f"maxlen {result.maxlen} ({found}), padding {result.padding}, "
        f"{share(ledger.padding_share)} of places are padding"
    ]
    if ledger.rows_truncated or ledger.tokens_lost:
        lost = ledger.tokens_lost / ledger.tokens_read if ledger.tokens_read else 0.0
        labels = f", {count(ledger.labels_lost, 'label')} among them" if ledger.labels_lost else ""
        cut = f"{count(ledger.rows_truncated, 'row')} cut; " if ledger.rows_truncated else ""
        whole = "" if ledger.rows_truncated else " with the rows that were dropped"
        lines.append(
            f"{cut}{count(ledger.tokens_lost, 'token')} lost{whole} "
            f"({share(lost)} of {ledger.tokens_read:,}){labels}"
        )
    left_out = [f"left out: {fault}" for fault in result.faults]
    return [*lines, *_not_written(ledger, rejects), *left_out, *(f"warning: {w}" for w in warnings(result))]


def unpad_summary(result: UnpadResult, goal: str, rejects: str | None = None) -> list[str]:
    """Say in lines what was done, what was left out, and what to look at."""
    ledger = result.ledger
    line = (
        f"{count(ledger.rows_written, 'row')} -> {'stdout' if goal == '-' else goal}: "
        f"{count(ledger.tokens_kept, 'token')}; {share(ledger.padding_share)} of "
        f"{count(ledger.places, 'place')} were padding"
    )
    notes = [*result.notes, *_few_rows(ledger)]
    if result.still_padded:
        names = ", ".join(map(repr, result.still_padded))
        flags = next(iter(result.still_padded.values()))
        notes.append(f"not unpadded, though of the same lengths: {names}; to unpad all: {flags}")
    return [line, *_not_written(ledger, rejects), *(f"warning: {note}" for note in notes)]


def _not_written(ledger: Ledger, rejects: str | None) -> list[str]:
    parts = [
        f"{count(number, 'row')} {what}"
        for number, what in ((ledger.rows_dropped, "dropped"), (ledger.rows_rejected, "rejected"))
        if number
    ]
    where = f": see {rejects}" if rejects else "; --rejects FILE keeps them"
    return [" and ".join(parts) + where] if parts else []


def _few_rows(ledger: Ledger) -> list[str]:
    if ledger.rows_read == 0:
        return ["no rows were read"]
    return ["not one row was written"] if ledger.rows_written == 0 else []


def warnings(result: PadResult) -> list[str]:
    """Say what will bite later."""
    ledger = result.ledger
    lines = [*result.notes, *_few_rows(ledger)]
    if result.maxlen == 0 and ledger.tokens_read:
        lines.append("maxlen 0 keeps no token at all")
    if ledger.rows_empty:
        lines.append(
            f"{count(ledger.rows_empty, 'row')} without a token: a fully masked row gives NaN in pooling and "
            "attention layers; --empty-rows drop leaves such rows out"
        )
    if result.padding == "pre" and ledger.rows_written:
        lines.append("--padding pre: cuDNN's LSTM and GRU kernels need post, others are slower")
    if result.unpadded:
        names = ", ".join(map(repr, result.unpadded))
        flags = next(iter(result.unpadded.values()))
        lines.append(f"not padded, though of the same lengths: {names}; to pad all: {flags}")
    return lines
