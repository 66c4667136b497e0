"""Whether subjects with the same ids are the same persons: planted hospitals in two forms, and two hospitals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from picme.config.loading import validate as checked
from picme.pipeline import run as run_pipeline
from picme.validate.cohort import trained_on
from picme.validate.harmonise import harmonise
from picme_hospital import write_hospital, write_meds

if TYPE_CHECKING:
    from pathlib import Path

    from picme.pipeline import Run

MODALITIES = {
    "timeseries": {"kind": "timeseries", "table": "chartevents", "encoder": {"name": "lstm", "hidden": 4}},
    "demographics": {"kind": "tabular", "table": "demographics", "encoder": {"name": "mlp", "hidden": [4]}},
}


def prepared(folder: Path, source: dict[str, Any], **more: Any) -> Run:
    tree = {
        "source": source, "modalities": MODALITIES, "tasks": {"mortality": {}}, "require": "none",
        "study": {"seeds": 1, "embed_dim": 8}, "pretrain": {"epochs": 1}, "align": {"tsne": "off"},
        "evaluate": {"shapley": "off"}, "execution": {"workers": 1}, **more,
    }  # fmt: skip
    return run_pipeline(checked(tree), folder, until="prepare", quiet=True)


def found(study: Run, source: Run, scratch: Path) -> tuple[set[str], list[str]]:
    tasks = list(study.config.tasks)
    stays, _ = harmonise(study, source, tasks, scratch)
    return trained_on(study, source, stays, tasks)


def trained(study: Run) -> set[str]:
    cohorts = [
        pl.read_parquet(study.prepared / "views" / view / "cohort.parquet") for view in ("pretrain", "mortality")
    ]
    return {
        str(one) for cohort in cohorts for one in cohort.filter(pl.col("split").is_in(["train", "val"]))["subject_id"]
    }


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tables")
    made = write_hospital(folder / "raw", 80, seed=6, images=False)
    return prepared(folder / "run", {"kind": "mimic", "ehr": str(made / "ehr")})


def test_one_hospital_in_tables_and_in_events_has_the_same_persons(tables: Run, tmp_path: Path) -> None:
    events = prepared(
        tmp_path / "run", {"kind": "meds", "path": str(write_meds(tmp_path / "raw", 80, seed=6, images=False))}
    )
    left, notes = found(tables, events, tmp_path / "scratch")
    assert left == trained(tables)
    (note,) = notes
    assert note.startswith(f"{len(left)} subject ids of the other source are also") and note.endswith(
        "they are left out"
    )


def renumbered(events: Path, like: Path) -> None:
    """Give the subjects of MEDS data the ids of another data set's, and its very metadata."""
    ids = [sorted(set(pl.read_parquet(one / "data" / "**" / "*.parquet")["subject_id"])) for one in (events, like)]
    new = dict(zip(*ids, strict=False))
    for file in events.glob("data/**/*.parquet"):
        frame = pl.read_parquet(file)
        frame.with_columns(pl.col("subject_id").replace(new)).write_parquet(file)
    splits = events / "metadata" / "subject_splits.parquet"
    if splits.is_file():
        frame = pl.read_parquet(splits)
        frame.with_columns(pl.col("subject_id").replace(new)).write_parquet(splits)
    for name in ("dataset.json", "codes.parquet"):
        if (like / "metadata" / name).is_file():
            (events / "metadata" / name).write_bytes((like / "metadata" / name).read_bytes())


def test_another_hospital_that_counts_alike_has_other_persons(tmp_path: Path) -> None:
    here = write_meds(tmp_path / "here", 80, seed=6, images=False)
    there = write_meds(tmp_path / "there", 80, seed=7, images=False)
    renumbered(there, here)
    same = (here / "metadata" / "dataset.json").read_bytes() == (there / "metadata" / "dataset.json").read_bytes()
    assert same, "the metadata say nothing on whose events they describe"
    study, source = (
        prepared(tmp_path / f"run {path.name}", {"kind": "meds", "path": str(path)}) for path in (here, there)
    )
    left, notes = found(study, source, tmp_path / "scratch")
    assert left == set()
    (note,) = notes
    assert "subject ids of the other source are also" in note and note.endswith("the persons differ, and are judged")


def own(folder: Path, samples: pl.DataFrame) -> Run:
    folder.mkdir()
    samples.write_csv(folder / "samples.csv")
    rng = np.random.default_rng(len(samples))
    values = {name: rng.normal(size=len(samples)) for name in ("x", "y")}
    pl.DataFrame({"stay": samples["stay"], **values}).write_csv(folder / "labs.csv")
    groups = [name for name in samples.columns if name not in ("stay", "person", "mortality")]
    table = {"kind": "tabular", "path": str(folder / "labs.csv"), "id": "stay", "encoder": {"name": "mlp"}}
    return prepared(
        folder / "run",
        {
            "kind": "table", "path": str(folder / "samples.csv"), "id": "stay", "subject": "person", "groups": groups
        },
        modalities={"labs": {**table, "columns": ["x"]}, "more": {**table, "columns": ["y"]}},
        tasks={"mortality": {"hours": 24}},
    )  # fmt: skip


def people(count: int, seed: int, first: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "stay": np.arange(count) + first,
            "person": np.arange(count),
            "mortality": rng.integers(0, 2, count),
            "sex": rng.choice(["f", "m"], count),
            "site": [f"site {one % 3}" for one in range(count)],
        }
    )


def test_later_stays_are_told_by_what_lasts(tmp_path: Path) -> None:
    """Other stays of the same persons: sex is the same, the outcome need not be; strangers differ in sex."""
    study = own(tmp_path / "here", people(60, 0))
    later = people(60, 0, first=1000).with_columns(mortality=1 - pl.col("mortality"))
    left, _ = found(study, own(tmp_path / "later", later), tmp_path / "one")
    assert left == trained(study)
    left, notes = found(study, own(tmp_path / "strangers", people(60, 1, first=1000)), tmp_path / "two")
    assert left == set() and notes[0].endswith("the persons differ, and are judged")


def test_what_says_nothing_on_persons_leaves_them_judged(tmp_path: Path) -> None:
    """A site that follows from the id, an outcome that all have, and too few persons are no proof."""
    study = own(tmp_path / "here", people(60, 0))
    told = {
        "site": people(60, 0).with_columns(stay=pl.col("stay") + 1000).drop("sex"),
        "few": people(60, 0).filter(pl.col("person").is_in(sorted(map(int, trained(study)))[:2])),
    }
    for name, samples in told.items():
        if name == "few":
            fresh = people(60, 2).with_columns(pl.col("stay", "person") + 5000)
            samples = pl.concat([samples, fresh])
        left, notes = found(study, own(tmp_path / name, samples), tmp_path / f"scratch {name}")
        assert left == set()
        assert notes[0].endswith("whether they are the same persons could not be compared, and they are judged")
    apart = people(60, 0).with_columns(pl.col("stay", "person") + 5000)
    assert found(study, own(tmp_path / "apart", apart), tmp_path / "scratch") == (set(), [])
