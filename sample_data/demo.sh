#!/bin/sh
# Pad sample_data, and show the results. `make demo` runs this script. It deletes its output files.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

show padmask pad sample_data/jargon.jsonl -o "$out/padded.parquet" -c input_ids -c labels=-100 --maxlen 128
show padmask pad sample_data/jargon.parquet -o "$out/padded.npz" --maxlen p95 --pad-to-multiple-of 8

printf '\nThe first masks as JSON Lines, with maxlen 8:\n'
show padmask pad sample_data/jargon.jsonl -c input_ids -c labels=-100 --maxlen 8 --limit 3 --quiet

printf '\nThe masks in the padded file:\n'
show padmask inspect "$out/padded.parquet" --no-plans
printf '\nPadding without truncation, and unpadding, which restores the original file:\n'
show padmask pad sample_data/jargon.jsonl -o "$out/longest.parquet" -c input_ids -c labels=-100
show padmask unpad "$out/longest.parquet" -o "$out/rows.jsonl"
show cmp "$out/rows.jsonl" sample_data/jargon.jsonl
printf '\nThe cost of padding:\n'
show padmask inspect sample_data/jargon.jsonl --no-masks

printf '\nA check of the data, and a proof that models with masks ignore the padding:\n'
if python -c 'import tensorflow' 2>/dev/null; then
    show padmask verify sample_data/jargon.jsonl -c input_ids -c labels=-100 --maxlen 64
else
    show padmask verify sample_data/jargon.jsonl -c input_ids -c labels=-100 --maxlen 64 --no-model
fi
