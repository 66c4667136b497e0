"""Chapters of the report: each with its figures and tables in order, and those that other packages add at its end."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from picme.errors import ConfigError, near
from picme.registry import Registry
from picme.report.blocks import DataTable, Plate, ShownChapter
from picme.results.extra import left_out

if TYPE_CHECKING:
    from picme.report.facts import Tables

Block = Plate | DataTable


@dataclass(frozen=True)
class Chapter:
    """The declaration of a chapter of the report.

    Attributes:
        key: its id on the page, by which a figure of another package names it.
        title: its heading.
        makers: the function of each figure or table, in order, as `module:function` below `picme.report`. It takes the
            result tables and the configuration, and returns None where the study has nothing to show.
    """

    key: str
    title: str
    makers: tuple[str, ...]


CHAPTERS = (
    Chapter("scores", "Scores", ("table1:matrix", "results:main_table", "results:comparisons")),
    Chapter(
        "worth",
        "What each modality is worth",
        ("value:sufficient", "value:value", "value:interactions", "value:lattice", "value:acquisition"),
    ),
    Chapter(
        "alignment-chapter",
        "Alignment",
        (
            "figures.alignment:alignment_bars",
            "figures.alignment:modality_gap",
            "figures.alignment:pairs",
            "figures.tsne:tsne",
        ),
    ),
    Chapter(
        "weights",
        "Attribution and weights",
        ("figures.weights:attributions", "judgements:agreement", "figures.weights:trajectory"),
    ),
    Chapter("all-combinations", "All combinations", ("figures.combinations:overview",)),
    Chapter(
        "missing",
        "Missing modalities",
        (
            "figures.degradation:curves",
            "figures.missing:grid",
            "figures.lattice:lattice",
            "judgements:robustness",
        ),
    ),
    Chapter(
        "groups", "Subgroups", ("figures.subgroups:subgroups", "judgements:group_calibration", "judgements:fairness")
    ),
    Chapter("label-chapter", "Labels", ("figures.phenotypes:types", "figures.phenotypes:labels", "cohort:agreement")),
    Chapter(
        "risk",
        "Calibration and thresholds",
        (
            "figures.calibration:calibration",
            "judgements:calibration_errors",
            "figures.decision:decision_curve",
            "judgements:thresholds",
        ),
    ),
    Chapter(
        "curves",
        "Learning curves",
        ("figures.training:pretraining", "repetitions:pretraining_seeds", "figures.training:finetuning"),
    ),
    Chapter("every-seed", "Every seed", ("figures.combinations:seeds", "repetitions:gate_orders")),
    Chapter("efficiency", "Label efficiency", ("figures.training:label_efficiency",)),
    Chapter("search-chapter", "Search", ("figures.cost:search",)),
    Chapter("cost", "Time and memory", ("times:cost_by_stage", "figures.cost:runtimes", "times:published_times")),
)
# An entry point of the group `picme.figures` names an object with `chapter`, the key of a chapter, and `make`, which
# takes the result tables and the configuration as a chapter's makers do.
FIGURES = Registry("figures", {})


def chapters(tables: Tables, config: dict[str, Any]) -> tuple[list[ShownChapter], list[str]]:
    """Make every chapter that has something to show.

    Returns:
        The chapters, and one sentence for each figure of another package that could not be made.
    """
    blocks = {chapter.key: [_maker(name)(tables, config) for name in chapter.makers] for chapter in CHAPTERS}
    failed = []
    for name in FIGURES.names():
        try:  # Whatever another package does, the report is made.
            chapter, block = _outside(name, tables, config)
            if block and block.key in {other.key for made in blocks.values() for other in made if other}:
                raise ConfigError(f"the report has a figure or table {block.key!r} already")
            blocks[chapter].append(block)
        except Exception as error:
            failed.append(left_out(f"figure {name!r}", error))
            sys.stderr.write(f"picme: {failed[-1]}\n")
    made = [(chapter, [block for block in blocks[chapter.key] if block is not None]) for chapter in CHAPTERS]
    return [ShownChapter(chapter.key, chapter.title, shown) for chapter, shown in made if shown], failed


def block(name: str, tables: Tables, config: dict[str, Any]) -> Block | None:
    """Make the figure or table of a maker, named as in `CHAPTERS`; None where there is nothing to show."""
    made: Block | None = _maker(name)(tables, config)
    return made


def _maker(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(import_module(f"picme.report.{module}"), function)


def _outside(name: str, tables: Tables, config: dict[str, Any]) -> tuple[str, Block | None]:
    """Make one figure of another package, and all that the page shows of it, so that errors in its data are found here.

    Raises:
        Exception: any, since another package's code runs here.
    """
    figure = FIGURES.load(name)
    keys = [chapter.key for chapter in CHAPTERS]
    if figure.chapter not in keys:
        raise ConfigError(f"unknown chapter {figure.chapter!r}{near(figure.chapter, keys)}")
    block = figure.make(tables, config)
    if isinstance(block, Plate | DataTable):
        block.payload()
    elif block is not None:
        raise ConfigError(f"`make` returned a {type(block).__name__} instead of a Plate or a DataTable")
    return figure.chapter, block
