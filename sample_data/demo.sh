#!/bin/sh
# What `make demo` shows: sample_data padded, and what came out. Leaves nothing behind.
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

printf '\nThe first masks, as JSON Lines, with maxlen 8:\n'
show padmask pad sample_data/jargon.jsonl -c input_ids -c labels=-100 --maxlen 8 --limit 3 --quiet

printf '\nThe masks in the padded file:\n'
show padmask inspect "$out/padded.parquet" --no-plans
printf '\nThe padding taken away again, from rows of which nothing was cut:\n'
show padmask pad sample_data/jargon.jsonl -o "$out/whole.parquet" -c input_ids -c labels=-100
show padmask unpad "$out/whole.parquet" -o "$out/rows.jsonl"
show cmp "$out/rows.jsonl" sample_data/jargon.jsonl
printf '\nWhat padding would cost:\n'
show padmask inspect sample_data/jargon.jsonl --no-masks

printf '\nThe rules of the data, and the proof that masked models ignore the padding:\n'
if python -c 'import tensorflow' 2>/dev/null; then
    show padmask verify sample_data/jargon.jsonl -c input_ids -c labels=-100 --maxlen 64
else
    show padmask verify sample_data/jargon.jsonl -c input_ids -c labels=-100 --maxlen 64 --no-model
fi
