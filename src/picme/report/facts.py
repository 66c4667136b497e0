"""Facts that the report states: the best cell of each task, and the cells that it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.config.evaluate import EvaluateConfig
from picme.config.finetune import StackedConfig
from picme.config.study import TaskConfig
from picme.results.tables import table
from picme.strategies import of_fusion, strategies
from picme.strategies.built_in import STACKED
from picme.tasks import build

if TYPE_CHECKING:
    from picme.strategies import Strategy
    from picme.tasks import Task

Tables = dict[str, pl.DataFrame]
Row = dict[str, Any]


def frame(tables: Tables, name: str) -> pl.DataFrame:
    """Return a result table with every declared column and its type; empty where the study has no such table.

    Unlike `Table.conform` it accepts a table that an older version wrote: a column that is missing there, or a value
    that does not fit, is null.
    """
    schema = table(name).schema
    given = tables.get(name)
    if given is None or not given.columns:
        return pl.DataFrame(schema=schema)
    columns = {column: pl.col(column) if column in given.columns else pl.lit(None) for column in schema}
    cast = {
        column: value if schema[column] is None else value.cast(schema[column], strict=False)
        for column, value in columns.items()
    }
    return given.select(**cast).with_columns(pl.selectors.float().fill_nan(None))


def modalities(tables: Tables, config: dict[str, Any]) -> list[str]:
    """Return the modalities in the configuration's order, or as the combinations name them where it does not say."""
    named = config.get("modalities")
    found = list(named) if isinstance(named, dict | list | tuple) else []
    known = [
        combination
        for name in ("alignment", "summary", "lambdas", "attributions", "tsne")
        for combination in frame(tables, name)["combination"].drop_nulls().unique(maintain_order=True)
    ]
    for combination in sorted(known, key=lambda item: -item.count("+")):
        found += [part for part in combination.split("+") if part not in found]
    return found


def tasks(tables: Tables, config: dict[str, Any]) -> list[str]:
    """Return the tasks in the configuration's order, then those that only the tables know."""
    named = config.get("tasks")
    found = [str(name) for name in named] if isinstance(named, dict | list | tuple) else []
    present = frame(tables, "summary")["task"].drop_nulls().unique(maintain_order=True).to_list()
    return [task for task in found if task in present] + [task for task in present if task not in found]


def headline_label(scores: pl.DataFrame, task: str) -> str | None:
    """Return the label whose score stands for a task: the macro mean, or the only label."""
    labels = scores.filter(pl.col("task") == task)["label"].drop_nulls().unique(maintain_order=True).to_list()
    if "macro" in labels:
        return "macro"
    return labels[0] if labels else None


@dataclass(frozen=True)
class Difference:
    """The difference of two cells in AUROC, of single models; `low` and `high` are None without a test.

    `p` is Holm's, which allows for the other comparisons of the same family. `obstacle` may say why there is no test.
    `ensembles` is the difference of the predictions averaged over seeds, with the ends of its interval, where that is
    tested.
    """

    other: Row
    value: float
    low: float | None
    high: float | None
    p: float | None
    tested: bool
    confidence: float
    obstacle: str | None = None
    ensembles: tuple[float, float, float] | None = None

    @property
    def clear(self) -> bool:
        """Return whether chance is an unlikely explanation, all comparisons of the family counted."""
        return self.alone if self.p is None else self.p < 1 - self.confidence

    @property
    def alone(self) -> bool:
        """Return whether it would be clear if it were the only comparison: its interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def source(self) -> str:
        """Return the table and column that the number comes from."""
        return "comparisons.difference" if self.tested else "derived:summary"


@dataclass(frozen=True)
class Answer:
    """A task's best cell and the cells that it is seen against.

    Attributes:
        task: the task's name.
        about: the task's declaration, which has its words.
        best: the best cell's row of `summary`.
        on_validation: whether validation scores decided which cell is best; test scores did otherwise.
        control: the difference to the first control, or else alternative, that the same combination was run with.
        alternative: whether `control` is an alternative of the strategy and not a control.
        across: the difference to the best single modality, or to the best combination where a single one is best.
        ceiling: the task's row of `ceiling`.
        confidence: coverage of the intervals.
        tied: number of cells that cannot be told apart from the one best on validation, and of those that may be
            chosen; None where that is not known.
        simplest: whether some of the tied have more modalities than the chosen one.
        highest: the difference to the one of the kind of `across` that is best on test, where validation picked
            another.
    """

    task: str
    about: Task
    best: Row
    on_validation: bool
    control: Difference | None
    alternative: bool
    across: Difference | None
    ceiling: Row | None
    confidence: float
    tied: tuple[int, int] | None = None
    simplest: bool = False
    highest: Difference | None = None

    @property
    def combined(self) -> bool:
        """Return whether the best cell combines modalities."""
        return "+" in self.best["combination"]

    @property
    def auroc(self) -> tuple[float | None, str]:
        """Return the AUROC to show and its source: of the seed-averaged prediction, or else the mean over seeds."""
        if self.best["ensemble_auroc"] is not None:
            return self.best["ensemble_auroc"], "summary.ensemble_auroc"
        return self.best["auroc_mean"], "summary.auroc_mean"


def validation(tables: Tables, task: str) -> pl.DataFrame:
    """Return each cell's validation AUROC, of the seed-averaged prediction or else the mean over seeds."""
    known = frame(tables, "summary").filter((pl.col("task") == task) & pl.col("validation_auroc").is_not_null())
    if not known.is_empty():
        return known.select("combination", "strategy", validation=pl.col("validation_auroc"))
    scores = frame(tables, "scores").filter(pl.col("task") == task)
    chosen = scores.filter(
        (pl.col("split") == "val") & pl.col("label").eq_missing(pl.lit(headline_label(scores, task)))
    )
    return chosen.group_by("combination", "strategy", maintain_order=True).agg(
        pl.col("auroc").mean().alias("validation")
    )


def ranked(tables: Tables, task: str) -> tuple[pl.DataFrame, bool]:
    """Return a task's summary rows, best first, and whether validation decided the order (test otherwise)."""
    rows = frame(tables, "summary").filter((pl.col("task") == task) & pl.col("auroc_mean").is_not_null())
    joined = rows.join(validation(tables, task), on=["combination", "strategy"], how="left", maintain_order="left")
    known = joined["validation"].is_not_null().any()
    selected = rows["selected"].fill_null(False).any()
    order = "validation" if known else "auroc_mean"
    keys = [pl.col("selected").fill_null(False), pl.col(order)]
    joined = joined.sort(keys, descending=True, nulls_last=True, maintain_order=True)
    return joined, bool(known or selected)


def declared(name: str, config: dict[str, Any]) -> Strategy | None:
    """Return a strategy's declaration; None where its package is not installed."""
    fusions = (config.get("finetune") or {}).get("fusions") or {}
    return of_fusion(name, fusions[name]["name"]) if name in fusions else strategies().get(name)


def members(stack: Strategy, config: dict[str, Any]) -> tuple[str, ...]:
    """Return the strategies whose predictions a strategy combines, in this study; none of one that combines none."""
    if stack.stacks != STACKED.stacks:
        return stack.stacks
    given = (config.get("finetune") or {}).get("stacked") or {}
    return tuple(given.get("strategies", StackedConfig().strategies))


def declared_task(name: str, config: dict[str, Any]) -> Task:
    """Return a task's declaration: a registered one, or what the configuration says of its label columns."""
    sections = config.get("tasks")
    section = (sections.get(name) if isinstance(sections, dict) else None) or {}
    return build(name, TaskConfig(labels=tuple(section.get("labels") or ())))


def baselines(config: dict[str, Any]) -> set[str]:
    """Return the study's baselines; those declared where it has no settings."""
    given = (config.get("evaluate") or {}).get("comparisons") or {}
    return set(given.get("baselines", EvaluateConfig().comparisons.baselines))


def unselectable(config: dict[str, Any]) -> set[str]:
    """Return the study's controls and baselines, which are never the best; those declared where it has no settings."""
    return {*(config.get("evaluate") or {}).get("controls", EvaluateConfig().controls), *baselines(config)}


def chosen(tables: Tables, task: str) -> list[str]:
    """Return the strategy of the cell that validation selected for a task; empty where it selected none."""
    return frame(tables, "summary").filter(pl.col("selected")).filter(task=task)["strategy"].to_list()


def answer(tables: Tables, task: str, config: dict[str, Any]) -> Answer | None:
    """Return the best cell of a task and what it is seen against; None where no AUROC is defined."""
    rows, on_validation = ranked(tables, task)
    if rows.is_empty():
        return None
    cells, never = rows.to_dicts(), unselectable(config)
    best = cells[0]
    if not on_validation:  # a control or a baseline only where there is nothing else
        best = next((cell for cell in cells if cell["strategy"] not in never), best)
    strategy = declared(best["strategy"], config)
    beside = {cell["strategy"]: cell for cell in cells if cell["combination"] == best["combination"]}
    wanted = (*strategy.controls, *strategy.alternatives) if strategy else ()
    control = next((beside[name] for name in wanted if name in beside), None)
    others = [cell for cell in cells if ("+" in cell["combination"]) != ("+" in best["combination"])]
    # The comparisons test what can be selected; a control or baseline stands here only where there is nothing else.
    across = next((cell for cell in others if cell["strategy"] not in never), next(iter(others), None))
    # What validation picked may be a weak one by chance, and flatter the best: beside it stands the strongest on test.
    strong = max((cell for cell in others if cell["strategy"] not in never), key=_on_test, default=across)
    limits = frame(tables, "ceiling").filter((pl.col("task") == task) & pl.col("auroc").is_not_null())
    label, sure = headline_label(frame(tables, "scores"), task), confidence(config)
    limit = [row for row in limits.to_dicts() if row["label"] == label] or limits.to_dicts()
    return Answer(
        task,
        declared_task(task, config),
        best,
        on_validation,
        difference(tables, best, control, sure) if control else None,
        bool(strategy and control and control["strategy"] not in strategy.controls),
        difference(tables, best, across, sure) if across else None,
        limit[0] if limit else None,
        sure,
        (int(rows["tied"].sum()), len(rows["tied"].drop_nulls())) if best["tied"] is not None else None,
        any(cell["tied"] and cell["combination"].count("+") > best["combination"].count("+") for cell in cells),
        difference(tables, best, strong, sure) if strong is not across and strong else None,
    )


def _on_test(cell: Row) -> float:
    return float("-inf") if cell["auroc_mean"] is None else cell["auroc_mean"]


def confidence(config: dict[str, Any]) -> float:
    """Return the coverage of the study's intervals."""
    return float((config.get("evaluate") or {}).get("confidence", EvaluateConfig().confidence))


def folds(config: dict[str, Any]) -> int:
    """Return the number of folds of a study by cross-fitting; 0 of a study with one division into splits."""
    splits = config.get("splits") or {}
    return int(splits.get("folds") or 0) if splits.get("kind") == "folds" else 0


def answers(tables: Tables, config: dict[str, Any]) -> list[Answer]:
    """Return the answer of each task that has one."""
    found = (answer(tables, task, config) for task in tasks(tables, config))
    return [item for item in found if item is not None]


def shown_first(tables: Tables, config: dict[str, Any], task: str) -> list[str]:
    """Return the strategies that a figure with many curves shows at first: the chosen one, then its control."""
    item = answer(tables, task, config)
    cells = [] if item is None else [item.best, *([item.control.other] if item.control else [])]
    return [cell["strategy"] for cell in cells]


def difference(tables: Tables, a: Row, b: Row, sure: float) -> Difference | None:
    """Return `a` minus `b` in AUROC: the tested difference where there is one, else that of the two summary rows.

    `sure` is the coverage of the interval.
    """
    tests = frame(tables, "comparisons").filter((pl.col("task") == a["task"]) & (pl.col("metric") == "auroc"))
    for first, second, sign in ((a, b, 1), (b, a, -1)):
        for row in tests.iter_rows(named=True):
            names = (row["combination_a"], row["strategy_a"], row["combination_b"], row["strategy_b"])
            wanted = (first["combination"], first["strategy"], second["combination"], second["strategy"])
            if names == wanted and row["difference"] is not None:
                low, high = _turned(row, "", sign)
                ends = _turned(row, "ensemble_", sign)
                return Difference(
                    b,
                    sign * row["difference"],
                    low,
                    high,
                    row["p_adjusted"] if row["p_adjusted"] is not None else row["p_value"],
                    tested=True,
                    confidence=sure,
                    obstacle=row["no_interval"],
                    ensembles=None if None in ends else (sign * row["ensemble_difference"], *ends),
                )
    for key in ("auroc_mean", "ensemble_auroc"):
        if a[key] is not None and b[key] is not None:
            return Difference(b, a[key] - b[key], None, None, None, tested=False, confidence=sure)
    return None


def _turned(row: Row, prefix: str, sign: int) -> tuple[Any, Any]:
    """Return the ends of a difference's interval, lower first, if the difference is taken the other way round."""
    ends = [row[f"{prefix}low"], row[f"{prefix}high"]][::sign]
    return tuple(None if end is None else sign * end for end in ends)  # type: ignore[return-value]


def interleaved(groups: list[list[Any]]) -> list[Any]:
    """Return the first of each group, then the second of each, …, so that a cut at the end costs the least."""
    longest = max(map(len, groups), default=0)
    return [group[index] for index in range(longest) for group in groups if index < len(group)]


def by_rank(tables: Tables, config: dict[str, Any], rows: pl.DataFrame) -> list[tuple[str, str, pl.DataFrame]]:
    """Return a table in parts (task, combination, rows): each task's best combination first, as many as configured."""
    limit = int((config.get("report") or {}).get("combinations", 30))
    groups = []
    present = rows["task"].drop_nulls().unique(maintain_order=True).to_list()
    order = [task for task in tasks(tables, config) if task in present]
    for task in order + [task for task in present if task not in order]:
        own = rows.filter(pl.col("task") == task)
        here = own["combination"].drop_nulls().unique(maintain_order=True).to_list()
        best = ranked(tables, task)[0]["combination"].unique(maintain_order=True).to_list()
        names = [name for name in best if name in here] + [name for name in here if name not in best]
        groups.append([(task, name, own.filter(pl.col("combination") == name)) for name in names[:limit]])
    return interleaved(groups)
