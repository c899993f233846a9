"""Recommend a plan with little padding and few lost tokens, and the command that applies the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from padmask.core.length_stats import LengthStats
from padmask.errors import count, share
from padmask.inspect.batches import batches_cost
from padmask.inspect.commands import PadCommand
from padmask.inspect.costs import BUCKETS, Cost, CostBasis, windows_cost
from padmask.inspect.shared_end import SharedEnd
from padmask.spec.batches import BatchSpec
from padmask.spec.pad import PadSpec
from padmask.spec.windows import WindowSpec, needed_positions

# If padding is at most this share of the output, other plans save too little.
LITTLE_PADDING = 0.15

# If padding is at least this share of the output, the advice names plans with less padding.
MUCH_PADDING = 0.3

# A percentile is recommended as maxlen only if it loses at most this share of the tokens. The larger share
# applies if the output is much smaller, and to requested lengths.
NEGLIGIBLE_LOSS = 0.01
SMALL_LOSS = 0.05

# If a requested length loses at least this share of the tokens, windows are recommended where possible.
LARGE_LOSS = 0.2

# If a larger share of the rows is empty, the advice says how to drop them.
MANY_EMPTY = 0.1

# If at most this share of the rows is longer than a window, the advice says how to drop these rows.
FEW_LONGER = 0.01


@dataclass(frozen=True)
class Alternative:
    """A plan that is not recommended, but may be better for some models.

    Args:
        text: what the plan is for, and its cost, as sentences.
        command: command that applies the plan.
    """

    text: str
    command: str


@dataclass(frozen=True)
class Advice:
    """A recommended plan, and the command that pads the data according to the plan.

    Args:
        text: recommendation and its reason, as sentences.
        plan: recommended plan; None if there is nothing to pad.
        command: command that pads the data according to the plan; empty if there is nothing to do.
        spec: padding options of the command; None if no plan is recommended.
        details: facts about the plan, as sentences.
        alternatives: other plans, each with its command.
    """

    text: str
    plan: Cost | None = None
    command: str = ""
    spec: PadSpec | None = None
    details: Sequence[str] = ()
    alternatives: Sequence[Alternative] = ()

    def __str__(self) -> str:
        others = [line for other in self.alternatives for line in (other.text, other.command)]
        return "\n".join(filter(None, (self.text, self.command, *self.details, *others)))

    @property
    def has_windows(self) -> bool:
        """Whether the plan splits rows longer than maxlen into windows."""
        return self.plan is not None and self.plan.overlong == "window"

    @property
    def cut_tokens(self) -> str:
        """Phrase that says what happens to tokens beyond the maxlen of the plan, such as `"cut"`."""
        places = {"window": "in further windows", "drop": "in dropped rows"}
        return "cut" if self.plan is None else places.get(self.plan.overlong, "cut")

    def as_dict(self) -> dict[str, Any] | None:
        """Return the recommended plan as a dict for JSON; None if no plan is recommended."""
        if self.plan is None:
            return None
        return {"plan": self.plan.name, "maxlen": self.plan.maxlen, "command": self.command or None}


def advise_to_restore(command: PadCommand, shape: Literal["batches", "buckets"], padding: float) -> Advice:
    """Return the advice for rows that are in batches or buckets: restore the rows before padding them again.

    Args:
        command: inputs of the recommended command.
        shape: how the rows are divided.
        padding: share of the positions that are padding, from 0 to 1.
    """
    each = {"batches": "batch is padded to its longest row", "buckets": "bucket has its own row length"}
    text = (
        f"The rows are in {shape}, and each {each[shape]}. {share(padding)} of the positions are padding. To "
        "pad the rows in another way, restore the original rows first."
    )
    return Advice(text, command=command.unpad_text())


ADVICE_WITHOUT_MARKER = (
    "The rows are packed, but no column separates their sequences, so they cannot be restored. Pack the "
    "input again, and keep the column 'seq_lengths'."
)


def advise_on_packed_rows(command: PadCommand) -> Advice:
    """Return the advice for packed rows: restore the original rows before padding or packing them again.

    Args:
        command: inputs of the recommended command.
    """
    text = (
        "The rows are packed. To pad or pack the sequences in another way, restore the original rows first."
    )
    return Advice(text, command=command.unpad_text())


def advise_to_join(command: PadCommand, asked: Sequence[int | str], spec: PadSpec) -> Advice:
    """Return the advice for windows of longer rows: join the windows before padding the rows again.

    Args:
        command: inputs of the recommended command.
        asked: values of maxlen that the user requested.
        spec: padding options that the user requested.
    """
    text = (
        "The rows are windows of longer rows, and all numbers describe the windows. To pad the original rows "
        "in another way, join the windows, and inspect the joined rows."
    )
    return Advice(text, command=command.join_text(asked, spec))


@dataclass(frozen=True)
class Adviser:
    """Recommends a plan, based on the costs of the candidate plans.

    Args:
        basis: data from which the costs are computed.
        plans: costs of the candidate plans, by name.
        command: inputs and options of the recommended command.
        spec: padding options that the user requested. Its maxlen is not used.
        width: number of positions in each row of padded input; None for raw input.
    """

    basis: CostBasis
    plans: dict[str, Cost]
    command: PadCommand
    spec: PadSpec = field(default_factory=PadSpec)
    width: int | None = None

    def recommend(self, asked: Sequence[int | str]) -> Advice:
        """Return the recommended plan: one length for all rows, or windows.

        Args:
            asked: values of maxlen that the user requested. If there are any, the recommendation starts from
                one of these lengths.
        """
        if not self.plans:
            return Advice("The input has no rows.")
        if self.plans["longest"].maxlen == 0:
            return Advice("All rows are empty, so there is nothing to pad.")
        usable = [name for name in asked if self.plans[str(name)].maxlen > 0]
        advice = self._judge(usable) if usable else self._choose()
        if len(usable) < len(asked):
            advice = replace(advice, text=f"maxlen 0 removes all {self._units}. {advice.text}")
        plan = advice.plan
        if plan is not None and self.width == plan.maxlen and not plan.rows_cut and not advice.has_windows:
            text = f"All rows already have length {plan.maxlen:,}, so the plan {plan.name} adds no padding."
            is_asked = not usable or plan.name in map(str, usable)
            return replace(advice, text=text if is_asked else f"{advice.text} {text}", command="")
        return advice

    def _choose(self) -> Advice:
        """Recommend a plan if the user requested no values of maxlen."""
        longest, cuts = self.plans["longest"], self.basis.cuts
        if longest.padding_share <= LITTLE_PADDING:
            share_ = f"only {_padding(longest)}" if longest.padding_share else "no positions are padding"
            text = f"Pad to the longest row{_of(longest)}. No {self._units} are lost, and {share_}."
            return self._pad(longest, text)
        text = f"Pad to the longest row{_of(longest)}. No {self._units} are lost, but {_padding(longest)}."
        percentiles = () if cuts.overlong == "error" else ("p95", "p99")
        found = {name: self.plans[name] for name in percentiles if name in self.plans}
        for cut in found.values():
            if cut.maxlen and cut.lost_share <= NEGLIGIBLE_LOSS and longest.places >= 1.1 * cut.places:
                return self._cut(cut)
        p99 = found.get("p99")
        if p99 is None:
            return self._pad(longest, text)
        if not p99.rows_cut:
            return self._pad(
                longest, f"{text} More than 1% of the rows have this length, so p99 is the same length."
            )
        lost = share(p99.lost_share)
        reason = f"Truncating rows to p99{_of(p99)} would lose {lost} of the {self._units}"
        if p99.maxlen and longest.places >= 1.5 * p99.places:
            if p99.lost_share <= SMALL_LOSS:
                return self._cut(p99)
            length = self.basis.round_up(p99.maxlen)
            if cuts.can_window(length) and longest.places >= 1.5 * windows_cost(self.basis, length).places:
                return self._split(windows_cost(self.basis, length), f"{reason}. {_instead(length)}")
        saved = share(1 - p99.places / longest.places)
        return self._pad(longest, f"{text} {reason} and save {saved} of the positions.")

    def _judge(self, asked: Sequence[int | str]) -> Advice:
        """Recommend the smallest requested length that loses few tokens, else the largest requested length.

        If a run with `--overlong error` would fail at this length, the length of the longest row is
        recommended instead. If too many tokens would be lost, windows are recommended instead.
        """
        asked = sorted(asked, key=lambda name: self.plans[str(name)].maxlen)
        few = [name for name in asked if self._loses_few(self.plans[str(name)])]
        name = next(iter(few), asked[-1])
        plan, longest = self.plans[str(name)], self.plans["longest"]
        if plan.overlong == "error" and plan.rows_cut:
            failing = f"{_name(plan)} is too short for {self._rows(plan)}, so a run with --overlong error"
            return self._pad(longest, f"{failing} would fail. Pad to the longest row{_of(longest)}.")
        if plan.overlong == "window" and plan.maxlen < longest.maxlen:
            return self._split(plan, f"{_name(plan)} splits longer rows into windows.", name)
        can_window = self.basis.cuts.can_window(plan.maxlen)
        if plan.lost_share >= LARGE_LOSS and can_window:
            verb = "drop" if plan.overlong == "drop" else "truncate"
            cut = f"would {verb} {self._rows(plan)} and lose {share(plan.lost_share)} of the {self._units}"
            return self._split(
                windows_cost(self.basis, plan.maxlen), f"{_name(plan)} {cut}. {_instead(plan.maxlen)}"
            )
        others: list[Alternative] = []
        if plan.lost_share > SMALL_LOSS and can_window:
            windows = windows_cost(self.basis, plan.maxlen)
            rows = count(windows.rows, "row")
            text = f"To lose no {self._units}, split longer rows into windows. The output has {rows}."
            others = [Alternative(text, self.command_of(windows))]
        elif plan.lost_share <= SMALL_LOSS and longest.places <= 0.9 * plan.places:
            saved = share(1 - longest.places / plan.places)
            text = f"To save {saved} of the positions, pad to the longest row{_of(longest)}."
            others = [Alternative(text, self._text(self._pad_spec(longest, "longest")))]
        does = self._loses(plan) if plan.rows_cut else f"truncates no rows, and {_padding(plan)}"
        return self._pad(plan, f"{_name(plan)} {does}.", others, name)

    def _loses_few(self, plan: Cost) -> bool:
        return plan.rows_cut == 0 if plan.overlong == "error" else plan.lost_share <= SMALL_LOSS

    def _cut(self, plan: Cost) -> Advice:
        """Recommend a percentile of the row lengths as maxlen."""
        longest = self.plans["longest"]
        text = (
            f"{'Drop rows longer than' if plan.overlong == 'drop' else 'Truncate rows to'} {plan.name}"
            f"{_of(plan)}. This {self._loses(plan)}. The output is {longest.places / plan.places:.1f} times "
            f"smaller than with maxlen longest ({longest.maxlen:,})."
        )
        return self._pad(plan, text)

    def _pad(
        self, plan: Cost, text: str, others: Sequence[Alternative] = (), maxlen: int | str | None = None
    ) -> Advice:
        """Recommend one length for all rows.

        If truncation would remove a token that most rows share, the command keeps this token.
        """
        spec, details = self._pad_spec(plan, plan.name if maxlen is None else maxlen), []
        shared = self._lost_end(plan)
        if shared is not None:
            rows, its = count(plan.ends_lost, "truncated row"), "its" if plan.ends_lost == 1 else "their"
            details.append(
                f"{rows} would lose {its} {shared.end} token {shared.token}; --keep-{shared.end} 1 keeps it."
            )
        others = (*others, *self._alternatives(plan))
        return Advice(text, plan, self._text(spec), spec, (*details, *self._empty_rows()), others)

    @property
    def _units(self) -> str:
        """The name of the elements of a sequence: tokens, or steps."""
        return f"{self.basis.unit}s"

    def command_of(self, plan: Cost) -> str:
        """Return the command that pads the rows according to a plan with one length for all rows."""
        if plan.overlong == "window":
            return self.command.text(self._window_spec(plan))
        return self._text(self._pad_spec(plan, plan.maxlen))

    def _pad_spec(self, plan: Cost, maxlen: int | str) -> PadSpec:
        """Return the options of `pad` for one length.

        If truncation would remove a token that most rows share, the options keep this token.
        """
        spec = replace(self.spec, maxlen=maxlen)
        if maxlen == "longest":
            # pad refuses options that have no effect.
            spec = replace(spec, keep_first=0, keep_last=0, windows=None)
        return self._keeping_end(spec, plan)

    def _keeping_end(self, spec: PadSpec, plan: Cost) -> PadSpec:
        """Return `spec`, changed to keep the shared token that truncated rows of a plan would lose."""
        shared = self._lost_end(plan)
        if shared is None:
            return spec
        return replace(spec, keep_last=1) if shared.end == "last" else replace(spec, keep_first=1)

    def _text(self, spec: PadSpec) -> str:
        """Return the command that pads the rows to one length."""
        overlong = self.basis.cuts.overlong
        return self.command.text(spec, "truncate" if overlong == "window" else overlong)

    def _lost_end(self, plan: Cost) -> SharedEnd | None:
        """Return the shared token that truncated rows would lose, so that the command can keep it.

        None if no row would lose the token, or if maxlen is too small to keep it.
        """
        cuts = self.basis.cuts
        fits = needed_positions(cuts.first, cuts.last, None) < plan.maxlen
        is_cut = plan.overlong == "truncate" and plan.ends_lost > 0
        return self.basis.shared if is_cut and fits else None

    def _split(self, windows: Cost, text: str, maxlen: int | str | None = None) -> Advice:
        """Recommend windows."""
        stats, spec = self.basis.stats, self._window_spec(windows, maxlen)
        longer = LengthStats({n: rows for n, rows in stats.counts.items() if n > windows.maxlen})
        become = "is longer and becomes" if longer.rows == 1 else "are longer and become"
        made = count(windows.rows - stats.rows + longer.rows, "window")
        text = (
            f"{text} No {self._units} are lost. {longer.rows:,} of {count(stats.rows, 'row')} {become} "
            f"{made}, so the output has {count(windows.rows, 'row')}."
        )
        shared, details = self.basis.cuts.shared, []
        ends = [
            f"{verb} with {token}"
            for verb, token, kept in (
                ("start", shared.first, spec.keep_first),
                ("end", shared.last, spec.keep_last),
            )
            if token is not None and kept
        ]
        if ends:
            details.append(f"Most rows {' and '.join(ends)}; each window keeps {_THESE[len(ends)]}.")
        others: list[Alternative] = []
        if longer.rows <= FEW_LONGER * stats.rows:
            lost = share(longer.tokens / stats.tokens)
            dropping = replace(spec, windows=None, keep_first=0, keep_last=0)
            text_of_drop = f"If the longer rows are dropped, {lost} of the {self._units} are lost."
            others = [Alternative(text_of_drop, self.command.text(dropping, "drop"))]
        others += self._alternatives(windows)
        return Advice(text, windows, self.command.text(spec), spec, (*details, *self._empty_rows()), others)

    def _window_spec(self, windows: Cost, maxlen: int | str | None = None) -> PadSpec:
        """Return the padding options of a plan with windows."""
        size = self.basis.cuts.window_size(windows.maxlen)
        asked = self.spec.windows or WindowSpec()
        return replace(
            self.spec,
            maxlen=windows.maxlen if maxlen is None else maxlen,
            windows=replace(asked, overlap=size.overlap),
            keep_first=size.first or self.spec.keep_first,
            keep_last=size.last or self.spec.keep_last,
        )

    def _empty_rows(self) -> tuple[str, ...]:
        """Return a tuple with a line about empty rows; an empty tuple if there are few."""
        stats = self.basis.stats
        empty = stats.counts.get(0, 0)
        if empty <= MANY_EMPTY * stats.rows:
            return ()
        verb = "is" if empty == 1 else "are"
        return (f"{empty:,} of {count(stats.rows, 'row')} {verb} empty; --empty-rows drop leaves them out.",)

    def _alternatives(self, plan: Cost) -> tuple[Alternative, ...]:
        """Return alternatives that have much less padding than `plan`, and do not lose more tokens."""
        if plan.padding_share < MUCH_PADDING:
            return ()
        buckets = self._with_less_padding(plan, f"buckets-{BUCKETS[-1]}")
        packed = self._with_less_padding(plan, "packed")
        return (
            *map(self._use_pack, packed),
            *map(self._use_buckets, buckets),
            *self._use_batches(plan),
        )

    def _with_less_padding(self, plan: Cost, *names: str) -> list[Cost]:
        """Return the plans in `names` with much less padding than `plan` and not more lost tokens."""
        return [
            cost
            for cost in (self.plans[name] for name in names if name in self.plans)
            if cost.padding_share < plan.padding_share / 2 and cost.tokens_lost <= plan.tokens_lost
        ]

    def _use_buckets(self, buckets: Cost) -> Alternative:
        """Return a text about a plan with buckets, and the command of the plan."""
        lost = "" if buckets.tokens_lost else f", and no {self._units} are lost"
        text = f"If each row is padded to one of {len(buckets.edges)} lengths, {_padding(buckets)}{lost}."
        if buckets.maxlen >= self.plans["longest"].maxlen:
            spec = replace(self.spec, maxlen="longest", windows=None, keep_first=0, keep_last=0)
        elif buckets.overlong == "window":
            spec = self._window_spec(buckets)
        else:
            spec = self._keeping_end(replace(self.spec, maxlen=buckets.maxlen), buckets)
        return Alternative(text, self._text(replace(spec, buckets=len(buckets.edges))))

    def _use_pack(self, packed: Cost) -> Alternative:
        """Return a text about packed rows, and the command that packs the rows."""
        spec = replace(self.spec, maxlen=packed.maxlen, windows=None, keep_first=0, keep_last=0)
        if packed.maxlen < self.plans["longest"].maxlen and packed.overlong == "window":
            spec = self._window_spec(packed)
        cut = packed.rows_cut and packed.overlong != "window"
        shared = self.basis.shared
        if cut and packed.overlong == "truncate" and shared is not None and packed.ends_lost:
            # The other plans keep this token too.
            spec = replace(spec, keep_last=1) if shared.end == "last" else replace(spec, keep_first=1)
        command = self.command.pack_text(spec, packed.overlong if cut else "error")
        lost = "" if packed.tokens_lost else f", and no {self._units} are lost"
        split = ""
        if (other := self.plans.get("packed-split")) is not None and packed.tokens_lost:
            rows = count(other.rows, "row")
            split = f" With --overlong split, no {self._units} are lost, and the output has {rows}."
        apart, separate = "", " if each file is packed separately" if self.basis.files else ""
        if self.command.output.endswith("/") and not self.basis.files:
            apart = " These are the numbers for one output file. In a folder, each file is packed separately."
        least = packed.rows_at_least or 0
        is_best = packed.rows == least
        bound = (
            f"fewer are not possible{separate}"
            if is_best
            else f"any packing needs at least {least:,}{separate}"
        )
        text = (
            f"If several rows are packed into each output row, {_padding(packed)}{lost}. The output has "
            f"{count(packed.rows, 'row')}, and {bound}.{apart}{split}"
        )
        return Alternative(text, command)

    def _use_batches(self, plan: Cost) -> tuple[Alternative, ...]:
        """Return a tuple with batches of a token budget, as an alternative to `plan`.

        The tuple is empty if the batches do not have much less padding, or if long rows are not truncated.
        """
        if self.basis.cuts.overlong != "truncate":
            return ()
        batches = batches_cost(self.basis)
        if batches.padding_share >= plan.padding_share / 2:
            return ()
        tokens = int(batches.name.rpartition("-")[2])
        text = (
            f"In batches of at most {tokens:,} positions, each padded to its longest row, "
            f"{_padding(batches)}, and no {self._units} are lost."
        )
        spec = replace(self.spec, maxlen="longest", windows=None, keep_first=0, keep_last=0)
        return (Alternative(text, self._text(replace(spec, batches=BatchSpec(tokens=tokens)))),)

    def _rows(self, plan: Cost) -> str:
        return f"{plan.rows_cut:,} of {count(self.basis.stats.rows, 'row')}"

    def _loses(self, plan: Cost) -> str:
        """Return the end of a sentence: how many rows a plan cuts, and how many tokens are lost."""
        verb = "drops" if plan.overlong == "drop" else "truncates"
        return f"{verb} {self._rows(plan)} and loses {share(plan.lost_share)} of the {self._units}"


_THESE = {1: "this token", 2: "these tokens"}


def _instead(maxlen: int) -> str:
    return f"Instead, split longer rows into windows ({count(maxlen, 'position')})."


def _of(plan: Cost) -> str:
    return f" ({count(plan.maxlen, 'position')})"


def _padding(plan: Cost) -> str:
    return f"{share(plan.padding_share)} of the positions are padding"


def _name(plan: Cost) -> str:
    return f"maxlen {plan.name}" if plan.name.isdigit() else f"{plan.name}{_of(plan)}"
