"""Group fairness of decisions: how far the rates of the groups lie apart.

The measures are those of fairlearn (Weerts et al., 2023), with which a test compares them. Only the selected
combination and strategy is judged. Decisions are made at each label's Youden threshold from validation; disparities are
between the subgroups that are not suppressed, averaged over the labels where they are defined.
"""

from __future__ import annotations

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

    A difference in rates is NaN for a label if one of the groups has one class only.
    """
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
                values[:, index] = differences(
                    y[members] == 1, test[index][members] >= threshold, attribute.code[members]
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


def differences(y: NDArray[np.bool_], called: NDArray[np.bool_], group: NDArray[np.integer]) -> list[float]:
    """Compute the metrics of METRICS for one label: the greatest rate of a group minus the least.

    Args:
        y: whether each stay has the label (stay,).
        called: whether it is called positive (stay,).
        group: the group of each stay (stay,).
    """
    _, whose = np.unique(group, return_inverse=True)

    def spread(among: NDArray[np.bool_]) -> float:
        """Return that of the shares called positive among some stays; NaN where a group has none of them."""
        sizes = np.bincount(whose, among)
        return float(np.ptp(np.bincount(whose, called & among) / sizes)) if sizes.all() else float("nan")

    opportunity = spread(y)
    return [spread(np.ones_like(y)), opportunity, float(np.maximum(opportunity, spread(~y)))]
