"""Reader of the event tables (chartevents, labevents, …), in one pass and in batches of the rows asked for."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from queue import Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
from isal import igzip

from picme.errors import DataError
from picme.sources.tables import collect, reading
from picme.sources.tables import columns as columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO

    from picme.sources.mimic_ehr import Release

# Bytes that one parser thread takes at a time; larger blocks cost memory and gain nothing.
BLOCK = 1 << 20
# Rows of the items asked for that are handed on together.
BATCH = 250_000
BUFFER = 1 << 20
NUMBERS = ("value", "valuenum")
# A number with a decimal comma, and no `1,234`, which may be one in words of thousands.
_COMMA = r"^\s*[+-]?(\d+,(\d{1,2}|\d{4,})|(0|\d{4,}),\d{3})\s*$"
_POINT = r"^\s*[+-]?\d+\.\d+\s*$"
# Share of the numbers with decimals whose commas are taken as slips; these are values that cannot be read.
MOST_COMMAS = 0.05

T = TypeVar("T")


def scan(
    release: Release,
    table: str,
    items: Sequence[int],
    columns: Sequence[str],
    optional: Sequence[str] = (),
    counts: Counter[str] | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield the rows of `items` in batches, CSV cells as text; columns of `optional` are null where absent.

    A csv.gz is decompressed by one thread while others parse; the item filter comes before any other work, so cells
    of other items are never converted. Memory does not grow with the file.

    Args:
        release: the release that has the table.
        table: name of the event table.
        items: the itemids whose rows are wanted.
        columns: columns that must be there, beside `itemid`.
        optional: columns that may be absent.
        counts: gets `rows` (all rows of the table), `unreadable` (those of them whose itemid is no whole number) and
            `malformed` (further rows with a wrong number of cells, skipped).

    Raises:
        DataError: for a missing table or column, a file cut short, one of which no itemid can be read, or one whose
            decimals have commas; names the file.
    """
    counts = Counter() if counts is None else counts
    file = release.file(table)
    wanted = release.raw(table, ["itemid", *columns], optional).collect_schema().names()
    there = set(columns_of(file))
    source = csv_batches if file.name.endswith((".csv", ".csv.gz")) else parquet_batches
    present = [column for column in wanted if column in there]
    commas: Counter[str] = Counter()
    points: Counter[str] = Counter()
    with reading(file):
        for table_of_rows in ahead(gathered(source(file, present, items, counts))):
            frame = _frame(table_of_rows, wanted)
            for column in NUMBERS:
                if frame.schema.get(column) == pl.String:
                    commas[column] += int(frame[column].str.contains(_COMMA).sum())
                    points[column] += int(frame[column].str.contains(_POINT).sum())
            yield frame
    for column, number in commas.items():
        if number > 1 and number > MOST_COMMAS * (number + points[column]):
            rows = release.raw(table, [column]).with_row_index(offset=1).filter(pl.col(column).str.contains(_COMMA))
            raise DataError(
                f"{file}, row {collect(rows.head(1), file)['index'].item()}: {number} of {number + points[column]} "
                f"decimals in column {column!r} have a comma; write them with a point, as the release does"
            )
    if counts["rows"] and counts["unreadable"] == counts["rows"]:
        raise DataError(
            f"{file}: none of the {counts['rows']} values of column 'itemid' can be read; expected a whole number"
        )


def csv_batches(file: Path, columns: list[str], items: Sequence[int], counts: Counter[str]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the items from a CSV file, compressed or not."""

    def skip(_: Any) -> str:
        counts["malformed"] += 1
        return "skip"

    # Cells are read as bytes: only the few rows that stay are decoded to text.
    chosen = _Items(items, counts)
    convert = dict.fromkeys(columns, pa.binary())
    with _open(file) as stream:
        try:
            reader = pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(block_size=BLOCK),
                parse_options=pacsv.ParseOptions(invalid_row_handler=skip),
                convert_options=pacsv.ConvertOptions(
                    include_columns=columns, column_types=convert, strings_can_be_null=True, null_values=[""]
                ),
            )
            for batch in reader:
                yield chosen.of(batch)
        except pa.ArrowInvalid as error:
            raise DataError(f"{file} is not a readable CSV file: {_first_line(error)}") from None


def parquet_batches(
    file: Path, columns: list[str], items: Sequence[int], counts: Counter[str]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the items from a Parquet file, or from a folder of them."""
    import pyarrow.parquet as pq

    chosen = _Items(items, counts)
    for part in [file] if file.is_file() else sorted(file.glob("**/*.parquet")):
        try:
            for batch in pq.ParquetFile(part).iter_batches(batch_size=BATCH, columns=columns):
                yield chosen.of(batch)
        except pa.ArrowInvalid as error:
            raise DataError(f"{part} is not a readable Parquet file: {_first_line(error)}") from None


class _Items:
    """A filter of rows by their item, which learns the spellings of itemids that a table has.

    An export through a data frame writes `220045.0`. Each spelling is judged once; rows without a whole number are
    counted.
    """

    def __init__(self, items: Sequence[int], counts: Counter[str]) -> None:
        self.wanted = frozenset(items)
        self.counts = counts
        self.known: dict[Any, int | None] = {}
        self.sets: tuple[pa.Array, pa.Array, pa.Array] | None = None

    def of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the rows of the items wanted, and count all rows."""
        cells = batch.column("itemid")
        self.counts["rows"] += len(cells)
        spelled = pc.unique(cells)
        if self.sets is None or not pc.all(pc.is_in(spelled, value_set=self.sets[0]), min_count=0).as_py():
            self._learn(spelled)
        assert self.sets is not None
        _, keep, bad = self.sets
        if len(bad):
            self.counts["unreadable"] += pc.sum(pc.is_in(cells, value_set=bad)).as_py() or 0
        return batch.filter(pc.is_in(cells, value_set=keep))

    def _learn(self, spelled: pa.Array) -> None:
        for cell in spelled.to_pylist():
            self.known[cell] = _whole(cell)
        kinds = (
            list(self.known),
            [cell for cell, item in self.known.items() if item in self.wanted],
            [cell for cell, item in self.known.items() if item is None],
        )
        all_, keep, bad = (pa.array(cells, spelled.type) for cells in kinds)
        self.sets = all_, keep, bad


def _whole(cell: Any) -> int | None:
    """Read a cell as a whole number, None if it is none."""
    text = cell.decode("utf-8", "replace") if isinstance(cell, bytes) else str(cell)
    text = text.strip().removesuffix(".0")
    return int(text) if text.isascii() and text.isdigit() else None


def gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join small batches into tables of at least BATCH rows (the last may be smaller); yield none without rows."""
    pending: list[pa.RecordBatch] = []
    waiting = 0
    for batch in batches:
        pending.append(batch)
        waiting += batch.num_rows
        if waiting >= BATCH:
            yield pa.Table.from_batches(pending)
            pending, waiting = [], 0
    if waiting:
        yield pa.Table.from_batches(pending)


def ahead(source: Iterator[T], depth: int = 1) -> Iterator[T]:
    """Let another thread make the items of `source`, up to `depth` ahead; its exceptions are raised here."""
    queue: Queue[tuple[bool, Any]] = Queue(depth)
    stop = Event()

    def put(done: bool, item: Any) -> None:
        while not stop.is_set():
            with suppress(Full):
                queue.put((done, item), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in source:
                put(False, item)
                if stop.is_set():
                    return
            put(True, None)
        except BaseException as error:
            put(True, error)

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            done, item = queue.get()
            if done and item is not None:
                raise item
            if done:
                return
            yield item
    finally:
        stop.set()
        thread.join()


def _open(file: Path) -> IO[bytes]:
    """Open a file as bytes, decompressed where its name says gz (by ISA-L, in half the time of zlib)."""
    return igzip.open(file, "rb") if file.name.endswith(".gz") else file.open("rb", buffering=BUFFER)


def _frame(table: pa.Table, wanted: list[str]) -> pl.DataFrame:
    """Convert to a polars frame of the wanted columns; those the table lacks are null."""
    frame = pl.DataFrame(pl.from_arrow(table))
    try:
        frame = frame.with_columns(pl.col(pl.Binary).cast(pl.String))
    except pl.exceptions.PolarsError:  # bytes that are no UTF-8, for instance ° in another encoding
        text = {
            column: [None if cell is None else cell.decode("utf-8", "replace") for cell in frame[column]]
            for column, dtype in frame.schema.items()
            if dtype == pl.Binary
        }
        frame = frame.with_columns(pl.Series(column, cells, pl.String) for column, cells in text.items())
    absent = [pl.lit(None, pl.String).alias(column) for column in wanted if column not in frame.columns]
    return frame.with_columns(absent).select(wanted)


def _first_line(error: Exception) -> str:
    """Return the first line of a library's message, without any cell of the file that it quotes."""
    return str(error).splitlines()[0].split(": '")[0][:120]
