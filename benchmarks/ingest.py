"""Event tables to hourly series: picme's one pass against a plain chunked pandas filter-and-bin of the same result.

    python benchmarks/ingest.py [--quick] [--chart-rows N] [--lab-rows N] [--stays N] [--folder DIR]

The input is a synthetic chartevents and labevents (csv.gz, rows in any order). Four measurements, each in a process of
its own: the floor (ISA-L decompresses the files to nowhere); pandas (reads chunks, keeps the channels' items, takes the
latest value of each hour of the whole stay); picme (the same, and the other two views, carried forward, one-hot, 76
columns, written to disk); picme on a quarter of the rows. The cells of pandas and of picme are compared. `ratio` is
pandas' time over picme's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from picme.cohort.channel_sets import ChannelSet, load
from picme.cohort.stays import read_stays
from picme.cohort.timeseries import Observation, build_series
from picme.config.cohort import CohortConfig
from picme.sources.mimic_ehr import Release

FILES = ("icu/chartevents.csv.gz", "hosp/labevents.csv.gz")
HOUR = 3600
# Published row counts of MIMIC-IV 3.1, and the published extraction's speed on the demo.
RELEASE_ROWS = 432_997_491 + 158_374_764
PUBLISHED_SECONDS_PER_MILLION = 40.0
CHUNK = 1_000_000


def floor(folder: Path) -> dict[str, Any]:
    """Decompress the files to nowhere."""
    from isal import igzip

    start = begun()
    for name in FILES:
        with igzip.open(folder / name, "rb") as stream:
            while stream.read(1 << 22):
                pass
    return stopped(start)


def ours(folder: Path, out: Path) -> dict[str, Any]:
    """Write all three views with picme; the observed cells go to `out` after the clock has stopped."""
    start = begun()
    stays = read_stays(Release.open(folder), CohortConfig()).stays
    seconds = stays["seconds"].to_numpy()
    everyone = np.arange(stays.height)
    long = np.flatnonzero(seconds >= 48 * HOUR)
    windows = [
        Observation("phenotyping", everyone, seconds),
        Observation("mortality", long, np.full(len(long), 48 * HOUR)),
        Observation("pretrain", everyone, np.minimum(seconds, 48 * HOUR)),
    ]
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        series, _ = build_series(Release.open(folder), load("default"), stays, windows, Path(scratch))
        clock = stopped(start)
        rows = series["phenotyping"].rows
        np.savez(out, *cells(rows.values, load("default")))
        return {**clock, "hours": int(rows.lengths.sum()), "stays": stays.height}


def cells(values: np.ndarray, channels: ChannelSet) -> tuple[np.ndarray, np.ndarray]:
    """Return each observed cell's index hour × channel, and its value (a category's index)."""
    width = len(channels.channels)
    where, what = [], []
    column = 0
    for index, channel in enumerate(channels.channels):
        hours = np.flatnonzero(values[:, len(channels.columns) - width + index])
        block = values[:, column : column + channel.width][hours]
        where.append(hours * width + index)
        what.append(block.argmax(axis=1) if channel.kind == "categorical" else block[:, 0])
        column += channel.width
    where_all, what_all = np.concatenate(where), np.concatenate(what).astype(np.float32)
    order = np.argsort(where_all)
    return where_all[order], what_all[order]


def pandas(folder: Path, out: Path) -> dict[str, Any]:
    """Read chunks of the needed columns, filter items, convert, and take the last value of each hour."""
    import pandas as pd

    start = begun()
    channels = load("default")
    stays = read_stays(Release.open(folder), CohortConfig()).stays
    keys = pd.DataFrame(
        {
            "subject_id": stays["subject_id"].to_numpy(),
            "own": stays["stay_id"].to_numpy(),
            "intime": stays["intime"].to_numpy(),
            "end": stays["seconds"].to_numpy(),
            "stay": np.arange(stays.height),
        }
    )
    kept = []
    for name, file in (("chartevents", FILES[0]), ("labevents", FILES[1])):
        entries = channels.items(name)
        items = pd.DataFrame(
            [(item.itemid, index, rank) for index, rank, item in entries], columns=["itemid", "channel", "rank"]
        )
        wanted = ["subject_id", "stay_id", "itemid", "charttime", "storetime", "value", "valuenum"]
        for chunk in pd.read_csv(folder / file, usecols=lambda c, w=wanted: c in w, chunksize=CHUNK, low_memory=False):
            part = chunk.merge(items, on="itemid").merge(keys, on="subject_id")
            part["charttime"] = pd.to_datetime(part["charttime"])
            part["known"] = (pd.to_datetime(part["storetime"]) - part["intime"]).dt.total_seconds()
            part["seconds"] = (part["charttime"] - part["intime"]).dt.total_seconds()
            part["known"] = part["known"].fillna(part["seconds"])
            part = part[(part["seconds"] >= 0) & (part["seconds"] <= part["end"]) & (part["known"] <= part["end"])]
            if "stay_id" in part:
                part = part[part["stay_id"].isna() | (part["stay_id"] == part["own"])]
            part["number"] = part["valuenum"].fillna(pd.to_numeric(part["value"], errors="coerce"))
            for index, _, item in entries:
                _convert(part, channels, index, item)
            part = part[part["number"].notna()]
            kept.append(part[["stay", "channel", "rank", "seconds", "known", "number"]])
    rows = pd.concat(kept)
    rows["hour"] = np.maximum(np.ceil(rows["seconds"] / HOUR).astype(int) - 1, 0)
    rows["rank"] = -rows["rank"]
    rows["minute"] = rows["known"] // 60
    rows = rows.sort_values(["stay", "channel", "hour", "seconds", "rank", "minute", "number"])
    rows = rows.drop_duplicates(["stay", "channel", "hour"], keep="last")
    clock = stopped(start)
    # Stays without any measurement have no hours in the series.
    hours = np.ceil(stays["seconds"].to_numpy() / HOUR).astype(int)
    hours[np.setdiff1d(np.arange(len(hours)), rows["stay"].unique())] = 0
    first = np.concatenate([[0], np.cumsum(hours)])[:-1]
    where = (first[rows["stay"]] + rows["hour"].to_numpy()) * len(channels.channels) + rows["channel"].to_numpy()
    order = np.argsort(where)
    np.savez(out, where[order], rows["number"].to_numpy(np.float32)[order])
    return clock


def _convert(part: Any, channels: ChannelSet, index: int, item: Any) -> None:
    """Convert units, categories and ranges of one item's rows, in place."""
    channel = channels.channels[index]
    mine = (part["itemid"] == item.itemid) & (part["channel"] == index)
    number = part.loc[mine, "number"].copy()
    if channel.kind == "categorical":
        levels = {level: channel.categories.index(text) for level, text in channel.levels.items()}
        number = (
            part.loc[mine, "value"].astype(str).str.strip().str.lower().map(channel.codes()).fillna(number.map(levels))
        )
    else:
        for steps in (item.convert, channel.convert):
            for step in [step for step in steps if step.unit is None][:1]:
                fits = (number > (-np.inf if step.above is None else step.above)) & (
                    number <= (np.inf if step.at_most is None else step.at_most)
                )
                number[fits] = (number[fits] - step.subtract) * step.multiply / step.divide
        if channel.outlier is not None and channel.valid is not None:
            number = number.where((number >= channel.outlier[0]) & (number <= channel.outlier[1])).clip(*channel.valid)
    part.loc[mine, "number"] = number


def stopped(start: tuple[float, float]) -> dict[str, float]:
    """Return wall-clock and processor seconds since `start`, and the peak memory so far."""
    seconds, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    return {"seconds": seconds, "processor": processor, "peak_mb": _peak()}


def begun() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _peak() -> float:
    """Return the peak resident memory of this process in MB; `ru_maxrss` would count the parent's before exec."""
    status = Path("/proc/self/status")
    if status.is_file():
        return (
            float(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(stage: str, folder: Path, out: Path) -> dict[str, Any]:
    """Run a stage in a process of its own; its seconds leave out the start of Python and the imports."""
    command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder), "--out", str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run_stage(stage: str, folder: Path, out: Path) -> None:
    """Run the stage that `measure` starts."""
    print(json.dumps(floor(folder) if stage == "floor" else (ours if stage == "ours" else pandas)(folder, out)))


def equal(ours_file: Path, pandas_file: Path) -> tuple[int, float]:
    """Return the number of cells, which must be the same on both sides, and the greatest difference of their values."""
    a, b = np.load(ours_file), np.load(pandas_file)
    if not np.array_equal(a["arr_0"], b["arr_0"]):
        raise SystemExit(f"pandas and picme fill different cells: {len(b['arr_0'])} and {len(a['arr_0'])}")
    return len(a["arr_0"]), float(np.abs(a["arr_1"] - b["arr_1"]).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1.5 million rows instead of 55 million")
    parser.add_argument("--chart-rows", type=int)
    parser.add_argument("--lab-rows", type=int)
    parser.add_argument("--stays", type=int, help="default: one for 6,300 rows, as in MIMIC-IV")
    parser.add_argument("--folder", type=Path, help="keep the input here and use it again")
    parser.add_argument("--rounds", type=int, help="best of so many for the floor, and for both with --quick")
    parser.add_argument("--stage", choices=("floor", "ours", "pandas"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_stage(options.stage, options.folder, options.out)
        return
    chart_rows = options.chart_rows or (1_100_000 if options.quick else 40_000_000)
    lab_rows = options.lab_rows or (400_000 if options.quick else 15_000_000)
    stays = options.stays or (chart_rows + lab_rows) // 6_300
    rounds = options.rounds or (3 if options.quick else 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        report(folder, Path(temporary), chart_rows, lab_rows, stays, rounds)


def prepare(folder: Path, chart_rows: int, lab_rows: int, stays: int) -> Path:
    """Write the input, unless it is there."""
    from picme_hospital import write_events

    place = folder / f"{chart_rows}-{lab_rows}-{stays}"
    if not (place / "done").is_file():
        start = time.perf_counter()
        write_events(place, chart_rows, lab_rows, stays, seed=0)
        (place / "done").touch()
        print(f"wrote {chart_rows:,} chart and {lab_rows:,} lab rows in {time.perf_counter() - start:.0f} s")
    return place


def report(folder: Path, out: Path, chart_rows: int, lab_rows: int, stays: int, rounds: int) -> None:
    """Measure and print."""
    whole = prepare(folder, chart_rows, lab_rows, stays)
    quarter = prepare(folder, chart_rows // 4, lab_rows // 4, stays)
    best: dict[str, dict[str, Any]] = {}
    for _ in range(rounds):  # in turns, so that other work on the machine slows all alike
        for stage in ("floor", "ours", "pandas"):
            found = measure(stage, whole, out / f"{stage}.npz")
            if stage not in best or found["seconds"] < best[stage]["seconds"]:
                best[stage] = found
    small = measure("ours", quarter, out / "quarter.npz")
    number, difference = equal(out / "ours.npz", out / "pandas.npz")
    millions = (chart_rows + lab_rows) / 1e6
    per_million = {stage: found["seconds"] / millions for stage, found in best.items()}
    peak = best["ours"]["peak_mb"]
    size = f"{best['ours']['stays']:,} stays, {best['ours']['hours']:,} hours"
    print(f"{size}; {number:,} cells equal (greatest difference {difference:.2g})")
    for stage in ("floor", "pandas", "ours"):
        found = best[stage]
        work = f"{per_million[stage]:.3f} s per million rows ({found['processor'] / millions:.3f} of the processor)"
        print(f"{stage:<7} {work}, peak {found['peak_mb']:,.0f} MB")
    print(f"ours on a quarter of the rows: peak {small['peak_mb']:,.0f} MB")
    minutes = RELEASE_ROWS / 1e6 * per_million["ours"] / 60
    print(f"MIMIC-IV 3.1 ({RELEASE_ROWS / 1e6:.0f} million rows) at this speed: {minutes:.1f} minutes")
    figures = {
        "ratio": round(best["pandas"]["seconds"] / best["ours"]["seconds"], 2),
        "reference": "chunked pandas filter-and-bin, same cells",
        "rows": chart_rows + lab_rows,
        "seconds_per_million": round(per_million["ours"], 4),
        "pandas_seconds_per_million": round(per_million["pandas"], 4),
        "floor_seconds_per_million": round(per_million["floor"], 4),
        "times_floor": round(per_million["ours"] / per_million["floor"], 2),
        "times_faster_than_published": round(PUBLISHED_SECONDS_PER_MILLION / per_million["ours"], 1),
        "peak_mb": round(peak),
        "peak_mb_quarter": round(small["peak_mb"]),
        "processor_ratio": round(best["pandas"]["processor"] / best["ours"]["processor"], 2),
        "memory_growth": round(peak / small["peak_mb"] - 1, 3),
        "pandas_peak_mb": round(best["pandas"]["peak_mb"]),
        "cells": number,
        "greatest_difference": difference,
        "mimic_iv_3_1_minutes": round(minutes, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
