"""Combinations down the left as dots in columns of modalities (as in an UpSet plot), values beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from picme.report.theme import GRID, INK, MUTED, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

ROW = 19  # pixels
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Matrix:
    """Rows of combinations and their places.

    Attributes:
        combinations: the combinations, from top to bottom.
        names: modalities, the columns of dots.
        grouped: leaves a gap and a heading before each size.
        height: the height of a row in pixels.
    """

    combinations: Sequence[str]
    names: Sequence[str]
    grouped: bool = True
    height: int = ROW

    def positions(self) -> dict[str, float]:
        """Return the height of each combination, in rows from the top."""
        places, place, size = {}, 0.0, -1
        for combination in self.combinations:
            if self.grouped and combination.count("+") != size:
                place += 1.0
                size = combination.count("+")
            places[combination] = place
            place += 1
        return places

    @property
    def top(self) -> int:
        """Return the margin for the modalities' names, which stand upright."""
        return 14 + int(6.4 * max((len(name) for name in self.names), default=0))

    def traces(self) -> list[dict[str, Any]]:
        """Return the dots: faint where a modality is absent, dark and joined where it is present."""
        absent_x, absent_y, on_x, on_y, line_x, line_y = [], [], [], [], [], []
        for combination, y in self.positions().items():
            parts = combination.split("+")
            here = [index for index, name in enumerate(self.names) if name in parts]
            away = [index for index in range(len(self.names)) if index not in here]
            absent_x += away
            absent_y += [y] * len(away)
            on_x += here
            on_y += [y] * len(here)
            if len(here) > 1:
                line_x += [here[0], here[-1], None]
                line_y += [y, y, None]
        still = {"type": "scatter", "hoverinfo": "skip", "showlegend": False, "cliponaxis": False}
        return [
            {**still, "mode": "markers", "x": absent_x, "y": absent_y, "marker": {"color": GRID, "size": 7}},
            {**still, "mode": "lines", "x": line_x, "y": line_y, "line": {"color": INK, "width": 1.5}},
            {**still, "mode": "markers", "x": on_x, "y": on_y, "marker": {"color": INK, "size": 7}},
        ]

    def layout(self, panels: Sequence[dict[str, Any]], bottom: int = 46) -> dict[str, Any]:
        """Return the axes: `xaxis` of the dots, then `xaxis2`, … for the panels from left to right.

        Args:
            panels: plotly axis settings of each panel; `share` is its part of the width.
            bottom: margin for the panels' titles.
        """
        places = list(self.positions().values())
        rows = (places[-1] if places else 0) + 1
        left, gap = 0.25, 0.045
        layout: dict[str, Any] = {
            "height": int(self.top + bottom + (rows + 0.2) * self.height),
            "margin": {"l": 6, "r": 22, "t": self.top, "b": bottom},
            "meta": {"matrix": len(self.names)},
            "xaxis": {
                "domain": [0, left],
                "range": [-0.6, len(self.names) - 0.4],
                "tickvals": list(range(len(self.names))),
                "ticktext": [safe(name) for name in self.names],
                "tickangle": -90,
                "tickfont": {"color": INK, "size": 11},
                "side": "top",
                "showgrid": False,
                "zeroline": False,
                "automargin": False,
            },
            "yaxis": {
                "visible": False,
                "range": [rows - 0.4, -0.6 if not self.grouped else -0.35],
                "automargin": False,
            },
            "annotations": self._headings(),
        }
        total = sum(panel.get("share", 1) for panel in panels)
        width = 1 - left - gap * len(panels)
        start = left
        for index, panel in enumerate(panels):
            share = panel.get("share", 1) / total * width
            start += gap
            axis = {key: value for key, value in panel.items() if key != "share"}
            layout[f"xaxis{index + 2}"] = {"domain": [round(start, 4), round(start + share, 4)], "anchor": "y", **axis}
            start += share
        return layout

    def _headings(self) -> list[dict[str, Any]]:
        if not self.grouped:
            return []
        heads: dict[int, float] = {}
        for combination, y in self.positions().items():
            heads.setdefault(combination.count("+") + 1, y)
        return [
            {
                "xref": "x2 domain",
                "x": 0,
                "xanchor": "left",
                "yref": "y",
                "y": y - 0.95,
                "yanchor": "middle",
                "text": size_words(size),
                "showarrow": False,
                "font": {"color": MUTED, "size": 11},
            }
            for size, y in heads.items()
        ]


def size_words(size: int) -> str:
    """Return a size in words, such as `two modalities`."""
    word = _WORDS[size] if size < len(_WORDS) else str(size)
    return f"{word} modalit{'y' if size == 1 else 'ies'}"


def tick_line(x: list[float], y: list[float], name: str, text: list[str], axis: str = "x2") -> dict[str, Any]:
    """Return short upright strokes, such as a chance level that differs from row to row."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "xaxis": axis,
        "name": name,
        "text": text,
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"symbol": "line-ns", "size": 13, "line": {"width": 2, "color": INK}, "color": INK},
    }
