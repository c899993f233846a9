"""Options of other padding tools, and the padmask options to use instead."""

from __future__ import annotations

_STRIDE = (
    "In Hugging Face's tokenizers, {option} is the overlap of windows. In other tools, it is the step from "
    "one window to the next. Use --overlong window --overlap N, where N is the number of tokens that two "
    "consecutive windows share. For a step of S, N is maxlen - S, minus --keep-first and --keep-last."
)

# Messages that say what to use instead, keyed by the option of another tool. Keys have no underscores.
PADDING_OPTIONS = {
    "--stride": _STRIDE.format(option="--stride"),
    "--doc-stride": _STRIDE.format(option="--doc_stride"),
    "--window": "To split long rows into windows, use --overlong window. --maxlen is the length of a window.",
    "--return-overflowing-tokens": (
        "To split long rows into windows instead of truncating them, use --overlong window. --overlap N sets "
        "the number of tokens that two consecutive windows share."
    ),
    "--max-len": (
        "To choose the length of the padded rows, use --maxlen N, --maxlen longest, or a percentile such as "
        "--maxlen p95."
    ),
    "--pad-token-id": (
        "To choose the pad value, use --value N for all columns, or -c input_ids=N for one column."
    ),
    "--pad-token": "To choose the pad value, use --value V for all columns, or -c tokens=V for one column.",
    "--padding-side": "To choose the side of the padding, use --padding left or --padding right.",
    "--truncation-side": (
        "To choose the side on which long rows are truncated, use --truncating left or --truncating right."
    ),
    "--truncation": (
        "Rows longer than --maxlen are truncated by default. To choose the side on which they are truncated, "
        "use --truncating left or --truncating right. To do something else with these rows, use --overlong "
        "window, --overlong drop or --overlong error."
    ),
    "--return-attention-mask": (
        "pad adds a mask by default. To choose its name and dtype, use --mask-column attention_mask "
        "--mask-dtype int64."
    ),
    "--return-tensors": "pad writes files. For NumPy arrays, use an output that ends in .npz.",
}

_SIDE = "The padding of packed rows is always after the sequences. Remove {option}."

# The messages of `pack`, where some of these options mean something else.
PACKING_OPTIONS = {
    **PADDING_OPTIONS,
    "--preset": "pad has presets for masks, and pack has dialects for trainers. Use --dialect, such as "
    "--dialect hf or --dialect trl.",
    "--padding": _SIDE.format(option="--padding"),
    "--padding-side": _SIDE.format(option="--padding-side"),
    "--truncation": (
        "Rows longer than --maxlen are an error by default. To choose what to do with these rows, use "
        "--overlong truncate, --overlong drop, --overlong split or --overlong window."
    ),
    "--return-attention-mask": (
        "By default, pack adds a mask to rows with padding. To choose its name, use --mask-column. A mask of "
        "ones does not separate the sequences of a row. To add a column that separates them, use --emit or "
        "--dialect."
    ),
    "--return-tensors": "pack writes files. For NumPy arrays, use the Python function padmask.pack.",
    "--eos-token-id": "To add an end token to each row, use --eos ID.",
    "--strategy": "To choose how to pack, use --algorithm best-fit, in-order or wrap.",
}
