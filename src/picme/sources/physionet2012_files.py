"""Files of the 2012 challenge as PhysioNet ships them: sets of records as zip, tar.gz or folder, and their outcomes."""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING

import polars as pl

from picme.errors import DataError, near_column

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

SETS = ("a", "b", "c")
ENDINGS = (".zip", ".tar.gz", ".tgz", "")
OUTCOME = "In-hospital_death"
OUTCOMES = ("RecordID", "SAPS-I", "SOFA", "Length_of_stay", "Survival", OUTCOME)


# A record takes some 8 KB and a set 30 MB; an archive that unpacks to far more was made to fill the memory.
LARGEST_RECORD = 4 << 20
LARGEST_SET = 1 << 30
# Digits of ASCII, few enough for a 64-bit integer.
_RECORD = re.compile(r"[0-9]{1,18}")

# Stands between records; it cannot be part of a line, since it is taken out of all content.
MARKER = "\x1f"


def find_sets(folder: Path, unlabelled: bool = False) -> dict[str, Path]:
    """Find each set that is there.

    Args:
        folder: the folder of the sets and their outcomes.
        unlabelled: True if outcomes may be missing.

    Raises:
        DataError: if there is no folder, no set in it, a set in two forms, or a set without its outcomes.
    """
    if not folder.is_dir():
        raise DataError(f"source.path {folder} is not a folder; expected the one with set-a.zip and Outcomes-a.txt")
    found: dict[str, Path] = {}
    for name in SETS:
        paths = [(path, ending) for ending in ENDINGS for path in _named(folder, f"set-{name}{ending}")]
        there = [path for path, ending in paths if (path.is_file() if ending else path.is_dir())]
        if len(there) > 1:
            raise DataError(
                f"{folder} holds set {name} as {' and as '.join(path.name for path in there)}, which may differ; "
                "keep one of them there"
            )
        if there:
            found[name] = there[0]
    if not found:
        raise DataError(
            f"{folder} holds no set of the challenge; expected set-a, set-b or set-c as .zip, .tar.gz or folder"
        )
    for name, path in found.items():
        if not unlabelled and outcome_file(folder, name) is None:
            raise DataError(
                f"{folder / f'Outcomes-{name}.txt'} is missing; {path.name} cannot be used without its outcomes, "
                "unless source.unlabelled is true (new stays for `picme predict`)"
            )
    return found


def _named(folder: Path, name: str) -> list[Path]:
    """List what has this name in a folder; some systems write names in capitals."""
    return [item for item in sorted(folder.iterdir()) if item.name.lower() == name.lower()]


def outcome_file(folder: Path, name: str) -> Path | None:
    """Return the file of a set's outcomes, or None.

    Raises:
        DataError: if there are two, in different case of letters.
    """
    there = [path for path in _named(folder, f"Outcomes-{name}.txt") if path.is_file()]
    if len(there) > 1:
        raise DataError(f"{there[0]} and {there[1]} may differ; keep one of them there")
    return there[0] if there else None


def _is_text(name: str) -> bool:
    """Tell whether a file's name ends as a record's does; some systems write it in capitals."""
    return name.lower().endswith(".txt")


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of a set; what is no file, such as a pipe, is not opened.

    Raises:
        DataError: if a file is too large for a record, all are together, or the archive cannot be read as it is packed.
    """
    total = 0

    def content(stream: IO[bytes]) -> bytes:
        nonlocal total
        found = stream.read(LARGEST_RECORD + 1)
        total += len(found)
        if len(found) > LARGEST_RECORD or total > LARGEST_SET:
            raise DataError(
                f"{path} holds more than records of 48 hours can ({LARGEST_RECORD >> 20} MB in one file or "
                f"{LARGEST_SET >> 20} MB in all); download it again"
            )
        return found

    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if _is_text(file.name) and file.is_file():
                with file.open("rb") as stream:
                    yield file.name, content(stream)
    elif path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.flag_bits & 1:
                    raise DataError(f"{path} is encrypted; unpack it, or download it again")
                if _is_text(info.filename):
                    try:
                        with archive.open(info) as unpacked:
                            yield info.filename, content(unpacked)
                    except NotImplementedError:
                        raise DataError(f"{path} is compressed in a way that is not read here; unpack it") from None
    else:
        with tarfile.open(path, "r:gz") as tar:
            for member in tar:
                packed = tar.extractfile(member) if _is_text(member.name) and member.isfile() else None
                if packed is not None:
                    yield member.name, content(packed)


def _lines(content: bytes) -> bytes:
    """End every line with a line feed alone, also those that end with a carriage return, with or without one."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def read_set(path: Path, seen: set[int], counts: Counter[tuple[str, str]]) -> tuple[list[int], pl.DataFrame]:
    """Read all records of one set into one table.

    Every file is put behind a marker line that names its record and all are parsed at once: 4,000 small parses would
    take a minute, this takes two seconds. A number written with a decimal comma takes two cells, and is put together;
    `1,234`, which may be either number, is none.

    Args:
        path: the set, from `find_sets`.
        seen: records of the sets before; a record is read once, a second one counted. The new ones are added.
        counts: (modality, reason) of what is left out.

    Returns:
        The records, also those without a line, and a frame with stay_id (Int64), time, parameter, value (String) and
        foreign (Boolean): true for lines below a RecordID other than the file's.

    Raises:
        DataError: if the archive is damaged or holds no record.
    """
    parts: list[bytes] = []
    records: list[int] = []
    try:
        for name, content in _members(path):
            stem = name.rsplit("/", 1)[-1][:-4]
            if not _RECORD.fullmatch(stem):
                counts["all", "file that is not a record"] += 1
            elif int(stem) in seen:
                counts["all", "record seen before"] += 1
            else:
                seen.add(int(stem))
                records.append(int(stem))
                content = _lines(content.replace(MARKER.encode(), b""))
                parts += [f"{MARKER},{MARKER},{stem},,\n".encode(), content, b"" if content.endswith(b"\n") else b"\n"]
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise DataError(f"{path} is damaged or cut off ({type(error).__name__}); download it again") from None
    if not records:
        raise DataError(f"{path} holds no record; expected files such as 132539.txt")
    columns = dict.fromkeys(("time", "parameter", "value", "rest", "more"), pl.String)
    lines = pl.read_csv(
        io.BytesIO(b"".join(parts)),
        has_header=False,
        schema=columns,
        quote_char=None,
        encoding="utf8-lossy",
        truncate_ragged_lines=True,
    )
    marker = (pl.col("time") == MARKER).fill_null(False)
    named = (pl.col("parameter").str.strip_chars().str.to_lowercase() == "recordid").fill_null(False)
    whole = pl.col("value").str.strip_chars().str.strip_suffix(".0").cast(pl.Int64, strict=False)
    lines = lines.with_columns(
        pl.when(marker).then("value").forward_fill().cast(pl.Int64).alias("stay_id"),
        # An unreadable RecordID names no record of its own, and lines below it are foreign too.
        pl.when(marker | named).then(whole.fill_null(-1)).forward_fill().alias("under"),
    )
    header = (pl.col("time") == "Time").fill_null(False) | named
    blank = pl.all_horizontal(pl.col(list(columns)).is_null())
    lines = lines.filter(~(marker | header | blank)).with_columns(foreign=pl.col("under") != pl.col("stay_id"))
    value, rest = pl.col("value").str.strip_chars(), pl.col("rest").str.strip_chars()
    either = value.str.contains(r"^-?[1-9]\d{0,2}$") & rest.str.contains(r"^\d{3}$")
    comma = value.str.contains(r"^-?\d+$") & rest.str.contains(r"^\d+$") & pl.col("more").is_null() & ~either
    comma = comma.fill_null(False)
    counts["all", "decimal comma read as a point"] += len(lines.filter(comma))
    surplus = ((rest != "") | (pl.col("more").str.strip_chars() != "")).fill_null(False)
    return records, lines.select(
        *("stay_id", "time", "parameter"),
        pl.when(comma).then(value + "." + rest).when(~surplus).then("value").alias("value"),
        "foreign",
    )


def read_outcomes(path: Path) -> pl.DataFrame:
    """Read the outcomes of one set: stay_id (its RecordID) and mortality (0 or 1).

    Raises:
        DataError: if a column is missing or a value is neither 0 nor 1.
    """
    try:
        frame = pl.read_csv(_lines(path.read_bytes()), infer_schema=False, encoding="utf8-lossy")
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{path} cannot be read as comma-separated text ({type(error).__name__})") from None
    for column in ("RecordID", OUTCOME):
        if column not in frame.columns:
            raise DataError(f"{path} has no column {column!r}{near_column(column, frame.columns, OUTCOMES)}")
    frame = frame.select(
        pl.col("RecordID").str.strip_chars().cast(pl.Int64, strict=False).alias("stay_id"),
        pl.col(OUTCOME).str.strip_chars().cast(pl.Int8, strict=False).alias("mortality"),
    )
    wrong = (~pl.col("mortality").is_in([0, 1])).fill_null(True) | pl.col("stay_id").is_null()
    bad = frame.with_row_index(offset=1).filter(wrong)
    if len(bad):
        raise DataError(f"{path}, row {bad['index'][0]}: expected a number in RecordID and 0 or 1 in {OUTCOME}")
    return frame
