"""The study in sentences that a clinician understands, and the project's words explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.report.facts import answers, frame, modalities
from picme.report.numbers import count, percent, points, say, signed, text_of

if TYPE_CHECKING:
    from picme.report.facts import Answer, Difference, Tables

# What a task predicts, and how the two kinds of stays are told apart in a sentence.
TASKS = {
    "mortality": ("death in hospital", "a patient who died in hospital", "one who survived"),
    "phenotyping": (
        "which conditions the stay is coded with",
        "a stay with a condition",
        "one without it, averaged over the conditions",
    ),
}
STRATEGIES = {
    "contrastive": "encoders pretrained by contrastive learning and then frozen, with a small network on top",
    "supervised": "everything trained from scratch on the task, with a small network on the concatenated embeddings",
    "gated": "everything trained on the task, the modalities read in turn by an LSTM whose steps are weighted by λ",
    "finetuned": "started from the contrastively pretrained encoders, then everything trained on the task",
    "random": "control: as contrastive, but with untrained projections in place of the pretrained ones",
    "gated_uniform": "control: the gated LSTM with the same weight for every modality",
    "supervised_lstm": "control: the gated LSTM with all weights one, which is a plain LSTM",
    "supervised_attention": "everything trained on the task, embeddings combined by attention",
    "supervised_sum": "everything trained on the task, embeddings added up",
    "gradient_boosting": "baseline: boosted trees on simple summary features",
    "logistic_regression": "baseline: logistic regression on simple summary features",
}


ENDS = "comparisons.low|comparisons.high"
# Fewer test stays with or without the outcome than this, and a score is a hint at most.
FEW = 15


def combination_text(combination: str | None) -> str:
    """`a+b` as it reads in a sentence: `a + b`."""
    return " + ".join((combination or "").split("+"))


def task_title(task: str) -> str:
    """A task's name as a heading."""
    text = "pretraining" if task == "pretrain" else task.replace("_", " ")
    return text[:1].upper() + text[1:]


def strategy_text(strategy: str | None) -> str:
    """A strategy's name in a sentence."""
    return (strategy or "").replace("_", " ")


def headline(tables: Tables, config: dict[str, Any]) -> str:
    """What the study shows, as one paragraph of plain text.

    Args:
        tables: result tables by name; missing ones are left out of the paragraph.
        config: the resolved configuration.
    """
    return " ".join(text_of(sentence) for sentence in paragraph(tables, config))


def paragraph(tables: Tables, config: dict[str, Any]) -> list[Markup]:
    """The sentences of `headline`, numbers marked with where they come from."""
    found = answers(tables, config)
    if not found:
        return [Markup("The study has no defined score yet: no strategy was evaluated, or the test stays are too few.")]
    names = modalities(tables, config)
    opening = say(
        "The study asked which of {n} kinds of data ({names}) are worth combining.",
        n=count(len(names), "derived:modalities"),
        names=", ".join(names),
    )
    sentences = [opening]
    for item in found:
        sentences += task_sentences(item, names)
        sentences += size_sentences(item, tables)
    if any(not item.on_validation for item in found):
        sentences.append(
            Markup(
                "No validation scores were available, so the best was picked on the test stays: read it as optimistic."
            )
        )
    return sentences


def task_sentences(item: Answer, names: list[str]) -> list[Markup]:
    """The answer for one task, how sure it is, and what it is worth against its controls."""
    what, with_it, without = TASKS.get(
        item.task, (item.task.replace("_", " "), "a stay with the outcome", "one without it")
    )
    value, source = item.auroc
    sentences = [
        say(
            "For {what}, the best choice on validation stays is {combination}, with the strategy “{strategy}”."
            if item.on_validation
            else "For {what}, the highest score is that of {combination}, with the strategy “{strategy}”.",
            what=what,
            combination=_together(item.best["combination"], names),
            strategy=strategy_text(item.best["strategy"]),
        ),
        say(
            "On test stays it never saw, it gives {with_it} a higher risk than {without}, in {auroc} of such pairs"
            " (AUROC{averaged}; guessing gives 50\u00a0%){range}.",
            averaged=" of the prediction averaged over seeds" if item.best["ensemble_auroc"] is not None else "",
            with_it=with_it,
            without=without,
            auroc=percent(value, source),
            range=_range(item),
        ),
    ]
    if item.control:
        sentences.append(difference_sentence(item, item.control, "its control"))
    if item.across:
        role = "single kind of data" if item.combined else "combination of several"
        role = f"the {role} best on validation" if item.on_validation else f"the best {role}"
        sentences.append(difference_sentence(item, item.across, role))
    if item.ceiling and value is not None:
        sentences.append(
            say(
                "Knowing the true risk that generated the data would give {ceiling}; the model is {gap} points {side}"
                " that.",
                ceiling=percent(item.ceiling["auroc"], "ceiling.auroc"),
                gap=points(item.ceiling["auroc"] - value, "derived:ceiling"),
                side="below" if item.ceiling["auroc"] >= value else "above",
            )
        )
    return sentences


def size_sentences(item: Answer, tables: Tables) -> list[Markup]:
    """A warning where a task with one label has too few test stays of either kind to rest anything on."""
    cell = frame(tables, "scores").filter(
        (pl.col("task") == item.task)
        & (pl.col("combination") == item.best["combination"])
        & (pl.col("strategy") == item.best["strategy"])
        & (pl.col("split") == "test")
        & ~pl.col("label").is_in(["macro", "micro"])
    )
    if cell.get_column("label").n_unique() != 1:
        return []
    n, positives = cell["n"][0], cell["positives"][0]
    if min(positives, n - positives) >= FEW:
        return []
    return [
        say(
            "That rests on {n} test stays, {positives} of them with the outcome: too few to be more than a hint.",
            n=count(n, "scores.n"),
            positives=count(positives, "scores.positives"),
        )
    ]


def _range(item: Answer) -> Markup:
    best = item.best
    if best["ensemble_auroc"] is not None and best["ensemble_auroc_low"] is not None:
        return say(
            ", with a 95\u00a0% interval from {low} to {high}",
            low=percent(best["ensemble_auroc_low"], "summary.ensemble_auroc_low"),
            high=percent(best["ensemble_auroc_high"], "summary.ensemble_auroc_high"),
        )
    return Markup("")


def _together(combination: str, names: list[str]) -> str:
    """A combination in a sentence; the one of all modalities is said to be that."""
    parts = combination.split("+")
    if len(parts) == 1:
        return f"{combination} alone"
    return "all kinds of data together" if len(parts) == len(names) > 2 else combination_text(combination)


def against(best: dict[str, Any], other: dict[str, Any]) -> str:
    """What a cell is compared with: strategy, and combination where it is another one."""
    if best["combination"] == other["combination"]:
        return f"same combination, {strategy_text(other['strategy'])}"
    return f"{combination_text(other['combination'])}, {strategy_text(other['strategy'])}"


def difference_sentence(answer: Answer, item: Difference, role: str) -> Markup:
    """One difference: how large, how sure."""
    other = say("{role} ({what})", role=role, what=against(answer.best, item.other))
    if abs(item.value) < 0.0005:
        start = say("That is the same as {other}, to the first decimal", other=other)
        if item.low is not None and item.low == item.high:
            return say("{start}.", start=start)
    else:
        start = say(
            "That is {by} points {side} than {other}",
            by=points(item.value, item.source),
            side="more" if item.value > 0 else "less",
            other=other,
        )
    if item.low is None or item.high is None:
        return say("{start}; no test of this difference was made.", start=start)
    return say(
        "{start}; the 95\u00a0% interval of the difference runs from {low} to {high} points, {verdict}.",
        start=start,
        low=signed(item.low, ENDS),
        high=signed(item.high, ENDS),
        verdict="so chance is an unlikely explanation" if item.clear else "so it could be chance",
    )
