"""A task and a kind of modality of somebody else's package, on a synthetic hospital and on own tables."""

from __future__ import annotations

import csv
import gzip
import json
import random
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import yaml
from extension_site import picme

if TYPE_CHECKING:
    from pathlib import Path

HOURS = 24


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    """A table of a release, read without picme or polars."""
    with gzip.open(next(folder.rglob(f"{name}.csv.gz")), "rt", encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def by_hand(hospital: Path) -> dict[int, int]:
    """stay_id → label for the stays that are still there at 24 hours, from the raw tables."""
    died = {row["hadm_id"]: row["deathtime"] for row in rows(hospital, "admissions")}
    adults = {row["subject_id"] for row in rows(hospital, "patients") if int(row["anchor_age"]) >= 18}
    stays = [row for row in rows(hospital, "icustays") if row["first_careunit"] == row["last_careunit"]]
    admissions = [row["hadm_id"] for row in stays]
    labels = {}
    for row in stays:
        if admissions.count(row["hadm_id"]) > 1 or row["subject_id"] not in adults:
            continue
        begin, end = (datetime.fromisoformat(row[name]) for name in ("intime", "outtime"))
        hours = (end - begin).total_seconds() / 3600
        dead = died[row["hadm_id"]]
        gone = dead and (datetime.fromisoformat(dead) - begin).total_seconds() <= HOURS * 3600
        if hours >= HOURS and not gone:
            labels[int(row["stay_id"])] = int(hours > 72)
    return labels


def rewrite(folder: Path, name: str, table: list[dict[str, str]]) -> None:
    with gzip.open(next(folder.rglob(f"{name}.csv.gz")), "wt", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, table[0])
        writer.writeheader()
        writer.writerows(table)


def end_early(hospital: Path, discharged: int, dead: int) -> None:
    """One stay ends after 20 hours; the patient of another dies after 10, though the bed is kept."""
    stays = {int(row["stay_id"]): row for row in rows(hospital, "icustays")}
    admissions = rows(hospital, "admissions")
    begin = datetime.fromisoformat(stays[discharged]["intime"])
    stays[discharged] |= {"outtime": str(begin + timedelta(hours=20)), "los": str(20 / 24)}
    death = datetime.fromisoformat(stays[dead]["intime"]) + timedelta(hours=10)
    for row in admissions:
        if row["hadm_id"] == stays[dead]["hadm_id"]:
            row["deathtime"] = str(death)
    rewrite(hospital, "icustays", list(stays.values()))
    rewrite(hospital, "admissions", admissions)


def test_a_task_of_another_package_runs_on_a_hospital(installed: dict[str, str], tmp_path: Path) -> None:
    assert picme(installed, "synth", str(tmp_path / "hospital"), "--stays", "60").returncode == 0
    discharged, dead = list(by_hand(tmp_path / "hospital"))[:2]
    end_early(tmp_path / "hospital", discharged, dead)
    tree = {
        "source": {"kind": "mimic", "ehr": str(tmp_path / "hospital" / "ehr")},
        "require": "none",
        "modalities": {
            "timeseries": {"kind": "timeseries", "table": "chartevents"},
            "demographics": {"kind": "tabular", "table": "demographics"},
        },
        "tasks": {"long_stay": {}, "mortality": {}},
        "study": {"combination_sizes": [2]},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    done = picme(installed, "prepare", str(tmp_path / "study.yaml"), "--out", str(tmp_path / "run"), "--quiet")
    assert done.returncode == 0, done.stderr
    prepared = next((tmp_path / "run" / "store" / "prepare").glob("*/views"))
    cohort = pl.read_parquet(prepared / "long_stay" / "cohort.parquet")
    wanted = by_hand(tmp_path / "hospital")
    assert dict(cohort.select("stay_id", "long_stay").iter_rows()) == wanted
    assert set(wanted.values()) == {0, 1}
    everyone = set(pl.read_parquet(prepared / "pretrain" / "cohort.parquet")["stay_id"])
    assert {discharged, dead} <= everyone
    assert not {discharged, dead} & set(cohort["stay_id"]), "gone at the prediction time"
    begun = {int(row["stay_id"]): datetime.fromisoformat(row["intime"]) for row in rows(tmp_path, "icustays")}
    ends = dict(cohort.select("stay_id", "cutoff").iter_rows())
    assert ends == {stay: begun[stay] + timedelta(hours=HOURS) for stay in wanted}, "inputs end at the prediction time"
    flow = pl.read_parquet(prepared.parent / "cohort_flow.parquet").filter(pl.col("task") == "long_stay")
    steps = dict(flow.select("step", "stays").iter_rows())
    assert steps["at least 24 hours in the ICU"] - steps["alive after 24 hours"] == 1


def test_a_task_of_another_package_runs_on_the_synthetic_source(installed: dict[str, str], tmp_path: Path) -> None:
    overrides = ["--set", "source={kind: synthetic, stays: 60, images: false}", "--set", "tasks={long_stay: {}}"]
    done = picme(installed, "prepare", "mimic-ehr", *overrides, "--out", str(tmp_path / "run"), "--quiet")
    assert done.returncode == 0, done.stderr
    store = tmp_path / "run" / "store"
    cohort = pl.read_parquet(next((store / "prepare").glob("*/views/long_stay/cohort.parquet")))
    assert set(cohort["long_stay"]) == {0, 1}
    assert dict(cohort.select("stay_id", "long_stay").iter_rows()).items() <= by_hand(store / "hospital").items()


def test_a_task_for_own_files_says_so_on_mimic(installed: dict[str, str], tmp_path: Path) -> None:
    overrides = ["--set", "source={kind: synthetic, stays: 20, images: false}", "--set", "tasks={deterioration: {}}"]
    done = picme(installed, "prepare", "mimic-ehr", *overrides, "--out", str(tmp_path / "run"), "--quiet")
    assert done.returncode == 2
    assert "tasks.deterioration has labels in the user's own files only" in done.stderr


def write_drugs(folder: Path, stays: int = 80) -> None:
    """samples.csv and drugs.csv; every fifth stay got no drug, and every stay gets one more after 30 hours."""
    generator = random.Random(0)
    with (folder / "samples.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["id", "age", "died"])
        table.writerows([stay, generator.randint(20, 90), int(generator.random() < 0.4)] for stay in range(stays))
    with (folder / "drugs.csv").open("w", newline="") as handle:
        table = csv.writer(handle)
        table.writerow(["id", "hours", "drug"])
        for stay in range(stays):
            for _ in range(0 if stay % 5 == 0 else 1 + stay % 3):
                table.writerow([stay, generator.randint(0, 11), generator.choice(["insulin", "heparin"])])
            table.writerow([stay, 30, "late"])
        table.writerow([3, "", "heparin"])


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_drugs(tmp_path)
    tree: dict[str, Any] = {
        "source": {"kind": "table", "path": str(tmp_path / "samples.csv"), "id": "id"},
        "require": "any",
        "modalities": {
            "drugs": {"kind": "counts", "path": str(tmp_path / "drugs.csv"), "hours": "hours", "variable": "drug"},
            "person": {"kind": "tabular", "columns": ["age"], "encoder": {"name": "mlp", "hidden": [8]}},
        },
        "tasks": {"died": {"hours": 12}},
        "study": {"combination_sizes": [2], "seeds": 1, "embed_dim": 8},
        "pretrain": {"epochs": 1, "batch_size": 16, "window": 12},
        "execution": {"workers": 1},
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    return tmp_path / "study.yaml"


def test_a_kind_of_modality_of_another_package_is_prepared_and_pretrained(
    installed: dict[str, str], study: Path, tmp_path: Path
) -> None:
    done = picme(installed, "pretrain", str(study), "--out", str(tmp_path / "run"), "--quiet")
    assert done.returncode == 0, done.stderr
    prepared = next((tmp_path / "run" / "store" / "prepare").glob("*/views"))
    view = prepared / "died"
    names = json.loads((view / "drugs" / "events.json").read_text(encoding="utf-8"))
    assert names == ["heparin", "insulin", "late"]
    counts = np.load(view / "drugs" / "counts.npy")
    stays = pl.read_parquet(view / "cohort.parquet")["stay_id"].to_list()
    assert stays == [str(stay) for stay in range(80) if stay % 5], "a stay without a drug has one modality only"
    assert counts.sum(axis=1).tolist() == [1 + int(stay) % 3 for stay in stays]
    assert not counts[:, names.index("late")].any(), "what came after the prediction time does not count"
    left_out = pl.read_parquet(prepared.parent / "quarantine.parquet").filter(pl.col("modality") == "drugs")
    assert left_out.filter(pl.col("reason") == "event without id, hours or name")["count"].to_list() == [1]
    assert len(list((tmp_path / "run" / "store" / "pretrain").glob("*/manifest.json"))) == 1


def test_a_kind_has_its_own_encoder_and_no_other(installed: dict[str, str], study: Path) -> None:
    done = picme(installed, "plan", str(study), "--set", "modalities.drugs.encoder={name: mlp}")
    assert done.returncode == 2
    assert "reads tabular, not counts" in done.stderr
