"""Large chartevents and labevents in random order, written quickly, for measuring ingestion."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme_hospital.files import gzip_writer, stamp, stream, to_csv
from picme_hospital.items import CHART, EYE, INTUBATED, LABS_OF_HOSPITAL, MOTOR, POOLS, REFILL, VERBAL
from picme_hospital.patients import DAY, HOUR, Hospital, admit
from picme_hospital.tables import write_tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHUNK = 500_000  # the number of rows that are made at once
WANTED_CHART, WANTED_LABS = 0.17, 0.05  # shares of rows that the benchmark's channels use, about those of MIMIC-IV
OUTSIDE = 0.4  # the share of laboratory rows outside any admission
UNREADABLE = 2e-4  # the share of numbers that are replaced by a text
FIRST_UNWANTED = 224639  # the first item in CHART that the benchmark's channels do not use
# The laboratory tests that the benchmark's channels use.
WANTED_TESTS = frozenset((50931, 50820, 50809, 50817, 51478, 51491))

# The mean, standard deviation and decimals of each signal. Signals that are not listed are charted as 50 ± 10.
NUMBERS: dict[str, tuple[float, float, int]] = {
    "heart_rate": (88, 17, 0),
    "respiratory_rate": (20, 5, 0),
    "saturation": (96.5, 2.2, 0),
    "systolic": (118, 20, 0),
    "diastolic": (62, 12, 0),
    "mean_pressure": (78, 14, 0),
    "fahrenheit": (98.5, 1.0, 1),
    "celsius": (36.9, 0.6, 1),
    "oxygen": (48, 12, 0),
    "glucose": (142, 45, 0),
    "ph": (7.37, 0.07, 2),
    "inches": (67, 4, 0),
    "centimetres": (170, 10, 0),
    "kilograms": (82, 20, 1),
    "pounds": (181, 44, 1),
    "creatinine": (1.6, 0.5, 1),
    "bun": (28, 9, 0),
    "sodium": (138, 4, 0),
    "potassium": (4.1, 0.5, 1),
    "hematocrit": (31, 5, 1),
    "alarm_high": (130, 8, 0),
    "urine_ph": (6, 0.6, 1),
    "platelets": (210, 60, 0),
}
SCORES = {"eye": EYE, "verbal": VERBAL | {0: INTUBATED}, "motor": MOTOR}


class _Table:
    """The table of all texts that a value can have, from which values are gathered by row number.

    The first 100,000 rows are the numbers 0 … 999.99 in steps of 0.01; the words follow.

    Attributes:
        words: The rows that hold each signal's words.
        error: The row of the text that replaces an unreadable number.
        texts: The column `value`.
        numbers: The column `valuenum`.
    """

    def __init__(self) -> None:
        plain = [f"{k / 100:.2f}".rstrip("0").rstrip(".") for k in range(100_000)]
        self.words: dict[str, list[int]] = {}
        texts, numbers = list(plain), list[str | None](plain)

        def add(signal: str, word: str, number: str | None) -> None:
            self.words.setdefault(signal, []).append(len(texts))
            texts.append(word)
            numbers.append(number)

        for signal, scores in SCORES.items():
            for score, word in sorted(scores.items(), reverse=True):
                add(signal, word, str(max(score, 1)))
        for word in REFILL:
            add("refill", word, None)
        for signal, pool in POOLS.items():
            for word in pool:
                add(signal, word, None)
        add("", "ERROR", None)
        self.error = len(texts) - 1
        self.texts, self.numbers = pl.Series(texts), pl.Series(numbers, dtype=pl.String)

    def index(self, signal: str, decimals: int, n: int, rng: np.random.Generator) -> np.ndarray:
        """Draw n values of a signal; return the rows of the table that hold them, (n,)."""
        if decimals < 0:
            words = np.array(self.words.get(signal) or self.words["yes_no"])
            # The first word is the most common one.
            return np.asarray(words[np.minimum(rng.geometric(0.5, n) - 1, len(words) - 1)])
        mean, deviation, digits = NUMBERS.get(signal, (50.0, 10.0, decimals))
        step = 10 ** (2 - digits)
        values = np.rint((mean + deviation * rng.standard_normal(n, dtype="float32")) * (100 / step)) * step
        index = np.clip(values, 0, 99_999).astype("int64")
        index[rng.random(n, dtype="float32") < UNREADABLE] = self.error
        return index


def write(folder: Path, chart_rows: int, lab_rows: int, stays: int, seed: int, threads: int) -> None:
    """Write the tables of a hospital with large event tables, see `picme_hospital.write_events`."""
    hospital = admit(stays, seed)
    write_tables(hospital, folder)
    table = _Table()
    chart = _Mix([(i.itemid, i.signal, i.decimals, i.unit) for i in CHART], _shares_of_chart())
    tests = _Mix([(t.itemid, t.signal, t.decimals, t.unit) for t in LABS_OF_HOSPITAL], _shares_of_labs())
    units = pl.Series([*sorted({unit for _, _, _, unit in (*chart.items, *tests.items) if unit}), None])

    def chart_chunk(k: int, n: int) -> bytes:
        return to_csv(_chart(hospital, chart, table, units, n, stream(seed, "chart rows", k)), header=k == 0)

    def lab_chunk(k: int, n: int) -> bytes:
        rng = stream(seed, "lab rows", k)
        return to_csv(_labs(hospital, tests, table, units, n, rng, k * CHUNK), header=k == 0)

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        _write_chunks(folder / "icu" / "chartevents.csv.gz", chart_chunk, chart_rows, pool, threads)
        _write_chunks(folder / "hosp" / "labevents.csv.gz", lab_chunk, lab_rows, pool, threads)


def _write_chunks(
    path: Path, make: Callable[[int, int], bytes], rows: int, pool: ThreadPoolExecutor, threads: int
) -> None:
    """Write a csv.gz of chunks that are made in parallel and written in order, with only a few in memory.

    Args:
        path: The file.
        make: A function that returns a chunk as CSV, given the chunk's number and its number of rows.
        rows: The number of rows of the file.
        pool: The threads that make the chunks.
        threads: The number of threads, and of finished chunks that may wait to be written.
    """
    sizes = [min(CHUNK, rows - start) for start in range(0, rows, CHUNK)] or [0]
    waiting: deque[Future[bytes]] = deque()
    with gzip_writer(path, threads=max(threads, 1)) as file:
        for k, n in enumerate(sizes):
            waiting.append(pool.submit(make, k, n))
            if len(waiting) > threads:
                file.write(waiting.popleft().result())
        while waiting:
            file.write(waiting.popleft().result())


class _Mix:
    """Items with the probabilities with which rows are drawn from them.

    Attributes:
        items: The item id, signal, decimals and unit of each item.
        cumulative: The cumulative probabilities of the items.
    """

    def __init__(self, items: list[tuple[int, str, int, str | None]], shares: np.ndarray) -> None:
        self.items = items
        self.cumulative = np.cumsum(shares / shares.sum()).astype("float32")

    def draw(
        self, n: int, table: _Table, units: pl.Series, rng: np.random.Generator
    ) -> tuple[np.ndarray, pl.Series, pl.Series, pl.Series]:
        """Draw n rows; return their columns itemid, value, valuenum and valueuom."""
        which = np.minimum(np.searchsorted(self.cumulative, rng.random(n, dtype="float32")), len(self.items) - 1)
        order = np.argsort(which.astype("int16"), kind="stable")
        counts = np.bincount(which, minlength=len(self.items))
        index = np.empty(n, dtype="int64")
        parts = [
            table.index(signal, decimals, int(count), rng)
            for (_, signal, decimals, _), count in zip(self.items, counts, strict=True)
        ]
        index[order] = np.concatenate(parts)
        place = {unit: k for k, unit in enumerate(units)}
        unit = np.array([place[unit] for *_, unit in self.items])[which]
        ids = np.array([itemid for itemid, *_ in self.items])[which]
        return ids, table.texts.gather(index), table.numbers.gather(index), units.gather(unit)


def _shares_of_chart() -> np.ndarray:
    """Return how often each item of CHART is drawn."""
    weight = np.array([i.chance / max(i.every, 90 if i.every == 0 else 1) for i in CHART])
    first = [i.itemid for i in CHART].index(FIRST_UNWANTED)
    return _balance(weight, np.arange(len(CHART)) < first, WANTED_CHART)


def _shares_of_labs() -> np.ndarray:
    """Return how often each test of LABS_OF_HOSPITAL is drawn."""
    weight = np.array([t.chance / t.every for t in LABS_OF_HOSPITAL])
    return _balance(weight, np.array([t.itemid in WANTED_TESTS for t in LABS_OF_HOSPITAL]), WANTED_LABS)


def _balance(weight: np.ndarray, wanted: np.ndarray, share: float) -> np.ndarray:
    """Rescale weights so that those of the wanted items add up to `share`, and all to 1."""
    part = np.where(wanted, share / weight[wanted].sum(), (1 - share) / weight[~wanted].sum())
    return np.asarray(weight * part)


def _chart(h: Hospital, mix: _Mix, table: _Table, units: pl.Series, n: int, rng: np.random.Generator) -> pl.DataFrame:
    """Draw n rows of chartevents."""
    stay = rng.integers(0, len(h.stay_id), n)
    admission = h.admission[stay]
    minutes = (h.outtime[stay] - h.intime[stay]) // 60
    time = h.intime[stay] // 60 * 60 + 60 + (rng.random(n) * (minutes - 1)).astype("int64") * 60
    ids, value, valuenum, unit = mix.draw(n, table, units, rng)
    return pl.DataFrame(
        {
            "subject_id": h.subject_id[h.subject[admission]],
            "hadm_id": h.hadm_id[admission],
            "stay_id": h.stay_id[stay],
            "caregiver_id": rng.integers(10_000, 99_999, n),
            "charttime": stamp(time),
            "storetime": stamp(time + rng.integers(0, 60, n) * 60),
            "itemid": ids,
            "value": value,
            "valuenum": valuenum,
            "valueuom": unit,
            "warning": np.zeros(n, dtype="int8"),
        }
    )


def _labs(
    h: Hospital, mix: _Mix, table: _Table, units: pl.Series, n: int, rng: np.random.Generator, written: int
) -> pl.DataFrame:
    """Draw n rows of labevents; a share of them lies before the admission and so has no admission id.

    `written` is the number of rows that have been written before; it continues the numbering of the rows.
    """
    admission = rng.integers(0, len(h.hadm_id), n)
    begin, end = h.admittime[admission], h.dischtime[admission]
    inside = begin + (rng.random(n) * ((end - begin) // 60)).astype("int64") * 60
    outside = rng.random(n, dtype="float32") < OUTSIDE
    # Outpatient tests fall up to a year before the admission.
    time = np.where(outside, begin - rng.integers(DAY, 365 * DAY, n) // 60 * 60, inside)
    ids, value, valuenum, unit = mix.draw(n, table, units, rng)
    hadm = pl.Series(h.hadm_id[admission]).set(pl.Series(outside), None)
    blank = pl.Series([None], dtype=pl.String).new_from_index(0, n)
    return pl.DataFrame(
        {
            "labevent_id": written + 1 + np.arange(n),
            "subject_id": h.subject_id[h.subject[admission]],
            "hadm_id": hadm,
            "specimen_id": rng.integers(10_000_000, 99_999_999, n),
            "itemid": ids,
            "order_provider_id": blank,
            "charttime": stamp(time),
            "storetime": stamp(time + rng.integers(1200, 3 * HOUR, n) // 60 * 60),
            "value": value,
            "valuenum": valuenum,
            "valueuom": unit,
            "ref_range_lower": blank,
            "ref_range_upper": blank,
            "flag": blank,
            "priority": pl.Series(["ROUTINE", "STAT"]).gather(rng.integers(0, 2, n)),
            "comments": blank,
        }
    )
