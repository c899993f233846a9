"""The expected output rows, computed with the json module and lists.

Rows that are not written must be in the rejects with their line or row. All other rows must be written
in order, padded like lists in a loop.
"""

from __future__ import annotations

import gzip
import io
import json
import math
import struct
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import oracle
import pyarrow as pa
import pyarrow.parquet as pq

UNKNOWN: Any = object()
_BLANK = b" \t\r\n"


@dataclass(frozen=True)
class Asked:
    """The options for padding a file. The column is always `input_ids`."""

    kind: str
    output: str
    maxlen: str = "longest"
    padding: str = "post"
    truncating: str = "post"
    overlong: str = "truncate"
    empty_rows: str = "keep"
    on_error: str = "skip"
    dtype: str | None = None
    length: bool = False
    threads: int = 1
    batch_rows: int | None = None
    compressed: bool = False
    sources: tuple[str, ...] = ()

    def args(self) -> tuple[str, ...]:
        """Return the command line with these options."""
        column = "input_ids" + (f":{self.dtype}" if self.dtype else "")
        args = ["pad", *self.sources, "-o", self.output, "-c", column, "--maxlen", self.maxlen]
        args += ["--padding", self.padding, "--overlong", self.overlong]
        # pad refuses --truncating if no row is truncated.
        args += ["--truncating", self.truncating] if self.overlong == "truncate" else []
        args += ["--empty-rows", self.empty_rows, "--on-error", self.on_error, "--overwrite-mask"]
        args += ["--rejects", "rejects.jsonl", "--report", "report.json", "--threads", str(self.threads)]
        args += ["--input-format", self.kind]
        args += ["--length-column", "kept"] if self.length else []
        args += ["--batch-rows", str(self.batch_rows)] if self.batch_rows else []
        return tuple(args)

    def wrong_rows(self, given: Mapping[str, bytes], files: Mapping[str, bytes]) -> list[str]:
        """Return the problems of the output rows."""
        return wrong_rows(given, self, files)


def wrong_rows(given: Mapping[str, bytes], asked: Asked, files: Mapping[str, bytes]) -> list[str]:
    """Return the problems of the output rows."""
    report = json.loads(files["report.json"])
    rejects = [
        json.loads(line, parse_int=parse_integer) for line in files["rejects.jsonl"].split(b"\n") if line
    ]
    read = rows_of(given, asked)
    written = output_rows(asked.output, files[asked.output])
    if read is None:
        return ["another reader cannot read what was taken"]
    found = []
    out = {(reject["source"], reject.get("line", reject.get("row_number"))) for reject in rejects}
    kept = [(number, row) for number, row in read if number not in out]
    counts = {name: report[f"rows_{name}"] for name in ("read", "written", "dropped", "rejected")}
    if counts["read"] != len(read) or counts["written"] != len(written):
        found.append(f"counts {counts}, but {len(read)} rows in, {len(written)} rows out")
    if counts["read"] != counts["written"] + counts["dropped"] + counts["rejected"]:
        found.append(f"counts do not add up: {counts}")
    if len(rejects) != counts["dropped"] + counts["rejected"] or len(out) != len(rejects):
        found.append(f"{len(rejects)} rejects, but {counts}")
    if len(kept) != len(written):
        return [*found, f"{len(kept)} rows should have been written, {len(written)} were"]
    maxlen = report["maxlen"]
    for (number, row), new in zip(kept, written, strict=True):
        if row is not UNKNOWN:
            found += [f"row {number}: {wrong}" for wrong in _wrong_row(row, new, maxlen, asked)]
        if len(found) > 3:
            break
    return found


class Reading(Protocol):
    """The options for reading files."""

    @property
    def kind(self) -> str: ...

    @property
    def output(self) -> str: ...

    @property
    def compressed(self) -> bool: ...

    @property
    def sources(self) -> tuple[str, ...]: ...


def rows_of(given: Mapping[str, bytes], asked: Reading) -> list[tuple[tuple[str, int], Any]] | None:
    """Return the rows of all inputs with their locations; None if the oracle's readers cannot read them."""
    all_rows = []
    for name in asked.sources:
        rows = (_json_rows if asked.kind == "jsonl" else _table_rows)(given[name], asked)
        if rows is None:
            return None
        all_rows += [((name, number), row) for number, row in rows]
    return all_rows


def _wrong_row(row: dict[str, Any], new: dict[str, Any], maxlen: int, asked: Asked) -> list[str]:
    tokens = row.get("input_ids", UNKNOWN)
    if not isinstance(tokens, list):
        return [f"{tokens!r:.60} was padded"]
    if (asked.overlong != "truncate" and len(tokens) > maxlen) or (asked.empty_rows != "keep" and not tokens):
        return [f"{len(tokens)} tokens should not have been written"]
    blank = _blank(tokens, new.get("input_ids"))
    values, mask, lengths = oracle.pad_lists([tokens], maxlen, asked.padding, asked.truncating, blank)
    found = []
    if not same(values[0], new.get("input_ids"), rounded=True):
        found.append(f"{tokens!r:.80} became {new.get('input_ids')!r:.80}, not {values[0]!r:.80}")
    if new.get("mask") != mask[0]:
        found.append(f"mask {new.get('mask')!r:.80} of {len(tokens)} tokens")
    if asked.length and new.get("kept") != lengths[0]:
        found.append(f"length {new.get('kept')} of {len(tokens)} tokens")
    others = {name for name in {*row, *new} if name not in ("input_ids", "mask", "kept")}
    found += [
        f"field {name!r}: {row.get(name)!r:.80} became {new.get(name)!r:.80}"
        for name in sorted(others)
        if not same(row.get(name), new.get(name))
    ]
    return found


def _blank(tokens: list[Any], padded: Any) -> Any:
    """Return the pad value for the kind of the tokens. If there are no tokens, `padded` shows the kind."""
    shown = next(iter(tokens), None)
    if shown is None and isinstance(padded, list) and padded:
        shown = padded[0]
    if isinstance(shown, list):
        return [0] * len(shown)
    return "" if isinstance(shown, str) else 0


def same(one: Any, other: Any, rounded: bool = False) -> bool:
    """Return whether two values are equal. A missing field equals null, and floats may be rounded."""
    if one is UNKNOWN or other is UNKNOWN:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(one.get(name), other.get(name)) for name in {*one, *other})
    if isinstance(one, dict | list) or isinstance(other, dict | list):
        both = isinstance(one, list) and isinstance(other, list) and len(one) == len(other)
        return both and all(same(a, b, rounded) for a, b in zip(one, other, strict=True))
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, float) or isinstance(other, float):
        return _same_number(one, other, rounded)
    return bool(one == other)


def _same_number(one: Any, other: Any, rounded: bool) -> bool:
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return False
    if one == other or (one != one and other != other):
        return True
    # The shortest text of a float32 is a slightly different number as a double.
    return rounded and (_single(one) == _single(other) or math.isclose(one, other, rel_tol=1e-7))


def _single(number: float) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", number))[0])
    except OverflowError:
        return number


def parse_integer(text: str) -> Any:
    return int(text) if len(text) < 4000 else UNKNOWN


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _json_rows(data: bytes, asked: Reading) -> list[tuple[int, Any]] | None:
    if asked.compressed or data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return None
    rows = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if line.strip(_BLANK):
            rows.append((number, _json_row(line.strip(_BLANK))))
    return rows


def _json_row(line: bytes) -> Any:
    try:
        row = json.loads(line.decode(), parse_int=parse_integer, parse_constant=_constant)
    except RecursionError:
        return UNKNOWN
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _table_rows(data: bytes, asked: Reading) -> list[tuple[int, Any]] | None:
    try:
        table = read_table(asked.kind, data)
    except Exception:  # noqa: BLE001 - whatever it is, it cannot be read
        return None
    columns = _columns(table)
    if asked.output.endswith(".jsonl"):
        # Other tests cover dates, bytes and decimals in JSON.
        columns = {
            name: values
            if name == "input_ids" or _is_json(table.column(table.column_names.index(name)).type)
            else [UNKNOWN] * table.num_rows
            for name, values in columns.items()
        }
    return [(i, {name: values[i] for name, values in columns.items()}) for i in range(table.num_rows)]


def _is_json(type_: pa.DataType) -> bool:
    if pa.types.is_nested(type_) and not pa.types.is_union(type_) and not pa.types.is_map(type_):
        return all(_is_json(type_.field(i).type) for i in range(type_.num_fields))
    if pa.types.is_dictionary(type_):
        return _is_json(type_.value_type)
    plain = (pa.types.is_integer, pa.types.is_float64, pa.types.is_string, pa.types.is_boolean)
    return any(is_one(type_) for is_one in plain)


def values_of(column: pa.ChunkedArray) -> list[Any]:
    """Return the values of a column. Values without a Python type are marked as unknown."""
    try:
        found: list[Any] = column.to_pylist()
    except Exception:  # noqa: BLE001 - times beyond Python's, and what else there is
        return [UNKNOWN] * len(column)
    return found


def read_table(kind: str, data: bytes) -> pa.Table:
    """Read an entire Parquet file, Arrow file or Arrow stream."""
    if kind == "parquet":
        file = pq.ParquetFile(io.BytesIO(data))
        table = file.read()
        if table.num_rows != file.metadata.num_rows:
            raise ValueError("rows are missing")
        return table
    if data.startswith(b"ARROW1"):
        return pa.ipc.open_file(data).read_all()
    return pa.ipc.open_stream(data).read_all()


def output_rows(name: str, data: bytes) -> list[dict[str, Any]]:
    """Return the rows of an output file."""
    if name.endswith(".jsonl"):
        lines = data.decode().split("\n")
        return [json.loads(line, parse_int=parse_integer) for line in lines if line]
    table = read_table("parquet" if name.endswith(".parquet") else "arrow", data)
    columns = _columns(table)
    return [{name: values[i] for name, values in columns.items()} for i in range(table.num_rows)]


def _columns(table: pa.Table) -> dict[str, list[Any]]:
    """Return the values by column name. Columns with the same name are marked as unknown."""
    times = Counter(table.column_names)
    return {
        name: values_of(column) if times[name] == 1 else [UNKNOWN] * table.num_rows
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
