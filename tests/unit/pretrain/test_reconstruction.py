"""Reconstruction beside contrast: what is hidden, what its loss is, what it leaves as it was, and what is learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch

import picme
import picme.pretrain.train as training
from picme.config.loading import validate
from picme.encoders.series import Columns
from picme.engine.step import Context
from picme.errors import ConfigError
from picme.modalities.timeseries import column_roles
from picme.pipeline import run as run_pipeline
from picme.pretrain.features import open_encoded
from picme.pretrain.reconstruction import Head, Hidden, Reconstruction, masks_of, mean_loss, without
from picme.pretrain.train import Trained, train
from picme.sources.hourly import series

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run
    from picme.pretrain.step import Pretraining

    Finished = Callable[..., tuple[Run, ViewData]]

NAMES = ("vitals", "labs", "person")
CPU = torch.device("cpu")
SAMPLES, HOURS = 120, 10


def write_samples(folder: Path) -> None:
    """Write two series and a table that follow one number of each sample; its sign says when labs are taken."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=SAMPLES)
    there = rng.random((SAMPLES, 3)) > 0.15
    there[:, 0] |= ~there.any(axis=1)
    pl.DataFrame({"id": range(SAMPLES), "label": (hidden > 0).astype(int)}).write_csv(folder / "samples.csv")
    vitals = [
        (stay, hour, name, sign * hidden[stay] + rng.normal() / 10)
        for stay in np.flatnonzero(there[:, 0])
        for hour in range(HOURS - stay % 3)
        for name, sign in (("pulse", 1), ("pressure", -1))
        if hour == 0 or rng.random() < 0.7
    ]
    labs = [
        (stay, hour, "lactate", hidden[stay] + rng.normal() / 10)
        for stay in np.flatnonzero(there[:, 1])
        for hour in range(HOURS)
        if (hour % 2 == 0) == (hidden[stay] > 0) or hour == HOURS - 1
    ]
    for name, rows in (("vitals", vitals), ("labs", labs)):
        made = pl.DataFrame(rows, schema=["id", "hours", "variable", "value"], orient="row")
        made.write_csv(folder / f"{name}.csv")
    kept = np.flatnonzero(there[:, 2])
    pl.DataFrame({"id": kept, "x": hidden[kept] + rng.normal(size=len(kept)) / 2}).write_csv(folder / "person.csv")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return {
        "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id"},
        "require": "none",
        "modalities": {
            "vitals": {"kind": "timeseries", "path": str(folder / "vitals.csv"), "encoder": {"hidden": 12}},
            "labs": {
                "kind": "timeseries", "path": str(folder / "labs.csv"),
                "encoder": {"name": "set_transformer", "hidden": 8, "heads": 2},
            },
            "person": {
                "kind": "tabular", "path": str(folder / "person.csv"), "columns": ["x"],
                "encoder": {"name": "mlp", "hidden": [8]},
            },
        },
        "tasks": {"label": {"hours": 24}},
        "splits": {"train": 0.5, "val": 0.25},
        "study": {"combination_sizes": [2, 3], "seeds": 1, "embed_dim": 8},
        "pretrain": {"epochs": 2, "batch_size": 16, "learning_rate": 0.01},
        "align": {"tsne": "off"},
        "execution": {"workers": 1, "device": "cpu"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def finished(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("run") / "run"

    def until(stage: str, **sections: dict[str, Any]) -> tuple[Run, ViewData]:
        config = validate(tree | {name: {**tree.get(name, {}), **values} for name, values in sections.items()})
        run = run_pipeline(config, folder, stage, quiet=True)
        return run, open_encoded(run.design.prepare, "pretrain", [run.design.encoding(n) for n in NAMES], run.store)

    return until


# ---- what is hidden


def grids(hours: int = 30) -> tuple[np.ndarray, np.ndarray, Columns]:
    """Measurements (hour, variable), NaN where there is none; some of them to be hidden; and the columns they make."""
    rng = np.random.default_rng(4)
    grid = np.where(rng.random((hours, 3)) < 0.4, rng.normal(size=(hours, 3)), np.nan).astype(np.float32)
    grid[0, 0], grid[0, 1] = 1.5, np.nan
    hidden = rng.random((hours, 3)) < 0.4
    hidden[0, 0] = hidden[1, 0] = True
    return grid, hidden, columns_of(["a", "b", "c"], since=True)


def columns_of(names: list[str], since: bool) -> Columns:
    extra = [f"since->{name}" for name in names] if since else []
    every = [*names, *(f"mask->{name}" for name in names), *extra]
    return Columns({"n_columns": len(every), **column_roles(every)})


def made(grid: np.ndarray, start: float = 0.0) -> torch.Tensor:
    rows = series(grid, np.array([len(grid)]), ["a", "b", "c"], np.full(3, start), since=True)
    return torch.from_numpy(rows.values)[None]


def test_a_series_without_some_measurements_is_as_the_source_would_have_made_it() -> None:
    grid, hidden, columns = grids()
    taken = np.where(hidden, np.nan, grid)
    assert np.isnan(taken).sum() > np.isnan(grid).sum() + 5
    found = without(made(grid), columns, torch.from_numpy(hidden & ~np.isnan(grid))[None])
    torch.testing.assert_close(found, made(taken))
    # Another start is seen where the first hour was not measured, and nowhere else.
    other = without(made(grid, start=0.7), columns, torch.from_numpy(hidden & ~np.isnan(grid))[None])
    expected = made(taken, start=0.7)
    torch.testing.assert_close(other[..., 1], expected[..., 1])
    unknown = torch.from_numpy(np.maximum.accumulate(~np.isnan(taken[:, 0])) == 0)
    assert unknown.sum() > 1
    assert other[0, unknown, 0].tolist() == [0.0] * int(unknown.sum())


def test_what_is_hidden_cannot_be_seen() -> None:
    grid, hidden, columns = grids()
    changed = np.where(hidden, grid + 50, grid).astype(np.float32)
    where = torch.from_numpy(hidden & ~np.isnan(grid))[None]
    assert not torch.equal(made(grid), made(changed))
    assert torch.equal(without(made(grid), columns, where), without(made(changed), columns, where))


def test_shares_of_hours_and_measurements_are_hidden_within_each_series(finished: Finished) -> None:
    run, view = finished("encode")
    heads = Reconstruction([run.design.encoding("vitals")], view, 0)
    rows = np.flatnonzero(view.present(["vitals"])[:, 0])
    batch = view.modalities["vitals"].batch(rows)
    lengths, drawn = batch["lengths"], torch.from_numpy(heads.draw("vitals", batch["lengths"].numpy(), [3]))
    found = heads.hidden("vitals", batch, drawn)
    within = torch.arange(HOURS) < lengths[:, None]
    measured = batch["values"][..., 2:4] > 0  # pressure and pulse, then their masks
    assert not found.hour_hidden[~within].any() and not found.value_hidden[~(within[..., None] & measured)].any()
    assert found.hour_hidden[within].float().mean().item() == pytest.approx(0.15, abs=0.03)
    beside = found.value_hidden[measured & ~found.hour_hidden[..., None]].float().mean().item()
    assert beside == pytest.approx(0.15, abs=0.03)
    assert found.value_hidden[measured & found.hour_hidden[..., None]].all()
    assert not found.batch["values"][..., 2:4][found.value_hidden].any(), "hidden measurements have no mask"
    assert torch.equal(heads.hidden("vitals", batch, drawn).batch["values"], found.batch["values"])
    other = heads.hidden("vitals", batch, torch.from_numpy(heads.draw("vitals", lengths.numpy(), [4])))
    assert not torch.equal(other.value_hidden, found.value_hidden)


# ---- its loss


def test_the_loss_is_the_mean_over_hidden_cells() -> None:
    torch.manual_seed(0)
    columns = Columns({"n_columns": 7, "values": [0, 1, 2, 6], "masks": [3, 4, 4, -1], "since": [-1] * 4})
    assert masks_of(columns) == [3, 4]
    head = Head(5, columns)
    shape = (4, 6)
    embeddings, present = torch.randn(4, 5), torch.tensor([True, False, True, True])
    hidden = Hidden(
        {}, torch.randn(*shape, 4), torch.rand(*shape, 4) < 0.4, (torch.rand(*shape, 2) < 0.5).float(),
        torch.rand(shape) < 0.3,
    )  # fmt: skip
    part = Reconstruction.__new__(Reconstruction)
    torch.nn.Module.__init__(part)
    part.heads = torch.nn.ModuleDict({"x": head})
    sums = part.sums("x", embeddings, present, hidden)
    values, logits = (one.detach().numpy() for one in head(embeddings, 6))
    assert values.shape == (*shape, 4) and logits.shape == (*shape, 2)
    errors, entropies = [], []
    for row in (0, 2, 3):
        for hour in range(6):
            told = hidden.values[row, hour].numpy()
            errors.extend(((values[row, hour] - told) ** 2)[hidden.value_hidden[row, hour].numpy()].tolist())
            for place in range(2):
                if hidden.hour_hidden[row, hour]:
                    p, y = 1 / (1 + np.exp(-logits[row, hour, place])), hidden.measured[row, hour, place].item()
                    entropies.append(-y * np.log(p) - (1 - y) * np.log(1 - p))
    assert sums.tolist() == pytest.approx([sum(errors), len(errors), sum(entropies), len(entropies)], rel=1e-5)
    both = torch.stack([sums, torch.zeros(4)])
    assert mean_loss(both).item() == pytest.approx((np.mean(errors) + np.mean(entropies)) / 2, rel=1e-5)


def trained(pretraining: Pretraining, view: ViewData, **changed: Any) -> Trained:
    return train(pretraining.model_copy(update=changed), view, 0, CPU, learning_rate=0.005, batch_size=16)


@pytest.mark.parametrize("mode", ["each", "shared"])
def test_micro_batches_are_hidden_and_judged_like_the_whole_batch(finished: Finished, mode: str) -> None:
    run, view = finished("encode", pretrain={"mode": mode, "reconstruct": 0.5})
    pretraining = run.design.pretrain(NAMES).pretraining
    whole, micro = trained(pretraining, view), trained(pretraining, view, micro_batch=5)
    for key in ("train_loss", "train_reconstruction", "val_reconstruction", "val_loss"):
        ours, theirs = ([row[key] for row in one.result.history] for one in (whole, micro))
        np.testing.assert_allclose(ours, theirs, atol=2e-4, rtol=0, err_msg=key)
    expected = dict(whole.encoders.named_parameters())
    for name, value in micro.encoders.named_parameters():
        torch.testing.assert_close(value, expected[name], atol=2e-3, rtol=0)


@pytest.mark.slow
def test_two_processes_hide_and_judge_like_one(finished: Finished, tmp_path: Path) -> None:
    run, _ = finished("encode", pretrain={"mode": "shared", "reconstruct": 0.5, "batch_size": 17})
    step, context = run.design.pretrain(NAMES), Context(run.store, "cpu")
    histories = []
    for devices in ((), ("cpu", "cpu")):
        folder = tmp_path / str(len(devices))
        folder.mkdir()
        training.pretrain(step, folder, replace(context, devices=devices))
        histories.append(pl.read_parquet(folder / "history.parquet"))
    for column in ("train_loss", "train_reconstruction", "val_reconstruction", "val_loss"):
        np.testing.assert_allclose(*(one[column].to_numpy() for one in histories), atol=2e-4, rtol=0, err_msg=column)


def test_train_loss_is_contrast_and_the_weighted_reconstruction(finished: Finished) -> None:
    run, view = finished("encode", pretrain={"reconstruct": 2.0})
    pretraining = run.design.pretraining(NAMES)
    course = pretraining.course.model_copy(update={"epochs": 1})
    rows = [trained(pretraining, view, course=course, reconstruct=weight).result.history[0] for weight in (None, 1e-9)]
    assert "train_reconstruction" not in rows[0]
    assert rows[1]["train_loss"] == pytest.approx(rows[0]["train_loss"], abs=1e-5)
    # Contrast does not see what is hidden, so without dropout its part is that of the control up to the first step.
    one_batch = {"course": course, "reconstruct": 2.0}
    losses = []
    for changed in ({"course": course}, one_batch):
        part = pretraining.model_copy(update={"reconstruct": None} | changed)
        losses.append(train(part, view, 0, CPU, learning_rate=0.005, batch_size=200).result.history[0])
    assert losses[1]["train_loss"] == pytest.approx(
        losses[0]["train_loss"] + 2 * losses[1]["train_reconstruction"], abs=1e-5
    )


# ---- what it leaves as it was


def test_without_a_weight_steps_and_training_are_as_before(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    run, view = finished("encode")
    off = run.design.pretrain(NAMES)
    assert "reconstruct" not in off.fields["pretraining"]
    on, _ = finished("encode", pretrain={"reconstruct": 0.5})
    assert on.design.pretrain(NAMES).key != off.key
    assert on.design.pretrain(NAMES).pretraining.reconstructed == tuple(map(on.design.encoding, ("vitals", "labs")))

    def refused(*given: Any) -> None:
        raise AssertionError("nothing is reconstructed")

    monkeypatch.setattr(training, "Reconstruction", refused)
    history = trained(off.pretraining, view).result.history
    assert not any("reconstruction" in key for row in history for key in row)


def test_a_combination_without_a_series_is_that_of_the_control(tree: dict[str, Any], finished: Finished) -> None:
    text = {"kind": "tabular", "path": tree["modalities"]["person"]["path"], "columns": ["x"]}
    modalities = {**tree["modalities"], "other": text}
    (off, _), (on, _) = (
        finished("prepare", modalities=modalities, pretrain={"reconstruct": weight}) for weight in (0, 0.5)
    )
    pair = ("person", "other")
    assert on.design.pretrain(pair).key == off.design.pretrain(pair).key
    assert on.design.pretrain((*NAMES, "other")).key != off.design.pretrain((*NAMES, "other")).key


def test_a_study_without_a_series_is_refused(tree: dict[str, Any]) -> None:
    person = tree["modalities"]["person"]
    given = tree | {"modalities": {"a": person, "b": person}, "pretrain": {"reconstruct": 0.5}}
    with pytest.raises(ConfigError, match=r"pretrain\.reconstruct hides parts of time series .* leave it at 0"):
        validate(given)


# ---- what is learnt


def test_planted_structure_is_learnt(finished: Finished) -> None:
    run, view = finished("encode", pretrain={"reconstruct": 1.0})
    pretraining = run.design.pretraining(("vitals", "labs"))
    course = pretraining.course.model_copy(update={"epochs": 40, "patience": 40})
    history = trained(pretraining, view, course=course).result.history
    # Guessing the means has a squared error of 1 (of standardised values) and, for presence, the entropy of its rate.
    rate = float(np.mean([1, 0.5]))
    assert history[0]["val_reconstruction"] > 1.2
    assert history[-1]["val_reconstruction"] < 0.75, rate
    assert history[-1]["train_reconstruction"] < 0.75


# ---- a study with both


def test_a_study_with_set_transformers_and_reconstruction_runs_through(
    finished: Finished, tree: dict[str, Any], tmp_path: Path
) -> None:
    run, _ = finished(
        "evaluate",
        study={"combination_sizes": [3]},
        pretrain={"reconstruct": 0.5, "micro_batch": 6, "loggers": ["csv"]},
        finetune={
            "combinations": "all", "strategies": ["contrastive", "finetuned", "supervised"], "epochs": 2, "hidden": 8,
            "singles": False,
        },
        evaluate={"resamples": 100, "interval_resamples": 100},
    )  # fmt: skip
    study = picme.load(run.folder)
    assert set(study.table("summary")["strategy"]) == {"contrastive", "finetuned", "supervised"}
    epochs = study.table("pretraining")
    assert epochs["train_reconstruction"].is_finite().all() and epochs["val_reconstruction"].is_finite().all()
    (logged,) = run.folder.glob("logs/csv/*/*/metrics.csv")
    assert {"train_loss", "val_loss", "train_reconstruction", "val_reconstruction"} <= set(pl.read_csv(logged).columns)
    attributed = study.table("attributions").filter(modality="labs", method="integrated_gradients")
    assert attributed["value"].is_not_null().all() and len(attributed) > 0
    assert "Validation loss of reconstruction" in {title for view in study.views("pretraining") for title in view}
