"""Files of results: exact, whole, and harmless whatever the names in them."""

from __future__ import annotations

import csv
import io
import shutil
import string
import subprocess
from typing import TYPE_CHECKING

import polars as pl
import pytest
from pages import unpacked
from polars.testing import assert_frame_equal

from picme.errors import PicmeError
from picme.report.export import embedded
from picme.results.latex import escape, longtable, summary_latex
from picme.results.tables import TABLES
from picme.results.write import csv_text, write_results

if TYPE_CHECKING:
    from pathlib import Path

ATTACKS = (
    "<script>alert(1)</script>",
    "{{7*7}}",
    "../../x",
    "=cmd()",
    "+1+cmd",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\\input{x}",
)


def test_every_table_is_written_as_parquet_and_csv(tables: dict[str, pl.DataFrame], tmp_path: Path) -> None:
    write_results(tables, tmp_path / "results")
    for name, table in tables.items():
        assert_frame_equal(pl.read_parquet(tmp_path / "results" / f"{name}.parquet"), table)
        back = pl.read_csv(tmp_path / "results" / f"{name}.csv", infer_schema_length=None)
        assert back.shape == table.shape
        for column in table.select(pl.selectors.float()).columns:
            assert back[column].cast(pl.Float64).to_list() == table[column].to_list()
    assert not [file for file in (tmp_path / "results").iterdir() if file.name.startswith(".")]
    assert (tmp_path / "results" / "summary.tex").exists()
    assert (tmp_path / "results" / "alignment.tex").exists()


def test_predictions_are_parquet_only(tmp_path: Path) -> None:
    for stay in (123456, "s-1"):
        row = dict.fromkeys(TABLES["predictions"].schema) | {"stay_id": stay, "probability": 0.5}
        write_results({"predictions": pl.DataFrame([row])}, tmp_path)
        assert [file.name for file in tmp_path.iterdir()] == ["predictions.parquet"]
        assert pl.read_parquet(tmp_path / "predictions.parquet")["stay_id"].to_list() == [stay]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"ceiling": {"task": ["t"], "label": ["x"]}}, "lacks the declared column 'auroc'"),
        ({"ceiling": {"task": ["t"], "label": ["x"], "auroc": [0.5], "more": [1]}}, "has the undeclared column 'more'"),
        ({"ceiling": {"task": ["t"], "label": ["x"], "auroc": ["secret"]}}, "not of its declared type"),
        ({"celing": {"task": ["t"]}}, "no result table is called 'celing'; did you mean 'ceiling'"),
    ],
)
def test_a_table_that_is_not_as_declared_is_not_written(
    table: dict[str, dict[str, list[object]]], words: str, tmp_path: Path
) -> None:
    with pytest.raises(PicmeError, match=words) as error:
        write_results({name: pl.DataFrame(columns) for name, columns in table.items()}, tmp_path)
    assert "secret" not in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("attack", [text for text in ATTACKS if text[0] in "=+-@\t"])
def test_a_formula_in_a_cell_or_a_name_is_disarmed(attack: str) -> None:
    table = pl.DataFrame({"group": [attack, "plain"], attack: [1.5, 2.5]})
    rows = list(csv.reader(io.StringIO(csv_text(table))))
    assert rows[0] == ["group", f"'{attack}"]
    assert rows[1] == [f"'{attack}", "1.5"]
    assert rows[2] == ["plain", "2.5"]


def test_text_that_is_a_number_stays_one_and_negative_numbers_too() -> None:
    table = pl.DataFrame({"text": ["-1.5", "+2e-3", "-", "=1"], "value": [-1.0, 2.0, -3.5, None]})
    rows = list(csv.reader(io.StringIO(csv_text(table))))
    assert [row[0] for row in rows[1:]] == ["-1.5", "+2e-3", "'-", "'=1"]
    assert [row[1] for row in rows[1:]] == ["-1.0", "2.0", "-3.5", ""]


def test_csv_quotes_what_would_break_a_row() -> None:
    nasty = 'a,"b"\nc'
    assert list(csv.reader(io.StringIO(csv_text(pl.DataFrame({"x": [nasty]})))))[1] == [nasty]


@pytest.mark.parametrize("attack", [*ATTACKS, "</script><b>", "<!--", "\u2028"])
def test_what_is_embedded_cannot_end_the_script_and_reads_back(attack: str) -> None:
    text = embedded({attack: [attack, 1.25, None]})
    assert set(text) <= set(string.ascii_letters + string.digits + "+/=")
    assert unpacked(text) == {attack: [attack, 1.25, None]}


def test_a_number_that_is_not_one_is_refused_in_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        embedded({"x": float("nan")})


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("a_b & 50 % #1 $x$", r"a\_b \& 50 \% \#1 \$x\$"),
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("{{7*7}}", r"\{\{7{*}7\}\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
        ("[x]", "{[}x{]}"),
        ("a\n\nb", "a b"),
        ("0.5 ± 0.1", r"0.5 $\pm$ 0.1"),
    ],
)
def test_latex_signs_lose_their_meaning(text: str, tex: str) -> None:
    assert escape(text) == tex


def test_a_longtable_has_its_rules_and_as_many_cells_as_columns() -> None:
    made = str(longtable(["A", "B"], [["1", "2"], ["3", "4"]], "lr", "It_s"))
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{It\_s}", r"\begin{longtable}{lr}", r"{\small"):
        assert rule in made
    assert [line.count("&") for line in made.splitlines() if line.endswith(r"\\") and "caption" not in line] == [
        1,
        1,
        1,
    ]


NAMES = ["discharge + radiology + image + timeseries + demographics", "a"]
WIDE = [[escape(text) for text in (name, *ATTACKS[:6], "81.2 ± 1.0 (79.9–82.4)")] for name in NAMES * 40]
HEADS = [escape(text) for text in ("Combination", "AUROC of the seed average (95 %), %", "[x]", *"abcde")]


def test_a_wide_longtable_lies_on_its_side_and_breaks_long_texts_and_headings() -> None:
    made = longtable(HEADS, WIDE, "lrrrrrrr", "Wide")
    assert made.head.splitlines()[1] == r"\begin{landscape}"
    assert made.foot.endswith(r"\end{landscape}")
    assert made.head.count(r"p{13em}") == 1
    assert r"the seed average \\ (95 \%), \%} &" in made.head
    assert len(made.rows) == len(WIDE)


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("columns", [[7], [0, 7], [0, 1, 2], [0, 1, 2, 3, 7], [*range(8)], [0] + [7] * 6, [7] * 9])
def test_latex_compiles_and_no_table_is_wider_than_its_page(columns: list[int], tmp_path: Path) -> None:
    rows = [[row[index] for index in columns] for row in WIDE]
    made = str(longtable([HEADS[index] for index in columns], rows, "lrrrrrrrr"[: len(columns)], "100 % & more"))
    packages = [line.removeprefix("% needs ") for line in made.splitlines() if line.startswith("% needs ")]
    text = "\n".join([r"\documentclass[a4paper]{article}\usepackage[T1]{fontenc}\usepackage{textcomp}", *packages])
    (tmp_path / "t.tex").write_text(f"{text}\n\\begin{{document}}\n{made}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    for _ in range(2):  # the first time finds the widths of the columns
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert "Overfull" not in (tmp_path / "t.log").read_text(encoding="utf-8", errors="replace")


def test_summary_in_latex_is_in_percent_and_marks_the_best() -> None:
    base = {"task": "t_1", "strategy": "gated", "n_seeds": 3}
    names = ("ensemble_auroc", "ensemble_auroc_low", "ensemble_auroc_high", "auprc_mean", "auprc_std")
    rows = [
        {**base, "combination": "a+b", "auroc_mean": 0.812, "auroc_std": 0.01, **dict.fromkeys(names, 0.5)},
        {**base, "combination": "a", "auroc_mean": 0.7, "auroc_std": None, **dict.fromkeys(names)},
    ]
    made = summary_latex(pl.DataFrame(rows))
    assert r"t\_1 & a + b & gated & \textbf{81.2} $\pm$ 1.0 & \textbf{50.0} $\pm$ 50.0 & 50.0 [50.0, 50.0] \\" in made
    assert r"t\_1 & a & gated & 70.0 & -- & -- \\" in made
