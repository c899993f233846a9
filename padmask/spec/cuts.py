"""Reject `PadSpec` options that conflict with each other, or that require files."""

from __future__ import annotations

from padmask.errors import SpecError, join_or
from padmask.spec.formats import FormatTraits, ragged_formats
from padmask.spec.pad import PadSpec, RowPolicy


def refuse_unused_cuts(spec: PadSpec, policy: RowPolicy) -> None:
    """Raise an error if options for truncating or splitting rows have no effect.

    Raises:
        SpecError: `spec` has windows or kept ends, but no row is truncated or split. This is the case if
            `overlong` is `"drop"` or `"error"`, and also if `maxlen` is `"longest"`.
    """
    windows = spec.windows is not None
    option = "keep_first" if spec.keep_first else "keep_last" if spec.keep_last else ""
    if not (windows or option):
        return
    subject = "Windows have" if windows else f"`{option}` has"
    options = ["overlong"] if windows else [option]
    if policy.overlong != "truncate":
        raise SpecError(
            f"{subject} no effect with `overlong` {policy.overlong!r}, because rows longer than maxlen are "
            "neither truncated nor split. Remove one of the two options.",
            options=[*options, "overlong"],
        )
    if spec.maxlen == "longest":
        raise SpecError(
            f"{subject} no effect with `maxlen` 'longest', because no row is too long. Set a length, such as "
            "--maxlen 512 or --maxlen p95.",
            options=[*options, "maxlen"],
        )


def refuse_fixed_shapes(spec: PadSpec, format_: FormatTraits, fixed_size: bool) -> None:
    """Raise an error if the output cannot store batches or packed rows.

    Both need lists of different lengths. npz, for example, cannot store such lists.

    Args:
        spec: how to pad.
        format_: format of the output.
        fixed_size: whether to write fixed-size lists.

    Raises:
        SpecError: `spec` sets batches or packing, but all lists in the output must have the same length.
    """
    shaped = spec.batches is not None or spec.packing is not None
    if not shaped or (format_.is_ragged and not fixed_size):
        return
    subject = "batches, because the rows of different batches have different lengths"
    if spec.packing is not None:
        subject = "packed rows, because columns such as seq_lengths contain lists of different lengths"
    option = ["batch_tokens"] if spec.batches is not None else []
    writable = join_or([traits.title for traits in ragged_formats()])
    if format_.is_ragged:
        raise SpecError(
            f"Fixed-size lists cannot store {subject}. Remove --fixed-size-list.",
            options=[*option, "fixed_size_list"],
        )
    raise SpecError(
        f"{format_.title} files cannot store {subject}. Write {writable}.",
        options=[*option, "output_format"],
    )


def refuse_in_memory(spec: PadSpec) -> None:
    """Raise an error for options that require files: buckets, batches and packing.

    Raises:
        SpecError: `spec` sets buckets, batches or packing.
    """
    if spec.packing is not None:
        raise SpecError(
            "This function does not pack rows. Use `pack` or `pack_table`, or remove `packing`.",
            options=["packing"],
        )
    for name, noun in (("buckets", "Buckets"), ("batches", "Batches")):
        if getattr(spec, name) is not None:
            raise SpecError(
                f"{noun} change the order of the rows, and have rows of different lengths, so `{name}` "
                f"requires files. Use `pad_file` or `pad_dataset`, or remove `{name}`.",
                options=[name],
            )
