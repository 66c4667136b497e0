"""Every result table is declared once, in whole sentences, and what is declared is what is read and written."""

from __future__ import annotations

import polars as pl
import pytest

from picme.errors import ConfigError
from picme.results.document import document
from picme.results.tables import EXTERNAL, TABLES, table

# The columns that users rely on, as the documentation has promised them.
PROMISED = {
    "predictions": "task combination strategy seed split stay_id label target probability",
    "summary": """task combination strategy n_seeds auroc_mean auroc_std auprc_mean auprc_std ensemble_auroc
        ensemble_auroc_low ensemble_auroc_high ensemble_auprc ensemble_auprc_low ensemble_auprc_high selected
        validation_auroc validation_auprc ensemble_auroc_no_interval ensemble_auprc_no_interval tied best_share""",
    "subgroups": """task combination strategy attribute group n_stays n_subjects positives auroc low high suppressed
        gap gap_low gap_high best no_interval gap_no_interval observed_expected
        observed_expected_low observed_expected_high""",
    "alignment": "combination n_modalities metric source target k split candidates chance value",
    "external": """task combination strategy metric recalibration n_local value low high no_interval n positives fitted
        internal internal_low internal_high difference difference_low difference_high selected""",
    "leakage": "check modality split count detail violation preset label auroc",
}


@pytest.mark.parametrize("name", [*TABLES, *EXTERNAL])
def test_a_declaration_is_in_whole_sentences(name: str) -> None:
    declared = table(name)
    assert declared.name == name
    assert declared.meaning.startswith("One row ") and declared.meaning.endswith(".")
    assert len({column.name for column in declared.columns}) == len(declared.columns)
    for column in declared.columns:
        assert column.meaning[0].isupper() and column.meaning.endswith("."), column.name


@pytest.mark.parametrize("name", PROMISED)
def test_columns_are_those_promised(name: str) -> None:
    assert list(table(name).schema) == PROMISED[name].split()


def test_rows_become_a_table_with_the_declared_types() -> None:
    made = table("ceiling").frame([{"task": "t", "auroc": float("nan")}, {"task": "u", "label": "x", "auroc": 1}])
    assert made.rows() == [("t", None, None), ("u", "x", 1.0)]
    assert made.schema == {"task": pl.String, "label": pl.String, "auroc": pl.Float64}


def test_an_unknown_table_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="'sumary'; did you mean 'summary'"):
        table("sumary")


def test_the_page_has_every_column_of_every_table() -> None:
    text = document()
    for name, declared in (TABLES | EXTERNAL).items():
        section = text.partition(f"### `{name}`\n")[2].partition("\n#")[0]
        for column in declared.columns:
            assert f"| `{column.name}` |" in section
