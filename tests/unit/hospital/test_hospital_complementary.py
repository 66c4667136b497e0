"""What small models learn from the synthetic hospital: each modality something, all together more, none all of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from picme_hospital import write_hospital
from picme_hospital.codes import NEWER_CODES, PHENOTYPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

TRAIN = 420
CHANNELS = {
    "heart rate": (220045,),
    "breaths": (220210,),
    "saturation": (220277,),
    "systolic": (220179, 220050),
    "diastolic": (220180, 220051),
    "mean": (220181, 220052),
    "fahrenheit": (223761,),
    "oxygen": (223835,),
    "eye": (220739,),
    "verbal": (223900,),
    "motor": (223901,),
    "glucose": (225664, 220621),
    "ph": (223830, 220274),
    "weight": (226512,),
}
ADMISSION_PART = re.compile(r"(?is)chief complaint:(.*?)discharge physical exam")


def times(frame: pl.DataFrame, *columns: str) -> pl.DataFrame:
    return frame.with_columns(pl.col(columns).str.to_datetime("%Y-%m-%d %H:%M:%S"))


def features(root: Path) -> tuple[pl.DataFrame, dict[str, np.ndarray], dict[str, list[str]]]:
    """Stays of 48 hours and more, numbers by modality, texts by modality."""
    ehr = root / "ehr"
    stays = times(pl.read_csv(ehr / "icu" / "icustays.csv.gz"), "intime", "outtime")
    patients = pl.read_csv(ehr / "hosp" / "patients.csv.gz", infer_schema_length=None)
    admissions = pl.read_csv(ehr / "hosp" / "admissions.csv.gz", infer_schema_length=None).drop("subject_id")
    stays = stays.filter(pl.len().over("hadm_id") == 1).join(patients, on="subject_id").join(admissions, on="hadm_id")
    stays = times(stays, "admittime").sort("stay_id")
    stays = stays.filter((pl.col("outtime") - pl.col("intime")).dt.total_hours() >= 48)
    cut = pl.col("intime") + pl.duration(hours=48)

    channel = {item: name for name, items in CHANNELS.items() for item in items}
    chart = pl.read_csv(
        ehr / "icu" / "chartevents.csv.gz", schema_overrides={"valuenum": pl.Float64, "value": pl.String}
    )
    chart = chart.filter(pl.col("itemid").is_in(list(channel)), pl.col("valuenum").is_between(0.01, 900))
    chart = times(chart, "charttime").join(stays.select("stay_id", "intime"), on="stay_id")
    means = chart.filter(pl.col("charttime") < cut).with_columns(pl.col("itemid").replace_strict(channel).alias("name"))
    wide = means.pivot(on="name", index="stay_id", values="valuenum", aggregate_function="mean", sort_columns=True)
    series = stays.select("stay_id").join(wide, on="stay_id", how="left").drop("stay_id").to_numpy()

    notes = pl.read_csv(root / "notes" / "discharge.csv.gz")
    summary = dict(zip(notes["hadm_id"], notes["text"].fill_null(""), strict=True))
    found = [ADMISSION_PART.search(summary.get(hadm, "")) for hadm in stays["hadm_id"]]
    reports = pl.read_csv(root / "notes" / "radiology.csv.gz", schema_overrides={"hadm_id": pl.Int64})
    reports = times(reports, "storetime").join(stays.select("hadm_id", "intime"), on="hadm_id")
    reports = reports.filter(pl.col("storetime") < cut).group_by("hadm_id").agg("text")
    read = {hadm: " ".join(t.split("FINDINGS:")[-1] for t in texts) for hadm, texts in reports.iter_rows()}
    words = {
        "discharge": [match.group(1) if match else "" for match in found],
        "radiology": [read.get(hadm, "") for hadm in stays["hadm_id"]],
    }
    sheet = stays.select(
        pl.col("anchor_age").cast(pl.Float64), "gender", "admission_type", "admission_location", "insurance"
    )
    table = np.concatenate([sheet[["anchor_age"]].to_numpy(), sheet.drop("anchor_age").to_dummies().to_numpy()], axis=1)
    return stays, {"timeseries": series, "demographics": table, "image": pixels(root, stays)}, words


def pixels(root: Path, stays: pl.DataFrame) -> np.ndarray:
    meta = pl.read_csv(root / "cxr" / "mimic-cxr-2.0.0-metadata.csv.gz", schema_overrides={"StudyTime": pl.Float64})
    clock = pl.col("StudyTime").floor().cast(pl.Int64).cast(pl.String).str.zfill(6)
    meta = meta.with_columns((pl.col("StudyDate").cast(pl.String) + clock).str.to_datetime("%Y%m%d%H%M%S").alias("at"))
    meta = meta.filter(pl.col("ViewPosition") == "AP").join(
        stays.select("stay_id", "subject_id", "admittime", "intime"), on="subject_id"
    )
    meta = meta.filter(pl.col("at") >= pl.col("admittime"), pl.col("at") < pl.col("intime") + pl.duration(hours=48))
    last = meta.sort("at").unique("stay_id", keep="last")
    grey = {}
    for row in last.iter_rows(named=True):
        subject = row["subject_id"]
        folder = root / "cxr" / "files" / f"p{subject // 10**6}" / f"p{subject}" / f"s{row['study_id']}"
        try:
            picture = Image.open(folder / f"{row['dicom_id']}.jpg").resize((24, 24))
        except OSError:
            continue
        grey[row["stay_id"]] = np.asarray(picture, dtype="float64").ravel() / 255
    blank = np.full(24 * 24, np.nan)
    return np.stack([grey.get(stay, blank) for stay in stays["stay_id"]])


def test_modalities_complement_one_another(tmp_path: Path) -> None:
    root = write_hospital(tmp_path, 1500, seed=11, image_size=(96, 96))
    stays, numbers, words = features(root)
    death = stays["deathtime"].is_not_null().to_numpy()
    assert 0.17 < death.mean() < 0.23
    subjects = np.random.default_rng(0).permutation(stays["subject_id"].unique(maintain_order=True))
    place = {subject: k for k, subject in enumerate(subjects)}
    order = np.argsort([place[s] for s in stays["subject_id"]], kind="stable")
    train, rest = order[:TRAIN], order[TRAIN:]
    border = set(stays["subject_id"].gather(train))
    test = np.array([i for i in rest if stays["subject_id"][int(i)] not in border])

    columns = {}
    for name, texts in words.items():
        bag = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True).fit([texts[i] for i in train])
        columns[name] = bag.transform(texts).toarray()
    for name, values in numbers.items():
        steps = [SimpleImputer(), PCA(20, random_state=0)] if name == "image" else [SimpleImputer(), StandardScaler()]
        columns[name] = make_pipeline(*steps).fit(values[train]).transform(values)
    for name, values in columns.items():  # every modality weighs the same
        middle = values - values[train].mean(0)
        columns[name] = np.clip(3 * middle / np.sqrt((middle[train] ** 2).sum(1).mean()), -3, 3)

    def auroc(values: np.ndarray, label: np.ndarray, strength: float = 0.3) -> float:
        model = LogisticRegression(C=strength, max_iter=2000).fit(values[train], label[train])
        return float(roc_auc_score(label[test], model.decision_function(values[test])))

    single = {name: auroc(values, death) for name, values in columns.items()}
    everything = np.concatenate(list(columns.values()), axis=1)
    together = auroc(everything, death)
    truth = stays.join(pl.read_parquet(root / "truth.parquet"), on="stay_id", maintain_order="left")
    ceiling = roc_auc_score(death, truth["mortality_risk"])
    codes = pl.read_csv(root / "ehr" / "hosp" / "diagnoses_icd.csv.gz", schema_overrides={"icd_code": pl.String})
    macro = []
    for phenotype in PHENOTYPES:
        names = [*phenotype.icd9, *phenotype.icd10, *NEWER_CODES.get(phenotype.ccs, ())]
        has = stays["hadm_id"].is_in(codes.filter(pl.col("icd_code").is_in(names))["hadm_id"].implode()).to_numpy()
        macro.append(auroc(everything, has, 0.1))
    assert 0.91 < ceiling < 0.965
    assert all(0.62 < value < 0.83 for value in single.values()), single
    assert together > 0.81
    assert together > max(single.values()) + 0.02
    assert 0.70 < np.mean(macro) < 0.82
