"""Check that an output does not replace an input, another output or a data file."""

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

Identity = tuple[object, ...]


def identify_output(path: str) -> Identity | None:
    """Return a key for an output. All paths of the same file have the same key. A device has the key None.

    >>> identify_output("/dev/null")
    >>> identify_output("a") == identify_output("./a"), identify_output("a") == identify_output("b")
    (True, False)
    """
    # Several outputs may go to one device, such as /dev/null or a terminal.
    return _identify(path, stdio=1, harmless=(stat.S_ISCHR,))


def _identify_input(path: str) -> Identity | None:
    """Return a key for an input. All paths of the same file have the same key.

    Devices and sockets have the key None, because output to a device or socket does not become input.
    """
    return _identify(path, stdio=0, harmless=(stat.S_ISCHR, stat.S_ISSOCK))


def _identify(path: str, stdio: int, harmless: Iterable[Callable[[int], bool]]) -> Identity | None:
    if is_url(path) and local_path(path) == path:
        return ("url", str(parse_url(path)))
    found = _status(path, stdio)
    if found is None:
        return ("stdio", stdio) if path == "-" else ("new", os.path.realpath(local_path(path)))
    if any(of_kind(found.st_mode) for of_kind in harmless):
        return None
    return ("file", found.st_dev, found.st_ino)


def _status(path: str, stdio: int) -> os.stat_result | None:
    """Return the status of a file; None if the file does not exist. For `-`, use the descriptor `stdio`."""
    path = local_path(path)
    try:
        descriptor = stdio if path == "-" else descriptor_of(path)
        return os.stat(path) if descriptor is None else os.fstat(_real(descriptor))
    except (OSError, ValueError, AttributeError):
        return None


def _real(descriptor: int) -> int:
    """For 0, 1 and 2, return the descriptor of Python's standard stream, which may be another number."""
    streams = {0: sys.stdin, 1: sys.stdout, 2: sys.stderr}
    return streams[descriptor].fileno() if descriptor in streams else descriptor


def refuse_conflicts(
    outputs: Mapping[str, str | None], inputs: Sequence[str], *, replaceable: str | None = None
) -> None:
    """Raise an error if outputs would share a file, replace an input, or be data files in an input folder.

    Args:
        outputs: path of each output, keyed by a label such as `"the report"`. A path of None is ignored.
        inputs: paths, patterns and addresses of the inputs, as the user wrote them.
        replaceable: label of the output that may replace the input if there is only one input. padmask writes
            this output to a temporary file, and renames the file after reading the input.

    Raises:
        OutputError: an output would replace a file, or the next run would read an output as data.
    """
    refuse_shared_place(outputs)
    refuse_inside(outputs, inputs)
    # A new file cannot be an input, and a remote file cannot be a local file.
    existing = [path for path in outputs.values() if path is not None and _may_be_an_input(path)]
    comparable = [path for path in inputs if any(is_url(path) == is_url(output) for output in existing)]
    if comparable:
        refuse_replaced({**outputs}, [file.path for file in list_inputs(comparable)], replaceable)


def _may_be_an_input(path: str) -> bool:
    if is_url(path) and local_path(path) == path:
        return True
    found = _status(path, stdio=1)
    return found is not None and stat.S_ISREG(found.st_mode)


def refuse_shared_place(outputs: Mapping[str, str | None]) -> None:
    """Raise an error if two outputs are the same file.

    Args:
        outputs: path of each output, keyed by label. A path of None is ignored.

    Raises:
        OutputError: two outputs are the same file, or stdout or stderr is redirected to an output.
    """
    seen: dict[Identity, str] = {}
    for name, path in outputs.items():
        identity = None if path is None else identify_output(path)
        if path is None or identity is None:
            continue
        _refuse_redirected(name, path, identity)
        other = seen.setdefault(identity, name)
        if other != name:
            where = "stdout" if path == "-" or outputs[other] == "-" else repr(display_path(path or ""))
            raise OutputError(
                f"{other.capitalize()} and {name} cannot both go to {where}. "
                "Choose another file for one of them."
            )


def _refuse_redirected(name: str, path: str, identity: Identity) -> None:
    """Raise an error if stdout or stderr is redirected to an output file."""
    if path == "-" or is_written_in_place(path):
        return
    for stream, descriptor in (("stdout", 1), ("stderr", 2)):
        if identity == identify_output(f"/dev/fd/{descriptor}"):
            raise OutputError(
                f"{name.capitalize()} would replace {display_path(path)!r}, the file that {stream} is "
                f"redirected to. Choose another file, or write to /dev/{stream}."
            )


def refuse_replaced(
    outputs: Mapping[str, str | None], files: Sequence[str], replaceable: str | None = None
) -> None:
    """Raise an error if an output would replace an input.

    Args:
        outputs: path of each output, keyed by label. A path of None is ignored.
        files: paths of the input files.
        replaceable: label of the output that may replace the input if there is only one input.

    Raises:
        OutputError: an input would be lost.
    """
    by_identity = {
        identify_output(path): name
        for name, path in outputs.items()
        if path is not None and identify_output(path) is not None
    }
    for file in files if by_identity else ():
        identity = _identify_input(file)
        name = None if identity is None else by_identity.get(identity)
        # padmask writes to pipes directly. If a pipe is also the input, padmask would read its own output.
        if name is None or (name == replaceable and len(files) == 1 and not _is_pipe(outputs[name])):
            continue
        path, shown = outputs[name] or "", "on stdin" if file == "-" else repr(display_path(file))
        if path == "-" or is_written_in_place(path):
            where = "stdout" if path == "-" else repr(path)
            raise OutputError(
                f"{name.capitalize()} would overwrite the input {shown}: {where} is the same file. Choose "
                "another file."
            )
        several = ", one of several inputs" if name == replaceable else ""
        raise OutputError(
            f"{name.capitalize()} would replace the input {shown}{several}. Choose another name."
        )


def _is_pipe(path: str | None) -> bool:
    found = None if path in (None, "-") else _status(path or "", stdio=1)
    return found is not None and stat.S_ISFIFO(found.st_mode)


def refuse_inside(outputs: Mapping[str, str | None], inputs: Sequence[str]) -> None:
    """Raise an error if an output is in an input folder. The next run would read the output as data.

    Raises:
        OutputError: an output is in an input folder.
    """
    for folder in inputs:
        for name, path in outputs.items():
            if path in (None, "", "-") or folder == "-" or not _is_in(path or "", folder):
                continue
            # The main output is data, regardless of its name.
            if name == "the output" or is_data(os.path.basename(path or "")):
                raise OutputError(
                    f"{name.capitalize()} {display_path(path or '')!r} is in the input folder "
                    f"{display_path(folder)!r}, where the next run would read the file as data. "
                    "Choose another folder."
                )


def _is_in(path: str, folder: str) -> bool:
    folder, path = local_path(folder), local_path(path)
    if is_url(folder) and is_url(path):
        one, other = parse_url(folder), parse_url(path)
        same = (one.scheme, one.authority) == (other.scheme, other.authority)
        return same and other.path.startswith(f"{one.path.rstrip('/')}/".lstrip("/")) and one != other
    if is_url(folder) or is_url(path) or not os.path.isdir(folder):
        return False
    return os.path.commonpath([os.path.realpath(folder), os.path.realpath(path)]) == os.path.realpath(folder)


def refuse_missing_folder(path: str | None) -> None:
    """Raise an error if the folder of an output file does not exist.

    padmask writes the file only at the end of a run. Therefore, the folder is checked at the start.

    Raises:
        OutputError: the folder does not exist.
    """
    folder = None if path in (None, "-") or is_url(path) else os.path.dirname(local_path(path)) or "."
    if folder is not None and not os.path.isdir(folder):
        raise OutputError(
            f"Cannot write {path!r}: the folder {folder!r} does not exist. Create the folder with mkdir -p."
        )


def refuse_closed(path: str) -> None:
    """Raise an error for the path of a file descriptor that is not open, such as `/dev/fd/9`.

    Raises:
        OutputError: the descriptor is not open.
    """
    descriptor = descriptor_of(path)
    if descriptor is not None and descriptor > 2 and _status(path, stdio=1) is None:
        raise OutputError(
            f"Cannot write {path!r}: file descriptor {descriptor} is not open. Open the descriptor, or "
            "choose a file."
        )


def refuse_own_input(
    paths: Iterable[str | None], is_input: Callable[[os.stat_result], bool], *, replaceable: bool = True
) -> None:
    """Raise an error if an output is appended to an input, as with `>>`. Reading such an input never ends.

    Args:
        paths: paths of the outputs. A path of None is ignored.
        is_input: function that accepts a file status and returns whether the file is an input.
        replaceable: whether the main output may replace the input.

    Raises:
        OutputError: padmask would append the output to an input.
    """
    for path in paths:
        if path is not None and (file := _open_file(path)) and is_input(file):
            name = "stdout" if path == "-" else repr(path)
            remedy = "Choose another file."
            if replaceable:
                remedy = (
                    "Specify the file with -o instead of a redirection. padmask then replaces the file at "
                    "the end of the run."
                )
            raise OutputError(
                f"{name} is also an input, so the input would change while padmask reads it. {remedy}"
            )


def _open_file(path: str) -> os.stat_result | None:
    """Return the status of a regular file to which padmask appends, as with `>>`; None for other outputs."""
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
    """Raise an error if another output, such as a report, would look like a data file of the output folder.

    Args:
        folder: path or address of the output folder.
        outputs: path of each output except the data, keyed by label. A path of None is ignored.

    Raises:
        OutputError: an output in the folder has a name like a data file, such as `a.jsonl`, or a reserved
            name.
    """
    for label, output in outputs.items():
        if output is None or output == "-" or is_url(output) != is_url(folder):
            continue
        path, base = (output, folder) if is_url(folder) else map(os.path.realpath, (output, folder))
        inside = path.startswith(f"{base.rstrip('/')}/")
        name = os.path.relpath(path, base)
        if inside and is_data(name):
            raise OutputError(
                f"{label.capitalize()} {display_path(output)!r} is in the output folder, and its name looks "
                "like that of a data file, so the next run would read the file as data. Choose another "
                "folder, or a name that begins with _."
            )
        if inside and name.startswith(RESERVED):
            raise OutputError(
                f"{label.capitalize()} {display_path(output)!r} is in the output folder, where names that "
                f"begin with {RESERVED} are reserved. Choose another name."
            )


def loaded_files() -> list[str]:
    """Return the paths of all loaded Python modules. A report must not replace a module."""
    found = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [file for file in found if isinstance(file, str)]


def module_files(name: str) -> list[str]:
    """Return the paths of the files that `import name` may load, without importing the module.

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
