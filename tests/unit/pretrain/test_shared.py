"""One pretraining for all combinations: the subsets it draws, what each combination gets of it, and its resumption."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import chisquare

from picme.align import retrieval
from picme.config.combinations import label
from picme.config.loading import validate
from picme.pipeline import run as run_pipeline
from picme.pretrain.artifact import load_encoders
from picme.pretrain.model import ModalityEncoders, embed
from picme.pretrain.subsets import draw_subsets
from picme.pretrain.train import train

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.modalities.view import ViewData
    from picme.pipeline import Run

    Finished = Callable[..., tuple[Run, ViewData]]

NAMES = ("note", "report", "person")
CPU = torch.device("cpu")
SHARED = {"mode": "shared", "objective": {"name": "ovo", "weight_learning_rate": 0.3}}


# ---- drawing


@pytest.mark.parametrize("subsets", ["by_size", "uniform"])
def test_subsets_are_drawn_as_configured(subsets: Any) -> None:
    present = np.ones((4, 4), dtype=bool)
    batches = [np.array([0, 1]), np.array([2, 3])] * 2000
    drawn = Counter(draw.members for draw in draw_subsets(batches, present, subsets, seed=0, epoch=0))
    every = [members for size in (2, 3, 4) for members in combinations(range(4), size)]
    share = {members: 1 / 3 / comb(4, len(members)) if subsets == "by_size" else 1 / 11 for members in every}
    assert set(drawn) == set(every)
    found = chisquare([drawn[members] for members in every], [4000 * share[members] for members in every])
    assert found.pvalue > 0.001


def test_what_is_drawn_depends_on_seed_and_epoch_alone() -> None:
    present, batches = np.ones((40, 5), dtype=bool), np.split(np.arange(40), 10)

    def drawn(seed: int, epoch: int) -> list[tuple[int, ...]]:
        torch.rand(3), np.random.default_rng().random(3)
        return [draw.members for draw in draw_subsets(batches, present, "by_size", seed, epoch)]

    assert drawn(1, 2) == drawn(1, 2)
    assert drawn(1, 2) != drawn(1, 3)
    assert drawn(1, 2) != drawn(2, 2)


def test_a_batch_holds_two_stays_or_more_that_have_two_of_its_modalities() -> None:
    generator = np.random.default_rng(0)
    present = np.zeros((600, 5), dtype=bool)
    for row in present:
        row[generator.permutation(5)[: generator.integers(2, 4)]] = True
    batches = np.split(generator.permutation(600), 200)
    found = draw_subsets(batches, present, "by_size", seed=0, epoch=0)
    for batch, (rows, members) in zip(batches, found, strict=True):
        counts = present[batch][:, members].sum(axis=1)
        assert len(rows) >= 2
        assert np.array_equal(rows, batch[counts >= 2]), "all of the batch that have two, in its order"
        assert members == tuple(sorted(set(members)))


def test_a_batch_whose_stays_have_one_pair_runs_over_subsets_with_that_pair() -> None:
    present = np.zeros((2, 5), dtype=bool)
    present[:, [1, 3]] = True
    found = draw_subsets([np.array([0, 1])] * 300, present, "uniform", seed=0, epoch=0)
    assert all({1, 3} <= set(draw.members) and len(draw.rows) == 2 for draw in found)
    assert len({draw.members for draw in found}) == 8
    apart = np.array([[True, True, False, False], [False, False, True, True]])
    assert {draw.members for draw in draw_subsets([np.arange(2)] * 50, apart, "by_size", 0, 0)} == {(0, 1, 2, 3)}


# ---- what each combination gets of it


@pytest.fixture(scope="module")
def study(finished: Finished) -> tuple[Run, ViewData]:
    return finished(
        "evaluate",
        study={"combination_sizes": [2, 3]},
        pretrain=SHARED,
        align={"tsne": "all", "tsne_stays": 20},
        finetune={
            "strategies": ["contrastive", "gated", "finetuned"], "combinations": ["note+person", "note+report+person"],
            "epochs": 1, "hidden": 8, "singles": False,
        },
        evaluate={"resamples": 100, "interval_resamples": 100},
    )  # fmt: skip


def every() -> list[tuple[str, ...]]:
    return [chosen for size in (2, 3) for chosen in combinations(NAMES, size)]


def test_one_training_serves_every_combination(study: tuple[Run, ViewData]) -> None:
    run, _ = study
    assert len(run.graph.of("pretrain")) == 1
    assert len(run.graph.of("restrict")) == 3
    assert all(run.store.done(step) for step in run.graph.steps.values())
    tables = {file.stem: pl.read_parquet(file) for file in (run.folder / "results").glob("*.parquet")}
    for name in ("pretraining", "pretraining_seeds"):
        assert set(tables[name]["combination"]) == {label(NAMES)}
    for name in ("lambdas", "alignment", "tsne"):
        assert set(tables[name]["combination"]) == set(map(label, every()))
    assert tables["runtimes"].filter(pl.col("stage") == "pretrain")["combination"].to_list() == [label(NAMES)]
    assert set(tables["summary"]["combination"]) == {"note+person", "note+report+person"}


def test_encoders_and_embeddings_of_a_combination_are_those_of_the_one_training(study: tuple[Run, ViewData]) -> None:
    run, view = study
    whole = load_encoders(run.store.path(run.design.pretrain(NAMES)), [run.design.encoding(n) for n in NAMES], view)
    for combination in every():
        folder = run.store.path(run.design.pretrain(combination))
        rows, kept = np.load(folder / "rows.npy"), np.load(folder / "embeddings.npy")
        expected = np.concatenate([view.usable(combination, split, at_least=2) for split in ("val", "test")])
        assert np.array_equal(rows, expected)
        places = [NAMES.index(name) for name in combination]
        assert np.array_equal(kept, embed(whole, view, rows, CPU)[places])
        own = load_encoders(folder, [run.design.encoding(name) for name in combination], view)
        assert np.array_equal(embed(own, view, rows, CPU), kept)
        frames = sorted((folder / "snapshots").glob("*.npz"))
        assert len(frames) == 3
        assert np.load(frames[-1])["values"].shape[0] == len(combination)


def test_lambda_of_a_combination_is_the_softmax_of_its_modalities_logits(study: tuple[Run, ViewData]) -> None:
    run, _ = study
    logits = load_file(run.store.path(run.design.pretrain(NAMES)) / "objective.safetensors")["whole.weight_logits"]
    assert float(logits.std()) > 0.01, "λ has moved"
    table = pl.read_parquet(run.folder / "results" / "lambdas.parquet").filter("selected")
    for combination in every():
        expected = logits[[NAMES.index(name) for name in combination]].softmax(0).tolist()
        assert run.store.manifest(run.design.pretrain(combination))["weights"] == pytest.approx(expected, abs=1e-6)
        rows = table.filter(pl.col("combination") == label(combination))
        assert rows["modality"].to_list() == list(combination)
        assert rows["weight"].to_list() == pytest.approx(expected, abs=1e-6)


def test_alignment_is_measured_on_the_embeddings_of_the_one_training(study: tuple[Run, ViewData]) -> None:
    run, view = study
    alignment = pl.read_parquet(run.folder / "results" / "alignment.parquet")
    values = np.load(run.store.path(run.design.pretrain(NAMES)) / "embeddings.npy")
    values = values[:, : len(view.usable(NAMES, "val", 2))]
    for first, second in combinations(range(3), 2):
        wanted = alignment.filter(
            pl.col("metric") == "retrieval", pl.col("k") == 5, pl.col("split") == "val", pl.col("source").is_null(),
            pl.col("combination") == f"{NAMES[first]}+{NAMES[second]}",
        )  # fmt: skip
        assert wanted["value"].to_list() == pytest.approx([retrieval(values[[first, second]], 5)])


def test_a_combination_has_its_objectives_own_score_where_there_is_one(finished: Finished) -> None:
    run, view = finished(
        "pretrain",
        study={"combination_sizes": [2, 3]},
        pretrain={"mode": "shared", "epochs": 1, "pair_objective": {"name": "gram"}, "objective": {"name": "gram"}},
    )
    embeddings = np.load(run.store.path(run.design.pretrain(NAMES)) / "embeddings.npy").astype(np.float64)
    values = embeddings[:, : len(view.usable(NAMES, "val", 2))]
    unit = values / np.linalg.norm(values, axis=2, keepdims=True)
    for combination in combinations(NAMES, 2):
        known = run.store.manifest(run.design.pretrain(combination))
        first, second = (unit[NAMES.index(name)] for name in combination)
        squares = (first @ second.T) ** 2  # a small area: a great squared cosine
        hits = [(matrix >= np.diag(matrix)[:, None] - 1e-9).sum(axis=1) <= 5 for matrix in (squares, squares.T)]
        assert known["matched_by"] == "objective"
        assert known["val_recall5"] == pytest.approx(np.mean(hits), abs=1e-9)


def test_that_score_is_by_the_trained_parameters_of_the_combination(finished: Finished, tree: dict[str, Any]) -> None:
    run, view = finished(
        "pretrain",
        modalities={"again": tree["modalities"]["person"]},
        study={"combination_sizes": [3]},
        pretrain={"mode": "shared", "objective": {"name": "confu", "hidden": 6}},
    )
    names = (*NAMES, "again")
    artifact = run.store.path(run.design.pretrain(names))
    trained = load_file(artifact / "objective.safetensors")
    own = {name: trained[f"whole.{name}"].double().numpy() for name in ("first", "first_bias", "second", "second_bias")}
    assert np.abs(own["first_bias"]).max() > 0, "zero before the training"
    values = np.load(artifact / "embeddings.npy").astype(np.float64)[:, : len(view.usable(names, "val", 2))]
    unit = values / np.linalg.norm(values, axis=2, keepdims=True)
    members, hits = (0, 2, 3), []
    for target in members:
        one, other = (index for index in members if index != target)
        place = list(combinations(range(4), 2)).index((one, other))
        inner = 8**0.5 * (unit[one] @ own["first"][place, 0] + unit[other] @ own["first"][place, 1])
        fused = np.maximum(inner + own["first_bias"][place], 0) @ own["second"][place] + own["second_bias"][place]
        scores = fused / np.linalg.norm(fused, axis=1, keepdims=True) @ unit[target].T
        hits.append((scores >= np.diag(scores)[:, None] - 1e-9).sum(axis=1) <= 5)
    known = run.store.manifest(run.design.pretrain(tuple(names[index] for index in members)))
    assert known["matched_by"] == "objective"
    assert known["val_recall5"] == pytest.approx(np.mean(hits), abs=1e-9)


# ---- the training


def two(tree: dict[str, Any], folder: Path, **pretrain: Any) -> Run:
    """A study of two modalities only, pretrained."""
    chosen = {name: tree["modalities"][name] for name in ("report", "person")}
    sections = {"study": {**tree["study"], "combination_sizes": [2]}, "pretrain": {**tree["pretrain"], **pretrain}}
    return run_pipeline(validate(tree | {"modalities": chosen} | sections), folder, "pretrain", quiet=True)


def test_of_two_modalities_it_is_the_plain_pretraining(tree: dict[str, Any], folder: Path) -> None:
    each, shared = two(tree, folder), two(tree, folder, mode="shared")
    one, other = (run.design.pretrain(("report", "person")) for run in (each, shared))
    assert one != other
    states = [load_file(run.store.path(step) / "encoders.safetensors") for run, step in ((each, one), (shared, other))]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert [each.store.manifest(one)[key] for key in ("weights", "val_recall5")] == [
        shared.store.manifest(other)[key] for key in ("weights", "val_recall5")
    ]


class Killed(BaseException):
    """An interruption between two epochs."""


@pytest.mark.parametrize(
    ("loop", "objective"),
    [
        ("plain", SHARED["objective"]),
        ("plain", {"name": "gated_symile", "hidden": 6}),
        ("plain", {"name": "confu", "hidden": 6}),
        ("lightning", {"name": "symile", "negatives": "sampled"}),
    ],
)
def test_a_killed_training_ends_as_an_uninterrupted_one(
    finished: Finished, tree: dict[str, Any], tmp_path: Path, loop: str, objective: dict[str, Any]
) -> None:
    note = tree["modalities"]["note" if loop == "lightning" else "report"]  # adapters are trained by Lightning
    run, view = finished(
        "encode",
        modalities={"note": {**note, "column": "note"}},
        pretrain={"mode": "shared", "epochs": 4, "objective": objective},
    )
    pretraining = run.design.pretrain(NAMES).pretraining
    settings: dict[str, Any] = {"learning_rate": 0.01, "batch_size": 8}

    def killed(epoch: int, recall: float) -> None:
        if epoch == 2:
            raise Killed

    (tmp_path / "killed").mkdir()
    with pytest.raises(Killed):
        train(pretraining, view, 0, CPU, folder=tmp_path / "killed", report=killed, **settings)
    again = train(pretraining, view, 0, CPU, folder=tmp_path / "killed", **settings)
    (tmp_path / "whole").mkdir()
    once = train(pretraining, view, 0, CPU, folder=tmp_path / "whole", **settings)
    histories = [pl.DataFrame(one.result.history).drop("seconds") for one in (again, once)]
    assert histories[0].equals(histories[1])
    assert len(once.result.history) == 4
    mine, theirs = again.encoders.trainable_state(), once.encoders.trainable_state()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    mine, theirs = again.objective.state_dict(), once.objective.state_dict()
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_batch_encodes_only_the_modalities_it_runs_over(finished: Finished) -> None:
    run, view = finished("encode", pretrain=SHARED)
    model = ModalityEncoders([run.design.encoding(name) for name in NAMES], view, 0)
    rows, present = view.splits["train"][:6], torch.ones(6, 2, dtype=torch.bool)
    model.eval()
    part = model(view.batch(("note", "person"), rows, CPU), present)
    whole = model(view.batch(NAMES, rows, CPU), torch.ones(6, 3, dtype=torch.bool))
    assert torch.equal(part, whole[[0, 2]])


def test_every_modality_learns(finished: Finished) -> None:
    run, view = finished("pretrain", study={"combination_sizes": [2]}, pretrain=SHARED)
    trained = load_file(run.store.path(run.design.pretrain(NAMES)) / "encoders.safetensors")
    start = ModalityEncoders([run.design.encoding(name) for name in NAMES], view, 0).trainable_state()
    moved = {name.partition(".")[0] for name in start if not torch.equal(start[name], trained[name])}
    assert moved == set(NAMES)
