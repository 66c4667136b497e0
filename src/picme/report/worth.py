"""The answer to what a modality adds to others, as a sentence with its interval."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from picme.errors import ConfigError, near
from picme.evaluate.value import NOTHING, verdict
from picme.report.words import strategy_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import polars as pl


@dataclass(frozen=True)
class Worth:
    """The gain from a modality added to others; `str` gives it as a sentence.

    Attributes:
        task, strategy, metric, source: as in the table `lattice`.
        given: the modalities that there are already, joined by `+`; empty for none.
        added: the modality that is added.
        value: what it adds, a fraction; None where it is not defined.
        low, high: the interval; None where there is none.
        verdict: `adds`, `nothing measurable` or `undecided`.
        at_most: the upper end of the interval, where nothing measurable is added.
        no_interval: why there is no interval.
    """

    task: str
    strategy: str
    metric: str
    source: str
    given: str
    added: str
    value: float | None
    low: float | None
    high: float | None
    verdict: str
    at_most: float | None
    no_interval: str | None

    def __str__(self) -> str:
        names = self.given.split("+")
        before = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else self.given
        start = f"Given {before}, {self.added}" if self.given else f"By itself, {self.added}"
        about = f"{self.metric.upper()} ({self.task}, {strategy_text(self.strategy)})"
        if self.value is None:
            return f"{start} has no value in {about}: no label has stays of both classes."
        said = f"{start} adds {points(self.value)} points of {about}"
        if self.low is None or self.high is None:
            return f"{said}; there is no interval: {self.no_interval}."
        ends = f"{said} ({points(self.low)} to {points(self.high)})"
        if self.verdict == NOTHING:
            return f"{ends}: nothing measurable above {100 * (self.at_most or 0):.1f} points."
        return f"{ends}: {self.verdict}."

    def plain(self) -> dict[str, Any]:
        """Return the answer as plain values."""
        return {**asdict(self), "sentence": str(self)}


def points(value: float) -> str:
    """Return a difference of fractions in points, with its sign."""
    shown = f"{100 * value:+.1f}"
    return ("0.0" if float(shown) == 0 else shown).replace("-", "−")


def tellers(rows: pl.DataFrame, chosen: Collection[str] = (), never: Collection[str] = ()) -> list[str]:
    """Return the strategies that rows of a value table are about, the one to be asked first in front.

    Args:
        rows: of the value table. Models dedicated to every subset go before one model for all.
        chosen: the strategies that validation chose, which go before others of their kind.
        never: controls and baselines, which go last.
    """
    known = rows.drop_nulls("strategy").unique("strategy", keep="first", maintain_order=True)
    pairs = known.select("strategy", "source").rows()
    return [name for name, _ in sorted(pairs, key=lambda one: (one[0] in never, one[1] or "", one[0] not in chosen))]


def worth(
    lattice: pl.DataFrame,
    names: Sequence[str],
    task: str,
    added: str,
    given: Sequence[str] | None = None,
    strategy: str | None = None,
    metric: str = "auroc",
    margin: float = 0.01,
    chosen: Collection[str] = (),
    never: Collection[str] = (),
) -> Worth:
    """Return what a modality adds to others.

    Args:
        lattice: the result table.
        names: the modalities of the study, in its order.
        task: the task of the study.
        added: the modality that is added.
        given: those that there are already; all others if not given.
        strategy: whose models tell it; by default the first of `tellers`.
        metric: `auroc` or `auprc`.
        margin: what counts as nothing.
        chosen, never: as for `tellers`.

    Raises:
        ConfigError: for a name that the study does not have, or a strategy without predictions of every subset.
    """
    before = [name for name in names if name != added] if given is None else list(given)
    for name in (added, *before):
        if name not in names:
            raise ConfigError(f"the study has no modality {name!r}{near(name, names)}")
    if added in before:
        raise ConfigError(f"{added!r} is among those that are given already")
    rows = lattice.filter(task=task, metric=metric, stays="complete")
    told = tellers(rows, chosen, never)
    if not told:
        known = lattice["task"].unique(maintain_order=True).to_list()
        raise ConfigError(f"no predictions of every subset tell the value for {task!r}{near(task, known)}")
    if strategy is not None and strategy not in told:
        raise ConfigError(f"{strategy!r} has no predictions of every subset{near(strategy, told)}; {told[0]!r} has")
    inside = "+".join(name for name in names if name in before)
    row = rows.filter(strategy=strategy or told[0], combination=inside, added=added).row(0, named=True)
    kept = {name: row[name] for name in ("task", "strategy", "metric", "source", "value", "low", "high", "no_interval")}
    judged = {"at_most": None} | verdict(row, margin)
    return Worth(**kept, given=inside, added=added, **judged)
