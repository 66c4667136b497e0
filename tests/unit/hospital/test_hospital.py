"""The releases that a hospital writes: bytes, columns, ids, times, errors and the truth."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image
from written import COLUMNS, STAYS, digest, read

from picme_hospital import write_hospital
from picme_hospital.codes import PHENOTYPES

if TYPE_CHECKING:
    from pathlib import Path


def test_same_seed_same_bytes_other_seed_other_data(tmp_path: Path) -> None:
    first = digest(write_hospital(tmp_path / "a", 30, seed=1))
    again = digest(write_hospital(tmp_path / "b", 30, seed=1))
    other = digest(write_hospital(tmp_path / "c", 30, seed=2))
    assert first == again
    assert first["ehr/icu/chartevents.csv.gz"] != other["ehr/icu/chartevents.csv.gz"]
    assert first["notes/discharge.csv.gz"] != other["notes/discharge.csv.gz"]


def test_images_do_not_change_the_rest(tmp_path: Path) -> None:
    full = digest(write_hospital(tmp_path / "a", 30, seed=1))
    bare = digest(write_hospital(tmp_path / "b", 30, seed=1, images=False))
    assert bare == {name: value for name, value in full.items() if not name.startswith("cxr/")}


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_those_of_the_release(hospital: Path, name: str) -> None:
    with gzip.open(hospital / f"{name}.csv.gz", "rt") as file:
        assert next(file).strip() == COLUMNS[name]


def test_headers_hold_no_time(hospital: Path) -> None:
    for path in hospital.rglob("*.gz"):
        assert path.read_bytes()[4:8] == b"\0\0\0\0", path.name


def test_ids_and_dates_look_like_mimic(hospital: Path) -> None:
    stays = read(hospital, "ehr/icu/icustays")
    assert len(stays) == STAYS == stays["stay_id"].n_unique()
    assert stays["subject_id"].is_between(10_000_000, 19_999_999).all()
    assert stays["hadm_id"].is_between(20_000_000, 29_999_999).all()
    assert stays["stay_id"].is_between(30_000_000, 39_999_999).all()
    assert stays["intime"].dt.year().is_between(2110, 2200).all()
    assert (stays["outtime"] > stays["intime"]).all()
    days = (stays["outtime"] - stays["intime"]).dt.total_seconds() / 86400
    assert np.allclose(days, stays["los"], atol=1e-6)


def test_death_is_consistent(hospital: Path) -> None:
    admissions = read(hospital, "ehr/hosp/admissions").join(read(hospital, "ehr/hosp/patients"), on="subject_id")
    dead = admissions.filter(pl.col("deathtime").is_not_null())
    assert (dead["deathtime"] == dead["dischtime"]).all()
    assert (dead["dod"] == dead["deathtime"].dt.date()).all()
    assert (dead["discharge_location"] == "DIED").all()
    alive = admissions.filter(pl.col("deathtime").is_null())
    assert (alive["hospital_expire_flag"] == 0).all()
    at_home = alive.filter(pl.col("dod").is_not_null())
    assert (at_home["dod"] >= at_home["dischtime"].dt.date()).all()
    wrong_flags = (dead["hospital_expire_flag"] == 0).sum()
    assert 1 <= wrong_flags <= 3


def early(hospital: Path, rows: pl.DataFrame, when: str, begin: str) -> float:
    """Share of stays with a row of their subject from admission to 48 hours after ICU admission."""
    stays = read(hospital, "ehr/icu/icustays").join(
        read(hospital, "ehr/hosp/admissions").select("hadm_id", "admittime"), on="hadm_id"
    )
    joined = stays.join(rows.select("subject_id", *{when, begin}), on="subject_id")
    cut = pl.col("intime") + pl.duration(hours=48)
    return joined.filter(pl.col(begin) >= pl.col("admittime"), pl.col(when) < cut)["stay_id"].n_unique() / len(stays)


def test_most_stays_have_each_modality_in_time(hospital: Path) -> None:
    meta = read(hospital, "cxr/mimic-cxr-2.0.0-metadata").filter(pl.col("ViewPosition") == "AP")
    clock = pl.col("StudyTime").floor().cast(pl.Int64).cast(pl.String).str.zfill(6)
    meta = meta.with_columns((pl.col("StudyDate") + clock).str.to_datetime("%Y%m%d%H%M%S").alias("time"))
    assert 0.90 < early(hospital, meta, "time", "time") < 0.99
    assert 0.90 < early(hospital, read(hospital, "notes/radiology"), "storetime", "charttime") < 0.99
    chart = read(hospital, "ehr/icu/chartevents")
    assert 0.93 < chart["stay_id"].n_unique() / STAYS < 1
    discharge = read(hospital, "notes/discharge")
    assert 0.92 < discharge["hadm_id"].n_unique() / read(hospital, "ehr/hosp/admissions").height < 1
    assert (discharge["storetime"] > discharge["charttime"]).all()
    left = discharge.join(read(hospital, "ehr/hosp/admissions").select("hadm_id", "dischtime"), on="hadm_id")
    assert (left["storetime"] > left["dischtime"]).all()


def test_malformed_rows_exist(hospital: Path) -> None:
    chart = read(hospital, "ehr/icu/chartevents")
    assert chart.is_duplicated().sum() >= 2
    vitals = chart.filter(pl.col("itemid").is_in([220045, 220179, 220210, 220277, 223761]))
    numbers = vitals["value"].cast(pl.Float64, strict=False)
    assert numbers.is_null().sum() >= 3
    assert ((numbers > 1000) | (numbers < 0)).sum() >= 3
    assert chart["storetime"].null_count() >= 2
    notes = read(hospital, "notes/discharge")
    assert (notes["text"].fill_null("") == "").sum() == 1
    codes = read(hospital, "ehr/hosp/diagnoses_icd").join(
        read(hospital, "ehr/hosp/d_icd_diagnoses"), on=["icd_code", "icd_version"], how="anti"
    )
    assert 1 <= len(codes) < 0.02 * STAYS * 10
    broken = 0
    for path in (hospital / "cxr" / "files").rglob("*.jpg"):
        try:
            Image.open(path).load()
        except OSError:
            broken += 1
    assert broken == 1


def test_truth_has_one_row_a_stay(hospital: Path) -> None:
    truth = pl.read_parquet(hospital / "truth.parquet")
    assert truth.columns == ["stay_id", "mortality_risk", *(p.name for p in PHENOTYPES)]
    assert truth["stay_id"].to_list() == sorted(read(hospital, "ehr/icu/icustays")["stay_id"])
    assert ((truth["mortality_risk"] > 0) & (truth["mortality_risk"] < 1)).all()
