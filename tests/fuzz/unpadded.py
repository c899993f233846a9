"""The expected output rows of `unpad`, computed with lists according to the README.

A row is valid if its mask is as long as the row, marks contiguous tokens at the start or end, and
agrees with the length. The output contains these tokens.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq
from fuzz.expected import UNKNOWN, output_rows, parse_integer, read_table, rows_of, same

from padmask.core.metadata import METADATA_KEY


@dataclass(frozen=True)
class Asked:
    """The options for unpadding a file. The columns are always `input_ids`, `mask` and `kept`."""

    kind: str
    output: str
    mask: bool = True
    length: bool = False
    padding: str | None = None
    keep_mask: bool = False
    on_error: str = "skip"
    threads: int = 1
    compressed: bool = False
    sources: tuple[str, ...] = ()

    def args(self) -> tuple[str, ...]:
        """Return the command line with these options."""
        args = ["unpad", *self.sources, "-o", self.output, "-c", "input_ids", "--input-format", self.kind]
        args += ["--mask-column", "mask"] if self.mask else []
        args += ["--length-column", "kept"] if self.length else []
        args += ["--padding", self.padding] if self.padding else []
        args += ["--keep-mask"] if self.keep_mask else []
        args += ["--on-error", self.on_error, "--threads", str(self.threads)]
        args += ["--rejects", "rejects.jsonl", "--report", "report.json"]
        return tuple(args)

    def wrong_rows(self, given: Mapping[str, bytes], files: Mapping[str, bytes]) -> list[str]:
        """Return the problems of the output rows."""
        if self.kind != "jsonl" and any(self._describes(data) for data in given.values()):
            return []
        report = json.loads(files["report.json"])
        lines = files["rejects.jsonl"].split(b"\n")
        rejects = [json.loads(line, parse_int=parse_integer) for line in lines if line]
        read, written = rows_of(given, self), output_rows(self.output, files[self.output])
        if read is None:
            return ["another reader cannot read what was taken"]
        out = {(reject["source"], reject.get("line", reject.get("row_number"))) for reject in rejects}
        kept = [row for number, row in read if number not in out]
        counts = [report[f"rows_{name}"] for name in ("read", "written", "rejected")]
        if counts != [len(read), len(written), len(out)] or len(out) != len(rejects):
            return [f"counts {counts}, but {len(read)} rows in, {len(written)} out, {len(rejects)} rejects"]
        if len(kept) != len(written):
            return [f"{len(kept)} rows should have been written, {len(written)} were"]
        # The mask and the lengths stay if they mark the padding of other columns, such as `labels`.
        stays = any(note.startswith("kept: ") for note in report.get("notes", ()))
        if stays and kept and not any(row is UNKNOWN or "labels" in row for row in kept):
            return ["the mask was kept, but no other column is padded"]
        found = [
            f"row {number}: {wrong}"
            for number, (row, new) in enumerate(zip(kept, written, strict=True))
            for wrong in self._wrong_row(row, new, stays)
        ]
        if self._are_of_one_kind(row for _, row in read):
            good = (place for place, row in read if place in out and self._is_plainly_good(row))
            found += [f"{place}: rejected, and good" for place in good]
        return found[:4]

    def _describes(self, data: bytes) -> bool:
        """Return whether the file has metadata of padmask, which the oracle does not read."""
        try:
            return METADATA_KEY in metadata_keys(self.kind, data)
        except Exception:  # noqa: BLE001 - whatever it is, it cannot be read
            return False

    def _wrong_row(self, row: Any, new: dict[str, Any], stays: bool) -> list[str]:
        if row is UNKNOWN or UNKNOWN in (row.get("input_ids"), row.get("mask"), row.get("kept")):
            return []
        run = self._run(row)
        if run is None:
            return [f"{row!r:.120} was unpadded"]
        wanted = row | {"input_ids": row["input_ids"][run]}
        for name, given in (("mask", self.mask), ("kept", self.length)):
            if given and not self.keep_mask and not stays:
                wanted.pop(name, None)
        if self.mask and self.keep_mask and not stays:
            wanted["mask"] = row["mask"][run]
        return [
            f"field {name!r}: {wanted.get(name)!r:.80} became {new.get(name)!r:.80}"
            for name in sorted({*wanted, *new})
            if not same(wanted.get(name), new.get(name))
        ]

    def _run(self, row: dict[str, Any]) -> slice | None:
        """Return the positions of the real tokens; None if the mask and the length are inconsistent."""
        tokens, mask, kept = row.get("input_ids"), row.get("mask"), row.get("kept")
        if not isinstance(tokens, list):
            return None
        if self.length and (type(kept) is not int or not 0 <= kept <= len(tokens)):
            return None
        if not self.mask:
            return slice(0, kept) if self.padding == "post" else slice(len(tokens) - kept, len(tokens))
        if not isinstance(mask, list) or len(mask) != len(tokens):
            return None
        if any(type(place) not in (bool, int) or place not in (0, 1) for place in mask):
            return None
        real = sum(mask)
        if self.length and kept != real:
            return None
        for run in (slice(0, real), slice(len(mask) - real, len(mask))):
            if all(mask[run]):
                return run
        return None

    def _is_plainly_good(self, row: Any) -> bool:
        if row is UNKNOWN or UNKNOWN in row.values() or self._run(row) is None:
            return False
        try:
            # A line with half a surrogate pair is not valid.
            json.dumps(row, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            return False
        return all(type(token) is int and abs(token) < 2**31 for token in row["input_ids"])

    def _are_of_one_kind(self, rows: Iterable[Any]) -> bool:
        """Return whether all mask values have one type, and all tokens have one type.

        padmask may refuse mixed types.
        """
        known = [row for row in rows if row is not UNKNOWN]
        return all(
            len({type(place) for row in known if isinstance(row.get(name), list) for place in row[name]}) < 2
            for name in ("mask", "input_ids")
        )


def metadata_keys(kind: str, data: bytes) -> set[bytes]:
    """Return the keys of all metadata of a table.

    Parquet files have the keys twice: in the footer, and in the footer's copy of the Arrow schema. A
    changed byte may remove a key from only one of them.
    """
    found = {*(read_table(kind, data).schema.metadata or {})}
    if kind == "parquet":
        file = pq.ParquetFile(io.BytesIO(data))
        found |= {*(file.metadata.metadata or {}), *(file.schema_arrow.metadata or {})}
    return found
