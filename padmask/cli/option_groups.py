"""The groups of options in the help of the commands."""

from __future__ import annotations

from collections.abc import Sequence

import click

# The options of all commands. Each option is listed in one group, by the name of its parameter.
GROUPS = {
    "Input": ("columns", "input_format", "limit", "against"),
    "Padded input": ("keep_mask", "join_windows", "restore_order"),
    "Columns": ("value", "dtype", "own_lengths", "own_masks", "fields"),
    "Length": (
        "maxlen",
        "padding",
        "truncating",
        "pad_to_multiple_of",
        "overlong",
        "keep_first",
        "keep_last",
        "overlap",
        "window_labels",
    ),
    "Packing": (
        "dialect",
        "algorithm",
        "max_segments",
        "align",
        "eos",
        "pad_rows",
        "boundary_labels",
        "emit",
    ),
    "Buckets and batches": (
        "buckets",
        "batch_tokens",
        "batch_multiple",
        "sort_window",
        "shuffle_batches",
        "source_row",
    ),
    "Masks and other new columns": (
        "preset",
        "mask_column",
        "mask_dtype",
        "mask_polarity",
        "mask_kind",
        "no_mask",
        "length_column",
        "position_ids",
        "labels_from",
        "overwrite_mask",
        "allow_padded",
    ),
    "Rows": ("empty_rows", "on_error", "rejects"),
    "Model": (
        "model",
        "predict",
        "model_inputs",
        "custom_objects",
        "allow_unsafe_model",
        "no_model",
        "routes",
        "device",
        "backend",
        "seed",
        "sample",
        "batch_size",
        "vocab_size",
        "embedding_dim",
        "units",
    ),
    "Rules": ("strict",),
    "Shown rows": ("count", "rows", "style", "masks", "plans"),
    "Output": (
        "output",
        "output_format",
        "fixed_size_list",
        "report",
        "reports",
        "as_json",
        "export",
        "title",
        "theme",
        "max_bytes",
        "explain",
    ),
    "Datasets": ("resume", "delete", "shard_bytes"),
    "Workers": ("batch_rows", "threads", "workers", "cluster"),
    "Display": ("allow", "verbose", "quiet", "progress"),
}

_PADDED = dict.fromkeys(("mask_column", "mask_polarity", "mask_kind"), "Padded input")

# Options that belong to another group in one command.
EXCEPTIONS = {
    "pad": {},
    "pack": {"source_row": "Packing"},
    "unpad": {**_PADDED, "length_column": "Padded input", "padding": "Padded input"},
    "inspect": {**_PADDED, "seed": "Shown rows", "sample": "Shown rows"},
    "verify": {**_PADDED, "allow": "Rules"},
}


def group_options(command: str, options: Sequence[click.Parameter]) -> dict[str, list[click.Parameter]]:
    """Return the options of a command, keyed by the heading of their group, in the order of the groups.

    >>> option = click.Option(["--limit"])
    >>> group_options("pad", [option]) == {"Input": [option]}
    True
    """
    groups = {name: heading for heading, names in GROUPS.items() for name in names}
    groups |= EXCEPTIONS.get(command, {})
    found: dict[str, list[click.Parameter]] = {heading: [] for heading in GROUPS}
    for option in options:
        # Options that are in no group, such as --help, are shown under Display.
        found[groups.get(option.name or "", "Display")].append(option)
    return {heading: group for heading, group in found.items() if group}
