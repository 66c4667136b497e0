"""Reader of CSV tables of text that are not UTF-8: in UTF-16 or UTF-32, or with bytes of an older encoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv

from picme.errors import DataError
from picme.sources.encodings import decode
from picme.sources.tables import as_bytes, hint, reading, typed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_BLOCK = 1 << 24
_SAMPLE = 1 << 16


def read_foreign(
    path: Path, names: Sequence[str], optional: Sequence[str], subjects: pl.Series, encoding: str | None
) -> pl.DataFrame:
    """Read the rows of these subjects, and of none, as text; block by block, so that no text of others is held.

    Args:
        path: the CSV file.
        names: columns that must be there, subject_id among them.
        optional: columns that are null where absent.
        subjects: subject_id wanted, Int64.
        encoding: that of the whole file; None if only cells that are not UTF-8 are in another one, which is then found.

    Returns:
        The columns as String, and `read_as`: the encoding of rows that are not UTF-8, else null.

    Raises:
        DataError: if the file cannot be read or a column is missing.
    """
    parts = []
    with reading(path), as_bytes(path) as stream:
        try:
            # The names of columns are plain letters in every encoding.
            found = stream.read(_SAMPLE).decode(encoding or "utf-8", "replace").split("\n")[0].strip("\ufeff\r")
            header = [name.strip().strip('"') for name in found.split(",")]
            for name in names:
                if name not in header:
                    raise DataError(f"{path} has no column {name!r}{hint(name, header, names)}")
            columns = [name for name in (*names, *optional) if name in header]
            stream.seek(0)
            for batch in pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(block_size=_BLOCK, encoding=encoding or "utf8"),
                parse_options=pacsv.ParseOptions(newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    include_columns=columns,
                    column_types=dict.fromkeys(columns, pa.binary()),
                    strings_can_be_null=True,
                    null_values=[""],
                ),
            ):
                frame = pl.DataFrame(pl.from_arrow(batch))
                ids = [None if cell is None else cell.decode("utf-8", "replace") for cell in frame["subject_id"]]
                subject = pl.DataFrame({"subject_id": pl.Series(ids, dtype=pl.String)}).select(
                    typed("subject_id", pl.String)
                )["subject_id"]
                parts.append(frame.filter(subject.is_null() | subject.is_in(subjects.implode())))
        except (pa.ArrowInvalid, UnicodeError):
            raise DataError(f"{path} cannot be read as a CSV table in {encoding or 'one encoding'}") from None
    frame = pl.concat(parts) if parts else pl.DataFrame(schema=dict.fromkeys(columns, pl.Binary))
    wrong = [cell for name in columns for cell in frame[name] if not _utf8(cell)]
    other = decode(b"\n".join(wrong)[:_SAMPLE]).encoding if wrong else "utf-8"
    foreign = [not all(map(_utf8, row)) for row in frame.iter_rows()]
    text = {name: [_text(cell, other) for cell in frame[name]] for name in columns}
    return pl.DataFrame(
        {name: text.get(name, [None] * frame.height) for name in (*names, *optional)},
        schema=dict.fromkeys((*names, *optional), pl.String),
    ).with_columns(pl.Series("read_as", [encoding or (other if odd else None) for odd in foreign], pl.String))


def _utf8(cell: bytes | None) -> bool:
    try:
        return cell is None or cell.decode() is not None
    except UnicodeDecodeError:
        return False


def _text(cell: bytes | None, other: str) -> str | None:
    return None if cell is None else cell.decode("utf-8" if _utf8(cell) else other, "replace")
