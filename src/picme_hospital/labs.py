"""The rows of labevents: laboratory results of admissions, from the emergency room to discharge."""

from __future__ import annotations

import numpy as np
import polars as pl

from picme_hospital.files import stamp
from picme_hospital.items import LABS_OF_HOSPITAL, Test
from picme_hospital.patients import HOUR, Hospital
from picme_hospital.signals import number as written_number
from picme_hospital.signals import signals

DAYS = 14  # laboratory results end this many days after arrival


def lab_events(h: Hospital, admissions: np.ndarray, rng: np.random.Generator, written: int) -> pl.DataFrame:
    """Draw the rows of labevents of some admissions, from the emergency room to discharge (two weeks at most).

    Args:
        h: The hospital.
        admissions: The indices of the admissions.
        rng: The source of randomness.
        written: The number of rows that have been written before; it continues the numbering of the rows.
    """
    begin = np.where(h.edregtime[admissions] > 0, h.edregtime[admissions], h.admittime[admissions])
    end = np.minimum(h.dischtime[admissions], begin + DAYS * 24 * HOUR)
    draws = np.maximum((end - begin) // (12 * HOUR), 1)
    draws[h.missing["timeseries"][admissions]] = 0
    who = np.repeat(np.arange(len(admissions)), draws)
    turn = np.arange(len(who)) - np.repeat(np.cumsum(draws) - draws, draws)
    time = begin[who] + turn * 12 * HOUR + rng.integers(0, 120, len(who)) * 60
    view = {k: v[admissions] for k, v in h.latent.views["timeseries"].items()}
    numbers = signals(view, who, np.zeros(len(who)), h.female[h.subject[admissions]], rng)
    parts = [_results(test, turn, numbers, rng) for test in LABS_OF_HOSPITAL]
    at = np.concatenate([p[0] for p in parts])
    kinds = [len(p[0]) for p in parts]
    frame = pl.concat([p[1] for p in parts])
    itemid = np.repeat([t.itemid for t in LABS_OF_HOSPITAL], kinds)
    # Results of one fluid and category come from the same tube, so they share a specimen id.
    tube = np.unique([f"{t.fluid} {t.category}" for t in LABS_OF_HOSPITAL], return_inverse=True)[1]
    keep = time[at] <= end[who[at]]
    order = np.flatnonzero(keep)[np.lexsort((itemid[keep], at[keep]))]
    at = at[order]
    owner = admissions[who[at]]
    known = time[at] >= h.admittime[owner]  # blood drawn earlier, in the emergency room, has no admission id
    stored = time[at] + rng.integers(20, 150, len(at)) * 60
    return frame[order].select(
        pl.Series("labevent_id", written + 1 + np.arange(len(order))),
        pl.Series("subject_id", h.subject_id[h.subject[owner]]),
        pl.when(pl.Series(known)).then(pl.Series(h.hadm_id[owner])).otherwise(None).alias("hadm_id"),
        pl.Series("specimen_id", 40_000_000 + ((written + at) * 8 + np.repeat(tube, kinds)[order])),
        pl.Series("itemid", itemid[order]),
        pl.Series("order_provider_id", np.array(["P49AFC", "P03YMR", "P41R5N", None], dtype=object)[at % 4].tolist()),
        pl.Series("charttime", stamp(time[at])),
        pl.Series("storetime", stamp(stored)),
        "value",
        "valuenum",
        "valueuom",
        "ref_range_lower",
        "ref_range_upper",
        "flag",
        pl.Series("priority", np.where(at % 3 == 0, "STAT", "ROUTINE").tolist()),
        pl.when(pl.col("valuenum").is_null()).then(pl.lit("___")).otherwise(None).alias("comments"),
    )


def _results(
    test: Test, turn: np.ndarray, numbers: dict[str, np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, pl.DataFrame]:
    """Return which blood draws included a test, (k,), and the columns of its k results.

    Args:
        test: The test.
        turn: (T,) the number of each blood draw within its admission.
        numbers: The signals at the T draws.
        rng: The source of randomness.
    """
    at = np.flatnonzero((turn % max(test.every // 12, 1) == 0) & (rng.random(len(turn)) < test.chance))
    number = written_number(numbers[test.signal][at], test.decimals)
    lost = pl.Series(rng.random(len(at)) < 0.002)  # a haemolysed sample: the row has a comment instead of a number
    number = pl.select(pl.when(lost).then(None).otherwise(number).alias("x"))["x"].cast(pl.String)
    value = pl.select(pl.when(lost).then(pl.lit("___")).otherwise(number).alias("x"))["x"].cast(pl.String)
    plain = numbers[test.signal][at]
    odd = np.zeros(len(at), dtype=bool)
    if test.low is not None and test.high is not None:
        odd = (plain < test.low) | (plain > test.high)
    return at, pl.DataFrame(
        {
            "value": value,
            "valuenum": number,
            "valueuom": pl.Series([test.unit], dtype=pl.String).new_from_index(0, len(at)),
            "ref_range_lower": pl.Series([test.low], dtype=pl.Float64).new_from_index(0, len(at)),
            "ref_range_upper": pl.Series([test.high], dtype=pl.Float64).new_from_index(0, len(at)),
            "flag": pl.select(pl.when(pl.Series(odd)).then(pl.lit("abnormal")).otherwise(None).alias("x"))["x"],
        }
    )
