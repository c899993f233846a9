"""Mutations of files that keep most of the structure, so that readers do not fail early."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random

MOST_BYTES = 1 << 16
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9.eE+-]+|true|false|null|[\[\]{},:]|\s+|.', re.DOTALL)

# Replacements for JSON tokens.
ODD = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"-0.0",
    b"1.0",
    b"1e3",
    b"1E+3",
    b"1e-400",
    b"1e400",
    b"-1e999",
    b"9" * 30,
    b"9" * 400,
    b"9" * 5000,
    b"-" + b"9" * 19,
    b"2147483647",
    b"2147483648",
    b"-2147483649",
    b"9223372036854775807",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"-9223372036854775809",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9007199254740993",
    b"16777217",
    b"3.4028236e38",
    b"0." + b"1" * 400,
    b"1e",
    b"01",
    b"+1",
    b".5",
    b"5.",
    b"0x1",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"--1",
    b"-",
    b'""',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\ud83e\\udd16"',
    b'"\\u0000"',
    b'"\x00"',
    b'"\x7f"',
    b'"\xff"',
    b'"\xed\xa0\x80"',
    b'"\xc0\x80"',
    b'"\\x"',
    b'"\\u12"',
    b'"a',
    b'"\\n"',
    b"{}",
    b"[]",
    b"[[]]",
    b"[null]",
    b"[[1],[]]",
    b'{"a":1}',
    b'{"a":{"a":[]}}',
    b"[" * 70 + b"]" * 70,
    b"[" * 2000 + b"]" * 2000,
    b'{"a":' * 80 + b"1" + b"}" * 80,
    b"[1]",
    b"[1,2]",
    b'["a"]',
    b"[1.5]",
    b"[true]",
    b"[" + b"1," * 300 + b"1]",
    b'"input_ids"',
    b'"mask"',
    b'"kept"',
    b'"length"',
    b'"labels"',
    b'"n"',
    b"\xef\xbb\xbf",
    b"\0",
    b"\r",
    b"\n",
    b"\r\n",
    b"\x0b",
    b"\xc2\xa0",
    b"\xe2\x80\xa8",
    b"//",
    b"'a'",
    b",",
    b",,",
    b"]",
    b"}",
    b"[",
    b"{",
    b":",
]
INTEGERS = [
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**62,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64 - 2,
    2**64 - 8,
]

Mutation = Callable[[Random, bytes], bytes]


def _place(random: Random, data: bytes) -> int:
    return random.randrange(len(data) + 1)


def flip(random: Random, data: bytes) -> bytes:
    """Flip bits of a few bytes, which are usually near each other."""
    out = bytearray(data)
    near = random.randrange(len(out)) if out else 0
    for _ in range(random.choice([1, 1, 1, 2, 4, 16]) if out else 0):
        place = near + random.randrange(32) if random.random() < 0.5 else random.randrange(len(out))
        out[place % len(out)] ^= random.choice([1, 2, 4, 8, 16, 32, 64, 128, 255, random.randrange(1, 256)])
    return bytes(out)


def number(random: Random, data: bytes) -> bytes:
    """Overwrite some bytes with an extreme integer, aligned or not."""
    size = random.choice([1, 2, 4, 4, 8])
    if len(data) <= size:
        return data
    place = random.randrange(len(data) - size)
    place -= place % random.choice([1, size])
    value = random.choice(INTEGERS)
    if random.random() < 0.3:
        value = int.from_bytes(data[place : place + size], "little") + random.choice([-8, -1, 1, 8])
    return data[:place] + (value % 256**size).to_bytes(size, "little") + data[place + size :]


def cut(random: Random, data: bytes) -> bytes:
    """Remove the end, the start or another part."""
    first, last = sorted((_place(random, data), _place(random, data)))
    return random.choice([data[:first], data[last:], data[:first] + data[last:]])


def double(random: Random, data: bytes) -> bytes:
    """Repeat a part once or many times."""
    first, last = sorted((_place(random, data), _place(random, data)))
    return (data[:last] + data[first:last] * random.choice([1, 1, 2, 20]) + data[last:])[:MOST_BYTES]


def splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Insert a part of another file, or append its end."""
    other = random.choice(others)
    first, last = sorted((_place(random, other), _place(random, other)))
    place = _place(random, data)
    return (
        data[:place]
        + other[first:last]
        + data[random.choice([place, min(len(data), place + last - first)]) :]
    )[:MOST_BYTES]


def tokens(random: Random, data: bytes) -> bytes:
    """Replace some JSON tokens."""
    parts = _TOKEN.findall(data)
    for _ in range(random.choice([1, 1, 1, 2, 5]) if parts else 0):
        place = random.randrange(len(parts))
        what = random.choice(ODD) if random.random() < 0.7 else random.choice(parts)
        parts[place : place + random.choice([0, 1, 1, 1, 2])] = [what]
    return b"".join(parts)[:MOST_BYTES]


def lines(random: Random, data: bytes) -> bytes:
    """Shuffle, repeat, drop or wrap lines."""
    rows = data.split(b"\n")
    place = random.randrange(len(rows))
    row = rows[place]
    rows[place : place + random.randrange(2)] = random.choice(
        [[], [row] * 3, [b" " + row + b"\r"], [b""], [b"[" + row + b"]"], [random.choice(rows)], [row] * 1100]
    )
    if random.random() < 0.2:
        random.shuffle(rows)
    return b"\n".join(rows)[:MOST_BYTES]


def footer(random: Random, data: bytes) -> bytes:
    """Change values in a Parquet footer, and write the footer so that it can be parsed."""
    from padmask.formats.parquet_footer import MAGIC, read_footer
    from padmask.formats.thrift import write_struct

    try:
        fields, start = read_footer(memoryview(data))
        for _ in range(random.choice([1, 1, 2])):
            fields = _changed(random, fields)
        out = write_struct(fields)
    except Exception:  # noqa: BLE001 - an earlier mutation may have damaged the footer
        return number(random, data)
    return data[:start] + out + len(out).to_bytes(4, "little") + MAGIC


def _changed(random: Random, value: object) -> object:
    """Change one nested value."""
    if isinstance(value, dict) and value:
        name = random.choice(list(value))
        if random.random() < 0.06:
            return {key: kept for key, kept in value.items() if key != name}
        type_, old = value[name]
        if type_ in (1, 2):
            return value | {name: (3 - type_, type_ == 2)}
        return value | {name: (type_, _changed(random, old))}
    if isinstance(value, tuple):
        type_, items = value
        return type_, _changed_list(random, items)
    if isinstance(value, bytes):
        return random.choice([flip, cut, double])(random, value)
    if isinstance(value, int):
        near = [value + 1, max(0, value - 1), value * 2, -value]
        return random.choice(
            [*near, random.randrange(20), random.choice(INTEGERS) % 2**31, random.choice(INTEGERS)]
        )
    return value


def _changed_list(random: Random, items: list[object]) -> list[object]:
    if not items:
        return items
    place = random.randrange(len(items))
    kind = random.randrange(12)
    if kind == 0:
        return items[:place] + items[place + 1 :]
    if kind == 1:
        return [*items, items[place]]
    if kind == 2:
        return items[::-1]
    return [*items[:place], _changed(random, items[place]), *items[place + 1 :]]


def pages(random: Random, data: bytes) -> bytes:
    """Change bytes of a page header at the start of a column."""
    from padmask.formats.parquet_footer import read_footer

    try:
        groups = read_footer(memoryview(data))[0][4][1][1]
        chunks = [chunk[3][1] for group in groups for chunk in group[1][1][1]]
        chunk = random.choice(chunks)
        place = random.choice([int(chunk[field][1]) for field in (9, 11) if field in chunk])
    except Exception:  # noqa: BLE001 - an earlier mutation may have damaged the pages
        return flip(random, data)
    place += random.randrange(60)
    if not 0 <= place < len(data):
        return data
    return (
        data[:place]
        + bytes([random.choice([0, 1, 2, 21, 24, 127, 128, 255, random.randrange(256)])])
        + data[place + 1 :]
    )


def mutate(random: Random, data: bytes, kind: str, others: Sequence[bytes]) -> bytes:
    """Mutate a file of a kind one or more times."""
    own: list[Mutation] = {
        "jsonl": [tokens, tokens, tokens, lines],
        "parquet": [footer, footer, pages, pages],
        "arrow": [number, number, flip],
    }[kind]
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        mutation = random.choice([*own, flip, number, cut, double, splice])
        data = splice(random, data, others) if mutation is splice else mutation(random, data)
    return data
