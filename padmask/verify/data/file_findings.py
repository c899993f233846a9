"""Report violations of the rules about whole files, such as different column types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from padmask.errors import Place
from padmask.spec.pad import Side
from padmask.spec.rules import RULES
from padmask.verify.data.findings import FindingCollector


def report_types(found: FindingCollector, column: str, types: Mapping[str, str]) -> None:
    """Report files in which a column has a different type than in the first file.

    Args:
        found: object that collects the findings.
        column: name of the column.
        types: type of the column in each file, by file name.
    """
    first = next(iter(types.values()), None)
    others = [Place(f"{name} ({type_})") for name, type_ in types.items() if type_ != first]
    detail = f"the column has different types in different files; its type in the first file is {first}"
    found.add_count("mixed-dtypes", len(others), others, column, detail)


def report_sides(found: FindingCollector, column: str | None, sides: Mapping[str, Side]) -> None:
    """Report files that are padded on a different side than the first file.

    Args:
        found: object that collects the findings.
        column: name of the column that marks the padding.
        sides: side of the padding in each file, by file name.
    """
    first = next(iter(sides.values()), None)
    others = [Place(f"{name} ({side})") for name, side in sides.items() if side != first]
    detail = (
        f"{RULES['mixed-sides'].means}; the first file was padded with --padding {first}. Pad all files "
        "with the same --padding"
    )
    found.add_count("mixed-sides", len(others), others, column, detail)


def report_files(
    found: FindingCollector, unmarked: Sequence[str], unlisted: Sequence[str], without_end: Sequence[str]
) -> None:
    """Report files that violate a rule about whole files.

    Args:
        found: object that collects the findings.
        unmarked: padded files without a mask or length column.
        unlisted: files that the manifest (`_padmask.json`) of their folder does not list.
        without_end: files that lack the end marker of their format. Such files may be truncated.
    """
    found.add_count("unmarked-padding", len(unmarked), map(Place, unmarked))
    detail = (
        f"{RULES['unlisted-file'].means}: if the file is a copied shard, its rows are repeated. Move the "
        "file out of the folder, or pad the dataset again"
    )
    found.add_count("unlisted-file", len(unlisted), map(Place, unlisted), detail=detail)
    found.add_count("no-end-mark", len(without_end), map(Place, without_end))
