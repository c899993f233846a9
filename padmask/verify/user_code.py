"""Import a function or a model of the user, given as `module:name`."""

from __future__ import annotations

import importlib
import os
import re
import sys
from importlib.machinery import PathFinder
from typing import Any

from padmask.errors import SpecError

_IMPORT_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_import_name(text: str) -> bool:
    """Return whether a text is `MODULE:NAME`, and not a path.

    >>> is_import_name("mypackage.model:build"), is_import_name("C:/model.keras"), is_import_name("a.keras")
    (True, False, False)
    """
    return _IMPORT_NAME.fullmatch(text) is not None


def import_callable(option: str, text: str, example: str) -> Any:
    """Import a callable given as `module:name`. The module may be in the current folder.

    >>> import_callable("--predict", "math:sqrt", "mypackage.serve:predict")(4.0)
    2.0

    Args:
        option: option that has the text, for error messages.
        text: module and name, such as `mypackage.serve:predict`.
        example: a valid text, for error messages.

    Raises:
        SpecError: the name does not exist, or its module cannot be imported.
    """
    module, colon, name = text.partition(":")
    if not module or not colon or not name:
        raise SpecError(f"{option} must be module:function, for example {example}. Received: {text!r}.")
    _add_current_folder(module)
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the module is the user's, and may raise anything
        raise SpecError(
            f"{option} {text}: importing {module} failed: {type(error).__name__}: {error}. "
            "Check the name of the module, and make sure that Python can import it."
        ) from None
    for part in name.split("."):
        found = getattr(found, part, None)  # type: ignore[assignment]
    if not callable(found):
        raise SpecError(
            f"{option} {text}: {module} has no function {name!r}. Check the name of the function."
        )
    return found


def _add_current_folder(module: str) -> None:
    """Add the current folder to `sys.path`.

    If the folder contains the module, the folder becomes the first entry. Otherwise it becomes the last
    entry, so that files in a data folder do not replace installed modules.
    """
    folder = os.getcwd()
    if folder not in sys.path:
        has_module = PathFinder.find_spec(module.partition(".")[0], [folder]) is not None
        sys.path.insert(0 if has_module else len(sys.path), folder)
