"""A picture of where a model loses the mask: its layers as a path, with the deviation of each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from padmask.errors import count
from padmask.render.html import Html, tag
from padmask.render.html_page import badge
from padmask.render.report import LAYERS_NOTE, format_scientific
from padmask.verify.report import LayerReport, SubjectReport

# Number of powers of ten on the logarithmic axis of deviations, which is from 1e-10 to 1.
DECADES = 10

# Longest run of similar layers that is shown completely. In longer runs, all layers except the first and the
# last are folded.
LONGEST_RUN = 6

# What a layer does with the mask. The key is whether the layer receives a mask, and whether it returns one.
MASKS = {
    (False, True): "creates a mask",
    (True, True): "passes the mask on",
    (True, False): "does not pass the mask on",
    (False, False): "no mask",
}


def layer_path(subject: SubjectReport) -> Html | None:
    """Return the layers of a model from the input to the output; None if there are no layers to show."""
    if not subject.layers:
        return _named_path(subject) if subject.path else None
    limit = max((check.tolerance or 0.0 for check in subject.checks), default=0.0)
    first = next((layer for layer in subject.layers if _differs(layer, limit)), None)
    items: list[Html] = []
    reasons = dict(_steps(subject))
    named = {subject.culprit, *reasons}

    def kind(layer: LayerReport) -> tuple[bool, bool]:
        loses = bool(layer.mask_in) and layer.mask_out is False
        return loses or layer is first or layer.name in named, _differs(layer, limit)

    for (stands_out, differs), run in groupby(subject.layers, kind):
        layers = list(run)
        shown = [
            _layer_item(layer, reasons.get(layer.name), limit, layer.name == subject.culprit, layer is first)
            for layer in layers
        ]
        if not stands_out and len(layers) > LONGEST_RUN:
            words = "with a deviation" if differs else "without a deviation"
            summary = tag("summary", f"{count(len(layers) - 2, 'layer')} {words}")
            folded = tag("details", summary, tag("ol", *shown[1:-1], class_="path"))
            shown = [shown[0], tag("li", folded, class_=_mask_class(layers[0])), shown[-1]]
        items += shown
    has_masks = any(layer.mask_out is not None for layer in subject.layers)
    legend = "Green line: a mask. Dotted line: no mask. " if has_masks else ""
    note = f"Red square: padding changes the output. {LAYERS_NOTE} The bars are logarithmic, from 1e-10 to 1."
    return tag("div", tag("ol", *items, class_="path"), tag("p", legend, note, class_="quiet small"))


def deviation_bar(deviation: float | None, limit: float | None) -> Html:
    """Return a bar with the deviation on a logarithmic axis, a line at its limit, and the number."""
    number = "" if deviation is None else format_scientific(deviation)
    is_bad = deviation is not None and limit is not None and not deviation <= limit
    parts = [tag("rect", width=100, height=12, class_="track")]
    if deviation:
        parts.append(tag("rect", width=_place(deviation), height=12, class_="bad" if is_bad else "good"))
    if limit:
        parts.append(tag("line", x1=_place(limit), x2=_place(limit), y1=0, y2=12, class_="limit"))
    picture = tag("svg", *parts, viewBox="0 0 100 12", preserveAspectRatio="none", aria_hidden="true")
    return tag("div", picture, tag("span", number, class_="number"), class_="bar")


def _place(deviation: float) -> float:
    """Return the position of a deviation on the axis, from 1 to 100."""
    if not math.isfinite(deviation):
        return 100.0
    return min(max((math.log10(deviation) + DECADES) / DECADES, 0.01), 1.0) * 100


def _differs(layer: LayerReport, limit: float) -> bool:
    # A deviation of NaN counts as a difference.
    return layer.max_abs_diff is not None and not layer.max_abs_diff <= limit


def _mask_class(layer: LayerReport) -> str:
    return {True: "masked", False: "unmasked", None: "unknown"}[layer.mask_out]


def _layer_item(
    layer: LayerReport, reason: str | None, limit: float, is_culprit: bool, is_first: bool
) -> Html:
    badges = ["culprit"] * is_culprit + ["first deviation"] * is_first
    text = _text_of_layer(layer.name, badges, reason, _about(layer))
    classes = [_mask_class(layer)]
    classes += ["differs"] * _differs(layer, limit) + ["culprit"] * is_culprit
    return tag("li", _dot(), text, deviation_bar(layer.max_abs_diff, limit), class_=" ".join(classes))


def _about(layer: LayerReport) -> str:
    mask = "" if layer.mask_in is None or layer.mask_out is None else MASKS[layer.mask_in, layer.mask_out]
    return ", ".join(filter(None, (layer.kind, mask)))


def _named_path(subject: SubjectReport) -> Html:
    """Return the layers on the path of a leak, for a report that contains no deviations of layers."""
    items = []
    for name, reason in _steps(subject):
        badges = ["culprit"] * (name == subject.culprit)
        items.append(
            tag("li", _dot(), _text_of_layer(name, badges, reason), class_=" ".join(["unknown", *badges]))
        )
    return tag("ol", *items, class_="path")


def _text_of_layer(name: str, badges: Sequence[str], reason: str | None, about: str | None = None) -> Html:
    return tag(
        "div",
        tag("b", name),
        *(tag("span", " ", badge(text, "bad")) for text in badges),
        None if about is None else tag("div", about, class_="quiet small"),
        tag("div", reason, class_="small bad") if reason else None,
    )


def _steps(subject: SubjectReport) -> list[tuple[str, str]]:
    """Return the name and the label of each layer on the path of a leak."""
    return [_split_step(step) for step in subject.path.split(" -> ")] if subject.path else []


def _split_step(step: str) -> tuple[str, str]:
    """Return the name of a layer in a path, and the label of the layer.

    >>> _split_step("mha1 (drops the mask)"), _split_step("add")
    (('mha1', 'drops the mask'), ('add', ''))
    """
    name, _, reason = step.partition(" (")
    return name, reason.removesuffix(")")


def _dot() -> Html:
    return tag("span", class_="dot")
