"""What the tables say: frames with every column, the best cell of each task, and what it is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from picme.config.evaluate import EvaluateConfig

Tables = dict[str, pl.DataFrame]
Row = dict[str, Any]

# Numbers, counts and flags among the columns below; every other column is text.
_TYPES = {
    pl.Int64: """stays subjects stays_present stays_total count positives_a positives_b both n_modalities k
        candidates epoch seed n positives n_seeds best_epoch batch_size n_stays n_subjects bin stay trial groups
        labels modalities""",
    pl.Float64: """chance value weight train_loss val_loss val_recall5 temperature seconds auroc auprc auroc_mean
        auroc_std auprc_mean auprc_std ensemble_auroc ensemble_auroc_low ensemble_auroc_high ensemble_auprc
        ensemble_auprc_low ensemble_auprc_high validation_auroc difference low high p_value p_adjusted val_auroc
        learning_rate std brier ece slope intercept brier_recalibrated ece_recalibrated mean_predicted observed
        threshold sensitivity specificity ppv npv x y tau epochs peak_memory_mb share""",
    pl.Boolean: "violation selected suppressed",
}
_TYPE_OF = {name: kind for kind, columns in _TYPES.items() for name in columns.split()}
COLUMNS = {
    "cohort_flow": "task step stays subjects",
    "availability": "task modality split stays_present stays_total",
    "quarantine": "modality reason count",
    "leakage": "check modality split count detail violation preset label auroc",
    "label_agreement": "phenotype positives_a positives_b both",
    "alignment": "combination n_modalities metric source target k split candidates chance value",
    "lambdas": "combination epoch modality weight selected",
    "pretraining": "combination epoch train_loss val_loss val_recall5 temperature seconds selected",
    "scores": "task combination strategy seed split label auroc auprc n positives",
    "summary": """task combination strategy n_seeds auroc_mean auroc_std auprc_mean auprc_std ensemble_auroc
        ensemble_auroc_low ensemble_auroc_high ensemble_auprc ensemble_auprc_low ensemble_auprc_high selected
        validation_auroc""",
    "comparisons": """task combination_a strategy_a combination_b strategy_b metric difference low high p_value
        p_adjusted family""",
    "finetuning": "task combination strategy seed epoch train_loss val_auroc best_epoch learning_rate batch_size",
    "subgroups": "task combination strategy attribute group n_stays n_subjects positives auroc low high suppressed",
    "fairness": "task combination strategy attribute metric value groups labels",
    "phenotype_types": "combination strategy type auroc_mean auroc_std",
    "attributions": "task combination strategy modality method value std",
    "agreement": "task combination strategy method_a method_b tau modalities",
    "calibration": """task combination strategy brier ece bin mean_predicted observed n slope intercept
        brier_recalibrated ece_recalibrated""",
    "thresholds": "task combination strategy label rule threshold sensitivity specificity ppv npv",
    "tsne": "combination epoch stay modality x y",
    "search": "stage task combination strategy trial learning_rate batch_size value",
    "runtimes": "stage combination task strategy seconds epochs peak_memory_mb",
    "label_efficiency": "task combination strategy share seed auroc auprc",
    "gate_orders": "task combination strategy order seed auroc auprc",
    "pretraining_seeds": "combination seed val_recall5 best_epoch epochs learning_rate batch_size",
    "ceiling": "task label auroc",
}

# Strategies that are there to be compared with.
UNSELECTABLE = (*EvaluateConfig().controls, *EvaluateConfig().comparisons.baselines)

# What each strategy has to beat to have shown anything, the closest control first.
CONTROLS = {
    "contrastive": ("random",),
    "finetuned": ("supervised", "random"),
    "gated": ("gated_uniform", "supervised_lstm", "supervised"),
    "gated_uniform": ("supervised_lstm", "supervised"),
    "supervised": ("random",),
    "supervised_lstm": ("supervised",),
    "supervised_attention": ("supervised",),
    "supervised_sum": ("supervised",),
}


def frame(tables: Tables, name: str) -> pl.DataFrame:
    """A result table with every column of the contract and its type; empty where the study has no such table."""
    given = tables.get(name)
    columns = COLUMNS[name].split()
    if given is None:
        given = pl.DataFrame()
    made = []
    for column in columns:
        kind = _TYPE_OF.get(column, pl.String)
        source = pl.col(column) if column in given.columns else pl.lit(None)
        cast = source.cast(kind, strict=False)
        made.append((cast.fill_nan(None) if kind == pl.Float64 else cast).alias(column))
    if not given.columns:
        return pl.DataFrame(schema={column: _TYPE_OF.get(column, pl.String) for column in columns})
    return given.select(made)


def modalities(tables: Tables, config: dict[str, Any]) -> list[str]:
    """Modalities in the configuration's order; from the combinations where the configuration does not say."""
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
    """Tasks in the configuration's order, then those that only the tables know."""
    named = config.get("tasks")
    found = [str(name) for name in named] if isinstance(named, dict | list | tuple) else []
    present = frame(tables, "summary")["task"].drop_nulls().unique(maintain_order=True).to_list()
    return [task for task in found if task in present] + [task for task in present if task not in found]


def headline_label(scores: pl.DataFrame, task: str) -> str | None:
    """The label whose score stands for a task: the macro mean, or the only label."""
    labels = scores.filter(pl.col("task") == task)["label"].drop_nulls().unique(maintain_order=True).to_list()
    if "macro" in labels:
        return "macro"
    return labels[0] if labels else None


@dataclass(frozen=True)
class Difference:
    """One cell against another, in AUROC; `low` and `high` are None where no test was made."""

    other: Row
    value: float
    low: float | None
    high: float | None
    p: float | None
    tested: bool

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    @property
    def source(self) -> str:
        """Where the number comes from."""
        return "comparisons.difference" if self.tested else "derived:summary"


@dataclass(frozen=True)
class Answer:
    """A task's best cell and what it must be seen against.

    Attributes:
        task: its name.
        best: row of `summary`.
        on_validation: whether validation decided; test otherwise.
        control: over what the strategy has to beat.
        across: over the best single modality, where several are best together; over the best combination of several,
            where a single one is best.
        ceiling: row of `ceiling`.
    """

    task: str
    best: Row
    on_validation: bool
    control: Difference | None
    across: Difference | None
    ceiling: Row | None

    @property
    def combined(self) -> bool:
        """Whether the best cell combines modalities."""
        return "+" in self.best["combination"]

    @property
    def auroc(self) -> tuple[float | None, str]:
        """The figure to show: of the seed-averaged prediction, which has an interval, or the mean over seeds."""
        if self.best["ensemble_auroc"] is not None:
            return self.best["ensemble_auroc"], "summary.ensemble_auroc"
        return self.best["auroc_mean"], "summary.auroc_mean"


def validation(tables: Tables, task: str) -> pl.DataFrame:
    """Validation AUROC of each cell, of the seed-averaged prediction or the mean over seeds."""
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
    """A task's summary rows, best first, and whether validation decided the order (test otherwise)."""
    rows = frame(tables, "summary").filter((pl.col("task") == task) & pl.col("auroc_mean").is_not_null())
    joined = rows.join(validation(tables, task), on=["combination", "strategy"], how="left", maintain_order="left")
    known = joined["validation"].is_not_null().any()
    selected = rows["selected"].fill_null(False).any()
    order = "validation" if known else "auroc_mean"
    keys = [pl.col("selected").fill_null(False), pl.col(order)]
    joined = joined.sort(keys, descending=True, nulls_last=True, maintain_order=True)
    return joined, bool(known or selected)


def answer(tables: Tables, task: str) -> Answer | None:
    """The best cell of a task; None where no AUROC is defined."""
    rows, on_validation = ranked(tables, task)
    if rows.is_empty():
        return None
    cells = rows.to_dicts()
    best = cells[0]
    control = next(
        (
            cell
            for name in CONTROLS.get(best["strategy"], ())
            for cell in cells
            if cell["strategy"] == name and cell["combination"] == best["combination"]
        ),
        None,
    )
    others = [cell for cell in cells if ("+" in cell["combination"]) != ("+" in best["combination"])]
    # What can be selected is what the comparisons test; controls and baselines only where there is nothing else.
    across = next((cell for cell in others if cell["strategy"] not in UNSELECTABLE), next(iter(others), None))
    limits = frame(tables, "ceiling").filter((pl.col("task") == task) & pl.col("auroc").is_not_null())
    label = headline_label(frame(tables, "scores"), task)
    limit = [row for row in limits.to_dicts() if row["label"] == label] or limits.to_dicts()
    return Answer(
        task,
        best,
        on_validation,
        difference(tables, best, control) if control else None,
        difference(tables, best, across) if across else None,
        limit[0] if limit else None,
    )


def answers(tables: Tables, config: dict[str, Any]) -> list[Answer]:
    """The answer for each task that has one."""
    found = (answer(tables, task) for task in tasks(tables, config))
    return [item for item in found if item is not None]


def difference(tables: Tables, a: Row, b: Row) -> Difference | None:
    """`a` minus `b` in AUROC: the tested difference where there is one, else that of the two summary rows."""
    tests = frame(tables, "comparisons").filter((pl.col("task") == a["task"]) & (pl.col("metric") == "auroc"))
    for first, second, sign in ((a, b, 1), (b, a, -1)):
        for row in tests.iter_rows(named=True):
            names = (row["combination_a"], row["strategy_a"], row["combination_b"], row["strategy_b"])
            wanted = (first["combination"], first["strategy"], second["combination"], second["strategy"])
            if names == wanted and row["difference"] is not None:
                low, high = (row["low"], row["high"]) if sign > 0 else (row["high"], row["low"])
                return Difference(
                    b,
                    sign * row["difference"],
                    None if low is None else sign * low,
                    None if high is None else sign * high,
                    row["p_adjusted"] if row["p_adjusted"] is not None else row["p_value"],
                    tested=True,
                )
    for key in ("ensemble_auroc", "auroc_mean"):
        if a[key] is not None and b[key] is not None:
            return Difference(b, a[key] - b[key], None, None, None, tested=False)
    return None


def interleaved(groups: list[list[Any]]) -> list[Any]:
    """The first of each group, then the second of each, …: so that what is cut off at the end is the least of all."""
    longest = max(map(len, groups), default=0)
    return [group[index] for index in range(longest) for group in groups if index < len(group)]


def by_rank(tables: Tables, config: dict[str, Any], rows: pl.DataFrame) -> list[tuple[str, str, pl.DataFrame]]:
    """A table in parts (task, combination, rows): the best combination of each task first, as many as configured."""
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
