"""The guard against lost files: an output never replaces an input, another output, or data."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence

from padmask.errors import OutputError
from padmask.storage.inputs import list_inputs
from padmask.storage.names import RESERVED, is_data
from padmask.storage.output_places import descriptor_of, is_written_in_place
from padmask.storage.urls import display_path, is_url, local_path, parse_url

Place = tuple[object, ...]


def place_of(path: str) -> Place | None:
    """Return what a path names: equal for two paths of one file; None where writing twice does no harm.

    >>> place_of("/dev/null"), place_of("a.jsonl") == place_of("./a.jsonl"), place_of("a") == place_of("b")
    (None, True, False)
    """
    # Devices: /dev/null takes everything, and a terminal shows everything.
    return _place(path, stdio=1, harmless=(stat.S_ISCHR,))


def _place_of_input(path: str) -> Place | None:
    """Return what an input names; None where reading and writing do not meet: a socket has two directions."""
    return _place(path, stdio=0, harmless=(stat.S_ISCHR, stat.S_ISSOCK))


def _place(path: str, stdio: int, harmless: Iterable[Callable[[int], bool]]) -> Place | None:
    if is_url(path) and local_path(path) == path:
        return ("url", str(parse_url(path)))
    found = _status(path, stdio)
    if found is None:
        return ("stdio", stdio) if path == "-" else ("new", os.path.realpath(local_path(path)))
    if any(of_kind(found.st_mode) for of_kind in harmless):
        return None
    return ("file", found.st_dev, found.st_ino)


def _status(path: str, stdio: int) -> os.stat_result | None:
    """Return what the system knows of a file; None where there is none. `-` is the descriptor `stdio`."""
    path = local_path(path)
    try:
        descriptor = stdio if path == "-" else descriptor_of(path)
        return os.stat(path) if descriptor is None else os.fstat(_real(descriptor))
    except (OSError, ValueError, AttributeError):
        return None


def _real(descriptor: int) -> int:
    """Return the descriptor of Python's standard stream, which may be another one than 0, 1 or 2."""
    streams = {0: sys.stdin, 1: sys.stdout, 2: sys.stderr}
    return streams[descriptor].fileno() if descriptor in streams else descriptor


def refuse_conflicts(
    outputs: Mapping[str, str | None], inputs: Sequence[str], *, replaceable: str | None = None
) -> None:
    """Refuse outputs that share a place, would replace an input, or would lie in an input folder as data.

    Args:
        outputs: paths by what is written there, such as `"the report"`; None is nothing.
        inputs: files, folders, patterns and addresses, as they were named.
        replaceable: the output that may replace the only input: it is renamed when all is read.

    Raises:
        OutputError: a file would be lost, or read as data the next time.
    """
    refuse_shared_place(outputs)
    refuse_inside(outputs, inputs)
    # An input that is not there yet cannot be replaced, and what is remote cannot be a local file.
    there = [path for path in outputs.values() if path is not None and _may_be_an_input(path)]
    comparable = [path for path in inputs if any(is_url(path) == is_url(output) for output in there)]
    if comparable:
        refuse_replaced({**outputs}, [file.path for file in list_inputs(comparable)], replaceable)


def _may_be_an_input(path: str) -> bool:
    if is_url(path) and local_path(path) == path:
        return True
    found = _status(path, stdio=1)
    return found is not None and stat.S_ISREG(found.st_mode)


def refuse_shared_place(outputs: Mapping[str, str | None]) -> None:
    """Refuse two outputs in one place: they would mix, or only the last would be left.

    Raises:
        OutputError: two of them are one file, or one is a file that stdout or stderr goes to.
    """
    seen: dict[Place, str] = {}
    for what, path in outputs.items():
        place = None if path is None else place_of(path)
        if path is None or place is None:
            continue
        _refuse_redirected(what, path, place)
        other = seen.setdefault(place, what)
        if other != what:
            where = "stdout" if path == "-" or outputs[other] == "-" else repr(display_path(path or ""))
            raise OutputError(
                f"{other.capitalize()} and {what} cannot both go to {where}. "
                "Name another file for one of them."
            )


def _refuse_redirected(what: str, path: str, place: Place) -> None:
    """Refuse to replace the file that a shell sends stdout or stderr to: what it holds would be lost."""
    if path == "-" or is_written_in_place(path):
        return
    for stream, descriptor in (("stdout", 1), ("stderr", 2)):
        if place == place_of(f"/dev/fd/{descriptor}"):
            raise OutputError(
                f"{what.capitalize()} would replace {display_path(path)!r}, which {stream} goes to. "
                f"Name another file, or /dev/{stream} to write there."
            )


def refuse_replaced(
    outputs: Mapping[str, str | None], files: Sequence[str], replaceable: str | None = None
) -> None:
    """Refuse outputs that would replace an input.

    Args:
        outputs: paths by what is written there; None is nothing.
        files: the inputs, each a file.
        replaceable: the output that may replace the only input.

    Raises:
        OutputError: an input would be lost.
    """
    named = {
        place_of(path): what
        for what, path in outputs.items()
        if path is not None and place_of(path) is not None
    }
    for file in files if named else ():
        place = _place_of_input(file)
        what = None if place is None else named.get(place)
        # A pipe cannot be replaced: what is written there would never be read.
        if what is None or (what == replaceable and len(files) == 1 and not _is_pipe(outputs[what])):
            continue
        path, name = outputs[what] or "", "on stdin" if file == "-" else repr(display_path(file))
        if path == "-" or is_written_in_place(path):
            where = "stdout" if path == "-" else repr(path)
            raise OutputError(
                f"{what.capitalize()} would be written into the input {name}: {where} is a file that is read "
                "too. Choose another file."
            )
        beside = ", one of several inputs" if what == replaceable else ""
        raise OutputError(f"{what.capitalize()} would replace the input {name}{beside}. Choose another name.")


def _is_pipe(path: str | None) -> bool:
    found = None if path in (None, "-") else _status(path or "", stdio=1)
    return found is not None and stat.S_ISFIFO(found.st_mode)


def refuse_inside(outputs: Mapping[str, str | None], inputs: Sequence[str]) -> None:
    """Refuse outputs in an input folder that the next run would read as data.

    Raises:
        OutputError: an output lies in an input folder.
    """
    for folder in inputs:
        for what, path in outputs.items():
            if path in (None, "", "-") or folder == "-" or not _lies_in(path or "", folder):
                continue
            # The output itself is data, whatever its name.
            if what == "the output" or is_data(os.path.basename(path or "")):
                raise OutputError(
                    f"{what.capitalize()} {display_path(path or '')!r} lies in the input folder "
                    f"{display_path(folder)!r}, "
                    "and would be read as data the next time. Choose another place."
                )


def _lies_in(path: str, folder: str) -> bool:
    folder, path = local_path(folder), local_path(path)
    if is_url(folder) and is_url(path):
        one, other = parse_url(folder), parse_url(path)
        same = (one.scheme, one.authority) == (other.scheme, other.authority)
        return same and other.path.startswith(f"{one.path.rstrip('/')}/".lstrip("/")) and one != other
    if is_url(folder) or is_url(path) or not os.path.isdir(folder):
        return False
    return os.path.commonpath([os.path.realpath(folder), os.path.realpath(path)]) == os.path.realpath(folder)


def refuse_nowhere(path: str | None) -> None:
    """Refuse a file whose folder is not there, where it is written at the end only.

    Raises:
        OutputError: there is no such folder.
    """
    folder = None if path in (None, "-") or is_url(path) else os.path.dirname(local_path(path)) or "."
    if folder is not None and not os.path.isdir(folder):
        raise OutputError(
            f"Cannot write {path!r}: the folder {folder!r} does not exist. Create it first, with mkdir -p."
        )


def refuse_closed(path: str) -> None:
    """Refuse an open descriptor that is not open.

    Raises:
        OutputError: nothing can be written there.
    """
    descriptor = descriptor_of(path)
    if descriptor is not None and descriptor > 2 and _status(path, stdio=1) is None:
        raise OutputError(
            f"Cannot write {path!r}: descriptor {descriptor} is not open. Open it, or name a file."
        )


def refuse_own_input(paths: Iterable[str | None], is_input: Callable[[os.stat_result], bool]) -> None:
    """Refuse to write into an open file that is read too, as with `>>`: that has no end.

    Args:
        paths: of outputs; None is nothing.
        is_input: tells whether a file is read.

    Raises:
        OutputError: an output that is written in place is an input.
    """
    for path in paths:
        if path is not None and (file := _open_file(path)) and is_input(file):
            name = "stdout" if path == "-" else repr(path)
            raise OutputError(
                f"{name} is a file that is read too, and would be written while it is read. Name the file "
                "with -o: then it is replaced at the end."
            )


def _open_file(path: str) -> os.stat_result | None:
    """Return the file that an output is written into in place; None where there is none."""
    try:
        if path == "-":
            status = os.fstat(sys.stdout.fileno())
        elif is_written_in_place(path):
            status = os.stat(path)
        else:
            return None
    except (OSError, ValueError, AttributeError):
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def refuse_among_data(folder: str, outputs: Mapping[str, str | None]) -> None:
    """Refuse what is written beside an output folder if it would lie among the folder's data, as data.

    Args:
        folder: path or address of the data.
        outputs: paths by what is written there; None is nothing.

    Raises:
        OutputError: it would.
    """
    for what, output in outputs.items():
        if output is None or output == "-" or is_url(output) != is_url(folder):
            continue
        path, base = (output, folder) if is_url(folder) else map(os.path.realpath, (output, folder))
        inside = path.startswith(f"{base.rstrip('/')}/")
        name = os.path.relpath(path, base)
        if inside and is_data(name):
            raise OutputError(
                f"{what.capitalize()} would lie in the output folder, as {display_path(output)!r}, and be "
                "read as data. Choose another place, or a name that begins with _."
            )
        if inside and name.startswith(RESERVED):
            raise OutputError(
                f"{what.capitalize()} would lie in the output folder, as {display_path(output)!r}, where "
                f"names that begin with {RESERVED} belong to padmask. Choose another name."
            )


def loaded_files() -> list[str]:
    """Return the files of all Python modules that are loaded: a report must not replace one."""
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [file for file in found if isinstance(file, str)]


def module_files(name: str) -> list[str]:
    """Return where the source of a module may lie, without importing it.

    >>> module_files("no_such_module_here")
    []
    """
    parts = name.split(".")
    found = []
    for folder in [os.getcwd(), *sys.path]:
        for end in range(1, len(parts) + 1):
            stem = os.path.join(folder, *parts[:end])
            found += [
                path for path in (f"{stem}.py", os.path.join(stem, "__init__.py")) if os.path.isfile(path)
            ]
    return found
