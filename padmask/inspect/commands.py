"""The commands that `inspect` recommends, ready to copy."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from padmask.core.dialects import dialect_options
from padmask.inspect.padded_options import PaddedOptions
from padmask.spec.columns import Column, Columns
from padmask.spec.formats import RECOMMENDED_FORMAT
from padmask.spec.mask import Dialect
from padmask.spec.pad import DEFAULT_DTYPE, PadSpec
from padmask.storage.glob import is_pattern
from padmask.storage.urls import display_path, is_url

# Placeholder for standard input in recommended commands.
STDIN = "INPUT"


@dataclass(frozen=True)
class PadCommand:
    """The inputs and options that all recommended commands share.

    >>> PadCommand(["my rows.jsonl"], "padded.parquet", columns=["ids=-1"]).text(PadSpec(maxlen="p95"))
    "padmask pad 'my rows.jsonl' -o padded.parquet -c ids=-1 --maxlen p95"

    Args:
        inputs: inputs as the user named them.
        output: output of the command: a new file, or a new folder if the inputs are several files.
        columns: columns that the user requested.
        input_format: format of the input, if the user set it.
        unpadded: for padded inputs, a new file for the rows without padding; None for raw inputs.
        mask_column: mask column of padded inputs, if the user set it.
        dialect: polarity and kind of the mask of padded inputs, if the user set them.
        names: names of the columns to unpad, if the user requested columns.
        padded: options that restore the columns, dtypes and mask of padded inputs; None for raw inputs.
    """

    inputs: Sequence[str]
    output: str
    columns: Columns = None
    input_format: str | None = None
    unpadded: str | None = None
    mask_column: str | None = None
    dialect: Dialect | None = None
    names: Sequence[str] = ()
    padded: PaddedOptions | None = None

    def text(self, spec: PadSpec, overlong: str = "truncate") -> str:
        """Return the command `padmask pad`. For padded inputs, return `padmask unpad` and `padmask pad`.

        Args:
            spec: padding options. With buckets, the output is a folder.
            overlong: what to do with rows longer than maxlen, if `spec` has no windows.
        """
        output = self.output if spec.buckets is None else new_name("padded", "/")
        again = self.padded or PaddedOptions(columns=self.columns)
        preset = [] if again.preset is None else ["--preset", again.preset]
        options = preset or [*_columns(again.columns), *again.mask]
        spec = _used(spec, overlong)
        # Buckets and batches have the longest row by default.
        maxlens = [] if spec.reorders and spec.maxlen == "longest" else [spec.maxlen]
        options += [*self._options(spec, maxlens), *self._cut_options(spec, overlong)]
        if self.unpadded is None:
            inputs = map(_argument, self.inputs)
            return shlex.join(["padmask", "pad", *inputs, "-o", output, *self._format(), *options])
        pad = shlex.join(["padmask", "pad", self.unpadded, "-o", output, *options])
        return f"{self.unpad_text()} && {pad}"

    def pack_text(self, spec: PadSpec, overlong: str) -> str:
        """Return the command `padmask pack`. For padded inputs, return `padmask unpad` and `padmask pack`.

        >>> PadCommand(["in.jsonl"], "padded/").pack_text(PadSpec(maxlen=64), "truncate")
        'padmask pack in.jsonl -o packed/ --maxlen 64 --overlong truncate'

        Args:
            spec: options of the command. Options that packed rows do not support are left out.
            overlong: what to do with rows longer than maxlen, if `spec` has no windows.
        """
        output = new_name("packed", "/" if self.output.endswith("/") else RECOMMENDED_FORMAT.suffixes[0])
        spec = replace(_used(spec, overlong), padding="post", pad_to_multiple_of=None)
        options = [*self._all_columns(), *self._options(spec, [spec.maxlen])]
        if spec.windows is None and overlong != "error":
            options += ["--overlong", overlong]
        options += self._cut_options(spec, "truncate")
        if self.unpadded is None:
            inputs = map(_argument, self.inputs)
            return shlex.join(["padmask", "pack", *inputs, "-o", output, *self._format(), *options])
        return (
            f"{self.unpad_text()} && {shlex.join(['padmask', 'pack', self.unpadded, '-o', output, *options])}"
        )

    def join_text(self, asked: Sequence[int | str], spec: PadSpec) -> str:
        """Return the commands that join windows and inspect the joined rows.

        Args:
            asked: values of maxlen that the user requested.
            spec: padding options that the user requested.
        """
        assert self.unpadded is not None
        options = [*self._all_columns(), *self._options(spec, asked)]
        return f"{self.unpad_text()} && {shlex.join(['padmask', 'inspect', self.unpadded, *options])}"

    def unpad_text(self) -> str:
        """Return the command `padmask unpad`, which restores the rows of padded or packed inputs."""
        inputs = map(_argument, self.inputs)
        mask = ["--mask-column", self.mask_column] if self.mask_column else []
        if self.dialect is not None:
            mask += dialect_options(self.mask_column or "", self.dialect)
        columns = [word for name in self.names for word in ("-c", name)]
        words = ["padmask", "unpad", *inputs, "-o", self.unpadded or "", *self._format(), *columns, *mask]
        return shlex.join(words)

    def _all_columns(self) -> list[str]:
        return _columns(self.columns if self.padded is None else self.padded.columns)

    def _format(self) -> list[str]:
        return ["--input-format", self.input_format] if self.input_format else []

    def _options(self, spec: PadSpec, maxlens: Sequence[int | str]) -> Iterator[str]:
        """Yield command-line arguments for sides, values and lengths that differ from the defaults."""
        if spec.padding != "post":
            yield from ("--padding", spec.padding)
        if spec.truncating != "post":
            yield from ("--truncating", spec.truncating)
        if spec.value != 0 or isinstance(spec.value, str):
            yield from ("--value", str(spec.value))
        if spec.dtype_for_all or spec.dtype != DEFAULT_DTYPE:
            yield from ("--dtype", spec.dtype)
        if spec.pad_to_multiple_of:
            yield from ("--pad-to-multiple-of", str(spec.pad_to_multiple_of))
        if spec.buckets is not None:
            yield from ("--buckets", str(spec.buckets))
        if spec.batches is not None:
            yield from ("--batch-tokens", str(spec.batches.tokens))
        if maxlens:
            yield from ("--maxlen", ",".join(map(str, maxlens)))

    def _cut_options(self, spec: PadSpec, overlong: str) -> Iterator[str]:
        """Yield the command-line arguments for long rows, if the options differ from the defaults."""
        if spec.windows is not None:
            yield from ("--overlong", "window", "--overlap", str(spec.windows.overlap))
            if spec.windows.labels != "all":
                yield from ("--window-labels", spec.windows.labels)
        elif overlong != "truncate":
            yield from ("--overlong", overlong)
        for name, number in (("--keep-first", spec.keep_first), ("--keep-last", spec.keep_last)):
            if number:
                yield from (name, str(number))


def _used(spec: PadSpec, overlong: str) -> PadSpec:
    """Return `spec`, with the default side of truncation if no row is truncated or split."""
    cuts = spec.windows is not None or overlong not in ("drop", "error")
    return spec if cuts else replace(spec, truncating="post")


def _argument(path: str) -> str:
    """Return an input as a command-line argument, without credentials.

    A name that starts with `-` gets the prefix `./`. Standard input gets a placeholder, because its data has
    already been read.
    """
    if path == "-":
        return STDIN
    return f"./{path}" if path.startswith("-") else display_path(path)


def _columns(columns: Columns) -> list[str]:
    return [word for column in _short_forms(columns) for word in ("-c", column)]


def _short_forms(columns: Columns) -> list[str]:
    """Return columns in the short form of `-c`.

    >>> _short_forms([Column("labels", "int64", -100), "ids"]), _short_forms({"ids": 0}), _short_forms(None)
    (['labels:int64=-100', 'ids'], ['ids=0'], [])
    """
    if isinstance(columns, Mapping):
        return [name if value is None else f"{name}={value}" for name, value in columns.items()]
    return [column if isinstance(column, str) else _short_form(column) for column in columns or ()]


def _short_form(column: Column) -> str:
    dtype = "" if column.dtype is None else f":{column.dtype}"
    value = "" if column.value is None else f"={column.value}"
    return f"{column.name}{dtype}{value}"


def has_many_files(inputs: Sequence[str]) -> bool:
    """Return whether inputs are several files, a folder or a pattern, so that the output is a folder.

    >>> has_many_files(["a.jsonl"]), has_many_files(["data/*.jsonl"]), has_many_files(["s3://bucket/data/"])
    (False, True, True)
    """
    if len(inputs) != 1:
        return True
    path = inputs[0]
    return is_pattern(path) or path.endswith("/") or (not is_url(path) and os.path.isdir(path))


def new_name(stem: str, suffix: str) -> str:
    """Return an unused name in the current folder, so that the command replaces no file."""
    names = (f"{stem}{number}{suffix}" for number in ("", *(f"-{n}" for n in range(2, 1000))))
    return next((name for name in names if not os.path.lexists(name)), f"{stem}-new{suffix}")
