"""Colours, symbols and axes of the figures: Okabe and Ito's palette, told apart without colour too."""

from __future__ import annotations

import html
from typing import Any

from picme.strategies import strategies

# Okabe & Ito (2008): distinguishable with every common form of colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"

# Roles that change between the light and the dark page; figures use the light ones and the page swaps them.
INK, MUTED, GRID, FAINT, PAPER = "#1f2933", "#5b6672", "#e3e7eb", "#c6cdd4", "#ffffff"
DARK = {
    INK: "#e6e9ec",
    MUTED: "#a3adb8",
    GRID: "#2b333c",
    FAINT: "#4a5561",
    PAPER: "#14191f",
    BLUE: "#3f9bdc",
    BLACK: "#f2f4f6",
}

_SERIES = (BLUE, ORANGE, GREEN, PURPLE, VERMILLION, SKY, INK, YELLOW)
_SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "x", "circle-open", "square-open", "diamond-open")


def safe(text: object) -> str:
    """Escape text for plotly, which reads some HTML in labels."""
    return html.escape(str(text), quote=False)


def strategy_style(name: str, known: list[str]) -> tuple[str, str]:
    """Return colour and symbol of a strategy as declared; one without a declaration takes the next symbol."""
    declared = strategies()
    if name in declared:
        return declared[name].colour, declared[name].symbol
    extra = [item for item in known if item not in declared]
    index = extra.index(name) if name in extra else 0
    return (VERMILLION, _SYMBOLS[index % len(_SYMBOLS)])


def series_style(index: int) -> tuple[str, str]:
    """Return colour and symbol of the index-th of a series without an order of its own, such as modalities."""
    return _SERIES[index % len(_SERIES)], _SYMBOLS[index % len(_SYMBOLS)]


def template(dark: bool = False) -> dict[str, Any]:
    """Return a plotly template: transparent ground, light grid, no dragging (so that a finger scrolls the page)."""
    tone = (lambda colour: DARK.get(colour, colour)) if dark else (lambda colour: colour)
    axis = {
        "gridcolor": tone(GRID),
        "linecolor": tone(FAINT),
        "zerolinecolor": tone(FAINT),
        "zerolinewidth": 1,
        "tickcolor": tone(FAINT),
        "tickfont": {"color": tone(MUTED), "size": 11},
        "title": {"font": {"color": tone(INK), "size": 12}, "standoff": 10},
        "fixedrange": True,
        "automargin": True,
    }
    return {
        "layout": {
            "font": {
                "family": "'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif",
                "size": 12,
                "color": tone(INK),
            },
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": [tone(colour) for colour in _SERIES],
            "xaxis": axis,
            "yaxis": axis,
            "hovermode": "closest",
            "dragmode": False,
            "hoverlabel": {
                "bgcolor": tone(PAPER),
                "bordercolor": tone(FAINT),
                "font": {"color": tone(INK), "size": 12},
                "align": "left",
            },
            "margin": {"l": 48, "r": 16, "t": 12, "b": 44},
            "showlegend": False,
            "annotationdefaults": {"font": {"color": tone(MUTED), "size": 11}, "showarrow": False},
        }
    }
