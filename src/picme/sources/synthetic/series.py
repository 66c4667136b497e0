"""The charted course of an ICU stay and its laboratory results, from the latents that the bedside sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.signal import lfilter

from picme.sources.synthetic.files import gzip_writer, stamp, stream, to_csv
from picme.sources.synthetic.items import (
    CHART,
    EYE,
    INTUBATED,
    LABS_OF_HOSPITAL,
    MOTOR,
    OUTPUT,
    POOLS,
    REFILL,
    VERBAL,
    Item,
    Test,
)
from picme.sources.synthetic.patients import HOUR, Hospital

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1000  # stays, or admissions, in memory at once
LAB_DAYS = 14  # laboratory results end this long after admission
UNREADABLE = ("ERROR", "UNABLE TO OBTAIN", "___")


def write_series(hospital: Hospital, ehr: Path) -> dict[str, int]:
    """Write chartevents, outputevents and labevents; returns rows per table."""
    rows = {"chartevents": 0, "outputevents": 0, "labevents": 0}
    icu, hosp = ehr / "icu", ehr / "hosp"
    with (
        gzip_writer(icu / "chartevents.csv.gz") as chart,
        gzip_writer(icu / "outputevents.csv.gz") as output,
        gzip_writer(hosp / "labevents.csv.gz") as labs,
    ):
        for k, start in enumerate(range(0, len(hospital.stay_id), CHUNK)):
            stays = np.arange(start, min(start + CHUNK, len(hospital.stay_id)))
            events, outputs = _stay_events(hospital, stays, stream(hospital.seed, "chart", k))
            chart.write(to_csv(events, header=k == 0))
            output.write(to_csv(outputs, header=k == 0))
            rows["chartevents"] += len(events)
            rows["outputevents"] += len(outputs)
        for k, start in enumerate(range(0, len(hospital.hadm_id), CHUNK)):
            admissions = np.arange(start, min(start + CHUNK, len(hospital.hadm_id)))
            results = _lab_events(hospital, admissions, stream(hospital.seed, "labs", k), rows["labevents"])
            labs.write(to_csv(results, header=k == 0))
            rows["labevents"] += len(results)
    return rows


def _wander(n: int, memory: float, rng: np.random.Generator) -> np.ndarray:
    """Standard-normal noise that remembers its past (first-order autoregression), (n,)."""
    return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1.0, -memory], rng.normal(size=n)))


def signals(
    view: dict[str, np.ndarray], stay: np.ndarray, worse: np.ndarray, female: np.ndarray, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """Numbers at T moments.

    Args:
        view: latent → (n,), what the bedside sees of n patients.
        stay: (T,) patient of each moment. worse: (T,) added severity.
        female: (n,) bool.
        rng: source of noise.

    Returns:
        Name → (T,) float.
    """
    total, n = len(stay), len(female)
    z = {name: values[stay] for name, values in view.items()}
    severity = z["severity"] + worse + 0.35 * _wander(total, 0.9, rng)

    def level(mean: float | np.ndarray, habit: float, drift: float, memory: float = 0.7) -> np.ndarray:
        """A number around `mean` with a patient's own offset and slow and fast noise."""
        own = habit * rng.normal(size=n)
        return np.asarray(mean + own[stay] + drift * _wander(total, memory, rng))

    mean = level(79 - 7.0 * severity, 3.0, 5.0)
    pulse = level(50 - 2.0 * z["heart"], 5.0, 6.0)
    height = np.where(female, 162.0, 176.0) + 6.5 * rng.normal(size=n)
    weight = (25 + 4.0 * view["metabolic"] + 3.0 * rng.normal(size=n)) * (height / 100) ** 2
    weight = np.clip(weight, 38, 220)
    celsius = level(36.95 + 0.42 * z["infection"], 0.15, 0.25, 0.9)
    coma = z["brain"] + worse + 0.5 * _wander(total, 0.95, rng)
    return {
        "severity": severity,
        "coma": coma,
        "heart_rate": np.clip(level(86 + 8.0 * severity + 4.0 * z["infection"] + 2 * z["heart"], 6, 6), 28, 215),
        "mean_pressure": np.clip(mean, 30, 150),
        "systolic": np.clip(mean + 0.66 * pulse, 48, 230),
        "diastolic": np.clip(mean - 0.34 * pulse, 22, 130),
        "respiratory_rate": np.clip(level(19.5 + 3.2 * z["lung"] + 1.2 * severity, 2.0, 3.0), 5, 55),
        "saturation": np.clip(level(96.6 - 1.5 * z["lung"], 0.7, 1.2), 70, 100),
        "celsius": np.clip(celsius, 33.2, 41.2),
        "fahrenheit": np.clip(celsius, 33.2, 41.2) * 1.8 + 32,
        "oxygen": np.clip(np.round(level(46 + 11.0 * z["lung"], 4, 5, 0.95) / 5) * 5, 25, 100),
        "glucose": np.clip(np.exp(level(4.93 + 0.22 * z["metabolic"], 0.1, 0.18)), 38, 700),
        "ph": np.clip(level(7.375 - 0.045 * severity - 0.02 * z["kidney"], 0.015, 0.025), 6.9, 7.62),
        "centimetres": height[stay],
        "inches": height[stay] / 2.54,
        "kilograms": weight[stay],
        "pounds": weight[stay] / 0.45359237,
        "creatinine": np.clip(np.exp(level(0.25 + 0.5 * z["kidney"], 0.15, 0.1, 0.95)), 0.3, 14),
        "bun": np.clip(np.exp(level(3.1 + 0.4 * z["kidney"], 0.2, 0.1, 0.95)), 4, 180),
        "sodium": level(138.5 - 1.0 * z["kidney"], 2.5, 1.5, 0.95),
        "potassium": np.clip(level(4.1 + 0.2 * z["kidney"], 0.2, 0.3), 2.4, 8),
        "chloride": level(103.0, 3, 2, 0.95),
        "bicarbonate": np.clip(level(24 - 1.8 * severity - 0.8 * z["kidney"], 1.5, 1.5, 0.95), 6, 45),
        "anion_gap": np.clip(level(14 + 1.5 * severity, 1.5, 1.5), 4, 40),
        "magnesium": np.clip(level(2.0, 0.15, 0.2), 1, 4),
        "hemoglobin": np.clip(level(10.6 - 0.5 * z["liver"], 1.2, 0.5, 0.95), 5, 17),
        "hematocrit": np.clip(level(32.0 - 1.5 * z["liver"], 3.5, 1.5, 0.95), 16, 52),
        "white_cells": np.clip(np.exp(level(2.35 + 0.32 * z["infection"], 0.2, 0.15, 0.95)), 0.3, 90),
        "platelets": np.clip(np.exp(level(5.25 - 0.3 * z["liver"], 0.25, 0.1, 0.95)), 8, 900),
        "rdw": np.clip(level(14.8 + 0.5 * z["liver"], 1, 0.2, 0.95), 11, 28),
        "inr": np.clip(np.exp(level(0.25 + 0.2 * z["liver"], 0.1, 0.08, 0.9)), 0.9, 9),
        "alt": np.clip(np.exp(level(3.5 + 0.5 * z["liver"], 0.5, 0.2, 0.95)), 5, 6000),
        "bilirubin": np.clip(np.exp(level(-0.1 + 0.7 * z["liver"], 0.3, 0.1, 0.95)), 0.1, 45),
        "albumin": np.clip(level(3.1 - 0.25 * z["liver"], 0.3, 0.15, 0.95), 1.2, 5),
        "troponin": np.clip(np.exp(level(-3.4 + 0.8 * z["heart"], 0.5, 0.3, 0.9)), 0.01, 20),
        "lactate": np.clip(np.exp(level(0.6 + 0.35 * severity, 0.15, 0.2, 0.9)), 0.4, 20),
        "pco2": np.clip(level(41 + 2.0 * z["lung"], 3, 4), 18, 110),
        "urine_glucose": np.clip(np.exp(level(4 + 0.8 * z["metabolic"], 0.5, 0.5)), 10, 1000),
        "urine_ph": np.clip(np.round(level(6.0, 0.4, 0.4) * 2) / 2, 5, 9),
        "urine": np.clip(np.round(np.exp(level(4.8 - 0.35 * z["kidney"], 0.2, 0.5, 0.5)) / 5) * 5, 0, 1500),
        "alarm_high": level(130.0, 3, 3),
        "alarm_low": level(50.0, 2, 2),
        "peep": np.clip(np.round(level(6.5 + 1.2 * z["lung"], 0.5, 0.8, 0.95)), 5, 20),
        "tidal": level(430.0, 30, 40),
    }


def _texts(numbers: dict[str, np.ndarray], intubated: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Charted words at T moments: name → (T,) object; `eye`, `verbal`, `motor` also as scores in `<name>_score`."""
    coma, total = numbers["coma"], len(numbers["coma"])

    def score(cuts: tuple[float, ...], top: int) -> np.ndarray:
        return np.asarray(top - np.digitize(coma + 0.25 * rng.normal(size=total), cuts))

    eye, motor, verbal = score((0.5, 1.1, 1.7), 4), score((0.8, 1.2, 1.6, 2.2, 2.7), 6), score((0.1, 0.8, 1.3, 1.8), 5)
    verbal = np.where(intubated, 1, verbal)

    def words(names: dict[int, str], scores: np.ndarray) -> np.ndarray:
        table = np.array([names.get(i, "") for i in range(max(names) + 1)], dtype=object)
        return np.asarray(table[scores])

    said = words(VERBAL, verbal)
    said[intubated] = INTUBATED
    slow = numbers["severity"] + 0.6 * rng.normal(size=total) > 1.3
    poor = numbers["respiratory_rate"] > 23
    texts = {
        "eye": words(EYE, eye),
        "verbal": said,
        "motor": words(MOTOR, motor),
        "eye_score": eye,
        "verbal_score": verbal,
        "motor_score": motor,
        "refill": np.where(slow, REFILL[1], REFILL[0]).astype(object),
        "rhythm": np.where(numbers["heart_rate"] > 100, "ST (Sinus Tachycardia)", "SR (Sinus Rhythm)").astype(object),
        "sounds": np.where(poor, "Crackles", "Clear").astype(object),
        "device": np.where(intubated, "Endotracheal tube", np.where(poor, "High flow nasal cannula", "Nasal cannula")),
        "rass": np.array([" 0  Alert and calm", "-1  Awakens to voice", "-4  Deep sedation"], dtype=object)[
            np.digitize(coma, (0.7, 1.6))
        ],
    }
    for name, pool in POOLS.items():
        texts[name] = np.array(pool, dtype=object)[rng.integers(0, len(pool), total)]
    return texts


def _number(values: np.ndarray, decimals: int) -> pl.Series:
    """Numbers as MIMIC writes them: no decimal point without need (`86`, `36.8`)."""
    if decimals == 0:
        return pl.Series(np.round(values).astype("int64")).cast(pl.String)
    return pl.Series(np.round(values, decimals)).cast(pl.String).str.strip_suffix(".0")


def _stay_events(h: Hospital, stays: np.ndarray, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Chart and output rows of some stays."""
    admission = h.admission[stays]
    length = np.maximum((h.outtime[stays] - h.intime[stays]) // HOUR, 1)
    length[h.missing["timeseries"][admission]] = 0
    stay = np.repeat(np.arange(len(stays)), length)
    hour = np.arange(len(stay)) - np.repeat(np.cumsum(length) - length, length)
    begin = -(-h.intime[stays] // HOUR) * HOUR  # nurses chart on the hour
    time = begin[stay] + hour * HOUR
    left = (h.deathtime[admission][stay] - time) / HOUR
    dying = (h.deathtime[admission][stay] > 0) & (hour >= 48)
    # The first 48 hours depend on the latents alone; later the outcome shows.
    worse = np.where(dying, np.clip(1.5 * (1 - left / 30), 0, 1.5), np.where(hour >= 48, -0.3, 0.0))
    view = {k: v[admission] for k, v in h.latent.views["timeseries"].items()}
    female = h.female[h.subject[admission]]
    numbers = signals(view, stay, worse, female, rng)
    intubated = h.latent.traits["intubated"][admission]
    texts = _texts(numbers, intubated[stay] & (hour < np.maximum(0.7 * length[stay], 24)), rng)
    line = h.latent.traits["line"][admission]
    celsius = rng.random(len(stays)) < 0.15
    who = {
        "all": np.ones(len(stays), dtype=bool),
        "arterial": line,
        "cuff": ~line | (rng.random(len(stays)) < 0.3),
        "second_line": line & (rng.random(len(stays)) < 0.05),
        "balloon": (view["heart"] > 1.6) & (rng.random(len(stays)) < 0.3),
        "celsius": celsius,
        "fahrenheit": ~celsius,
        "oxygen": intubated | (view["lung"] > 0.0),
        "ventilated": intubated,
        "inches": rng.random(len(stays)) < 0.6,
        "pounds": rng.random(len(stays)) < 0.4,
    }
    # Some units chart the oxygen fraction as 0.4 instead of 40.
    fraction = (rng.random(len(stays)) < 0.1)[stay]
    tables = []
    for items in (CHART, OUTPUT):
        parts = [_rows(item, stay, hour, who[item.who], numbers, texts, fraction, rng) for item in items]
        at = np.concatenate([p[0] for p in parts])
        itemid = np.repeat(np.array([i.itemid for i in items]), [len(p[0]) for p in parts])
        frame = pl.concat([p[1] for p in parts]).with_columns(
            pl.Series("at", at), pl.Series("itemid", itemid), pl.Series("time", time[at])
        )
        late = np.where(rng.random(len(at)) < 0.2, rng.integers(1, 59, len(at)) * 60, 0)
        charted = frame["time"].to_numpy() + late
        frame = frame.with_columns(
            pl.Series("time", charted),
            pl.Series("stored", charted // 60 * 60 + rng.integers(1, 75, len(at)) * 60),
            pl.Series("caregiver_id", rng.integers(10_000, 99_999, len(stays))[stay[at]]),
        )
        frame = frame.filter(pl.Series(charted <= h.outtime[stays][stay[at]])).sort("at", "time", maintain_order=True)
        owner = stay[frame["at"].to_numpy()]
        tables.append(
            frame.select(
                pl.Series("subject_id", h.subject_id[h.subject[admission]][owner]),
                pl.Series("hadm_id", h.hadm_id[admission][owner]),
                pl.Series("stay_id", h.stay_id[stays][owner]),
                "caregiver_id",
                pl.Series("charttime", stamp(frame["time"].to_numpy())),
                pl.Series("storetime", stamp(frame["stored"].to_numpy())),
                "itemid",
                "value",
                "valuenum",
                "valueuom",
                pl.lit(0).alias("warning"),
            )
        )
    return _damage(tables[0], rng), tables[1].drop("valuenum", "warning")


def _rows(
    item: Item,
    stay: np.ndarray,
    hour: np.ndarray,
    charted: np.ndarray,
    numbers: dict[str, np.ndarray],
    texts: dict[str, np.ndarray],
    fraction: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, pl.DataFrame]:
    """Moments (k,) at which an item is charted, and its columns value, valuenum, valueuom."""
    if item.every == 0:
        due = hour == 0
    elif item.every == 1:
        due = np.ones(len(hour), dtype=bool)
    else:
        due = (hour + rng.integers(0, item.every, len(charted))[stay]) % item.every == 0
    at = np.flatnonzero(due & charted[stay] & (rng.random(len(hour)) < item.chance))
    if item.decimals < 0:
        value = pl.Series(texts[item.signal][at].tolist(), dtype=pl.String)
        score = texts.get(f"{item.signal}_score")
        number = pl.Series([None] * len(at), dtype=pl.String) if score is None else _number(score[at], 0)
    else:
        number = _number(numbers[item.signal][at], item.decimals)
        if item.signal == "oxygen":
            small = pl.Series(fraction[at])
            number = pl.select(
                pl.when(small).then(_number(numbers["oxygen"][at] / 100, 2)).otherwise(number).alias("number")
            )["number"]
        value = number
    unit = pl.Series([item.unit], dtype=pl.String).new_from_index(0, len(at))
    return at, pl.DataFrame({"value": value, "valuenum": number, "valueuom": unit})


def _damage(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """What is wrong in real charts: text for numbers, impossible numbers, a row twice, a storage time missing."""
    n = len(frame)
    if n < 50:
        return frame
    numeric = np.flatnonzero(frame["itemid"].is_in([220045, 220179, 220210, 220277, 223761]).to_numpy())
    hits = rng.choice(numeric, size=max(6, n // 5000), replace=False)
    text, high = hits[::2], hits[1::2]
    value, valuenum = frame["value"].to_list(), frame["valuenum"].to_list()
    for i in text:
        value[i], valuenum[i] = UNREADABLE[int(rng.integers(len(UNREADABLE)))], None
    for i in high:
        value[i] = valuenum[i] = str(rng.choice(["9999", "999999", "-5"]))
    stored = np.ones(n, dtype=bool)
    stored[rng.choice(n, size=max(2, n // 10000), replace=False)] = False
    frame = frame.with_columns(
        pl.Series("value", value, dtype=pl.String),
        pl.Series("valuenum", valuenum, dtype=pl.String),
        pl.when(pl.Series(stored)).then("storetime").otherwise(None).alias("storetime"),
    )
    twice = np.sort(rng.choice(n, size=max(2, n // 10000), replace=False))
    return frame[np.sort(np.concatenate([np.arange(n), twice]))]


def _lab_events(h: Hospital, admissions: np.ndarray, rng: np.random.Generator, written: int) -> pl.DataFrame:
    """Laboratory rows of some admissions, from the emergency room to discharge (two weeks at most)."""
    begin = np.where(h.edregtime[admissions] > 0, h.edregtime[admissions], h.admittime[admissions])
    end = np.minimum(h.dischtime[admissions], begin + LAB_DAYS * 24 * HOUR)
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
    # One tube a category: its results share a specimen.
    tube = np.unique([f"{t.fluid} {t.category}" for t in LABS_OF_HOSPITAL], return_inverse=True)[1]
    keep = time[at] <= end[who[at]]
    order = np.flatnonzero(keep)[np.lexsort((itemid[keep], at[keep]))]
    at = at[order]
    owner = admissions[who[at]]
    known = time[at] >= h.admittime[owner]  # drawn in the emergency room: no admission yet
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
    """Draws (k,) in which a test was done, and its columns."""
    at = np.flatnonzero((turn % max(test.every // 12, 1) == 0) & (rng.random(len(turn)) < test.chance))
    number = _number(numbers[test.signal][at], test.decimals)
    lost = pl.Series(rng.random(len(at)) < 0.002)  # haemolysed: a comment instead of a number
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
