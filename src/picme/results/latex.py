"""Tables as LaTeX (package booktabs), every special sign escaped."""

from __future__ import annotations

import re
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
}


def escape(text: object) -> str:
    """Return text that LaTeX prints as it is."""
    flat = re.sub(r"[^\S\u202f]+", " ", str(text))
    return "".join(_SPECIAL.get(sign, sign) for sign in flat)


def booktabs(columns: Sequence[str], rows: Sequence[Sequence[str]], align: str, caption: str) -> str:
    """Return a `table` environment; cells are LaTeX already (see `escape`)."""
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(caption)}}}",
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        " & ".join(columns) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


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
    columns = ["Task", "Combination", "Strategy", r"AUROC (\%)", r"AUPRC (\%)", "AUROC, seed average [interval]"]
    return booktabs(columns, made, "lllrrr", "Test scores, mean ± standard deviation over seeds.")


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
    return booktabs(columns, made, "llrlrrr", "Alignment of the modalities of each combination.")


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
