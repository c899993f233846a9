"""Combine a `PadSpec` with keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from padmask.errors import SpecError, did_you_mean
from padmask.spec.checks import or_default
from padmask.spec.files import FileOptions
from padmask.spec.mask import MaskSpec
from padmask.spec.pad import PadSpec, RowPolicy

_FIELDS = tuple(field.name for field in fields(PadSpec))
_DEFAULT = PadSpec()

# Other arguments of the functions that pad tables and files: name -> class of the options.
TABLE_ARGUMENTS = {"mask": MaskSpec}
FILE_ARGUMENTS = {"mask": MaskSpec, "policy": RowPolicy, "files": FileOptions}


def spec_with(
    spec: PadSpec | None,
    options: Mapping[str, Any],
    others: Mapping[str, type] = MappingProxyType({}),
) -> PadSpec:
    """Return a `PadSpec` in which keyword arguments replace the fields of the same name.

    >>> spec = spec_with(PadSpec(padding="pre"), {"maxlen": 8})
    >>> spec.padding, spec.maxlen
    ('pre', 8)

    Args:
        spec: options of the caller; None for the defaults.
        options: keyword arguments of the call, which override `spec`.
        others: other arguments of the function that the user called, with their classes. If an unknown
            keyword is a field of one of these classes, the error message names the argument to use.

    Raises:
        SpecError: a keyword is not a field of `PadSpec`, or a value is not valid.
    """
    # Validation takes longer than padding a few rows.
    spec = _DEFAULT if spec is None else or_default("spec", spec, PadSpec)
    for name in options:
        if name == "preset":
            raise SpecError(
                "`preset` is not a field of PadSpec. Create the options with "
                f"`spec, mask = padmask.preset({options[name]!r})`, and pass `spec=spec, mask=mask`. "
                "For rows without column names, pass only `spec=spec`.",
                options=["preset"],
            )
        if name not in _FIELDS:
            for argument, its_class in others.items():
                if name in {field.name for field in fields(its_class)}:
                    value = f"{argument}={its_class.__name__}({name}={options[name]!r})"
                    raise SpecError(f"`{name}` is not a field of PadSpec. Pass `{value}`.", options=[name])
            raise SpecError(
                f"`{name}` is not a field of PadSpec.{did_you_mean(name, list(_FIELDS))} Use one of "
                f"{', '.join(_FIELDS)}."
            )
    return replace(spec, **options) if options else spec
