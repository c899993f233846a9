"""Error messages for columns whose types cannot be padded: text, structs, tensors and deep lists."""

from __future__ import annotations

import json
import re
import shlex

import pyarrow as pa
import pyarrow.types as pat

from padmask.core.arrow_lists import is_sequence
from padmask.errors import SpecError


def _copy_field(path: str) -> str:
    r"""Return sentences, without the last full stop, that say how to copy a struct field to a column.

    >>> _copy_field("data.my ids").partition("with ")[2]
    'jq -c \'."my ids" = .data."my ids"\', or in DuckDB with SELECT *, data."my ids" AS "my ids"'
    """
    parts = [name if re.fullmatch(r"[A-Za-z_]\w*", name) else json.dumps(name) for name in path.split(".")]
    field, name = ".".join(parts), parts[-1]
    return (
        "padmask pads only columns, not fields of structs. Copy the field to a column first, for example "
        f"with jq -c {shlex.quote(f'.{name} = .{field}')}, or in DuckDB with SELECT *, {field} AS {name}"
    )


def is_text(type_: pa.DataType) -> bool:
    """Return whether the rows of a column are strings, not lists of strings."""
    return bool(pat.is_string(type_) or pat.is_large_string(type_) or pat.is_string_view(type_))


def tokenize_first(name: str) -> str:
    """Return sentences, without the last full stop, that say how to get tokens from a column of text.

    >>> tokenize_first("text").partition(". ")[0]
    'padmask works with lists of tokens, not with text'
    """
    return (
        "padmask works with lists of tokens, not with text. Tokenize the text first, for example with "
        f"row['input_ids'] = tokenizer.encode(row[{name!r:.40}]). docs/tutorial.md has a complete example"
    )


def what_to_choose(schema: pa.Schema, name: str) -> str:
    """Return sentences, without the last full stop, that say what to do if a column has no lists.

    >>> what_to_choose(pa.schema([("text", pa.string()), ("ids", pa.list_(pa.int32()))]), "text")
    'Choose a list column with -c'
    """
    has_lists = any(is_sequence(field.type) for field in schema)
    if is_text(schema.field(name).type) and not has_lists:
        return tokenize_first(name)
    return "Choose a list column with -c"


def _is_tensor(type_: pa.DataType) -> bool:
    return isinstance(type_, pa.FixedShapeTensorType)


def struct_columns(schema: pa.Schema) -> list[str]:
    """Return the names of the struct columns.

    >>> struct_columns(pa.schema([("data", pa.struct([])), ("ids", pa.list_(pa.int32()))]))
    ['data']
    """
    return [field.name for field in schema if pat.is_struct(field.type)]


def refuse_struct_field(schema: pa.Schema, name: str) -> None:
    """Raise an error if a requested column is a field of a struct, such as `data.input_ids`.

    Args:
        schema: columns of the input.
        name: requested column as the user wrote it, for example `data.input_ids:int64=0`.

    Raises:
        SpecError: the input has no column of this name, and the first part of the name is a struct column.
    """
    names = schema.names
    if any(name == known or name.startswith((f"{known}:", f"{known}=")) for known in names):
        return
    for struct in struct_columns(schema):
        if name.startswith(f"{struct}."):
            path = name.split(":")[0].split("=")[0]
            raise SpecError(
                f"{path!r:.80} is a field of the struct column {struct!r:.80}. {_copy_field(path)}.",
                options=["columns"],
            )


def describe_other_types(schema: pa.Schema) -> str:
    """Return sentences about columns whose types cannot be padded; an empty string if there are none.

    >>> describe_other_types(pa.schema([("deep", pa.list_(pa.list_(pa.list_(pa.int32()))))]))[:60]
    " 'deep' has the type list<item: list<item: list<item: int32>"
    """
    structs = struct_columns(schema)
    if not structs:
        lists = [field for field in schema if pat.is_nested(field.type) or _is_tensor(field.type)]
        if not lists:
            texts = [field.name for field in schema if is_text(field.type)]
            name = "text" if "text" in texts else next(iter(texts), None)
            return "" if name is None else f" {tokenize_first(name)}."
        return (
            f" {lists[0].name!r} has the type {lists[0].type}, which is not a list of tokens or of vectors."
        )
    how = _copy_field(f"{structs[0]}.input_ids")
    kind = "is a struct" if len(structs) == 1 else "are structs"
    return f" {', '.join(map(repr, structs[:3]))} {kind}: {how}."
