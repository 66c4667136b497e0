"""The perfect observer of every subset of the modalities."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from picme_hospital import MODALITIES, Planted
from picme_hospital.arguments import MORTALITY_RATE
from picme_hospital.latent import MORTALITY_SPREAD, intercept, sigmoid
from picme_hospital.observer import observed, sufficient
from picme_hospital.patients import admit

SUBSETS = [frozenset(part) for size in range(6) for part in combinations(MODALITIES, size)]
FEW = 60_000


def test_independent_parts_add_up() -> None:
    shares = {"timeseries": 0.5, "discharge": 0.3, "image": 0.2}
    rng = np.random.default_rng(1)
    part = {name: MORTALITY_SPREAD * np.sqrt(share) * rng.normal(size=FEW) for name, share in shares.items()}
    logit = np.sum(list(part.values()), axis=0)
    died = rng.random(FEW) < sigmoid(intercept(logit, MORTALITY_RATE) + logit)
    values = observed(Planted(shares), FEW)
    assert values.keys() == set(SUBSETS)
    for subset in SUBSETS:
        known = [part[name] for name in subset if name in part]
        expected = roc_auc_score(died, np.sum(known, axis=0)) if known else 0.5
        assert values[subset] == pytest.approx(expected, abs=0.012), subset


def test_no_model_of_the_views_is_better() -> None:
    planted = Planted({"timeseries": 0.2, "discharge": 0.2}, redundancy=0.3, synergy=0.3)
    values = observed(planted, FEW)
    h = admit(20_000, seed=3, planted=planted)
    view, died = h.latent.views, h.latent.died
    signs = {"image": view["image"]["pads"], "timeseries": view["timeseries"]["rhythm"]}
    columns = {
        "timeseries": [view["timeseries"]["severity"], view["timeseries"]["infection"]],
        "discharge": [view["discharge"][name] for name in ("chronic", "brain", "kidney")],
        "image": [view["image"]["heart"]],
        "radiology": [view["radiology"]["heart"]],
    }
    for names in (("image",), ("radiology",), ("image", "radiology"), ("image", "timeseries"), tuple(columns)):
        x = [each for name in names for each in columns[name]] + [signs[name] for name in names if name in signs]
        if signs.keys() <= set(names):
            x.append(signs["image"] * signs["timeseries"])
        x, train = np.column_stack(x), np.arange(len(died)) % 2 == 0
        p = LogisticRegression().fit(x[train], died[train]).predict_proba(x[~train])[:, 1]
        # The views carry the own parts with a little noise, which the observer does not have.
        assert values[frozenset(names)] == pytest.approx(roc_auc_score(died[~train], p) + 0.005, abs=0.02), names


def test_signs_of_the_interactions() -> None:
    planted = Planted({"timeseries": 0.25, "discharge": 0.2}, redundancy=0.25, synergy=0.3)
    values = observed(planted, FEW)

    def together(one: str, other: str, given: frozenset[str] = frozenset()) -> float:
        each = values[given | {one}] + values[given | {other}]
        return values[given | {one, other}] - each + values[given]

    assert together("image", "timeseries", frozenset({"radiology"})) > 0.05
    assert together("image", "radiology") < -0.1
    assert together("image", "demographics") == pytest.approx(0, abs=0.01)
    assert sufficient(values, 0.01) == {"discharge", "image", "timeseries"}


def test_sufficient() -> None:
    values = {frozenset(): 0.5, frozenset("a"): 0.7, frozenset("b"): 0.69, frozenset("ab"): 0.705}
    assert sufficient(values, 0.02) == {"a"}
    assert sufficient(values, 0.004) == {"a", "b"}
