"""The report's first screen: for each task which combination is enough, what each modality adds, and how sure that is.

Where a study has no predictions of every subset, the answer is the combination that is best on validation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
from markupsafe import Markup

from picme.evaluate.value import ADDS, NOTHING, UNDECIDED
from picme.report.encoders import added_by_encoders
from picme.report.enough import FEW, stays_needed
from picme.report.facts import answers, folds, frame, modalities
from picme.report.numbers import count, many, percent, points, say, signed, text_of
from picme.report.results import difference_interval
from picme.report.simpler import above
from picme.report.told import told
from picme.report.words import strategy_text, task_sentences, together

if TYPE_CHECKING:
    from picme.report.facts import Answer, Row, Tables
    from picme.report.told import Modality, Told

# With fewer events than this, or fewer stays without one, a score on test is a hint at most.
HINT = 15


@dataclass(frozen=True)
class Basis:
    """The stays of a split that an answer rests on.

    Attributes:
        split: the split in words.
        n, events: stays, and those with the outcome; of several labels, of the one that has the fewest.
        sources: the table and column of each of the two.
        several: whether there are several labels.
    """

    split: str
    n: int
    events: int
    sources: tuple[str, str]
    several: bool

    def __html__(self) -> Markup:
        """Say how many stays there are, and how many and which share of them have the outcome."""
        return say(
            "{n}, {which}{events} ({share})",
            n=many(self.n, self.sources[0], "stay", "stays"),
            which="of the rarest label " if self.several else "",
            events=many(self.events, self.sources[1], "event", "events"),
            share=percent(self.events / self.n if self.n else None, f"derived:{self.sources[1].partition('.')[0]}"),
        )


@dataclass(frozen=True)
class Screen:
    """The first screen of the report for one task.

    Attributes:
        item: the best cell on validation, and what it is compared with.
        told: what the value tables say; None where there are no predictions of every subset.
        sentences: the answer in plain words.
        bases: the stays that it rests on, of validation and test, where they are known.
        few: the warning that there are few events; None where there are enough.
    """

    item: Answer
    told: Told | None
    sentences: list[Markup]
    bases: list[Basis]
    few: Markup | None


def screens(tables: Tables, config: dict[str, Any]) -> list[Screen]:
    """Return what the first screen says of each task that has an answer."""
    found = []
    for item in answers(tables, config):
        one = told(tables, config, item.task)
        bases = _told_bases(one) if one and one.enough else _cell_bases(item, tables)
        few = _few(bases, folds(config) > 0)
        names = modalities(tables, config)
        sentences = told_sentences(one) if one else task_sentences(item, names)
        # The other route has told of single modalities already.
        sentences += above(tables, config, _answered(item, one), names, singles=one is not None)
        encoders = added_by_encoders(tables, config, item.task)
        sentences += [encoders] if encoders else []
        found.append(Screen(item, one, sentences + ([few] if few else []), bases, few))
    return found


def _answered(item: Answer, one: Told | None) -> tuple[str, str, str]:
    """Return task, combination and strategy of a task's answer; where it is undecided, the best on validation."""
    if one is None:
        return item.task, item.best["combination"], item.best["strategy"]
    row = one.enough or {}
    return item.task, row.get("combination") or row.get("best") or "+".join(one.names), one.strategy


def headline(tables: Tables, config: dict[str, Any]) -> str:
    """Return the study's answers as one paragraph of plain text.

    Args:
        tables: result tables by name; missing ones are left out of the paragraph.
        config: the resolved configuration.
    """
    return " ".join(text_of(sentence) for sentence in paragraph(tables, config))


def paragraph(tables: Tables, config: dict[str, Any]) -> list[Markup]:
    """Return the sentences of `headline`, with numbers marked with where they come from."""
    found = screens(tables, config)
    if not found:
        return [Markup("The study has no defined score yet: no strategy was evaluated, or the test stays are too few.")]
    names = modalities(tables, config)
    opening = say(
        "The study asked which of {n} kinds of data ({names}) are worth combining.",
        n=count(len(names), "derived:modalities"),
        names=", ".join(names),
    )
    return [opening, *(sentence for one in found for sentence in one.sentences)]


def told_sentences(one: Told) -> list[Markup]:
    """Say which combination is enough for a task, and what each modality adds to all others."""
    outcome = one.about.outcome or one.task.replace("_", " ")
    return [*_enough(one, outcome[:1].upper() + outcome[1:]), _adds(one)]


def enough_reason(one: Told) -> Markup | None:
    """Say why a combination is enough, or why that is undecided; None where the study has not asked."""
    row = one.enough
    if row is None:
        return None
    if row["none_needed"]:
        return say(
            "On validation stays, no combination is better than none by more than {margin} points of AUROC.",
            margin=points(one.margin, "sufficient.margin"),
        )
    if row["combination"] is None:
        more = Markup("")
        if row["needed"] is not None:
            more = say("; {n} would be needed, if the estimates stay as they are", n=stays_needed(row["needed"]))
        elif row["needs_seeds"]:
            more = Markup(", nor could more of them: the models differ too much from seed to seed")
        return say(
            "{n} validation stays with {events} events cannot tell{more}.",
            n=count(row["n_val"], "sufficient.n_val"),
            events=count(row["events_val"], "sufficient.events_val"),
            more=more,
        )
    if len(row["combination"].split("+")) == len(one.names) > 1:
        return Markup("On validation stays, the rest is clearly worse without any one of them.")
    return say(
        "On validation stays, no other combination is better by more than {margin} points of AUROC.",
        margin=points(one.margin, "sufficient.margin"),
    )


def on_test(one: Told) -> Markup | None:
    """Say how the combination that is enough compares on test with the (next) best on validation; None without one."""
    row = one.enough
    if row is None or row["combination"] is None or row["difference"] is None:
        return None
    confirmed = {
        True: Markup("which confirms it"),
        False: say("which does not rule out a loss of {margin} points", margin=points(one.margin, "sufficient.margin")),
    }
    return say(
        "On test, from the {which} on validation ({other}) to it, AUROC changes by {change} points ({ends}){verdict}.",
        which=Markup("best" if row["against"] == row["best"] else "next best"),
        other=together(row["against"] or "", one.names),
        change=signed(row["difference"], "sufficient.difference"),
        ends=difference_interval(row, "sufficient"),
        verdict=say(", {what}", what=confirmed[row["confirmed"]]) if row["confirmed"] is not None else "",
    )


def verdict_text(one: Modality) -> Markup:
    """Return the verdict on what a modality adds to all others."""
    if one.added["verdict"] == NOTHING and one.added["at_most"] is not None:
        return say("nothing measurable above {most}", most=points(one.added["at_most"], "value.at_most"))
    return Markup.escape(one.added["verdict"] or UNDECIDED)


def sign_of(pair: Row) -> str:
    """Return `plus` where two modalities are clearly worth more together than apart, `minus` where less."""
    if pair["low"] is None or pair["high"] is None or pair["low"] <= 0 <= pair["high"]:
        return "neither"
    return "plus" if pair["low"] > 0 else "minus"


def score(one: Told, combination: str) -> Markup | None:
    """Return a combination's AUROC on test with its interval; None where it is not known."""
    row = one.scores.get(combination)
    if row is None:
        return None
    if row["low"] is None or row["high"] is None:
        return percent(row["value"], "lattice.value")
    return say("{auroc} ({ends})", auroc=percent(row["value"], "lattice.value"), ends=interval_of(row))


def interval_of(row: Row) -> Markup:
    """Return the interval of a combination's score."""
    low, high = (percent(row[end], f"lattice.{end}", sign=False) for end in ("low", "high"))
    return say("{low}–{high}", low=low, high=high)


def _enough(one: Told, outcome: str) -> list[Markup]:
    row, reason = one.enough, enough_reason(one)
    if row is None or reason is None:
        return []
    if row["combination"] is None:
        best = [
            say(
                "The best on validation, {best} ({strategy}), has {score} AUROC on test.",
                best=together(row["best"] or "", one.names),
                strategy=strategy_text(one.strategy),
                score=shown,
            )
            for shown in [score(one, row["best"] or "")]
            if shown
        ]
        which = "no kind of data is needed" if row["none_needed"] else "it is undecided which kinds of data are enough"
        return [say("{what}: {which}.", what=outcome, which=which), reason, *best]
    said = [
        say(
            "{what}: {which} is enough{doubt}.",
            what=outcome,
            which=together(row["combination"], one.names),
            doubt="" if row["confirmed"] else " on validation, which test does not confirm",
        ),
        reason,
    ]
    shown = score(one, row["combination"])
    if shown:
        words = "On test it has {score} AUROC ({strategy}); guessing gives 50\u00a0%."
        said.append(say(words, score=shown, strategy=strategy_text(one.strategy)))
    tested = on_test(one)
    return said + ([tested] if tested else [])


def _adds(one: Told) -> Markup:
    """Say what each modality adds to all others, by verdict."""

    def listed(verdict: str) -> Markup:
        each = [
            say(
                "{name} {value} ({ends})",
                name=each.name,
                value=signed(each.added["value"], "value.value"),
                ends=difference_interval(each.added, "value"),
            )
            for each in one.verdicts(verdict)
        ]
        return (
            Markup(" and ").join([Markup(", ").join(each[:-1]), each[-1]]) if len(each) > 1 else Markup("").join(each)
        )

    parts = {ADDS: "these add to AUROC, in points: {list}", NOTHING: "these add nothing measurable: {list}"}
    parts[UNDECIDED] = "these are undecided: {list}"
    said = [say(words, list=listed(verdict)) for verdict, words in parts.items() if one.verdicts(verdict)]
    return say("Beside all others, {said}.", said=Markup("; ").join(said))


def _told_bases(one: Told) -> list[Basis]:
    row, several = one.enough or {}, one.about.multilabel
    return [
        Basis(
            words,
            row[f"n_{split}"],
            row[f"events_{split}"],
            (f"sufficient.n_{split}", f"sufficient.events_{split}"),
            several,
        )
        for split, words in (("val", "validation"), ("test", "test"))
        if row[f"n_{split}"] is not None and row[f"events_{split}"] is not None
    ]


def _cell_bases(item: Answer, tables: Tables) -> list[Basis]:
    """Return the stays that the best cell's scores rest on, of the label with the fewest events."""
    cell = frame(tables, "scores").filter(
        pl.col("combination") == item.best["combination"],
        pl.col("strategy") == item.best["strategy"],
        pl.col("task") == item.task,
        pl.col("positives").is_not_null(),
        ~pl.col("label").is_in(["macro", "micro"]),
    )
    several = cell["label"].n_unique() > 1
    found = []
    for split, words in (("val", "validation"), ("test", "test")):
        rows = cell.filter(split=split).sort("positives")
        if not rows.is_empty() and rows["n"][0] is not None:
            row = rows.row(0, named=True)
            found.append(Basis(words, row["n"], row["positives"], ("scores.n", "scores.positives"), several))
    return found


def _few(bases: list[Basis], crossed: bool) -> Markup | None:
    """Warn where a split has few events."""
    few = [one for one in bases if one.events < FEW]
    if not few:
        return None
    where = [say("{k} on {split}", k=count(one.events, one.sources[1]), split=one.split) for one in few]
    tiny = any(min(one.events, one.n - one.events) < HINT for one in few)
    return say(
        "Few events: {where}{tiny}.{more}",
        where=Markup(" and ").join(where),
        tiny=", too few to be more than a hint" if tiny else "",
        more=""
        if crossed
        else Markup(" Cross-fitting (<code>splits.kind: folds</code>) would let every stay choose and be tested once."),
    )
