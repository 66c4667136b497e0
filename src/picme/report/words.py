"""The study in sentences that a clinician understands, and the project's words explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from picme.report.numbers import count, level, p_value, percent, points, say, signed

if TYPE_CHECKING:
    from picme.report.facts import Answer, Difference

ENDS = "comparisons.low|comparisons.high"


def combination_text(combination: str | None) -> str:
    """Return `a+b` as a sentence has it: `a + b`."""
    return " + ".join((combination or "").split("+"))


def task_title(task: str) -> str:
    """Return a task's name as a heading."""
    text = "pretraining" if task == "pretrain" else task.replace("_", " ")
    return text[:1].upper() + text[1:]


def split_text(split: str | None) -> str:
    """Return a split's name as a sentence has it."""
    return {"train": "training", "val": "validation"}.get(split or "", split or "")


def strategy_text(strategy: str | None) -> str:
    """Return a strategy's name as a sentence has it."""
    return (strategy or "").replace("_", " ")


def task_sentences(item: Answer, names: list[str]) -> list[Markup]:
    """Say the answer for one task, how sure it is, and how it compares with its control or alternative."""
    value, source = item.auroc
    what = item.about.outcome or item.task.replace("_", " ")
    sentences = [
        say(
            "For {what}, the choice on validation stays is {combination}, with the strategy “{strategy}”."
            if item.on_validation
            else "For {what}, the highest score is that of {combination}, with the strategy “{strategy}”.",
            what=what,
            combination=together(item.best["combination"], names),
            strategy=strategy_text(item.best["strategy"]),
        ),
        *_how_sure(item),
        say(
            "On test stays it never saw, it gives {with_it} a higher risk than {without}, in {auroc} of such pairs"
            " (AUROC{averaged}; guessing gives 50\u00a0%){range}.",
            averaged=" of the prediction averaged over seeds" if item.best["ensemble_auroc"] is not None else "",
            with_it=item.about.positive,
            without=item.about.negative,
            auroc=percent(value, source),
            range=_range(item),
        ),
    ]
    if item.control:
        sentences.append(
            difference_sentence(item, item.control, "the alternative" if item.alternative else "its control")
        )
    if item.across:
        sentences.append(difference_sentence(item, item.across, other_kind(item)))
    if item.highest:
        sentences.append(difference_sentence(item, item.highest, other_kind(item, "test")))
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
    if not item.on_validation:
        sentences.append(
            say(
                "No validation scores for {what} were available, so this best was picked on the test stays: read it as"
                " optimistic.",
                what=what,
            )
        )
    return sentences


def other_kind(item: Answer, on: str = "validation") -> str:
    """Name the best of the other kind: the single modality where the best combines several, else the combination."""
    kind = "single kind of data" if item.combined else "combination of several"
    if not item.on_validation:
        return f"the best {kind}"
    return f"the {kind} best on {on}" + (" and on test" if on == "validation" and not item.highest else "")


def _how_sure(item: Answer) -> list[Markup]:
    """Say how many cells cannot be told apart on validation, and how often another one than the chosen is better."""
    if item.tied is None or item.tied[1] < 2 or item.best["best_share"] is None:
        return []
    tied, cells = (count(number, "derived:summary") for number in item.tied)
    often = percent(1 - item.best["best_share"], "derived:summary")
    share = say("in {often} of resamples of the validation subjects another is the best", often=often)
    if item.tied[0] == 1:
        return [say("Of {cells} cells no other is as good there, though {share}.", cells=cells, share=share)]
    return [
        say(
            "There, {tied} of {cells} cells cannot be told apart from the best, of which this is {why}; {share}.",
            why="the simplest, with the fewest kinds of data" if item.simplest else "the one with the highest score",
            tied=tied,
            cells=cells,
            share=share,
        )
    ]


def _range(item: Answer) -> Markup:
    best = item.best
    if best["ensemble_auroc"] is not None and best["ensemble_auroc_low"] is not None:
        return say(
            ", with a {level} interval from {low} to {high}",
            level=level(item.confidence),
            low=percent(best["ensemble_auroc_low"], "summary.ensemble_auroc_low"),
            high=percent(best["ensemble_auroc_high"], "summary.ensemble_auroc_high"),
        )
    if best["ensemble_auroc_no_interval"] is not None:
        return say(", without an interval ({why})", why=best["ensemble_auroc_no_interval"])
    return Markup("")


def together(combination: str, names: list[str]) -> str:
    """Return a combination as a sentence has it; the one of all modalities is said to be that."""
    parts = combination.split("+")
    if len(parts) == 1:
        return f"{combination} alone"
    return "all kinds of data together" if len(parts) == len(names) > 2 else combination_text(combination)


def against(best: dict[str, Any], other: dict[str, Any]) -> str:
    """Name the cell that another is compared with: its strategy, and its combination where that differs."""
    if best["combination"] == other["combination"]:
        return f"same combination, {strategy_text(other['strategy'])}"
    return f"{combination_text(other['combination'])}, {strategy_text(other['strategy'])}"


def difference_sentence(answer: Answer, item: Difference, role: str) -> Markup:
    """Say how large a difference is, and how sure."""
    other = say("{role} ({what})", role=role, what=against(answer.best, item.other))
    if abs(item.value) < 0.0005:
        start = say("A single model, averaged over seeds, has the same as {other}, to the first decimal", other=other)
        if item.low is not None and item.low == item.high:
            return say("{start}.", start=start)
    else:
        start = say(
            "A single model, averaged over seeds, has {by} points {side} than {other}",
            by=points(item.value, item.source),
            side="more" if item.value > 0 else "less",
            other=other,
        )
    ensembles = Markup("")
    if item.ensembles is not None:
        ensembles = say(
            " As ensembles, that is with the predictions averaged over the seeds, the difference is {value} points"
            " ({low} to {high}).",
            value=signed(item.ensembles[0], "comparisons.ensemble_difference"),
            low=signed(item.ensembles[1], "comparisons.ensemble_low|comparisons.ensemble_high"),
            high=signed(item.ensembles[2], "comparisons.ensemble_low|comparisons.ensemble_high"),
        )
    if item.low is None or item.high is None:
        why = say(" ({why})", why=item.obstacle) if item.obstacle else ""
        return say("{start}; no test of single models was made{why}.{more}", start=start, why=why, more=ensembles)
    return say(
        "{start}; the {level} interval of the difference runs from {low} to {high} points, {verdict}.{more}",
        level=level(item.confidence),
        more=ensembles,
        start=start,
        low=signed(item.low, ENDS),
        high=signed(item.high, ENDS),
        verdict=_verdict(item),
    )


def _verdict(item: Difference) -> Markup:
    if item.clear:
        return Markup("so chance is an unlikely explanation")
    if not item.alone:
        return Markup("so it could be chance")
    return say(
        "which would be unlikely by chance, but not among all comparisons of its kind (p-value by Holm {p})",
        p=p_value(item.p, "comparisons.p_adjusted"),
    )
