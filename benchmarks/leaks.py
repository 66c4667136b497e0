"""Planted leaks, and the share of them that the audit finds.

    python benchmarks/leaks.py [--stays N] [--clean N] [--kinds WORD ...] [--out DIR]

Three leaks of each of thirteen kinds are planted, one at a time: in the releases of a synthetic hospital, in an own
table made of one, or in the prepared files. Each study is prepared and audited as `picme check-leakage` does. Printed
are which leaks are found, by which checks, and the false alarms on hospitals in which nothing is planted.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme.config.loading import load, validate
from picme.config.notes import KNOWN_AT_ADMISSION
from picme.errors import PicmeError
from picme.pipeline import run
from picme.prepare.check import check_leaks
from picme.prepare.statistics import FILE, statistics
from picme_hospital import write_hospital

if TYPE_CHECKING:
    from collections.abc import Callable

    from picme.config.study import Config
    from picme.prepare.step import Prepare

SIZE = 64
HISTORY = "History of Present Illness:\n"
FILMS = "FINDINGS: \n"


class Case:
    """A study in which something may be planted: its folder, its random numbers, and its configuration."""

    def __init__(self, folder: Path, out: Path, stays: int, seed: int) -> None:
        self.folder, self.rng = folder, np.random.default_rng(seed)
        # Cases of one seed share a hospital, and what is prepared of it, until they change it.
        self.base = out / f"hospital-{stays}-{seed}"
        self.hospital = self.base / "hospital"
        if not (self.hospital / "truth.parquet").is_file():
            write_hospital(self.hospital, stays, seed=seed, image_size=(SIZE, SIZE))
        self.given: dict[str, object] = {}

    # --- the releases -----------------------------------------------------------------------------------------

    def copy(self) -> Path:
        """Take a copy of the hospital, to be changed."""
        if self.hospital.parent == self.base:
            self.hospital = shutil.copytree(self.hospital, self.folder / "hospital")
        return self.hospital

    def read(self, name: str) -> pl.DataFrame:
        file = self.hospital / f"{name}.csv.gz"
        return pl.read_csv(io.BytesIO(gzip.decompress(file.read_bytes())), infer_schema=False)

    def write(self, name: str, table: pl.DataFrame) -> None:
        file = self.copy() / f"{name}.csv.gz"
        file.write_bytes(gzip.compress(table.write_csv().encode(), 1))

    def dead(self, share: float = 1.0) -> pl.Series:
        """Return hadm_id of the admissions that end in death, or a share of them."""
        ids = self.read("ehr/hosp/admissions").filter(pl.col("hospital_expire_flag") == "1")["hadm_id"]
        return ids.filter(pl.Series(self.rng.random(len(ids)) < share))

    def say(self, notes: str, after: str, sentence: str, share: float = 1.0) -> None:
        """Insert a sentence after a heading of the notes of those who die."""
        told = pl.col("text").str.replace(after, f"{after}{sentence} ", literal=True)
        dead = pl.col("hadm_id").is_in(self.dead(share).implode())
        table = self.read(notes).with_columns(pl.when(dead).then(told).otherwise(pl.col("text")).alias("text"))
        self.write(notes, table)

    def course_in_history(self) -> None:
        """Move the words of the hospital course, without its heading, into the history."""
        course = pl.col("text").str.extract(r"(?s)Brief Hospital Course:\n(.*?)\n \n")
        text = pl.concat_str(
            pl.col("text").str.extract(r"(?s)^(.*History of Present Illness:\n)"),
            course,
            pl.lit("\n"),
            pl.col("text").str.extract(r"(?s)History of Present Illness:\n(.*)$"),
        )
        table = self.read("notes/discharge")
        self.write("notes/discharge", table.with_columns(pl.coalesce(text, "text").alias("text")))

    def event(self, item: str, value: float, share: float) -> None:
        """Give an item of those who die a value of their last hours, dated an hour before the prediction."""
        stays = self.read("ehr/icu/icustays").filter(pl.col("hadm_id").is_in(self.dead(share).implode()))
        time = pl.col("intime").str.to_datetime() + pl.duration(hours=47)
        events = self.read("ehr/icu/chartevents")
        model = events.filter(pl.col("itemid") == item)[0]
        rows = stays.select(
            "subject_id",
            "hadm_id",
            "stay_id",
            time.dt.to_string("%Y-%m-%d %H:%M:%S").alias("charttime"),
            pl.lit(str(value)).alias("value"),
        ).with_columns(
            storetime="charttime", valuenum="value", itemid=pl.lit(item), valueuom=pl.lit(model["valueuom"][0])
        )
        self.write("ehr/icu/chartevents", pl.concat([events, rows], how="diagonal"))

    def mark_films(self, share: float) -> None:
        """Burn a white corner into the films of those who die."""
        from PIL import Image

        subjects = self.read("ehr/hosp/admissions").filter(pl.col("hadm_id").is_in(self.dead(share).implode()))
        for subject in subjects["subject_id"].unique():
            for file in (self.copy() / "cxr").rglob(f"p{subject}/**/*.jpg"):
                with Image.open(file) as image:
                    pixels = np.array(image)
                pixels[: SIZE // 8, : SIZE // 8] = 255
                Image.fromarray(pixels).save(file, quality=95)

    # --- an own table -----------------------------------------------------------------------------------------

    def own(self, change: Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame], **modality: object) -> None:
        """Make the study an own table of one row per stay, changed before it is read."""
        stays = self.read("ehr/icu/icustays").join(
            self.read("ehr/hosp/admissions").drop("subject_id"), on="hadm_id", how="inner"
        )
        events = (
            self.read("ehr/icu/chartevents")
            .group_by("stay_id")
            .agg(
                *(
                    pl.col("valuenum")
                    .filter(pl.col("itemid") == item)
                    .cast(pl.Float64, strict=False)
                    .mean()
                    .alias(name)
                    for name, item in (("heart_rate", "220045"), ("saturation", "220277"), ("breathing", "220210"))
                )
            )
        )
        patients = self.read("ehr/hosp/patients").select(
            "subject_id", "gender", age=pl.col("anchor_age").cast(pl.Int64)
        )
        table = stays.join(events, on="stay_id", how="left", maintain_order="left")
        table = table.join(patients, on="subject_id", how="left", maintain_order="left").select(
            pl.col("stay_id").alias("id"),
            "subject_id",
            "age",
            "gender",
            "admission_type",
            "heart_rate",
            "saturation",
            "breathing",
            died=pl.col("hospital_expire_flag").cast(pl.Int64),
        )
        file = self.folder / "stays.csv"
        table = change(table, self.rng)
        table.write_csv(file)
        role = {"id", "subject_id", "died", "fold", modality.get("hours")}
        columns = [name for name in table.columns if name not in role]
        vitals = ["heart_rate", "saturation", "breathing"]
        self.given = {
            "source": {
                "kind": "table",
                "path": str(file),
                "id": "id",
                "subject": "subject_id",
                **({"split": "fold"} if "fold" in table.columns else {}),
            },
            "modalities": {
                "vitals": {"kind": "tabular", "columns": vitals},
                "rest": {"kind": "tabular", "columns": [name for name in columns if name not in vitals], **modality},
            },
            "tasks": {"died": {"hours": 48}},
        }

    # --- preparing and judging ----------------------------------------------------------------------------------

    def config(self, **settings: object) -> Config:
        if self.given:
            return validate(self.given)
        hospital = self.hospital
        return load(
            "prospective",
            {
                "source.ehr": str(hospital / "ehr"),
                "source.notes": str(hospital / "notes"),
                "source.cxr": str(hospital / "cxr"),
                "tasks": {"mortality": {}},
                "require": "any",
                "modalities.image.size": SIZE,
                "execution.workers": 1,
                **settings,
            },
        )

    def judge(self, plant: Callable[[Prepare, Path], None] | None = None, **settings: object) -> list[str]:
        """Prepare, plant in the prepared files, and return what the audit calls a violation."""
        if not (self.given or settings) and self.hospital.parent == self.base:
            run(self.config(), self.base / "run", until="prepare", quiet=True)
            shutil.copytree(self.base / "run", self.folder / "run")
        try:
            study = run(self.config(**settings), self.folder / "run", until="prepare", quiet=True)
        except PicmeError as error:
            return [f"refused: {error}"]
        step = study.design.prepare
        if plant is not None:
            plant(step, study.prepared)
        return check_leaks(step, study.prepared)[1]


def in_cohort(view: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Prepare, Path], None]:
    """Plant in the prepared stays of a view."""

    def plant(step: Prepare, prepared: Path) -> None:
        file = prepared / "views" / view / "cohort.parquet"
        change(pl.read_parquet(file)).write_parquet(file)

    return plant


def late_images(count: int, minutes: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    late = (pl.col("latest_image").is_not_null().cum_sum() <= count) & pl.col("latest_image").is_not_null()
    time = pl.col("cutoff") + pl.duration(minutes=minutes)
    return lambda stays: stays.with_columns(pl.when(late).then(time).otherwise("latest_image").alias("latest_image"))


def gone(column: str, count: int, hours: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
    first = pl.int_range(pl.len()) < count
    time = pl.col("predicted") - pl.duration(hours=hours)
    return lambda stays: stays.with_columns(pl.when(first).then(time).otherwise(column).alias(column))


def trained_subject(stays: pl.DataFrame, count: int, split: str) -> pl.DataFrame:
    """Give the first stays of a split the subjects of training stays."""
    train = stays.filter(pl.col("split") == "train")["subject_id"]
    rows = np.flatnonzero((stays["split"] == split).fill_null(False).to_numpy())[:count]
    return stays.with_columns(stays["subject_id"].clone().scatter(rows.tolist(), train[:count]))


def whole_stay_series(step: Prepare, prepared: Path) -> None:
    """Let every series of the task go on for six hours, as if it had been read to a later time."""
    folder = prepared / "views" / "mortality" / "timeseries"
    values, offsets = np.load(folder / "values.npy"), np.load(folder / "offsets.npy")
    parts = [values[a:b] for a, b in pairwise(offsets)]
    longer = [np.concatenate([part, part[-6:]]) for part in parts]
    np.save(folder / "values.npy", np.concatenate(longer))
    np.save(folder / "offsets.npy", np.concatenate([[0], np.cumsum([len(part) for part in longer])]).astype(np.int64))


def all_stays(step: Prepare, prepared: Path) -> None:
    (prepared / FILE).write_text(json.dumps(statistics(step, prepared, None)))


def train_and_val(step: Prepare, prepared: Path) -> None:
    """Learn from training and validation stays."""
    file = prepared / "views" / "pretrain" / "cohort.parquet"
    kept = file.read_bytes()
    stays = pl.read_parquet(file)
    stays.with_columns(pl.col("split").replace("val", "train")).write_parquet(file)
    found = statistics(step, prepared, "train")
    file.write_bytes(kept)
    (prepared / FILE).write_text(json.dumps(found))


def category_of_test(step: Prepare, prepared: Path) -> None:
    """Add to the categories one that is too rare among the training stays."""
    found = json.loads((prepared / FILE).read_text())
    column = next(one for one in found["demographics"]["columns"] if "categories" in one)
    column["categories"] = sorted([*column["categories"], "only in test"])
    (prepared / FILE).write_text(json.dumps(found))


def copies(stays: pl.DataFrame, rng: np.random.Generator, count: int, noise: bool = False) -> pl.DataFrame:
    """Copy training stays into test under new ids and subjects."""
    fold = pl.Series("fold", rng.choice(["train", "val", "test"], stays.height, p=[0.7, 0.1, 0.2]))
    first = stays.select(pl.col("subject_id").alias("s"), fold).unique("s", keep="first", maintain_order=True)
    stays = stays.join(first, left_on="subject_id", right_on="s", how="left", maintain_order="left")
    train = stays.filter(pl.col("fold") == "train")
    new = train[rng.choice(train.height, count, replace=False)].with_columns(
        pl.format("9{}", "id").cast(pl.Int64).cast(pl.String).alias("id"),
        pl.format("9{}", "subject_id").alias("subject_id"),
        pl.lit("test").alias("fold"),
    )
    if noise:
        new = new.with_columns(pl.col("age") + 1)
    return pl.concat([stays, new])


def flipped(share: float) -> Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]:
    def change(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        flip = pl.Series(rng.random(stays.height) < share)
        return stays.with_columns(pl.when(flip).then(1 - pl.col("died")).otherwise("died").alias("flag"))

    return change


def when(late: int, name: str = "recorded") -> Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]:
    """Add the hour at which a row was recorded, after 48 for some."""

    def change(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        hours = rng.uniform(0, 47, stays.height)
        hours[:late] = 49
        return stays.with_columns(pl.Series(name, hours))

    return change


def noisy(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return stays.with_columns(score=pl.col("died") + pl.Series(rng.normal(0, 0.35, stays.height)))


def half_flag(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return stays.with_columns(flag=pl.col("died") * pl.Series(rng.integers(0, 2, stays.height)))


def one_code(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Give the positives one code of 45, and every other stay another of them."""
    others = pl.Series(rng.choice([code for code in range(1, 46) if code != 20], stays.height))
    return stays.with_columns(code=pl.when(pl.col("died") == 1).then(20).otherwise(others))


def one_ward(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Give three fifths of the positives a ward of their own, beside thirty."""
    wards = pl.Series([f"W{ward}" for ward in rng.integers(0, 30, stays.height)])
    told = (pl.col("died") == 1) & pl.Series(rng.random(stays.height) < 0.6)
    return stays.with_columns(ward=pl.when(told).then(pl.lit("hospice")).otherwise(wards))


def middle_band(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Give the positives numbers between those of the others."""
    middle = pl.Series(rng.normal(0, 0.1, stays.height))
    around = pl.Series(rng.choice([-1, 1], stays.height) * (1 + rng.random(stays.height)))
    return stays.with_columns(band=pl.when(pl.col("died") == 1).then(middle).otherwise(around))


def by_outcome(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    return stays.sort("died").with_row_index("record").with_columns(pl.col("record").cast(pl.Int64))


def one_fold(count: int) -> Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame]:
    """Give the division with the data, with some subjects of test also in training."""

    def change(stays: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
        stays = copies(stays, rng, count, noise=True)
        return stays.with_columns(
            pl.when(pl.col("id").str.starts_with("9") & (pl.col("id").str.len_chars() > 8))
            .then(pl.col("subject_id").str.slice(1))
            .otherwise("subject_id")
            .alias("subject_id")
        )

    return change


def own(
    change: Callable[[pl.DataFrame, np.random.Generator], pl.DataFrame], **modality: object
) -> Callable[[Case], list[str]]:
    def leak(case: Case) -> list[str]:
        case.own(change, **modality)
        return case.judge()

    return leak


def said(notes: str, after: str, sentence: str, share: float = 1.0) -> Callable[[Case], list[str]]:
    def leak(case: Case) -> list[str]:
        case.say(notes, after, sentence, share)
        return case.judge()

    return leak


def event(item: str, value: float, share: float) -> Callable[[Case], list[str]]:
    def leak(case: Case) -> list[str]:
        case.event(item, value, share)
        return case.judge()

    return leak


def marked(case: Case) -> list[str]:
    case.mark_films(1.0)
    return case.judge()


def course(case: Case) -> list[str]:
    case.course_in_history()
    return case.judge()


def sections(*more: str) -> Callable[[Case], list[str]]:
    return lambda case: case.judge(**{"cohort.notes.discharge_sections": [*KNOWN_AT_ADMISSION, *more]})


def after(plant: Callable[[Prepare, Path], None]) -> Callable[[Case], list[str]]:
    return lambda case: case.judge(plant)


DISCHARGE, RADIOLOGY = "notes/discharge", "notes/radiology"
KINDS: dict[str, dict[str, Callable[[Case], list[str]]]] = {
    "outcome in a history": {
        "he died at 14:32": said(DISCHARGE, HISTORY, "He died at 14:32."),
        "wording no list knows": said(DISCHARGE, HISTORY, "Body released to the funeral home."),
        "the same, half of the dead": said(DISCHARGE, HISTORY, "Body released to the funeral home.", 0.5),
    },
    "outcome in a radiology report": {
        "post-mortem study": said(RADIOLOGY, FILMS, "Postmortem film for documentation."),
        "the same, half of the dead": said(RADIOLOGY, FILMS, "Postmortem film for documentation.", 0.5),
        "a number": said(RADIOLOGY, FILMS, "Protocol 7741."),
    },
    "discharge section kept": {
        "hospital course": sections("hospital_course"),
        "discharge medications": sections("discharge_medications"),
        "course within the history": course,
    },
    "future value in a series": {
        "heart rate 12, all of the dead": event("220045", 12, 1.0),
        "saturation 41, half of the dead": event("220277", 41, 0.5),
        "six hours too many": after(whole_stay_series),
    },
    "image from after the cut-off": {
        "one image, three hours": after(in_cohort("mortality", late_images(1, 180))),
        "five images, one minute": after(in_cohort("mortality", late_images(5, 1))),
        "mark on the films of the dead": marked,
    },
    "copy of the label in a column": {
        "as a number": own(lambda stays, rng: stays.with_columns(flag=1 - pl.col("died"))),
        "as a word": own(
            lambda stays, rng: stays.with_columns(
                unit=pl.when(pl.col("died") == 1).then(pl.lit("C4")).otherwise(pl.lit("B2"))
            )
        ),
        "record number by outcome": own(by_outcome),
    },
    "noisy copy in a column": {
        "3 % flipped": own(flipped(0.03)),
        "with noise": own(noisy),
        "half of the positives": own(half_flag),
    },
    "values that only positives have": {
        "one code of 45": own(one_code),
        "one ward of 31, three fifths": own(one_ward),
        "a band in the middle": own(middle_band),
    },
    "column recorded afterwards": {
        "one row, an hour late": own(when(1), hours="recorded"),
        "twenty rows": own(when(20), hours="recorded"),
        "named as recorded at discharge": own(when(0, "los")),
    },
    "subject in two splits": {
        "one stay, in test": after(in_cohort("mortality", lambda stays: trained_subject(stays, 1, "test"))),
        "three stays, in val": after(in_cohort("mortality", lambda stays: trained_subject(stays, 3, "val"))),
        "in a given division": own(one_fold(5)),
    },
    "statistics of other than training stays": {
        "all splits": after(all_stays),
        "training and validation": after(train_and_val),
        "a category of test": after(category_of_test),
    },
    "gone at the prediction time": {
        "one dead": after(in_cohort("mortality", gone("died", 1, 1))),
        "three discharged": after(in_cohort("mortality", gone("dischtime", 3, 5))),
        "dead at that very time": after(in_cohort("mortality", gone("died", 1, 0))),
    },
    "stay copied from training into test": {
        "one": own(lambda stays, rng: copies(stays, rng, 1)),
        "twenty": own(lambda stays, rng: copies(stays, rng, 20)),
        "five, a year older": own(lambda stays, rng: copies(stays, rng, 5, noise=True)),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stays", type=int, default=500)
    parser.add_argument("--clean", type=int, default=20)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    out = given.out or Path(tempfile.mkdtemp())
    found = planted = 0
    for kind in given.kinds:
        for seed, (name, leak) in enumerate(KINDS[kind].items()):
            violations = _alone(out, given.stays, 100 + seed, leak)
            checks = sorted({one.split(" ")[0].rstrip(":") for one in violations})
            planted, found = planted + 1, found + bool(checks)
            print(f"{kind:42}{name:34}{'found' if checks else 'MISSED':8}{', '.join(checks)}", flush=True)
    print(f"{found} of {planted} planted leaks are found")
    for name, study in (("releases", lambda case: case.judge()), ("own table", own(lambda stays, rng: stays))):
        alarms = [_alone(out, given.stays, seed, study) for seed in range(given.clean)]
        for violations in filter(None, alarms):
            print("\n".join(violations))
        print(f"{name}: false alarms on {sum(map(bool, alarms))} of {given.clean} clean hospitals", flush=True)


def _alone(out: Path, stays: int, seed: int, leak: Callable[[Case], list[str]]) -> list[str]:
    """Judge one leak in a hospital of its own."""
    with tempfile.TemporaryDirectory(dir=out) as folder:
        return leak(Case(Path(folder), out, stays, seed))


if __name__ == "__main__":
    main()
