"""How results are judged: resampling, comparisons, subgroups, calibration, thresholds."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from picme.config.base import Section


class ThresholdRule(Section):
    """How a decision threshold is chosen, always on the validation split."""

    kind: Literal["sensitivity_at_specificity", "specificity_at_sensitivity", "youden"]
    """The greatest sensitivity among thresholds with at least this specificity, the reverse, or Youden's J (1950)."""
    value: float | None = Field(default=None, gt=0, lt=1)
    """The specificity or sensitivity to hold, a fraction; none for `youden`."""

    @model_validator(mode="after")
    def _value_where_needed(self) -> Self:
        if (self.value is None) != (self.kind == "youden"):
            raise ValueError("`value` (a fraction) is needed by every kind but `youden`, which takes none")
        return self

    @property
    def title(self) -> str:
        """As written in the `thresholds` table, such as `sensitivity at 90 % specificity`."""
        if self.value is None:
            return self.kind
        wanted, held = self.kind.split("_at_")
        return f"{wanted} at {100 * self.value:g} % {held}"


class ComparisonsConfig(Section):
    """Which differences are tested; each pair of strategies and each question is one family for Holm's correction."""

    families: tuple[Literal["controls", "strategies", "combinations", "singles", "baselines"], ...] = (
        "controls",
        "strategies",
        "combinations",
        "singles",
        "baselines",
    )
    """`controls`, `strategies`: the pairs below within every combination; `combinations`: the one best on validation
    against every other, within every strategy; `singles`: the cell best on validation against the best
    single modality; `baselines`: the strategy best on validation against each baseline, within every combination."""
    controls: tuple[tuple[str, str], ...] = (
        ("contrastive", "random"),
        ("finetuned", "supervised"),
        ("gated", "gated_uniform"),
        ("gated", "supervised_lstm"),
    )
    """(strategy, its control): what pretraining or the gate adds."""
    strategies: tuple[tuple[str, str], ...] = (
        ("contrastive", "supervised"),
        ("gated", "supervised"),
        ("gated", "contrastive"),
        ("finetuned", "contrastive"),
        ("supervised_attention", "supervised"),
        ("supervised_sum", "supervised"),
        ("supervised", "random"),
    )
    """Pairs of strategies that are alternatives for a user."""
    baselines: tuple[str, ...] = ("gradient_boosting", "logistic_regression")
    """Strategies that a user would pick instead; never selected as best."""


class EvaluateConfig(Section):
    """Metrics, intervals, comparisons and subgroups, which read predictions; and what is attributed to modalities."""

    resamples: int = Field(default=10000, ge=100, le=1_000_000)
    """Bootstrap resamples over subjects for comparisons, and for the intervals of `summary`, which share them."""
    interval_resamples: int = Field(default=1000, ge=100, le=1_000_000)
    """Resamples for the intervals of subgroups (and of `summary` if nothing is compared)."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of every interval."""
    seed: int = Field(default=0, ge=0)
    """Seed of the resampling."""
    attributes: tuple[str, ...] = ("gender", "ethnicity", "age_group")
    """Cohort columns that define subgroups, where a cohort has them."""
    groups: tuple[str, ...] = ()
    """Further cohort columns that define subgroups; an unknown column is an error."""
    crossed: tuple[tuple[str, ...], ...] = (("gender", "ethnicity"),)
    """Columns taken together as one attribute (`gender × ethnicity`)."""
    min_group: int = Field(default=10, ge=1)
    """Subgroups with fewer stays are suppressed: neither counts nor metrics are written."""
    ece_bins: int = Field(default=10, ge=2, le=100)
    """Bins of equal width for the calibration curve and the expected calibration error."""
    thresholds: tuple[ThresholdRule, ...] = (
        ThresholdRule(kind="sensitivity_at_specificity", value=0.9),
        ThresholdRule(kind="specificity_at_sensitivity", value=0.9),
        ThresholdRule(kind="youden"),
    )
    """Rules for decision thresholds."""
    comparisons: ComparisonsConfig = ComparisonsConfig()
    """Which differences are tested."""
    controls: tuple[str, ...] = ("random", "gated_uniform", "supervised_lstm")
    """Strategies that exist to be compared with; never selected as best."""
    shapley: Literal["all", "largest", "off"] = "largest"
    """Combinations for which every coalition of modalities is fitted: each of 2^K − 1 gets a head on the embeddings of
    every seed. `largest` takes the combinations with the most modalities that the study fine-tunes."""

    @model_validator(mode="after")
    def _crossed_of_two(self) -> Self:
        for columns in self.crossed:
            if len(columns) < 2 or len(set(columns)) < len(columns):
                raise ValueError(f"`crossed` takes lists of two or more different columns, not {list(columns)}")
        return self

    def wants_shapley(self, size: int, largest: int) -> bool:
        """Whether a combination of `size` modalities gets Shapley values, where the study's largest have `largest`."""
        return size > 1 and (self.shapley == "all" or (self.shapley == "largest" and size == largest))

    def selectable(self, strategy: str) -> bool:
        """Whether a strategy can be reported as the best one."""
        return strategy not in self.controls and strategy not in self.comparisons.baselines
