from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from picme.cohort.icd_codes import with_zeros
from picme.cohort.mimic_stays import MimicStays
from picme.errors import DataError
from picme.tasks import TASKS
from picme.tasks.icd_groups import phenotype_labels
from tiny_release import diagnosis, stay, write_release

if TYPE_CHECKING:
    from pathlib import Path


def frame(*codes: tuple[str | None, int | None]) -> pl.DataFrame:
    return pl.DataFrame(codes, schema={"icd_code": pl.String, "icd_version": pl.Int64}, orient="row")


LISTED = frame(("0389", 9), ("00322", 9), ("4019", 9), ("4110", 9), ("04110", 9), ("I10", 10), ("389", 10))


def test_lost_zeros_are_put_back_where_only_one_code_can_be_meant() -> None:
    codes, counts = with_zeros(
        frame(("389", 9), ("322", 9), ("401.9", 9), ("389", 10), (" i10", 10), (None, 9)), LISTED, "t", 0.1
    )
    assert codes["icd_code"].to_list() == ["0389", "00322", "4019", "389", "I10", None]
    assert counts == {"leading zeros put back": 2}


def test_a_table_whose_codes_could_be_either_of_two_is_refused() -> None:
    stripped = frame(("389", 9), ("4110", 9), ("4019", 9))
    with pytest.raises(DataError, match=r"^t: .*leading zeros \(1 rows .*1 rows could be either of two codes"):
        with_zeros(stripped, LISTED, "t", 0.05)
    # Where other codes have their zeros, 4110 is itself.
    whole = frame(*[("0389", 9)] * 30, ("389", 9), ("4110", 9))
    codes, counts = with_zeros(whole, LISTED, "t", 0.05)
    assert codes["icd_code"].to_list()[-2:] == ["0389", "4110"]
    assert counts == {"leading zeros put back": 1}


def test_codes_that_are_not_listed_are_counted_up_to_a_share() -> None:
    codes, counts = with_zeros(frame(*[("4019", 9)] * 30, ("9999", 9)), LISTED, "t", 0.05)
    assert codes["icd_code"].to_list()[-1] == "9999"
    assert counts == {"not in d_icd_diagnoses": 1}
    with pytest.raises(DataError, match=r"^t: 1 of 2 codes in column 'icd_code' are not in d_icd_diagnoses; .* 0\.05"):
        with_zeros(frame(("4019", 9), ("9999", 9)), LISTED, "t", 0.05)
    assert with_zeros(frame(("9999", 9)), LISTED, "t", 0.05, complete=False)[1] == {}


def test_a_list_that_lost_its_own_zeros_is_refused() -> None:
    listed = frame(*((str(code), 9) for code in range(1000, 3000)))
    with pytest.raises(DataError, match="2000 codes of ICD-9 and none begins with 0"):
        with_zeros(frame(("1000", 9)), listed, "t", 0.05)


def test_a_release_without_the_list_has_its_zeros_put_back_too(tmp_path: Path) -> None:
    release = write_release(tmp_path, [stay(1)], diagnoses=[diagnosis(1, "389", 9)], ending=".csv")
    stays = MimicStays.open(release, TASKS.load("phenotyping"))
    assert stays.diagnoses()["icd_code"].to_list() == ["0389"]
    assert stays.left_out == {"diagnoses_icd: icd_code leading zeros put back": 1}


def test_the_demo_without_its_leading_zeros_gives_the_same_phenotypes_or_is_refused(shared_data: Path) -> None:
    folder = shared_data / "mimic-iv-demo-2.2" / "hosp"
    listed = pl.read_csv(folder / "d_icd_diagnoses.csv.gz", schema_overrides={"icd_code": pl.String})
    codes = pl.read_csv(folder / "diagnoses_icd.csv.gz", schema_overrides={"icd_code": pl.String})
    true, counts = with_zeros(codes, listed, "t", 0.05)
    assert true["icd_code"].equals(codes["icd_code"])
    assert counts == {"not in d_icd_diagnoses": 6}
    stripped = codes.with_columns(pl.col("icd_code").str.strip_chars_start("0"))
    with pytest.raises(DataError, match="have lost their leading zeros"):
        with_zeros(stripped, listed, "t", 0.05)
    # Without the codes that share their number with another one, all come back.
    bare = pl.col("icd_code").str.strip_chars_start("0")
    shared = listed.filter(pl.col("icd_version") == 9).filter(bare.is_duplicated()).select("icd_code", "icd_version")
    sure = codes.join(shared, on=["icd_code", "icd_version"], how="anti")
    back, counts = with_zeros(sure.with_columns(bare), listed, "t", 0.05)
    assert counts["leading zeros put back"] == sure["icd_code"].str.starts_with("0").sum() > 30
    assert back["icd_code"].equals(sure["icd_code"])
    assert phenotype_labels(back, "ccs").frame.equals(phenotype_labels(sure, "ccs").frame)
