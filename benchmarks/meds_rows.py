"""Events in MEDS to hourly series: picme's reading against polars' own scan of the same columns.

    python benchmarks/meds_rows.py [--quick] [--rows N] [--folder DIR]

The data set has one chart and laboratory event in seven that a channel uses, in files of a few thousand subjects, like
what the public extractor makes of MIMIC-IV. Two measurements, each in a process of its own and in turn, so that both
meet the same machine: polars reads subject_id, time, code and numeric_value of every file and aggregates each of them;
picme reads the same columns, checks their order, keeps the events of stays and channels, and makes the tables of
stays, which is all that it does with events that are not used. What follows (hourly series of the events that are) is
timed by itself, since it grows with these alone. `ratio` is polars' time over picme's; a half is the aim.
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
import polars as pl

COLUMNS = ("subject_id", "time", "code", "numeric_value")
ROUNDS = 3
ROWS_OF_SUBJECT = 5_000
SUBJECTS_OF_SHARD = 1_000
OTHERS = 3_000
"""Codes that no channel uses."""
USED = 0.14
DAY = 86_400


def write(folder: Path, rows: int) -> None:
    """Write the data set: every subject has one stay of ten days, and measurements in it."""
    rng = np.random.default_rng(0)
    from picme.cohort.channel_sets import load

    used = [f"LAB//{item.itemid}//UNK" for one in load("default").channels for item in one.items]
    codes = pl.Series([*dict.fromkeys(used), *(f"LAB//{300_000 + number}//mg/dL" for number in range(OTHERS))])
    first = len(set(used))
    weights = np.concatenate([np.full(first, USED / first), (1 - USED) * _zipf(OTHERS)])
    (folder / "data").mkdir(parents=True)
    (folder / "metadata").mkdir()
    subjects = max(2, rows // ROWS_OF_SUBJECT)
    for number, start in enumerate(range(0, subjects, SUBJECTS_OF_SHARD)):
        ids = np.arange(start, min(start + SUBJECTS_OF_SHARD, subjects)) + 10_000_000
        count = len(ids) * ROWS_OF_SUBJECT
        begin = (rng.integers(0, 3_000, len(ids)) + 54_000) * DAY
        subject = np.repeat(np.arange(len(ids)), ROWS_OF_SUBJECT)
        seconds = begin[subject] + rng.integers(0, 10 * DAY, count) // 60 * 60
        events = pl.DataFrame(
            {
                "subject_id": ids[subject],
                "time": (seconds * 1_000_000).astype("datetime64[us]"),
                "code": codes[rng.choice(len(codes), count, p=weights)],
                "numeric_value": rng.normal(80, 10, count).round(1).astype(np.float32),
            }
        )
        every = pl.concat([events, *_stays(ids, begin)])
        every.sort("subject_id", "time", nulls_last=False).write_parquet(folder / "data" / f"{number}.parquet")
    listed = [*codes.to_list(), *_stays(np.array([1]), np.array([0]))[0]["code"].to_list()]
    pl.DataFrame({"code": sorted({*listed, "GENDER//F", "GENDER//M"})}).write_parquet(folder / "metadata/codes.parquet")
    (folder / "metadata" / "dataset.json").write_text('{"etl_name": "MIMIC_IV_MEDS"}', "utf-8")


def _zipf(number: int) -> np.ndarray:
    shares = 1 / np.arange(1, number + 1)
    return np.asarray(shares / shares.sum())


def _stays(ids: np.ndarray, begin: np.ndarray) -> list[pl.DataFrame]:
    """Return the events of each subject's stay."""
    made = []
    for code, offset in (
        ("GENDER//F", None),
        ("MEDS_BIRTH", -60 * 365 * DAY),
        ("HOSPITAL_ADMISSION//URGENT//ED", -3600),
        ("ICU_ADMISSION//MICU", 0),
        ("ICU_DISCHARGE//MICU", 10 * DAY),
        ("HOSPITAL_DISCHARGE//HOME", 12 * DAY),
    ):
        times = pl.Series(np.zeros(len(ids), "datetime64[us]"))
        if offset is not None:
            times = pl.Series(((begin + offset) * 1_000_000).astype("datetime64[us]"))
        frame = pl.DataFrame({"subject_id": ids, "time": times}).with_columns(
            pl.col("time") if offset is not None else pl.lit(None, pl.Datetime("us")).alias("time"),
            code=pl.lit(code),
            numeric_value=pl.lit(None, pl.Float32),
        )
        made.append(frame)
    return [pl.concat(made)]


def theirs(folder: Path) -> dict[str, Any]:
    """Scan the columns with polars, and aggregate each."""
    start = time.perf_counter()
    pl.scan_parquet(folder / "data" / "*.parquet").select(
        pl.col("subject_id").max(),
        pl.col("time").max(),
        pl.col("code").str.len_bytes().sum(),
        pl.col("numeric_value").sum(),
    ).collect(engine="streaming")
    return _stopped(start)


def ours(folder: Path) -> dict[str, Any]:
    """Read the data set as a study does, and then make the hourly series of two views."""
    from picme.cohort import channel_sets
    from picme.cohort.stays import read_stays
    from picme.cohort.timeseries import Observation, build_series
    from picme.config.cohort import CohortConfig
    from picme.sources.meds import MedsRelease
    from picme.sources.meds_files import MedsFiles

    channels = channel_sets.of_events(channel_sets.load("default"))
    items = [item for one in channels.channels for item in one.items]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        start = time.perf_counter()
        release = MedsRelease(MedsFiles.open(folder), items, True, 0.05, Path(scratch))
        stays = read_stays(release, CohortConfig()).stays
        found = _stopped(start)
        seconds = stays["seconds"].to_numpy()
        everyone = np.arange(stays.height)
        windows = [
            Observation("phenotyping", everyone, seconds),
            Observation("mortality", everyone, np.minimum(seconds, 48 * 3600)),
        ]
        start = time.perf_counter()
        series, _ = build_series(release, channels, stays, windows, Path(scratch) / "series")
        after = _stopped(start)
        hours = int(series["phenotyping"].rows.lengths.sum())
    return {**found, "series_seconds": after["seconds"], "all_peak_mb": after["peak_mb"], "hours": hours}


def _stopped(start: float) -> dict[str, Any]:
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 3), "peak_mb": _peak_mb()}


def _peak_mb() -> int:
    """Return the peak resident memory of this process; `ru_maxrss` would count the parent's before exec, too."""
    status = Path("/proc/self/status")
    if status.is_file():
        return (
            int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1]) // 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _apart(name: str, folder: Path) -> dict[str, Any]:
    """Measure in a process of its own; -P, because this file would hide the package `meds`."""
    done = subprocess.run(
        [sys.executable, "-P", __file__, "--one", name, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--quick", action="store_true", help="5 million rows instead of 50")
    parser.add_argument("--rows", type=int, help="rows of the data set")
    parser.add_argument("--folder", type=Path, help="where the data set is, or is to be written")
    parser.add_argument("--one", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps({"ours": ours, "theirs": theirs}[options.one](options.folder)))
        return
    rows = options.rows or (5_000_000 if options.quick else 50_000_000)
    with tempfile.TemporaryDirectory() as place:
        folder = options.folder or Path(place)
        if not (folder / "data").is_dir():
            write(folder, rows)
        rows = pl.scan_parquet(folder / "data" / "*.parquet").select(pl.len()).collect().item()
        rounds = [(_apart("theirs", folder), _apart("ours", folder)) for _ in range(ROUNDS)]
    reference, mine = (min((pair[side] for pair in rounds), key=lambda one: one["seconds"]) for side in (0, 1))
    millions = rows / 1e6
    times = mine["seconds"] / reference["seconds"]
    print(
        f"{rows:,} events. polars scans the columns in {reference['seconds']:.2f} s ({reference['peak_mb']} MB); picme "
        f"reads them, checks their order and keeps what is used in {mine['seconds']:.2f} s, {times:.2f} times as long "
        f"({mine['seconds'] / millions:.3f} s per million, {mine['peak_mb']} MB), and makes {mine['hours']:,} hours of "
        f"series of two views in {mine['series_seconds']:.2f} s more ({mine['all_peak_mb']} MB at most)."
    )
    result = {
        "ratio": round(1 / times, 3),
        "reference": "polars' streaming scan of the same columns",
        "rows": rows,
        "times_as_long": round(times, 3),
        "seconds_per_million": round(mine["seconds"] / millions, 4),
        "series_seconds_per_million": round(mine["series_seconds"] / millions, 4),
        "reference_seconds": reference["seconds"],
        "ours_seconds": mine["seconds"],
        "peak_mb": mine["all_peak_mb"],
        "reference_peak_mb": reference["peak_mb"],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
