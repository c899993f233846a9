"""The colours of figures and of HTML reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """Colours. Blue, orange, yellow and green are from Okabe and Ito's palette for colour-blind readers.

    Args:
        background, text, grid: colours of the page.
        real, padding, cut: colours of the areas with real tokens, padding and cut tokens.
        whole, empty: colours of the curves of whole rows and of padding.
    """

    background: str
    text: str
    grid: str
    real: str
    padding: str
    cut: str
    whole: str
    empty: str


THEMES = {
    "light": Theme("#ffffff", "#1f2328", "#e4e7eb", "#0072b2", "#d3d7dc", "#e69f00", "#009e73", "#6b7280"),
    "dark": Theme("#16191d", "#e6e8eb", "#31363d", "#56b4e9", "#474d56", "#f0e442", "#1fbf92", "#a3abb6"),
}
