"""Sentences on the study's data and rules: source, cut-offs, audit, settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.facts import folds, frame
from picme.report.numbers import count, many, say
from picme.report.words import task_title

if TYPE_CHECKING:
    from picme.report.facts import Tables

SOURCES = {
    "synthetic": "a synthetic hospital, made by the program itself, with no real patient in it",
    "mimic": "the MIMIC-IV releases",
    "physionet2012": "the open PhysioNet 2012 challenge",
    "table": "the user’s own tables",
    "meds": "a hospital’s events in MEDS",
}
# Sources whose rows have a time at which they became known, so that the cohort's cut-offs apply.
_TIMED = ("synthetic", "mimic", "meds")
_PAPER = Markup(
    "This study follows the published protocol, which lets through what was written or taken after the prediction time"
    " (whole discharge summaries, reports and images of the whole admission). The outcome can be read in it, so these"
    " scores say nothing about prediction at the bedside."
)
_PROSPECTIVE = Markup(
    "Only what was known at the prediction time is admitted. Of notes written later, only sections that restate what"
    " was known at admission are used."
)
_UNTIMED = Markup(
    "The source does not say when each item became known. Time series end at the task’s prediction time, where it has"
    " one; to everything else no cut-off was applied: it is taken as known by then."
)


def studied(tables: Tables, config: dict[str, Any]) -> Markup:
    """Say in one sentence how many stays there were, from where, under which rule."""
    flow = frame(tables, "cohort_flow").drop_nulls("stays").filter(pl.col("split").is_null())
    source = config.get("source")
    kind = source.get("kind") if isinstance(source, dict) else None
    origin = SOURCES.get(str(kind), f"source “{kind}”" if kind else "the data given")
    if flow.is_empty():
        return say("Data: {origin}.", origin=origin)
    last = flow.group_by("task", maintain_order=True).last()
    parts = [
        say(
            "{n} stays for {task}",
            n=count(row["stays"], "cohort_flow.stays"),
            task=task_title(row["task"] or "all tasks").lower(),
        )
        for row in last.iter_rows(named=True)
    ]
    crossed = ", each tested once by cross-fitting" if folds(config) else ""
    return say("Data: {origin}; {parts}{crossed}.", origin=origin, parts=Markup(", ").join(parts), crossed=crossed)


def cross_fitting(config: dict[str, Any]) -> str | None:
    """Say what cross-fitting does with the stays; None for a study with one division into splits."""
    number = folds(config)
    once = "folds; every stay is validated once and tested once, by models that never trained on it"
    return f"{number} {once}" if number else None


def lets_through(tables: Tables, config: dict[str, Any], run_info: dict[str, Any]) -> list[Markup]:
    """List what a reader must know before the first number: cut-offs, audit, stays left out, failures."""
    notes = [note for note in (_cut_offs(config),) if note]
    if config.get("require") == "complete":
        notes.append(
            Markup("Only stays with every kind of data are studied; such stays are not a random sample of all stays.")
        )
    notes.append(_audit(tables))
    failed = run_info.get("failures") or []
    if failed:
        notes.append(
            say(
                "{n} failed, so some results are missing; see the record of the run.",
                n=many(len(failed), "derived:run", "job", "jobs"),
            )
        )
    return notes


def _cut_offs(config: dict[str, Any]) -> Markup | None:
    source, rules = config.get("source") or {}, config.get("cohort") or {}
    kind = source.get("kind")
    if kind not in _TIMED:
        return _UNTIMED if kind == "table" else None
    notes = rules.get("notes") or {}
    if "paper" in (rules.get("admit"), notes.get("mode")):
        return _PAPER
    return _PROSPECTIVE


def _audit(tables: Tables) -> Markup:
    audit = frame(tables, "leakage").filter(pl.col("violation").is_not_null())
    broken = audit.filter("violation")
    if audit.is_empty():
        return Markup("No leakage audit was recorded.")
    checks = many(audit.height, "derived:leakage", "check", "checks")
    if broken.is_empty():
        return say("The leakage audit made {n} and found no violation.", n=checks)
    return say(
        'The leakage audit found {k} in {n}; see <a href="#leakage">which</a> before using any number.',
        k=many(broken.height, "derived:leakage", "violation", "violations"),
        n=checks,
    )


# Words for settings whose values do not explain themselves.
_SETTINGS = {
    ("require", "complete"): "every modality",
    ("require", "any"): "at least two modalities",
    ("require", "none"): "nothing: every stay is kept",
    ("splits", "kind", "hash"): "by a hash of the subject",
    ("splits", "kind", "lists"): "the published lists of subjects",
    ("splits", "kind", "sets"): "whole sets of the source",
    ("splits", "kind", "time"): "by time: the latest are test",
    ("splits", "kind", "group"): "by whole groups of stays",
    ("finetune", "combinations", "best"): "the best-aligned of each size on validation stays",
    ("finetune", "combinations", "paper"): "the ten of the paper",
    ("cohort", "admit", "prospective"): "nothing from after the prediction time",
    ("cohort", "admit", "paper"): "notes and images of the whole admission",
    ("cohort", "notes", "mode", "prospective"): "what was known at the prediction time",
    ("cohort", "notes", "mode", "paper"): "as published, written after the prediction time too",
}


def rules(config: dict[str, Any]) -> list[tuple[str, str]]:
    """List in words the settings that decide what was studied, as (name, value)."""
    found: list[tuple[str, str]] = []

    def add(name: str, *path: str, unit: str = "") -> None:
        value: Any = config
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value is None or value in ("", [], {}, ()):
            return
        if isinstance(value, dict):
            value = ", ".join(str(key) for key in value)
        elif isinstance(value, list | tuple):
            value = ", ".join(str(item) for item in value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        found.append((name, _SETTINGS.get((*path, str(value)), f"{value}{unit}")))

    add("Study", "name")
    add("Source", "source", "kind")
    add("Modalities", "modalities")
    add("Tasks", "tasks")
    if (config.get("source") or {}).get("kind") in _TIMED:
        add("Youngest age", "cohort", "min_age")
        add("Admitted", "cohort", "admit")
        add("Notes", "cohort", "notes", "mode")
    add("Stays need", "require")
    crossed = cross_fitting(config)
    if crossed:
        found.append(("Splits", f"cross-fitting: {crossed}"))
        first = "alignment, embeddings, λ, learning curves, attributions, label efficiency, orders of the gate’s steps"
        found.append(("Of the first fold only", first))
    else:
        add("Splits", "splits", "kind")
    add("Pretraining sees the first", "pretrain", "window", unit=" h")
    add("Sizes of combinations", "study", "combination_sizes")
    add("Seeds of each cell", "study", "seeds")
    add("Fine-tuned combinations", "finetune", "combinations")
    return found
