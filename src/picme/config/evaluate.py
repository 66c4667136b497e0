"""Configuration of how results are judged: resampling, comparisons, subgroups, calibration, thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from picme.config.base import Section
from picme.config.bounds import Number, Seed
from picme.config.names import Column
from picme.strategies import BUILT_IN, OPTIONAL

if TYPE_CHECKING:
    from collections.abc import Iterable

    from picme.strategies import Strategy

# Those that a study is compared with by default; others bring their comparisons where a study names them.
USUAL = tuple(one for name, one in BUILT_IN.items() if name not in OPTIONAL)


class ThresholdRule(Section):
    """Rule by which a decision threshold is chosen, always on the validation split."""

    kind: Literal["sensitivity_at_specificity", "specificity_at_sensitivity", "youden", "min_sensitivity_ppv"]
    """The greatest sensitivity among thresholds with at least this specificity, the reverse, Youden's J (1950), or the
    greatest lesser of sensitivity and positive predictive value, as the PhysioNet challenge 2012 asks for."""
    value: float | None = Field(default=None, gt=0, lt=1)
    """Specificity or sensitivity to hold, a fraction; the kinds without `_at_` take none."""

    @model_validator(mode="after")
    def _value_where_needed(self) -> Self:
        if (self.value is None) == ("_at_" in self.kind):
            raise ValueError("`value` (a fraction) is needed by the kinds with `_at_`; the others take none")
        return self

    @property
    def title(self) -> str:
        """Return the rule as the `thresholds` table has it, such as `sensitivity at 90 % specificity`."""
        if self.value is None:
            return {"youden": "youden", "min_sensitivity_ppv": "min(sensitivity, PPV)"}[self.kind]
        wanted, held = self.kind.split("_at_")
        return f"{wanted} at {100 * self.value:g} % {held}"


class ComparisonsConfig(Section):
    """Choice of the differences that are tested; each pair of strategies and each question is one family for Holm's
    correction."""

    families: tuple[Literal["controls", "strategies", "combinations", "singles", "baselines"], ...] = (
        "controls",
        "strategies",
        "combinations",
        "singles",
        "baselines",
    )
    """Questions that are tested. `controls` and `strategies` compare the pairs below within every combination;
    `combinations` compares the combination best on validation with every other, within every strategy; `singles`
    compares the best on validation among combinations with the best among single modalities; `baselines` compares the
    strategy best on validation with each baseline, within every combination."""
    controls: tuple[tuple[str, str], ...] = Field(
        default_factory=lambda: tuple(
            (one.name, other)
            for one in sorted(USUAL, key=lambda one: not one.starts_from_pretraining)
            for other in one.controls
        )
    )
    """Pairs of a strategy and its control, which show first what pretraining adds and then what the gate does. By
    default, the controls that each strategy declares; one that takes any subset, or one of another package, brings its
    own where a study names it and lists no pairs."""
    strategies: tuple[tuple[str, str], ...] = Field(
        default_factory=lambda: tuple((one.name, other) for one in USUAL for other in one.alternatives)
    )
    """Pairs of strategies that are alternatives for a user. By default, the alternatives that each strategy
    declares."""
    baselines: tuple[str, ...] = Field(default_factory=lambda: tuple(one.name for one in USUAL if one.baseline))
    """Strategies that a user would take without picme; they are never selected as best."""

    @model_validator(mode="after")
    def _pairs_differ(self) -> Self:
        for key, pairs in (("controls", self.controls), ("strategies", self.strategies)):
            for one, other in pairs:
                if one == other:
                    raise ValueError(f"{key}: {one!r} is compared with itself")
        return self


class MissingConfig(Section):
    """The missingness grid: modalities are withheld from test stays, and every strategy predicts from what is left."""

    rates: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)
    """Shares of the modalities that are withheld."""
    mechanisms: tuple[Literal["mcar", "mar", "mnar"], ...] = ("mcar", "mar", "mnar")
    """Causes of withholding more from some stays. `mcar`: chance alone. `mar`: what is observed; the more, the less
    severely ill a stay looks by the modality `severity`, which is itself never withheld. `mnar`: the outcome; more from
    stays without it."""
    severity: str | None = None
    """Modality whose summary features say how severely ill a stay looks: the risk of the task's labels by a logistic
    regression on training stays. By default the first time series, without one the first table."""
    slope: float = Field(default=4, ge=0, le=50)
    """How much `mar` and `mnar` depend on severity and outcome: the log odds of being withheld of the stay that looks
    least severely ill, or of one without the outcome, above those at the other end."""

    @field_validator("rates")
    @classmethod
    def _shares(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < rate < 1 for rate in rates):
            raise ValueError("each rate lies between 0 and 1")
        return tuple(sorted(set(rates)))

    @field_validator("mechanisms")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(names))


class EvaluateConfig(Section):
    """Settings of metrics, intervals, comparisons and subgroups, and of what is attributed to modalities."""

    resamples: int = Field(default=2000, ge=100, le=1_000_000)
    """Bootstrap resamples over subjects for comparisons, and for the intervals of `summary`, which share them."""
    interval_resamples: int = Field(default=1000, ge=100, le=1_000_000)
    """Resamples for the intervals of subgroups (and of `summary` if nothing is compared)."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of every interval."""
    seed: Seed = Field(default=0, ge=0)
    """Seed of the resampling."""
    attributes: tuple[Column, ...] = ("gender", "ethnicity", "age_group", "modalities")
    """Cohort columns that define subgroups, where a cohort has them; `modalities` divides the stays that have all from
    those that lack some, where `require` admits these."""
    groups: tuple[Column, ...] = ()
    """Further cohort columns that define subgroups; an unknown column is an error."""
    crossed: tuple[tuple[Column, ...], ...] = (("gender", "ethnicity"),)
    """Columns taken together as one attribute (`gender × ethnicity`)."""
    min_group: Number = Field(default=10, ge=1)
    """Subgroups with fewer stays are suppressed: neither counts nor metrics are written. A bin of the calibration curve
    holds at least as many, and a cell of the baseline table."""
    min_events: Number = Field(default=6, ge=0)
    """Subgroups are suppressed too where fewer subjects have an outcome, or lack one. An AUROC needs 6 of each for an
    interval."""
    ece_bins: int = Field(default=10, ge=2, le=100)
    """Bins of equal width for the expected calibration error; the calibration curve joins neighbours that hold few
    stays."""
    thresholds: tuple[ThresholdRule, ...] = (
        ThresholdRule(kind="sensitivity_at_specificity", value=0.9),
        ThresholdRule(kind="specificity_at_sensitivity", value=0.9),
        ThresholdRule(kind="youden"),
    )
    """Rules by which decision thresholds are chosen on validation stays, as the median over resamples of the
    subjects."""
    comparisons: ComparisonsConfig = Field(default_factory=ComparisonsConfig)
    """Choice of the differences that are tested."""
    controls: tuple[str, ...] = Field(
        default_factory=lambda: tuple(one.name for one in USUAL if not one.selectable and not one.baseline)
    )
    """Strategies that exist to be compared with; they are never selected as best."""
    margin: float = Field(default=0.01, gt=0, lt=1)
    """The gain that counts as nothing, in the unit of each metric: a modality whose interval ends below it adds
    nothing measurable, and a combination that is at most so much worse than the best one is enough."""
    decision_thresholds: tuple[float, ...] = (0.1, 0.2)
    """Probabilities at which net benefit is told: a stay at or above is acted on."""
    shapley: Literal["all", "largest", "off"] = "largest"
    """Combinations for which every coalition of modalities is fitted: each of 2^K − 1 gets a head on the embeddings of
    every seed. `largest` takes the combinations with the most modalities that the study fine-tunes."""
    missing: Annotated[
        Annotated[Literal["off"], Tag("'off'")] | Annotated[MissingConfig, Tag("MissingConfig")],
        Discriminator(lambda value: "'off'" if isinstance(value, str) else "MissingConfig"),
    ] = "off"
    """The missingness grid of the models of all modalities: each subset of the modalities, the stays as they are, and
    modalities withheld at rates. Models that `study.withhold` names are in it too."""

    @field_validator("decision_thresholds")
    @classmethod
    def _probabilities(cls, thresholds: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < threshold < 1 for threshold in thresholds):
            raise ValueError("each threshold lies between 0 and 1")
        return tuple(sorted(set(thresholds)))

    @model_validator(mode="after")
    def _crossed_of_two(self) -> Self:
        for columns in self.crossed:
            if len(columns) < 2 or len(set(columns)) < len(columns):
                raise ValueError(f"`crossed` takes lists of two or more different columns, not {list(columns)}")
        return self

    def wants_shapley(self, size: int, largest: int) -> bool:
        """Return whether a combination of `size` modalities gets Shapley values, where the study's largest have
        `largest`."""
        return size > 1 and (self.shapley == "all" or (self.shapley == "largest" and size == largest))

    def with_strategies(self, others: Iterable[Strategy]) -> EvaluateConfig:
        """Return the settings with the comparisons that strategies of other packages declare."""
        added = list(others)
        tests = self.comparisons
        declared: dict[str, list[Any]] = {
            "controls": [(one.name, other) for one in added for other in one.controls],
            "strategies": [(one.name, other) for one in added for other in one.alternatives],
            "baselines": [one.name for one in added if one.baseline],
        }
        # What the configuration lists itself is not added to.
        open_ = {name: more for name, more in declared.items() if name not in tests.model_fields_set}
        tests = tests.model_copy(update={name: _with(getattr(tests, name), *more) for name, more in open_.items()})
        controls = [one.name for one in added if not one.selectable and not one.baseline]
        return self.model_copy(update={"comparisons": tests, "controls": _with(self.controls, *controls)})

    def selectable(self, strategy: str) -> bool:
        """Return whether a strategy can be reported as the best one."""
        return strategy not in self.controls and strategy not in self.comparisons.baselines


def _with(given: tuple[Any, ...], *more: Any) -> tuple[Any, ...]:
    return tuple(dict.fromkeys((*given, *more)))
