"""Random cases: a file and options, generated from a seed."""

from __future__ import annotations

import gzip
from dataclasses import replace
from functools import cache
from random import Random

from fuzz import seeds, unpadded
from fuzz.contract import Case
from fuzz.expected import Asked
from fuzz.mutate import ODD, mutate
from fuzz.padded_seeds import padded_files

SUFFIXES = {"jsonl": ".jsonl", "parquet": ".parquet", "arrow": ".arrow"}


@cache
def seeds_of(kind: str) -> list[bytes]:
    if kind == "unpad":
        return [data for name in SUFFIXES for data in padded_files(name)]
    return {"jsonl": seeds.json_lines, "parquet": seeds.parquet_files, "arrow": seeds.arrow_files}[kind]()


def asked(random: Random, kind: str) -> Asked:
    """Generate the options for padding a file."""
    pick = random.choice
    return Asked(
        kind=kind,
        output=pick(["out.jsonl", "out.jsonl", "out.parquet", "out.arrow"]),
        maxlen=pick(["longest", "0", "1", "2", "3", "8", "p50", "p99.9"]),
        padding=pick(["post", "pre"]),
        truncating=pick(["post", "pre"]),
        overlong=pick(["truncate", "truncate", "drop", "error"]),
        empty_rows=pick(["keep", "keep", "drop", "error"]),
        on_error=pick(["skip", "skip", "fail"]),
        dtype=pick(
            [None, None, None, None, "int32", "int64", "float32", "float64", "int16", "uint16", "string"]
        ),
        length=random.random() < 0.3,
        threads=pick([1, 1, 1, 2]),
        batch_rows=pick([None, None, 1, 2, 100]),
    )


def case_of(data: bytes, how: Asked, more: bytes | None = None) -> Case:
    """Return the run that pads the file `data`, or pads `data` and `more` as one dataset."""
    source = f"in{SUFFIXES[how.kind]}" + (".gz" if how.compressed else "")
    files = {source: data} if more is None else {source: data, f"more-{source}": more}
    how = replace(how, sources=tuple(files))
    return Case(files, how.args(), source, how)


def file_case(random: Random, kind: str, pool: list[bytes]) -> Case:
    """Generate a file of a kind, which is usually mutated."""
    data = random.choice(pool)
    if random.random() > 0.03:
        data = mutate(random, data, kind, pool)
    how = asked(random, kind)
    if kind == "jsonl" and random.random() < 0.05:
        how, data = replace(how, compressed=True), gzip.compress(data, 1)
        data = mutate(random, data, "arrow", pool) if random.random() < 0.5 else data
    return case_of(data, how, random.choice(pool) if not how.compressed and random.random() < 0.1 else None)


def unpadding(random: Random, kind: str, masked: bool) -> unpadded.Asked:
    """Generate options for `unpad`. If there is no mask, the options use only lengths."""
    pick = random.choice
    named = pick(["mask", "mask", "both"] if masked else ["length", "length", "mask"])
    return unpadded.Asked(
        kind=kind,
        output=pick(["out.jsonl", "out.jsonl", "out.parquet", "out.arrow"]),
        mask=named != "length",
        length=named != "mask",
        padding=pick(["post", "pre"]) if named == "length" else None,
        keep_mask=random.random() < 0.2,
        on_error=pick(["skip", "skip", "fail"]),
        threads=pick([1, 1, 1, 2]),
    )


def unpad_case(random: Random, pool: list[bytes]) -> Case:
    """Generate a padded file, which is usually mutated, and options for `unpad`."""
    data = random.choice(pool)
    alike = [other for other in pool if kind_of(other) == kind_of(data)]
    more = random.choice(alike) if random.random() < 0.1 else None
    if random.random() > 0.1:
        data = mutate(random, data, kind_of(data), alike)
    return unpad_case_of(random, data, kind_of(alike[0]), more)


def unpad_case_of(random: Random, data: bytes, kind: str, more: bytes | None = None) -> Case:
    """Return the run that unpads the file `data`, or unpads `data` and `more` as one dataset."""
    source = f"in{SUFFIXES[kind]}"
    files = {source: data} if more is None else {source: data, f"more-{source}": more}
    masked = any(b"mask" in data for data in files.values())
    how = replace(unpadding(random, kind, masked), sources=tuple(files))
    if random.random() < 0.15 or any(b"padmask" in data for data in files.values()):
        # Without options, unpad uses the metadata, which may be wrong.
        return Case(files, ("unpad", *files, "-o", how.output, "--on-error", how.on_error), source)
    return Case(files, how.args(), source, how)


def kind_of(data: bytes) -> str:
    """Return the format of a file according to its first bytes."""
    known = {b"PAR1": "parquet", b"ARRO": "arrow", b"\xff\xff\xff\xff": "arrow"}
    return known.get(data[:4], "jsonl")


@cache
def option_files() -> dict[str, bytes]:
    """Return the files of the folder for option cases."""
    lines = (
        b'{"input_ids": [1, 2, 3], "labels": [1, 2, 3], "n": 1}\n{"input_ids": [], "labels": [], "n": null}\n'
    )
    mixed = lines + b'{"input_ids": [1], "labels": [2], "features": [[0.5, 1.0]], "words": ["a"]}\n'
    words = b'{"words": ["a", "b"], "features": [[0.5, 1.0], [1.0, 2.0]], "floats": [0.5, 1.5]}\n'
    return {
        "in.jsonl": lines,
        "mixed.jsonl": mixed,
        "words.jsonl": words,
        "bad.jsonl": lines + b'{"input_ids": [1, null]}\n{"input_ids": 7}\n\xff\n',
        "empty.jsonl": b"",
        "in.jsonl.gz": gzip.compress(mixed, 1, mtime=0),
        "in.parquet": seeds_of("parquet")[0],
        "wide.parquet": max(seeds_of("parquet"), key=len),
        "in.arrow": seeds_of("arrow")[0],
        "padded.jsonl": padded_files("jsonl")[0],
        "padded.parquet": padded_files("parquet")[-2],
        "data/a.jsonl": lines,
        "data/b.jsonl": mixed,
        "data/_c.jsonl": b"{",
        "noformat": b"hello",
    }


_NAMES = [
    *option_files(),
    "data",
    "-",
    "nowhere.jsonl",
    "no/where.jsonl",
    ".",
    "",
    "out.npz",
    "a\nb.jsonl",
    "in.npz",
]
_COLUMNS = [
    "input_ids",
    "labels",
    "labels=-100",
    "words",
    "words=x",
    "features",
    "floats",
    "n",
    "input_ids:int64",
    "input_ids:float32=nan",
    "input_ids:int16=99999",
    "floats:int32",
    "words:int32",
    "input_ids=",
    ":",
    "=",
    "",
    "input_ids:",
    "x:y=z",
    "mask",
    "length",
    "input_ids:string",
    "features=1e39",
    "features:float64=1e39",
]
_NUMBERS = [
    "0",
    "1",
    "2",
    "3",
    "7",
    "100",
    "-1",
    "1.5",
    "1e3",
    "999999999999999999",
    "99999999999999999999",
    "x",
    "",
    "nan",
    " 1",
    "1_0",
    "\u0661",
]
_LENGTHS = [
    *_NUMBERS,
    "longest",
    "p95",
    "p50",
    "p99.9",
    "p0",
    "p100",
    "p101",
    "p",
    "1,2,p95",
    "longest,longest",
    ",",
    "p99.99999999",
]
_OUTPUTS = [
    "out.jsonl",
    "out.parquet",
    "out.arrow",
    "out.npz",
    "out.jsonl.gz",
    "out.jsonl.zst",
    "out.parquet.gz",
    "out",
    "-",
    "",
    ".",
    "data",
    "data/out.jsonl",
    "no/out.jsonl",
    "in.jsonl",
    "out.JSONL",
    "x" * 300 + ".jsonl",
    "in.jsonl/out.jsonl",
    "json:",
    "json:out.json",
    "junit:out.xml",
    "html:out.html",
    "github",
    "out.svg",
    "out.html",
    "out.txt",
]
_VALUES = [
    "0",
    "-100",
    "1.5",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "",
    "x",
    "2147483648",
    "9" * 30,
    "9" * 5000,
    "-",
    "--",
    "true",
    "1_000",
    "\x00"[:0],
    "é",
    "💥",
]
_FORMATS = ["jsonl", "parquet", "arrow", "npz", "json", "", "JSONL"]
_COUNTS = ["0:1", "1:", ":", "5:1", "-1:2", "a:b", "0:99999999999999999999", "1:2:3"]
OPTIONS: dict[str, list[str] | None] = {
    "-c": _COLUMNS,
    "--column": _COLUMNS,
    "--maxlen": _LENGTHS,
    "--padding": ["pre", "post", "x"],
    "--truncating": ["pre", "post", ""],
    "--value": _VALUES,
    "--pad-to-multiple-of": _NUMBERS,
    "--dtype": ["int32", "int64", "int16", "uint16", "float32", "float64", "string", "x"],
    "--input-format": _FORMATS,
    "--limit": _NUMBERS,
    "-o": _OUTPUTS,
    "--output": _OUTPUTS,
    "--output-format": _FORMATS,
    "--mask-column": ["mask", "m", "", "input_ids", "labels", "n", "length", "a\nb", "é"],
    "--mask-dtype": ["bool", "int8", "int32", "int64", "float32"],
    "--no-mask": None,
    "--mask": None,
    "--overwrite-mask": None,
    "--length-column": ["length", "mask", "", "input_ids", "n", "len"],
    "--overlong": ["truncate", "drop", "error", "x"],
    "--empty-rows": ["keep", "drop", "error"],
    "--on-error": ["fail", "skip", "x"],
    "--rejects": _OUTPUTS,
    "--report": _OUTPUTS,
    "--fixed-size-list": None,
    "--batch-rows": _NUMBERS,
    "--threads": ["1", "2", "0", "x"],
    "--quiet": None,
    "--no-progress": None,
    "-h": None,
    "-n": _NUMBERS,
    "--rows": _COUNTS,
    "--sample": _NUMBERS,
    "--seed": _NUMBERS,
    "--masks": None,
    "--no-masks": None,
    "--style": ["grid", "tokens", "bool", "int", "x"],
    "--plans": None,
    "--no-plans": None,
    "--json": None,
    "--export": [*_OUTPUTS, "out.png"],
    "--theme": ["light", "dark", "x"],
    "--no-model": None,
    "--strict": None,
    "--allow": ["mask-shape", "x", "pad-value-in-tokens"],
    "--batch-size": _NUMBERS,
    "--vocab-size": _NUMBERS,
    "--max-bytes": ["0", "1", "50", "1KB", "10MiB", "x", "-1", "1e9", "", "9" * 30 + "GB"],
    "--keep-mask": None,
    "--workers": ["1", "2", "0", "x"],
    "--resume": None,
    "--shard-bytes": ["1", "0", "1MB", "x"],
    "--cluster": [""],
    "--unknown": None,
    "--": None,
    "-x": None,
}
_OWN = {
    "pad": [
        "-o",
        "--maxlen",
        "-c",
        "--overlong",
        "--empty-rows",
        "--on-error",
        "--mask-dtype",
        "--value",
        "--dtype",
    ],
    "unpad": ["-o", "-c", "--mask-column", "--length-column", "--padding", "--keep-mask", "--on-error"],
    "inspect": [
        "-n",
        "--rows",
        "--sample",
        "--style",
        "--maxlen",
        "--json",
        "--export",
        "--theme",
        "--no-plans",
        "-c",
    ],
    "verify": ["--no-model", "--strict", "--allow", "--json", "--report", "--maxlen", "-c", "--limit"],
}
_CONFIGS = [
    b"[tool.padmask]\nmaxlen = 2\n",
    b"[tool.padmask]\ncolumn = ['input_ids', 'labels=-100']\n",
    b"[tool.padmask]\nmaxlen = [1]\n",
    b"[tool.padmask.pad]\nquiet = 'x'\n",
    b"tool.padmask = 1\n",
    b"[tool.padmask",
    b"[tool.padmask]\nnope = 1\n",
    b"[tool.padmask]\nmask = false\nthreads = -1\n",
    b"[tool.padmask]\noutput = 'made.jsonl'\n",
    b"tool = 'padmask'\n",
    b"[tool.padmask]\ninputs = ['in.jsonl']\n",
    b"[tool.padmask]\nthreads = 1e99\n",
    b"[tool.padmask.inspect]\ncount=0\n",
]


def option_case(random: Random) -> Case:
    """Generate a command line, and sometimes a pyproject.toml."""
    command = random.choice(["pad", "pad", "pad", "unpad", "inspect", "verify"])
    args = [command, *_inputs(random)]
    for _ in range(random.choice([0, 1, 1, 2, 2, 3, 4, 6])):
        option = random.choice(_OWN[command]) if random.random() < 0.6 else random.choice(list(OPTIONS))
        values = OPTIONS[option]
        args += [option] if values is None else [option, _value(random, values)]
    if command == "verify" and random.random() < 0.9:
        args.append("--no-model")
    if random.random() < 0.1:
        random.shuffle(args)
    files = dict(option_files())
    if random.random() < 0.1:
        config = random.choice(_CONFIGS)
        files["pyproject.toml"] = (
            mutate(random, config, "jsonl", _CONFIGS) if random.random() < 0.5 else config
        )
    return Case(files, tuple(args))


def _inputs(random: Random) -> list[str]:
    names = _NAMES if random.random() < 0.3 else list(option_files())[:9]
    return [random.choice(names) for _ in range(random.choice([1, 1, 1, 1, 2, 3, 0]))]


def _value(random: Random, values: list[str]) -> str:
    value = random.choice(values)
    if random.random() < 0.05:
        odd = random.choice(ODD[:90]).decode("utf-8", "replace").replace("\0", "")
        value = random.choice([odd, value + odd, value[:-1], value * 2])
    # Keep all files in the folder, and limit the time of a case.
    return value.replace("/", "_")[:400] if value not in _OUTPUTS else value


def draw(random: Random, target: str, pool: list[bytes]) -> Case:
    """Generate a case for a target."""
    if target == "unpad":
        return unpad_case(random, pool)
    return option_case(random) if target == "options" else file_case(random, target, pool)
