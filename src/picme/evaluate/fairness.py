"""Group fairness of decisions, computed by fairlearn where that optional package is installed.

Only the selected combination and strategy is judged. Decisions are made at each label's Youden threshold from
validation; disparities are between the subgroups that are not suppressed, averaged over the labels where they are
defined.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from picme.config.evaluate import ThresholdRule
from picme.evaluate.subgroups import suppressed
from picme.evaluate.thresholds import settle_threshold
from picme.metrics.classification import macro

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from picme.config.evaluate import EvaluateConfig
    from picme.evaluate.bootstrap import SubjectResamples
    from picme.evaluate.predictions import CellPredictions, SplitStays
    from picme.evaluate.subgroups import Grouping

METRICS = ("demographic_parity_difference", "equal_opportunity_difference", "equalized_odds_difference")


def fairness_rows(
    cell: CellPredictions,
    stays: Mapping[str, SplitStays],
    resamples: SubjectResamples,
    found: list[Grouping],
    config: EvaluateConfig,
) -> list[dict[str, Any]]:
    """Return rows of `fairness`, one per attribute and metric, with the numbers of groups compared and labels averaged.

    Stays are those of a split; `resamples` are of the validation subjects, which the threshold is settled by.

    A difference in rates is NaN for a label if one of the groups has one class only. There are no rows without
    fairlearn.
    """
    if find_spec("fairlearn") is None:
        return []
    validation, test = cell.ensemble("val"), cell.ensemble("test")
    rule, held_out = ThresholdRule(kind="youden"), stays["val"].subject
    thresholds = [
        settle_threshold(y, p, held_out, rule, resamples)[0] for y, p in zip(cell.y["val"], validation, strict=True)
    ]
    rows = []
    for attribute, not_told in zip(found, suppressed(cell, stays["test"], found, config), strict=True):
        values = np.full((len(METRICS), len(cell.labels)), np.nan)
        groups = 0
        for index in range(len(cell.labels)):
            threshold = thresholds[index]
            y = cell.y["test"][index]
            sizes = np.bincount(attribute.code[~np.isnan(y)], minlength=len(attribute.groups))
            told = (sizes >= config.min_group) & ~not_told
            members = ~np.isnan(y) & told[attribute.code]
            groups = max(groups, int(told.sum()))
            if told.sum() >= 2 and not np.isnan(threshold):
                values[:, index] = _differences(
                    y[members].astype(int), (test[index][members] >= threshold).astype(int), attribute.code[members]
                )
        for metric, per_label in zip(METRICS, values, strict=True):
            rows.append(
                {
                    **cell.key,
                    "attribute": attribute.name,
                    "metric": metric,
                    "value": float(macro(per_label)),
                    "groups": groups,
                    "labels": int((~np.isnan(per_label)).sum()),
                }
            )
    return rows


def _differences(y: NDArray[np.int_], called: NDArray[np.int_], group: NDArray[np.int_]) -> list[float]:
    """Compute the metrics of METRICS for one label, from fairlearn's rates by group."""
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    rates = {"selection": selection_rate, "tpr": true_positive_rate, "fpr": false_positive_rate}
    # Equal rows are counted first, because rates depend on counts alone and a frame of a few weighted rows is fast.
    rows, counts = np.unique(np.column_stack([y, called, group]), axis=0, return_counts=True)
    with warnings.catch_warnings():
        # A group of one class is made NaN below; fairlearn and scikit-learn warn and give it 0.
        warnings.simplefilter("ignore")
        frame = MetricFrame(
            metrics=rates,
            y_true=rows[:, 0],
            y_pred=rows[:, 1],
            sensitive_features=rows[:, 2],
            sample_params={name: {"sample_weight": counts} for name in rates},
        )
    spread = frame.difference(method="between_groups")
    classes = [y[group == name] for name in np.unique(group)]
    no_positive = any((members == 1).sum() == 0 for members in classes)
    no_negative = any((members == 0).sum() == 0 for members in classes)
    opportunity = float("nan") if no_positive else float(spread["tpr"])
    odds = float("nan") if no_positive or no_negative else float(max(spread["tpr"], spread["fpr"]))
    return [float(spread["selection"]), opportunity, odds]
