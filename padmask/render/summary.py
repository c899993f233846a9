"""The summaries that `pad` and `unpad` print after a run."""

from __future__ import annotations

from collections.abc import Sequence

from padmask.core.still_padded import StillPadded
from padmask.errors import count, fine_share, pronoun, quoted, share
from padmask.spec.warning_names import Warned
from padmask.stream.choice import with_hint
from padmask.stream.ledger import BucketRows, Ledger, PadResult, UnpadResult


def summary(result: PadResult, output: str, rejects: str | None = None) -> list[str]:
    """Return the summary of `pad`: the output, lost tokens and omitted rows.

    Args:
        result: counts of the run.
        output: path of the output, for display.
        rejects: path of the `--rejects` file. If None, rejected rows are not written.

    Returns:
        Lines of text.
    """
    ledger = result.ledger
    if result.packed:
        return _pack_summary(result, output, rejects)
    found = "given" if result.maxlen_found == "given" else f"found: {result.maxlen_found}"
    if result.maxlen_exact != result.maxlen:
        found = f"{result.maxlen_found}: {result.maxlen_exact:,}, rounded up"
    where = _describe_output(result, output)
    lengths = f"maxlen {result.maxlen} ({found})"
    if result.batch_tokens is not None:
        most = count(result.batch_tokens, "position")
        cut = "" if result.maxlen_found == "batches" else f", {lengths}"
        lengths = f"{count(ledger.batches, 'batch')} of at most {most}{cut}"
    if result.buckets:
        lengths = f"{count(len(result.buckets), 'bucket')} up to maxlen {result.maxlen}"
    lines = [
        f"{count(ledger.rows_written, 'row')} -> {where}: "
        f"{lengths}, padding {result.padding}, "
        f"{share(ledger.padding_share)} of positions are padding",
        *describe_buckets(result.buckets),
    ]
    if ledger.batches_short:
        one = ledger.batches_short == 1
        lines.append(
            f"{count(ledger.batches_short, 'batch')} {'is' if one else 'are'} not full, because "
            f"{'its sort window has' if one else 'their sort windows have'} no more rows (--sort-window)"
        )
    lines += _describe_losses(ledger)
    if ledger.rows_split:
        windows = ledger.rows_written - ledger.rows_used + ledger.rows_split
        lines.append(
            f"{count(ledger.rows_split, 'row')} split into {count(windows, 'window')}; "
            f"{count(ledger.tokens_repeated, 'token')} repeated"
        )
    for name, maxlen in result.own.items():
        lines.append(f"{name!r}: maxlen {maxlen} (--own-length)")
    if ledger.own_tokens_lost:
        lines.append(_describe_own_losses(ledger, quoted(result.own)))
    return [*lines, *_describe_rest(result, rejects)]


def _pack_summary(result: PadResult, output: str, rejects: str | None) -> list[str]:
    """Return the summary of `pack`. The arguments are as in `summary`."""
    ledger = result.ledger
    is_best = ledger.rows_written <= ledger.rows_at_least
    apart = " if each file is packed separately" if result.shards > 1 else ""
    least = count(ledger.rows_at_least, "row")
    bound = f"fewer rows are not possible{apart}" if is_best else f"any packing needs at least {least}{apart}"
    tokens = ledger.tokens_kept + ledger.tokens_repeated + ledger.tokens_added
    full = tokens / max(1, ledger.rows_written * result.maxlen)
    lines = [
        f"{count(ledger.sequences, 'sequence')} in {count(ledger.rows_written, 'row')} -> "
        f"{_describe_output(result, output)}: maxlen {result.maxlen}, "
        f"{fine_share(ledger.padding_share)} of positions are padding",
        f"rows: {count(tokens, 'token')} fill {fine_share(full)} of maxlen; {bound}; at most "
        f"{count(ledger.most_sequences, 'sequence')} per row",
    ]
    if ledger.tokens_added:
        lines.append(f"{count(ledger.tokens_added, 'end token')} added")
    if ledger.rows_split:
        repeated = f"; {count(ledger.tokens_repeated, 'token')} repeated" if ledger.tokens_repeated else ""
        lines.append(f"{count(ledger.rows_split, 'row')} split{repeated}")
    if ledger.boundary_labels:
        lines.append(
            f"{count(ledger.boundary_labels, 'label')} at the start of a sequence became -100. To keep such "
            "labels: --boundary-labels keep"
        )
    return [*lines, *_describe_losses(ledger), *_describe_rest(result, rejects)]


def _describe_output(result: PadResult, output: str) -> str:
    where = "stdout" if output == "-" else output
    if not result.shards:
        return where
    resumed = f", {result.resumed:,} of them from an earlier run" if result.resumed else ""
    return f"{where} ({count(result.shards, 'shard')}{resumed})"


def _describe_own_losses(ledger: Ledger, names: str) -> str:
    """Return the line about tokens lost from columns with their own maxlen, and about lost labels."""
    lost = ledger.own_tokens_lost / max(1, ledger.own_tokens_read)
    labels = "" if _describe_losses(ledger) else _describe_labels(ledger)
    return (
        f"{count(ledger.own_tokens_lost, 'token')} lost in {names} "
        f"({share(lost)} of {ledger.own_tokens_read:,}){labels}"
    )


def _describe_labels(ledger: Ledger) -> str:
    return f", {count(ledger.labels_lost, 'label')} lost" if ledger.labels_lost else ""


def _describe_losses(ledger: Ledger) -> list[str]:
    if not (ledger.rows_truncated or ledger.tokens_lost):
        return []
    lost = ledger.tokens_lost / ledger.tokens_read if ledger.tokens_read else 0.0
    labels = _describe_labels(ledger)
    cut = f"{count(ledger.rows_truncated, 'row')} truncated; " if ledger.rows_truncated else ""
    dropped = "" if ledger.rows_truncated else " in dropped rows"
    return [
        f"{cut}{count(ledger.tokens_lost, 'token')} lost{dropped} "
        f"({share(lost)} of {ledger.tokens_read:,}){labels}"
    ]


def _describe_rest(result: PadResult, rejects: str | None) -> list[str]:
    """Return the lines about omitted rows and skipped files, and the remarks, which require no action."""
    return [
        *_describe_omitted_rows(result.ledger, rejects),
        *(f"skipped: {fault}" for fault in result.faults),
        *result.remarks,
    ]


# The columns of the table of buckets.
BUCKET_COLUMNS = ("maxlen", "rows", "padding")


def cells_of_bucket(bucket: BucketRows) -> tuple[str, str, str]:
    """Return a row of the table of buckets."""
    padding = share(bucket.padding_share) if bucket.rows else "-"
    return f"{bucket.maxlen:,}", f"{bucket.rows:,}", padding


def describe_buckets(buckets: Sequence[BucketRows]) -> list[str]:
    """Return a table with the rows and the share of padding of each bucket."""
    if not buckets:
        return []
    cells = [BUCKET_COLUMNS, *map(cells_of_bucket, buckets)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  " + "  ".join(map(str.rjust, row, widths)) for row in cells]


def unpad_summary(result: UnpadResult, output: str, rejects: str | None = None) -> list[str]:
    """Return the summary of `unpad`: the output and omitted rows.

    Args:
        result: counts of the run.
        output: path of the output, for display.
        rejects: path of the `--rejects` file. If None, rejected rows are not written.

    Returns:
        Lines of text.
    """
    ledger = result.ledger
    line = (
        f"{count(ledger.rows_written, 'row')} -> {'stdout' if output == '-' else output}: "
        f"{count(ledger.tokens_kept, 'token')}; {share(ledger.padding_share)} of "
        f"{count(ledger.places, 'position')} were padding"
    )
    if result.packed:
        line = f"{count(ledger.sequences, 'sequence')} in {count(ledger.rows_used, 'packed row')} -> {line}"
    lines = [line]
    if result.packed:
        kept = ledger.sequences - ledger.sequences_rejected
        if kept > ledger.rows_written:
            repeated = ledger.tokens_repeated
            lines.append(
                f"{count(kept, 'sequence')} joined into {count(ledger.rows_written, 'row')}"
                + (f"; the packed rows contained {count(repeated, 'repeated token')}" if repeated else "")
            )
        if ledger.sequences_rejected:
            lines.append(
                f"{count(ledger.sequences_rejected, 'sequence')} rejected, because they cannot be joined"
            )
    elif ledger.rows_used > ledger.rows_written:
        lines.append(f"{count(ledger.rows_used, 'window')} joined into {count(ledger.rows_written, 'row')}")
    return [*lines, *_describe_omitted_rows(ledger, rejects), *result.remarks]


def unpad_warnings(result: UnpadResult) -> list[Warned]:
    """Return warnings about columns that stay padded, and a warning if no rows were read or written."""
    left = StillPadded(result.still_padded, result.notes) if result.columns else StillPadded()
    return [*_warn_about_no_rows(result.ledger), *left.warnings((*result.columns, "")[0])]


def _describe_omitted_rows(ledger: Ledger, rejects: str | None) -> list[str]:
    parts = [
        f"{count(number, 'row')} {action}"
        for number, action in ((ledger.rows_dropped, "dropped"), (ledger.rows_rejected, "rejected"))
        if number
    ]
    if not parts:
        return []
    omitted = " and ".join(parts)
    if rejects:
        lines = [f"{omitted}: see {'stdout' if rejects == '-' else rejects}"]
    else:
        lines = [f"{omitted}. To write these rows to a file: --rejects FILE"]
    reason = ledger.main_reason
    return [*lines, f"most frequent reason: {reason}"] if reason else lines


def _warn_about_no_rows(ledger: Ledger) -> list[Warned]:
    if ledger.rows_read == 0:
        return [Warned("no-rows-read", "no rows were read")]
    return [Warned("no-rows-written", "no rows were written")] if ledger.rows_written == 0 else []


def pad_warnings(result: PadResult) -> list[Warned]:
    """Return warnings about output that may cause problems in training."""
    ledger = result.ledger
    lines = [*result.notes, *_warn_about_no_rows(ledger)]
    if result.maxlen == 0 and ledger.tokens_read:
        lines.append(Warned("no-tokens-left", "maxlen 0 removes every token"))
    if ledger.ends_lost:
        end = "last" if result.truncating == "post" else "first"
        rows = count(ledger.ends_lost, "truncated row")
        text = (
            f"{rows} lost {'its' if ledger.ends_lost == 1 else 'their'} {end} token {result.shared_end}; "
            f"--keep-{end} 1 keeps it"
        )
        lines.append(Warned("ends-lost", text))
    if ledger.rows_empty:
        text = (
            f"{count(ledger.rows_empty, 'row')} without tokens. Empty rows cause NaN in pooling and "
            "attention layers. To drop empty rows: --empty-rows drop"
        )
        lines.append(Warned("row-fully-masked", text))
    if ledger.rows_non_finite:
        text = (
            f"{count(ledger.rows_non_finite, 'row')} with NaN or infinite tokens, which make outputs and "
            "gradients NaN. Fill missing values first. padmask verify --no-model lists such rows"
        )
        lines.append(Warned("non-finite", text))
    if result.unpadded:
        names = quoted(result.unpadded)
        flags = with_hint(next(iter(result.unpadded.values())))
        verb, done = ("pack", "packed") if result.packed else ("pad", "padded")
        text = (
            f"not {done}: {names} (same lengths as {result.columns[0]!r}). To {verb} "
            f"{pronoun(result.unpadded)} too: {flags}"
        )
        lines.append(Warned("columns-left-out", text))
    return lines
