"""The option `--allow`, which hides warnings and allows violations of rules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from padmask.cli.config import is_setting, setting
from padmask.cli.options import is_typed
from padmask.errors import did_you_mean, quoted
from padmask.spec.rules import RULES
from padmask.spec.warning_names import WARNINGS

Command = TypeVar("Command", bound=Callable[..., Any])


class WarningName(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4
    """A parameter type for the name of a warning or rule.

    In a pyproject.toml, names of rules are accepted even for a command that does not check rules, because the
    file applies to all commands.

    Args:
        rules: whether the command checks data rules. If True, the command line may also name these rules.
        errors: whether the command fails if a rule with the severity error is violated. If True, only the
            command line can allow such a rule, because the author of the data may also have written the
            pyproject.toml.
    """

    name = "NAME"

    def __init__(self, *, rules: bool, errors: bool) -> None:
        self._known: Collection[str] = {**WARNINGS, **RULES} if rules else WARNINGS
        self._has_rules, self._errors = rules, errors

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        name = str(value)
        shared = ctx is not None and param is not None and is_setting(ctx, param.name or "")
        if shared and self._errors and name in RULES and RULES[name].severity == "error":
            self.fail(
                f"Only the command line can allow the rule {name!r}, because the severity of this rule is "
                f"error. Remove {name!r} from the file, and use --allow {name}.",
                param,
                ctx,
            )
        if name in self._known or (shared and name in RULES):
            return name
        if name in RULES:
            self.fail(f"{name!r} is a rule of padmask verify and inspect, not a warning.", param, ctx)
        hint = did_you_mean(name, list(self._known)) or _similar(name, self._known)
        pages = "docs/warnings.md and docs/rules.md list" if self._has_rules else "docs/warnings.md lists"
        return self.fail(f"Unknown warning {name!r:.60}.{hint} {pages} all names.", param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        meanings = {name: rule.means for name, rule in RULES.items()} | WARNINGS
        return [
            CompletionItem(name, help=meanings[name]) for name in self._known if name.startswith(incomplete)
        ]


def _similar(name: str, known: Collection[str]) -> str:
    """Return a sentence with up to three names that have a word in common with `name`.

    >>> _similar("empty-rows", ["row-fully-masked", "no-rows-read", "ends-lost"])
    " Similar names: 'no-rows-read'."
    """
    words = set(name.lower().replace("_", "-").split("-"))
    near = [other for other in known if words & set(other.split("-"))][:3]
    return f" Similar names: {quoted(near)}." if near else ""


def allow_option(*, rules: bool = False, errors: bool = False) -> Callable[[Command], Command]:
    """Return the option `--allow` of a command. The arguments are as in `WarningName`."""
    help_ = "Name of a warning to hide; repeatable."
    if errors:
        help_ = "Name of a warning to hide, or of a rule that may be violated; repeatable."
    return setting(
        "--allow", multiple=True, type=WarningName(rules=rules, errors=errors), metavar="NAME", help=help_
    )


def allowed(ctx: click.Context, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in --allow.

    If the command line sets --strict, rules that a pyproject.toml allows are left out.
    """
    names: tuple[str, ...] = given["allow"]
    if is_typed(ctx, "strict") and given["strict"] and not is_typed(ctx, "allow"):
        return tuple(name for name in names if name not in RULES)
    return names
