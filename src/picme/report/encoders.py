"""The gain from encoders over summary features: a stack of both against the model on summary features alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from picme.report.facts import declared, frame, members, modalities
from picme.report.numbers import say, signed
from picme.report.results import difference_interval
from picme.report.words import strategy_text, together

if TYPE_CHECKING:
    from picme.report.facts import Row, Tables


def added_by_encoders(tables: Tables, config: dict[str, Any], task: str) -> Markup | None:
    """Say what encoders add to a baseline on summary features, in the largest combination that tells it.

    Args:
        tables: result tables by name.
        config: the resolved configuration.
        task: the task's name.

    Returns:
        The sentence; None where no stack was tested against a baseline that is in it.
    """
    tests = frame(tables, "comparisons").filter(task=task, metric="auroc")
    # A stack that is the best of its combination is tested against its baselines once more, as the best.
    once = tests.unique(["combination_a", "strategy_a", "strategy_b"], keep="first", maintain_order=True)
    rows = [row for row in once.iter_rows(named=True) if _tells(row, config)]
    largest = max((row["combination_a"].count("+") for row in rows), default=None)
    names = modalities(tables, config)
    each = [
        say(
            "{by} points by {stack} over {baseline} ({ends})",
            by=signed(row["difference"], "comparisons.difference"),
            stack=strategy_text(row["strategy_a"]),
            baseline=strategy_text(row["strategy_b"]),
            ends=difference_interval(row, "comparisons"),
        )
        for row in rows
        if row["combination_a"].count("+") == largest
    ]
    if not each:
        return None
    first = next(row["combination_a"] for row in rows if row["combination_a"].count("+") == largest)
    return say(
        "What encoders add to summary features of {combination}, in AUROC of single models: {each}.",
        combination=together(first, names),
        each=Markup("; ").join(each),
    )


def _tells(row: Row, config: dict[str, Any]) -> bool:
    """Return whether a test is of a stack that has encoders against a baseline in it, on the same modalities."""
    stack = declared(row["strategy_a"], config)
    if row["difference"] is None or row["combination_a"] != row["combination_b"] or stack is None:
        return False
    names = members(stack, config)
    known = [one for name in names if (one := declared(name, config)) is not None]
    return any(one.encoders != "none" for one in known) and any(
        one.baseline and one.name == row["strategy_b"] for one in known
    )
