"""Defaults of packing that differ from those of padding: the mask and the policy for rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from padmask.spec.checks import or_default
from padmask.spec.keywords import spec_with
from padmask.spec.mask import MaskSpec
from padmask.spec.pack import PackSpec
from padmask.spec.pad import PadSpec, RowPolicy

_PACKING_FIELDS = frozenset(field.name for field in fields(PackSpec))


def packed_spec(
    spec: PadSpec | None,
    packing: PackSpec | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
    others: Mapping[str, type] = MappingProxyType({}),
) -> PadSpec:
    """Return a `PadSpec` whose field `packing` is set.

    >>> spec = packed_spec(PadSpec(packing=PackSpec(align=8)), None, {"maxlen": 64, "eos": 2})
    >>> spec.maxlen, spec.packing.align, spec.packing.eos
    (64, 8, 2)

    Args:
        spec: padding options; None for the defaults.
        packing: how to pack. If None, `spec.packing` is used, or the default `PackSpec()`.
        options: keyword arguments of the call: fields of `PadSpec` and of `PackSpec`, which override `spec`
            and `packing`.
        others: as in `spec_with`.

    Raises:
        SpecError: a keyword is not a field of `PadSpec` or `PackSpec`, or a value is not valid.
    """
    own = {name: value for name, value in options.items() if name in _PACKING_FIELDS}
    spec = spec_with(spec, {name: value for name, value in options.items() if name not in own}, others)
    packing = or_default("packing", spec.packing if packing is None else packing, PackSpec)
    return replace(spec, packing=replace(packing, **own) if own else packing)


def pack_policy(policy: RowPolicy | None, spec: PadSpec) -> RowPolicy:
    """Return what to do with overlong and empty rows. By default, packing loses no token.

    >>> pack_policy(None, PadSpec()).overlong
    'error'

    Args:
        policy: the requested policy. If None, empty rows are dropped, and an overlong row is an error unless
            windows split it.
        spec: options with packing.
    """
    if policy is not None:
        return or_default("policy", policy, RowPolicy)
    return RowPolicy(overlong="error" if spec.windows is None else "truncate", empty_rows="drop")


def pack_mask(mask: MaskSpec | None, spec: PadSpec) -> MaskSpec:
    """Return the mask to add: the requested mask, or by default a bool column `mask`.

    Without padding, a mask would contain only True, so by default there is no mask. An `attention_mask` of
    ones and zeros does not separate sequences, so the default mask does not take this name.

    >>> pack_mask(None, PadSpec(maxlen=8, packing=PackSpec(pad=False))).column is None
    True

    Args:
        mask: the requested mask; None for the default.
        spec: options with packing.
    """
    if mask is not None:
        return or_default("mask", mask, MaskSpec)
    return MaskSpec(
        column="mask" if spec.packing is not None and spec.packing.has_padding else None, named=True
    )
