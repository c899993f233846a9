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
show padmask pad sample_data/jargon.jsonl --maxlen 8 --limit 3 --quiet

printf '\nThe same from the padded file, in Python (# is a token, . is padding):\n'
python - "$out/padded.parquet" <<'EOF'
import sys

import pyarrow.parquet as pq

for mask in pq.read_table(sys.argv[1])["mask"].to_pylist()[:10]:
    print("".join("#" if real else "." for real in mask[::2]), sum(mask))
EOF
