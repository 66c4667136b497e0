"""The event tables: chartevents and outputevents of each ICU stay, and labevents of each admission."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme_hospital.files import gzip_writer, stamp, stream, to_csv
from picme_hospital.items import CHART, OUTPUT, Item
from picme_hospital.labs import lab_events
from picme_hospital.patients import HOUR, Hospital
from picme_hospital.signals import number as written_number
from picme_hospital.signals import signals, texts_of

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 1000  # the number of stays, or of admissions, that are in memory at once
UNREADABLE = ("ERROR", "UNABLE TO OBTAIN", "___")


def write_series(hospital: Hospital, ehr: Path) -> dict[str, int]:
    """Write chartevents, outputevents and labevents; return the number of rows of each table."""
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
            results = lab_events(hospital, admissions, stream(hospital.seed, "labs", k), rows["labevents"])
            labs.write(to_csv(results, header=k == 0))
            rows["labevents"] += len(results)
    return rows


def _stay_events(h: Hospital, stays: np.ndarray, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw the rows of chartevents and of outputevents that belong to some stays (given by their indices)."""
    admission = h.admission[stays]
    length = np.maximum((h.outtime[stays] - h.intime[stays]) // HOUR, 1)
    length[h.missing["timeseries"][admission]] = 0
    stay = np.repeat(np.arange(len(stays)), length)
    hour = np.arange(len(stay)) - np.repeat(np.cumsum(length) - length, length)
    begin = -(-h.intime[stays] // HOUR) * HOUR  # entries are made on the hour
    time = begin[stay] + hour * HOUR
    left = (h.deathtime[admission][stay] - time) / HOUR
    dying = (h.deathtime[admission][stay] > 0) & (hour >= 48)
    # The first 48 hours depend on the latents alone. Later the dying get worse and the others better.
    worse = np.where(dying, np.clip(1.5 * (1 - left / 30), 0, 1.5), np.where(hour >= 48, -0.3, 0.0))
    view = {k: v[admission] for k, v in h.latent.views["timeseries"].items()}
    female = h.female[h.subject[admission]]
    numbers = signals(view, stay, worse, female, rng)
    intubated = h.latent.traits["intubated"][admission]
    texts = texts_of(numbers, intubated[stay] & (hour < np.maximum(0.7 * length[stay], 24)), rng)
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
    """Return at which of T hours an item is charted, (k,), and the columns value, valuenum and valueuom of its rows.

    Args:
        item: The item.
        stay: (T,) the index of the stay to which each hour belongs.
        hour: (T,) hours since the beginning of that stay.
        charted: (n,) whether the item is charted at all in each of the n stays.
        numbers: The signals at the T hours.
        texts: The texts at the T hours.
        fraction: (T,) whether the stay charts the oxygen fraction as 0.4 instead of 40.
        rng: The source of randomness.
    """
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
        number = pl.Series([None] * len(at), dtype=pl.String) if score is None else written_number(score[at], 0)
    else:
        number = written_number(numbers[item.signal][at], item.decimals)
        if item.signal == "oxygen":
            small = pl.Series(fraction[at])
            number = pl.select(
                pl.when(small).then(written_number(numbers["oxygen"][at] / 100, 2)).otherwise(number).alias("number")
            )["number"]
        value = number
    unit = pl.Series([item.unit], dtype=pl.String).new_from_index(0, len(at))
    return at, pl.DataFrame({"value": value, "valuenum": number, "valueuom": unit})


def _damage(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """Add the errors of real charts: text for numbers, impossible numbers, repeated rows, missing storage times."""
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
