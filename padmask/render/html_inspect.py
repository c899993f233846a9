"""The HTML report of `inspect`, and the fragment that a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from padmask.errors import count, fine_share, share, size
from padmask.inspect.advice import LARGE_LOSS, Advice
from padmask.inspect.choices import Choice, make_choices
from padmask.inspect.costs import Cost
from padmask.inspect.figure_data import FigureData, make_figure_data
from padmask.inspect.inspection import Inspection
from padmask.render.chart_labels import (
    lines_of,
    name_of_cut,
    text_of,
    title_of_curves,
    title_of_lengths,
    title_of_places,
)
from padmask.render.html import Html, join_html, tag
from padmask.render.html_charts import chosen_place, curves_chart, lengths_chart, sequences_chart
from padmask.render.html_findings import findings_table, notes_card
from padmask.render.html_page import card, command_box, make_fragment, make_page, prose, table
from padmask.render.html_places import places_chart
from padmask.render.inspection import cells_of_plan, format_lengths, has_rows_of_output, plan_notes
from padmask.render.summary import BUCKET_COLUMNS, cells_of_bucket

# What happens to rows that are longer than maxlen.
LONGER = {"truncate": "truncated", "window": "split into windows", "drop": "dropped", "error": "refused"}


def inspect_page(seen: Inspection, *, plans: bool = True, title: str | None = None) -> str:
    """Return the result of `inspect_file` as one HTML file.

    Args:
        seen: result to show.
        plans: whether to show the plans.
        title: title of the page; by default the most important result.
    """
    data = make_figure_data(seen, title)
    choices = make_choices(seen) if plans else []
    has_rows = bool(seen.stats.rows)
    content = [
        _header(seen, data),
        card("Advice", *_advice(seen.advice)),
        card("Buckets", _buckets(seen), class_="card narrow") if seen.buckets else None,
        _chooser(seen, data, choices) if choices else None,
        _charts(seen, data, has_slider=bool(choices)) if has_rows else None,
        card(_title_of_lengths(seen), _lengths(seen), class_="card narrow") if has_rows else None,
        card("Plans", _plans(seen), _explanations(plan_notes(seen))) if plans and seen.plans else None,
        card("Findings", findings_table(seen.health)),
        notes_card(seen.notes),
    ]
    return make_page(
        "inspect", seen.name, *content, data=_script_data(seen, data, choices) if choices else None
    )


def inspect_fragment(seen: Inspection) -> Html:
    """Return the result of `inspect_file` for a notebook: lengths, plans, findings and advice."""
    data = make_figure_data(seen)
    return make_fragment(
        tag("h2", data.title or data.name),
        tag("p", f"{data.name}: {data.summary}" if data.title else data.summary),
        tag("figure", lengths_chart(data)) if seen.stats.rows else None,
        _plans(seen) if seen.plans else None,
        findings_table(seen.health) if seen.health else None,
        tag("p", tag("b", "Advice: "), prose(seen.advice.text)),
        command_box(seen.advice.command) if seen.advice.command else None,
    )


def _header(seen: Inspection, data: FigureData) -> Html:
    packed = None if seen.packed is None else tag("p", f"{seen.packed}.")
    summary = f"{data.name}: {data.summary}" if data.title else data.summary
    return tag("header", tag("h1", data.title or data.name), tag("p", summary), packed)


def _explanations(notes: Sequence[str]) -> Html | None:
    return tag("div", *(tag("p", note) for note in notes), class_="quiet small") if notes else None


def _advice(advice: Advice) -> list[Html | None]:
    """Return the recommended plan and its command, then the alternatives with their commands."""
    details = [tag("li", prose(detail)) for detail in advice.details]
    others = [tag("li", prose(other.text), command_box(other.command)) for other in advice.alternatives]
    return [
        tag("p", prose(advice.text)),
        tag("h3", "Recommended") if advice.command else None,
        command_box(advice.command) if advice.command else None,
        tag("ul", *details, class_="list") if details else None,
        tag("h3", "Alternatives") if others else None,
        tag("ul", *others, class_="list") if others else None,
    ]


def _chooser(seen: Inspection, data: FigureData, choices: Sequence[Choice]) -> Html:
    """Return the slider for maxlen, and the numbers and the command for the maxlen that the user chooses."""
    best = _best_index(seen, choices)
    texts = texts_of(choices[best], seen)
    index = {choice.maxlen: number for number, choice in enumerate(choices)}
    buttons = [
        tag(
            "button",
            text_of(mark),
            " (recommended)" if mark.is_best else None,
            type="button",
            data_index=index[mark.maxlen],
            aria_pressed="true" if mark.is_best else "false",
        )
        for mark in data.marks
        if mark.maxlen in index
    ]
    slider = tag(
        "div",
        tag("label", "maxlen", for_="maxlen"),
        tag("output", texts["maxlen"], for_="maxlen", data_value="maxlen"),
        tag("input", type="range", id="maxlen", min=0, max=len(choices) - 1, value=best),
        class_="slider",
    )
    tiles = [
        (f"{seen.unit}s kept", "kept", "kept"),
        ("rows whole", "whole", "whole"),
        ("padding", "padding", "padding"),
        ("output", "size", None),
    ]
    numbers = tag(
        "dl",
        *(
            tag(
                "div",
                tag("dt", title),
                tag("dd", texts[name], data_value=name),
                tag("dd", texts[f"{name}-detail"], data_value=f"{name}-detail", class_="small"),
                class_=kind,
            )
            for title, name, kind in tiles
        ),
        class_="tiles",
    )
    return card(
        "Choose maxlen",
        tag("div", slider, tag("div", *buttons, class_="candidates"), id="chooser", hidden=True),
        numbers,
        command_box(choices[best].command, id_="command"),
    )


def _best_index(seen: Inspection, choices: Sequence[Choice]) -> int:
    best = seen.advice.plan
    return next(n for n, choice in enumerate(choices) if best is not None and choice.maxlen == best.maxlen)


def texts_of(choice: Choice, seen: Inspection) -> dict[str, str]:
    """Return the numbers of a choice as texts, keyed by the name of the element that shows them."""
    cost, stats = choice.cost, seen.stats
    longer = stats.rows - choice.whole
    kept, whole = fine_share(1 - cost.lost_share), fine_share(choice.whole / stats.rows)
    padding = share(cost.padding_share)
    return {
        "maxlen": f"{choice.maxlen:,}",
        "kept": kept,
        "kept-detail": f"{cost.tokens_lost:,} of {stats.tokens:,} lost",
        "whole": whole,
        "whole-detail": f"{longer:,} of {count(stats.rows, 'row')} {LONGER[cost.overlong]}",
        "padding": padding,
        "padding-detail": f"of {count(cost.places, 'position')}",
        "size": size(cost.bytes),
        "size-detail": f"{count(cost.rows, 'row')} of {count(choice.maxlen, 'position')}",
        "summary": f"{kept} of the {seen.unit}s kept, {whole} of the rows whole, {padding} padding",
    }


def _script_data(seen: Inspection, data: FigureData, choices: Sequence[Choice]) -> dict[str, Any]:
    return {
        "rows": seen.stats.rows,
        "turns": _turns(seen),
        "names": list(texts_of(choices[0], seen)),
        "choices": [
            {
                "maxlen": choice.maxlen,
                "x": round(chosen_place(data, choice.maxlen), 1),
                "whole": choice.whole,
                "command": choice.command,
                "texts": list(texts_of(choice, seen).values()),
            }
            for choice in choices
        ],
    }


def _turns(seen: Inspection) -> dict[str, bool]:
    """Return whether the picture of all rows aligns rows at their ends instead of their starts.

    Returns:
        A dict with two keys. `shorter`: True if rows up to maxlen are padded at the start. `longer`: True if
        longer rows are cut at the start.
    """
    spec = seen.advice.spec
    is_plain = spec is None or seen.packed is not None
    padding = seen.padding if spec is None else spec.padding
    return {
        "shorter": seen.packed is None and padding == "pre",
        "longer": not is_plain and spec is not None and spec.truncating == "pre" and not _drops(seen),
    }


def _drops(seen: Inspection) -> bool:
    return seen.advice.plan is not None and seen.advice.plan.overlong == "drop"


def _charts(seen: Inspection, data: FigureData, *, has_slider: bool) -> Html:
    turns, places = _turns(seen), data.places
    has_cut = has_slider or bool(places.rows_cut)
    rows = places_chart(
        data,
        cuts_start=turns["longer"],
        pads_start=turns["shorter"],
        drops=_drops(seen),
        has_cut=has_cut,
    )
    has_padding = data.packed is None or bool((places.padding[:, 0] < places.padding[:, 1]).any())
    kinds = [("real", f"{data.unit}s")] + [("padding", "padding")] * has_padding
    kinds += [("cut", name_of_cut(data))] * has_cut
    lines = [] if data.curves is None else lines_of(data.curves, data.unit)
    return tag(
        "div",
        _chart_card(title_of_lengths(data), lengths_chart(data)),
        _chart_card("Sequences in each row", sequences_chart(data.sequences))
        if data.sequences is not None
        else None,
        _chart_card(
            title_of_curves(data),
            curves_chart(data, data.curves),
            [(f"line {kind}", name) for kind, name, _ in lines],
        )
        if data.curves is not None
        else None,
        # If the picture has no rows, all packed rows are full, and the title says so.
        _chart_card(
            title_of_places(data) if data.best is None else _title_of_rows(data),
            rows if len(places.row_ends) else None,
            kinds if len(places.row_ends) else (),
        ),
        class_="charts",
    )


def _chart_card(title: str, chart: Html | None, legend: Sequence[tuple[str, str]] = ()) -> Html:
    items = [tag("li", _sample(kind), name) for kind, name in legend]
    return card(title, tag("ul", *items, class_="legend") if items else None, chart and tag("figure", chart))


def _title_of_rows(data: FigureData) -> Html:
    maxlen = tag("span", f"{data.places.maxlen:,}", data_value="maxlen")
    return join_html(["All rows at maxlen ", maxlen])


def _sample(kind: str) -> Html:
    """Return a sample of a line or of an area, for a legend."""
    if kind.startswith("line"):
        shape = tag("line", x1=0, x2=26, y1=6, y2=6, class_=kind)
    else:
        shape = tag("rect", width=26, height=12, class_=kind)
    return tag("svg", shape, viewBox="0 0 26 12", aria_hidden="true")


def _buckets(seen: Inspection) -> Html:
    kinds = dict.fromkeys(BUCKET_COLUMNS, "number")
    return table(BUCKET_COLUMNS, [*map(cells_of_bucket, seen.buckets)], kinds=kinds, label="Buckets")


def _lengths(seen: Inspection) -> Html:
    lengths = format_lengths(seen)
    return table(
        list(lengths),
        [list(lengths.values())],
        kinds=dict.fromkeys(lengths, "number"),
        label=_title_of_lengths(seen),
    )


def _title_of_lengths(seen: Inspection) -> str:
    return f"Lengths{' of packed rows' if seen.is_packed else ''}, in {seen.unit}s"


def _plans(seen: Inspection) -> Html:
    best = seen.advice.plan.name if seen.advice.plan is not None else None
    rows = [cells_of_plan(plan, plan.name == best, seen.unit) for plan in seen.plans]
    names = [name for name in rows[0] if name != "rows" or has_rows_of_output(seen)]
    cells = [
        [_cell(name, row[name], plan) for name in names] for row, plan in zip(rows, seen.plans, strict=True)
    ]
    return table(
        names,
        cells,
        kinds={**dict.fromkeys(names, "number"), "plan": "name", "maxlen": "wide"},
        classes=["best" if plan.name == best else None for plan in seen.plans],
        label="Plans",
    )


def _cell(name: str, text: str, plan: Cost) -> str:
    is_large = name.endswith(" lost") and plan.lost_share >= LARGE_LOSS
    return tag("span", text, class_="large") if is_large else text
