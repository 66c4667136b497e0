"""Tables as LaTeX (packages longtable and booktabs) that fit a page, every special sign escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "*": "{*}",  # after a line's end, a bare one would be read as part of the command
    "[": "{[}",  # after a line's end, a bare one would be read as its optional argument
    "]": "{]}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "±": r"$\pm$",
    "λ": r"$\lambda$",
    "−": "$-$",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "\u00a0": " ",
    "\u202f": r"\,",
    "★": r"$\star$",
    "●": r"$\bullet$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "×": r"$\times$",
    "τ": r"$\tau$",
    "≥": r"$\ge$",
    "≤": r"$\le$",
}


def escape(text: object) -> str:
    """Return text that LaTeX prints as it is."""
    flat = re.sub(r"[^\S\u202f]+", " ", str(text))
    return "".join(_SPECIAL.get(sign, sign) for sign in flat)


@dataclass(frozen=True)
class Longtable:
    """A `longtable`, in lines, so that a reader of it can leave out rows.

    Attributes:
        head: everything before the first row.
        rows: one line for each row.
        foot: everything after the last row.
    """

    head: str
    rows: tuple[str, ...]
    foot: str

    def __str__(self) -> str:
        """Return the whole table."""
        return "\n".join([self.head, *self.rows, self.foot]) + "\n"


# Sizes of type with the number of signs that fit between the margins of an article, upright and sideways (A4, 10 pt).
_SIZES = (
    ("small", 70, False),
    ("footnotesize", 77, False),
    ("footnotesize", 133, True),
    ("scriptsize", 142, True),
    ("tiny", 166, True),
)
_SIDES = {"l": "right", "r": "left"}
# Columns that are wider than this, in signs, break their lines: the first with which the table fits.
_WIDEST = (26, 18, 12)


def longtable(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str, caption: str) -> Longtable:
    """Return a table that goes on over pages, in a size, and if need be sideways, in which its columns fit a page.

    Args:
        columns: headings, LaTeX already (see `escape`).
        rows: cells, LaTeX already.
        align: `l` or `r` for each column.
        caption: plain text.
    """
    longest = [max((_signs(row[index]) for row in rows), default=0) for index in range(len(columns))]
    for widest in _WIDEST:
        limits = [min(cell, widest) for cell in longest]
        heads = [
            wrap(text, max(limit, 8), break_long_words=False, break_on_hyphens=False)
            for text, limit in zip(columns, limits, strict=True)
        ]
        widths = [max([limit, *map(_signs, lines)]) for limit, lines in zip(limits, heads, strict=True)]
        fitting = [(size, sideways) for size, most, sideways in _SIZES if sum(widths) + 1.5 * len(widths) <= most]
        if fitting:
            break
    size, sideways = fitting[0] if fitting else ("tiny", True)
    sides = [
        rf">{{\ragged{_SIDES[side]}\arraybackslash}}p{{{width / 2:g}em}}" if cell > width else side
        for cell, width, side in zip(longest, widths, align, strict=True)
    ]
    titles = [
        rf"\shortstack[{side}]{{" + r" \\ ".join(lines) + "}" if len(lines) > 1 else "".join(lines)
        for lines, side in zip(heads, align, strict=True)
    ]
    head = [
        rf"% needs \usepackage{{array,booktabs,longtable{',pdflscape' if sideways else ''}}}",
        *([r"\begin{landscape}"] if sideways else []),
        rf"{{\{size}\setlength{{\tabcolsep}}{{3pt}}",
        rf"\begin{{longtable}}{{{''.join(sides)}}}",
        rf"\caption{{{escape(caption)}}} \\",
        r"\toprule",
        " & ".join(titles) + r" \\",
        r"\midrule",
        r"\endhead",
        r"\bottomrule",
        r"\endfoot",
    ]
    foot = [r"\end{longtable}", "}", *([r"\end{landscape}"] if sideways else [])]
    return Longtable("\n".join(head), tuple(" & ".join(row) + r" \\" for row in rows), "\n".join(foot))


def _signs(tex: str) -> int:
    """Return about how many signs of print a cell makes."""
    return len(re.sub(r"[\\{}$]", "", re.sub(r"\\[a-zA-Z]+(\{\})?", ".", tex.replace(r"\textbf", ""))))


def summary_latex(summary: pl.DataFrame) -> str:
    """Return combination × strategy × task: AUROC and AUPRC in percent, best mean of each task in bold."""
    rows = summary.to_dicts()
    best = {
        (task, metric): max((r[metric] for r in rows if r["task"] == task and r[metric] is not None), default=None)
        for task in {r["task"] for r in rows}
        for metric in ("auroc_mean", "auprc_mean")
    }
    made = [
        [
            escape(row["task"]),
            escape((row["combination"] or "").replace("+", " + ")),
            escape(row["strategy"]),
            *(
                _mean_std(row, metric, row[f"{metric}_mean"] == best[row["task"], f"{metric}_mean"])
                for metric in ("auroc", "auprc")
            ),
            _interval(row, "auroc"),
        ]
        for row in rows
    ]
    columns = ["Task", "Combination", "Strategy", r"AUROC (\%)", r"AUPRC (\%)", "AUROC, seed average {[}interval{]}"]
    return str(longtable(columns, made, "lllrrr", "Test scores, mean ± standard deviation over seeds."))


def alignment_latex(alignment: pl.DataFrame) -> str:
    """Return each combination's alignment: means over pairs or modalities, in percent, with the chance level."""
    rows = [row for row in alignment.to_dicts() if row["source"] is None and row["target"] is None]
    made = [
        [
            escape((row["combination"] or "").replace("+", " + ")),
            escape(row["metric"]),
            _whole(row["k"]),
            escape(row["split"] or ""),
            _whole(row["candidates"]),
            _percent(row["value"]),
            _percent(row["chance"]),
        ]
        for row in rows
    ]
    columns = ["Combination", "Metric", "$k$", "Split", "Candidates", r"Value (\%)", r"Chance (\%)"]
    return str(longtable(columns, made, "llrlrrr", "Alignment of the modalities of each combination."))


def _whole(value: Any) -> str:
    return "--" if value is None else str(value)


def _percent(value: float | None) -> str:
    return "--" if value is None else f"{value * 100:.1f}"


def _mean_std(row: dict[str, Any], metric: str, bold: bool) -> str:
    mean, std = row[f"{metric}_mean"], row[f"{metric}_std"]
    if mean is None:
        return "--"
    shown = f"{mean * 100:.1f}"
    shown = rf"\textbf{{{shown}}}" if bold else shown
    return shown + (rf" $\pm$ {std * 100:.1f}" if std is not None else "")


def _interval(row: dict[str, Any], metric: str) -> str:
    centre, low, high = (row[f"ensemble_{metric}{end}"] for end in ("", "_low", "_high"))
    if centre is None:
        return "--"
    shown = _percent(centre)
    return shown if low is None or high is None else f"{shown} [{_percent(low)}, {_percent(high)}]"
