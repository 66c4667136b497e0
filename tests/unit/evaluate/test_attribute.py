"""Attributions of a small study of three tables, of which one tells nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import picme
from picme.evaluate.attribution import rank_agreement
from picme.pipeline import Run

if TYPE_CHECKING:
    from pathlib import Path

SHARES = ("integrated_gradients", "integrated_gradients_mean")


def configuration(folder: Path) -> dict[str, Any]:
    return {
        "source": {"kind": "table", "path": str(folder / "samples.csv"), "id": "id"},
        "modalities": {
            name: {"kind": "tabular", "columns": [f"{name}{k}" for k in range(4)], "encoder": {"hidden": [16]}}
            for name in ("strong", "weak", "noise")
        },
        "tasks": {"outcome": {"labels": ["outcome"]}},
        "study": {"seeds": 2, "embed_dim": 8, "combination_sizes": [2, 3]},
        "pretrain": {"epochs": 2, "learning_rate": 0.01},
        "align": {"tsne": "off"},
        "finetune": {
            "combinations": ["strong+weak", "strong+weak+noise"],
            "strategies": ["contrastive", "gated"],
            "singles": False,
            "epochs": 12,
            "learning_rate": 0.01,
            "hidden": 16,
        },
        "evaluate": {"resamples": 100, "interval_resamples": 100},
        "splits": {"train": 0.6, "val": 0.15},
        "execution": {"workers": 1, "device": "cpu"},
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> picme.Study:
    folder = tmp_path_factory.mktemp("tables")
    rng = np.random.default_rng(0)
    cause = rng.normal(size=(600, 2))
    frame = {"id": np.arange(600)}
    for name, k in (("strong", 0), ("weak", 1)):
        frame |= {f"{name}{i}": cause[:, k] + 0.5 * rng.normal(size=600) for i in range(4)}
    frame |= {f"noise{i}": rng.normal(size=600) for i in range(4)}
    risk = 1 / (1 + np.exp(-(2.5 * cause[:, 0] + cause[:, 1])))
    frame["outcome"] = (rng.random(600) < risk).astype(int)
    pl.DataFrame(frame).write_csv(folder / "samples.csv")
    return picme.run(configuration(folder), out=folder / "run", until="evaluate")


def values(study: picme.Study, combination: str, strategy: str, method: str) -> dict[str, float]:
    rows = study.table("attributions").filter(combination=combination, strategy=strategy, method=method)
    return dict(rows.select("modality", "value").rows())


def test_shapley_values_are_of_the_largest_combination_only(study: picme.Study) -> None:
    table = study.table("attributions")
    assert table.filter(method="shapley")["combination"].unique().to_list() == ["strong+weak+noise"]
    assert set(table.filter(combination="strong+weak")["method"]) == set(SHARES)
    assert set(table.filter(strategy="gated", combination="strong+weak+noise")["method"]) == {
        *SHARES, "lambda", "shapley",
    }  # fmt: skip


@pytest.mark.parametrize("strategy", ["contrastive", "gated"])
def test_the_planted_order_is_found(study: picme.Study, strategy: str) -> None:
    found = values(study, "strong+weak+noise", strategy, "shapley")
    assert found["strong"] > found["weak"] > found["noise"]
    assert 0.2 < sum(found.values()) < 0.5
    assert abs(found["noise"]) < 0.03
    for method in SHARES:
        shares = values(study, "strong+weak+noise", strategy, method)
        assert sum(shares.values()) == pytest.approx(1)
        assert shares["strong"] > shares["noise"]


def test_spread_is_over_different_embeddings_only(study: picme.Study) -> None:
    """Frozen encoders give every seed the same embeddings, so there is no spread to show."""
    table = study.table("attributions").filter(method="shapley")
    assert table.filter(strategy="contrastive")["std"].is_null().all()
    given = study.table("attributions").filter(method="lambda")
    assert given.height == 6
    assert given["std"].is_null().all()
    assert (table.filter(strategy="gated")["std"] > 0).all()


def test_mean_baseline_is_another_one(study: picme.Study) -> None:
    zero, mean = (values(study, "strong+weak+noise", "gated", method) for method in SHARES)
    assert zero != mean
    # Frozen embeddings are standardised with the training stays, so their mean is zero.
    zero, mean = (values(study, "strong+weak+noise", "contrastive", method) for method in SHARES)
    assert zero == pytest.approx(mean, abs=1e-3)


def test_agreement_is_of_the_table_itself(study: picme.Study) -> None:
    table = study.table("agreement")
    rows = table.filter(combination="strong+weak+noise", strategy="gated")
    assert rows.height == 6  # pairs of four methods
    for row in rows.iter_rows(named=True):
        both = {name: values(study, "strong+weak+noise", "gated", row[name]) for name in ("method_a", "method_b")}
        expected = rank_agreement(both)[0]
        assert (row["tau"], row["modalities"]) == (expected["tau"], 3)


def test_completeness_error_is_kept(study: picme.Study) -> None:
    manifests = list(Run(study.config, study.folder).store.manifests("attribute"))
    assert manifests
    for manifest in manifests:
        assert 0 <= manifest["completeness_error"] <= 0.01


def test_the_key_knows_what_is_wanted(study: picme.Study) -> None:
    def keys(setting: str) -> list[str]:
        evaluate = study.config.evaluate.model_copy(update={"shapley": setting})
        run = Run(study.config.model_copy(update={"evaluate": evaluate}), study.folder)
        steps = run.graph.of("attribute")
        return [step.key for step in steps if step.finetuned[0].cell.strategy == "contrastive"]

    every, largest, off = keys("all"), keys("largest"), keys("off")
    sizes = [3 if a == b else 2 for a, b in zip(every, largest, strict=True)]
    assert sorted(set(sizes)) == [2, 3]
    assert all(a != b for a, b in zip(every, off, strict=True))
    assert [a != b for a, b in zip(largest, off, strict=True)] == [size == 3 for size in sizes]
