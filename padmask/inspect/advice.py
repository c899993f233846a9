"""Recommend a plan that pads a dataset with little padding and few lost tokens, and its command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from padmask.errors import count, share
from padmask.inspect.commands import PadCommand
from padmask.inspect.costs import Cost, CostBasis, windows_cost

# If a smaller share of the output is padding, other plans save too little.
LITTLE_PADDING = 0.15

# If a larger share of the output is padding, the advice names plans with less padding.
MUCH_PADDING = 0.3

# A plan that loses a smaller share of the tokens is worth its smaller output.
NEGLIGIBLE_LOSS = 0.01
SMALL_LOSS = 0.05

# A plan that loses a larger share of the tokens is never recommended.
LARGE_LOSS = 0.2

# The overlap of windows is their length divided by this number.
OVERLAP = 8


@dataclass(frozen=True)
class Advice:
    """A recommended plan, and the command that pads the data according to the plan.

    Args:
        text: recommendation and its reason, as sentences.
        plan: recommended plan; None if there is nothing to pad.
        command: command that pads the data according to the plan; empty if there is nothing to do.
        maxlen: recommended value of `--maxlen`.
        details: facts about the plan and its alternatives. Each item is one or two sentences.
    """

    text: str
    plan: Cost | None = None
    command: str = ""
    maxlen: int | str = "longest"
    details: Sequence[str] = ()

    def __str__(self) -> str:
        return "\n".join(filter(None, (self.text, *self.details, self.command)))

    @property
    def has_windows(self) -> bool:
        """Whether the plan splits longer rows into windows."""
        return self.plan is not None and self.plan.name.startswith("windows")

    def as_dict(self) -> dict[str, Any] | None:
        """Return the recommended plan as a dict for JSON; None if there is nothing to pad."""
        if self.plan is None:
            return None
        return {"plan": self.plan.name, "maxlen": self.plan.maxlen, "command": self.command or None}


@dataclass(frozen=True)
class Adviser:
    """An adviser that recommends a plan, from the costs of the candidate plans.

    Args:
        basis: data from which the costs are computed.
        plans: costs of the candidate plans, by name.
        command: inputs and options of the recommended command.
        width: number of positions in each row of padded input; None for raw input.
    """

    basis: CostBasis
    plans: dict[str, Cost]
    command: PadCommand
    width: int | None = None

    def recommend(self, asked: Sequence[int | str]) -> Advice:
        """Return the recommended plan: one length for all rows, or windows.

        Args:
            asked: values of maxlen that the user requested. If there are any, one of these lengths is
                recommended.
        """
        if not self.plans:
            return Advice("The input has no rows.")
        if self.plans["longest"].maxlen == 0:
            return Advice("All rows are empty, so there is nothing to pad.")
        usable = [name for name in asked if self.plans[str(name)].maxlen > 0]
        advice = self._judge(usable) if usable else self._choose()
        if len(usable) < len(asked):
            advice = replace(advice, text=f"maxlen 0 removes all tokens. {advice.text}")
        plan = advice.plan
        if plan is not None and self.width == plan.maxlen and not plan.rows_cut and not advice.has_windows:
            text = f"All rows already have the maxlen of the plan {plan.name}{_of(plan)}."
            return replace(advice, text=text, command="")
        return advice

    def _choose(self) -> Advice:
        """Recommend a plan if the user requested no values of maxlen."""
        longest, p99 = self.plans["longest"], self.plans["p99"]
        if longest.padding_share <= LITTLE_PADDING:
            share_ = f"only {_padding(longest)}" if longest.padding_share else "no positions are padding"
            text = f"Pad to the longest row{_of(longest)}. No tokens are lost, and {share_}."
            return self._pad(longest, text)
        for name in ("p95", "p99"):
            cut = self.plans[name]
            if cut.maxlen and cut.lost_share <= NEGLIGIBLE_LOSS and longest.places >= 1.1 * cut.places:
                return self._cut(cut)
        if p99.maxlen and longest.places >= 1.5 * p99.places:
            if p99.lost_share <= SMALL_LOSS:
                return self._cut(p99)
            windows = self._windows(self.basis.round_up(p99.maxlen))
            if longest.places >= 1.5 * windows.places:
                reason = f"Truncating rows to p99{_of(p99)} would lose {share(p99.lost_share)} of the tokens."
                return self._split(windows, reason)
        reason = "At least 1% of the rows have this length."
        if p99.rows_cut:
            saved = share(1 - p99.places / longest.places)
            reason = (
                f"Truncating rows to p99{_of(p99)} would lose {share(p99.lost_share)} of the tokens and save "
                f"{saved} of the positions."
            )
        text = f"Pad to the longest row{_of(longest)}. No tokens are lost, but {_padding(longest)}."
        return self._pad(longest, f"{text} {reason}")

    def _judge(self, asked: Sequence[int | str]) -> Advice:
        """Recommend one of the requested lengths: the smallest one that loses few tokens."""
        asked = sorted(asked, key=lambda name: self.plans[str(name)].maxlen)
        few = [name for name in asked if self.plans[str(name)].lost_share <= SMALL_LOSS]
        name = next(iter(few), asked[-1])
        plan, longest = self.plans[str(name)], self.plans["longest"]
        if plan.lost_share >= LARGE_LOSS:
            lost = f"{share(plan.lost_share)} of the tokens"
            reason = f"{_name(plan)} would truncate {self._rows(plan)} and lose {lost}."
            return self._split(self._windows(plan.maxlen), reason)
        if plan.lost_share > SMALL_LOSS:
            windows = self._windows(plan.maxlen)
            details = [
                f"To lose no tokens, use {' '.join(_window_options(windows))} instead. "
                f"The output then has {count(windows.rows, 'row')}."
            ]
        elif longest.places <= 0.9 * plan.places:
            saved = share(1 - longest.places / plan.places)
            details = [f"--maxlen longest{_of(longest)} saves {saved} of the positions."]
        else:
            details = []
        text = f"{_name(plan)} truncates no rows, and {_padding(plan)}."
        if plan.rows_cut:
            lost = f"{share(plan.lost_share)} of the tokens"
            text = f"{_name(plan)} truncates {self._rows(plan)} and loses {lost}."
        return self._pad(plan, text, details, name)

    def _cut(self, plan: Cost) -> Advice:
        """Recommend a percentile of the row lengths as maxlen."""
        longest = self.plans["longest"]
        text = (
            f"Truncate rows to {plan.name}{_of(plan)}. The output is {longest.places / plan.places:.1f} "
            f"times smaller than with maxlen longest ({longest.maxlen:,}). This truncates "
            f"{self._rows(plan)} and loses {share(plan.lost_share)} of the tokens."
        )
        return self._pad(plan, text)

    def _pad(
        self, plan: Cost, text: str, details: Sequence[str] = (), maxlen: int | str | None = None
    ) -> Advice:
        """Recommend one length for all rows, and keep the token that most rows share at an end."""
        maxlen = plan.name if maxlen is None else maxlen
        options, details = ["--maxlen", str(maxlen)], list(details)
        if 2 * plan.ends_lost > plan.rows_cut and self.basis.shared is not None:
            end, rows = self.basis.shared.end, count(plan.ends_lost, "truncated row")
            token = self.basis.shared.token
            its = "its" if plan.ends_lost == 1 else "their"
            details.append(f"{rows} would lose {its} {end} token {token}; --keep-{end} 1 keeps it.")
            options += [f"--keep-{end}", "1"]
        return Advice(text, plan, self.command.text(*options), maxlen, (*details, *self._alternatives(plan)))

    def _split(self, windows: Cost, reason: str) -> Advice:
        """Recommend a plan that splits longer rows into windows."""
        more = f"{count(self.basis.stats.rows, 'row')} become {windows.rows:,} output rows"
        text = (
            f"{reason} Instead, split longer rows into windows{_of(windows)}. No tokens are lost, and {more}."
        )
        command = self.command.text("--maxlen", str(windows.maxlen), *_window_options(windows))
        return Advice(text, windows, command, windows.maxlen, self._alternatives(windows))

    def _alternatives(self, plan: Cost) -> tuple[str, ...]:
        """Return a line about plans with much less padding, which no padmask command supports yet."""
        candidates = [self.plans[name] for name in ("sorted-32", "packed") if name in self.plans]
        less = [cost for cost in candidates if cost.padding_share < plan.padding_share / 2]
        if plan.padding_share < MUCH_PADDING or not less:
            return ()
        shares = " and ".join(f"{cost.name} {share(cost.padding_share)}" for cost in less)
        lossless = plan.tokens_lost and not any(cost.tokens_lost for cost in less)
        collator = (
            "; for the plan sorted-32 (batches of 32 rows sorted by length), use a collator that pads each "
            "batch to its longest row"
        )
        return (
            f"{share(plan.padding_share)} of the positions are padding. Other plans need less padding"
            f"{' and lose no tokens' if lossless else ''}: {shares}. No padmask command supports "
            f"{'this plan' if len(less) == 1 else 'these plans'} yet"
            f"{collator if less[0].name == 'sorted-32' else ''}.",
        )

    def _windows(self, maxlen: int) -> Cost:
        return windows_cost(self.basis, maxlen, overlap_of(maxlen))

    def _rows(self, plan: Cost) -> str:
        return f"{plan.rows_cut:,} of {count(self.basis.stats.rows, 'row')}"


def overlap_of(maxlen: int) -> int:
    """Return the overlap of windows of `maxlen` tokens, for a recommendation.

    >>> overlap_of(512), overlap_of(3)
    (64, 0)
    """
    return maxlen // OVERLAP


def _window_options(windows: Cost) -> tuple[str, ...]:
    return "--overlong", "window", "--overlap", str(overlap_of(windows.maxlen))


def _of(plan: Cost) -> str:
    return f" ({count(plan.maxlen, 'position')})"


def _padding(plan: Cost) -> str:
    return f"{share(plan.padding_share)} of the positions are padding"


def _name(plan: Cost) -> str:
    return f"maxlen {plan.name}" if plan.name.isdigit() else f"{plan.name}{_of(plan)}"
