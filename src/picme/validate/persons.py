"""Whether subjects of two sources that have the same ids are the same persons."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl
from scipy.stats import binom

from picme.errors import DataError
from picme.modalities import open_modality
from picme.modalities.quantities import Quantity, conversion, quantity
from picme.modalities.tabular import TabularModality
from picme.prepare.write import COMPLETENESS
from picme.results.record import read_table
from picme.tasks import build as build_task

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from picme.pipeline import Run
    from picme.predict.new_stays import NewStays

AGREEING = 0.9
"""Smallest share of subjects about whom everything agrees that makes them the same persons."""
BY_CHANCE = 0.001
"""Largest probability that as many agree where persons are paired at random."""
PAIRINGS = 10
"""Pairings with other persons that say how often two agree by chance."""
OF_PERSONS = ("gender", "ethnicity")
"""Quantities that are the same in all stays of a person; others are compared in stays with the same id."""
UNKNOWN = ("", "unknown", "none", "nan", "null")
YEARS = Quantity("age", "years", False)

_KEYS = ["subject", "what"]
_TOLD = {**dict.fromkeys(("subject", "stay", "what", "word"), pl.String), "age": pl.Float64}


class Likeness(NamedTuple):
    """The likeness of subjects with the same ids in two sources.

    Attributes:
        ids: that both sources have.
        compared: subjects of whom something is known in both beside the id.
        agreeing: those about whom all of that agrees.
        chance: the probability that as many agree in sex, ethnicity, age and outcomes where persons are paired at
            random; 1 where nothing of these is known.
    """

    ids: int
    compared: int
    agreeing: int
    chance: float

    @property
    def same(self) -> bool:
        """Whether they are the same persons."""
        return self.compared > 0 and self.agreeing >= AGREEING * self.compared and self.chance <= BY_CHANCE

    @property
    def other(self) -> bool:
        """Whether they are other persons; if neither, it cannot be told."""
        return self.compared > 0 and self.agreeing < AGREEING * self.compared


def likeness(study: Run, stays: NewStays, tasks: Sequence[str], subjects: Collection[str]) -> Likeness:
    """Compare what both sources know of the subjects whose ids they have in common.

    Compared are sex and ethnicity and, in stays with the same id, outcomes, age (within a year), subgroups and
    categories of tables. Times are not, as each release of a hospital may shift them in its own way, nor measurements.

    Args:
        study: a run.
        stays: of the other source, in the form of the run's modalities.
        tasks: whose outcomes are compared.
        subjects: ids of the run's subjects that count.
    """
    own, theirs = _stays(study, tasks), _stays(stays, tasks)
    ids = set(subjects) & set(own["subject"]) & set(theirs["subject"])
    chosen = pl.col("subject").is_in(list(ids))
    own, theirs = own.filter(chosen), theirs.filter(chosen)
    mine, others = _told(own, theirs), _told(theirs, own)
    known = _comparable(mine, others)
    mine, others = mine.join(known, on="what", how="semi"), others.join(known, on="what", how="semi")
    labels = [label for task in tasks for label in build_task(task, study.config.tasks[task]).labels]
    telling = [what for what in known["what"] if what in labels or _name(what) in ("age", *OF_PERSONS)]
    # Another column may follow from the id itself, as a site does: it tells persons apart, and not that they are one.
    proof = pl.col("what").is_in(telling)
    chance = _chance(mine.filter(proof), others.filter(proof), sorted(ids))
    return Likeness(len(ids), *_agreement(mine, others), chance)


def _name(what: str) -> str:
    """Return the quantity of something told."""
    return quantity(what.rpartition(": ")[2]).name


def _stays(of: Run | NewStays, tasks: Sequence[str]) -> pl.DataFrame:
    """Return what is known of stays, a row for each: subject, stay, what, word (text), age (years)."""
    found = []
    for view in dict.fromkeys(["pretrain", *tasks]):
        folder = of.prepared / "views" / view
        cohort = read_table(folder / "cohort.parquet")
        keys = {"subject": cohort["subject_id"].cast(pl.String), "stay": cohort["stay_id"].cast(pl.String)}
        columns = {
            name: cohort[name]
            for name in cohort.columns
            if name not in ("subject_id", "stay_id", "split", COMPLETENESS)
            and not cohort[name].dtype.is_temporal()
            and name != "seconds_seen"
        }
        for name, section in of.config.modalities.items():
            if section.kind == "tabular" and (folder / name).is_dir():
                opened = open_modality("tabular", folder / name, of.prepared / "pool" / name)
                if isinstance(opened, TabularModality):
                    columns |= {f"{name}: {column}": opened.frame[column] for column in opened.frame.columns}
        found += [one for what, column in columns.items() if (one := _rows(keys, what, column)) is not None]
    frame = pl.concat([pl.DataFrame(schema=_TOLD), *found])
    # An age group says less than the age, and differs at its bounds.
    return frame.filter(pl.col("what") != "age_group") if frame["age"].is_not_null().any() else frame


def _rows(keys: dict[str, pl.Series], what: str, column: pl.Series) -> pl.DataFrame | None:
    """Return the known values of one column; None for measurements."""
    table, _, name = what.rpartition(": ")
    measured = quantity(name)
    word, age = pl.Series([None] * len(column), dtype=pl.String), pl.Series([None] * len(column), dtype=pl.Float64)
    if measured.name == "age" and column.dtype.is_numeric():
        try:
            scale, shift = conversion(measured, YEARS, name)
        except DataError:
            return None
        age = column.cast(pl.Float64) * scale + shift
    elif measured.name not in OF_PERSONS and (column.dtype.is_float() or (table and column.dtype.is_numeric())):
        return None
    else:
        word = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        word = word.set(word.is_in(UNKNOWN), None)
    frame = pl.DataFrame({**keys, "what": [what] * len(column), "word": word, "age": age})
    return frame.filter(pl.col("word").is_not_null() | pl.col("age").is_finite())


def _told(stays: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return what is told of subjects, each thing once; of a stay's things those of stays that the others have, too."""
    lasting = pl.col("what").is_in([what for what in stays["what"].unique() if _name(what) in OF_PERSONS])
    shared = stays.filter(~lasting).join(others, on=["subject", "stay", "what"], how="semi")
    return pl.concat([stays.filter(lasting), shared]).select("subject", "what", "word", "age").unique()


def _comparable(mine: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return what both tell in the same words (what): a column in other words says nothing on who a person is."""
    found = []
    for what in mine["what"].unique().sort():
        sides = [side.filter(pl.col("what") == what) for side in (mine, others)]
        words = [set(side["word"].drop_nulls()) for side in sides]
        shares = [
            side["word"].is_in(list(words[0] & words[1])).fill_null(value=False).mean() if len(side) else 0.0
            for side in sides
        ]
        if all(side["age"].is_not_null().any() for side in sides) or all(
            isinstance(share, float) and share >= AGREEING for share in shares
        ):
            found.append(what)
    return pl.DataFrame({"what": found}, schema={"what": pl.String})


def _agreement(mine: pl.DataFrame, others: pl.DataFrame) -> tuple[int, int]:
    """Return of how many subjects something is known on both sides, and of how many all of that agrees."""
    alike = (pl.col("word") == pl.col("word_right")).fill_null(value=False) | (
        (pl.col("age") - pl.col("age_right")).abs() <= 1
    ).fill_null(value=False)
    things = mine.join(others, on=_KEYS).group_by(_KEYS).agg(alike.any().alias("alike"))
    agreeing = things.group_by("subject").agg(pl.col("alike").all())["alike"]
    return len(agreeing), int(agreeing.sum())


def _chance(mine: pl.DataFrame, others: pl.DataFrame, ids: Sequence[str]) -> float:
    """Return the probability that as many agree by chance, as often as those do who are paired with another person."""
    compared, agreeing = _agreement(mine, others)
    tried = hits = 0
    for shift in range(1, min(PAIRINGS + 1, len(ids))):
        renamed = others.with_columns(pl.col("subject").replace_strict(ids, [*ids[shift:], *ids[:shift]]))
        pairs, agreed = _agreement(mine, renamed)
        tried, hits = tried + pairs, hits + agreed
    return float(binom.sf(agreeing - 1, compared, (hits + 1) / (tried + 1))) if compared else 1.0
