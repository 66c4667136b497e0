from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picme.sources.delimited import Unreadable, parse


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("id,x\n1,2\n\n3,4\n", [("1", "2"), ("3", "4")]),
        ("id,x\r\n1,\r\n", [("1", None)]),
        ("id,x\r1,2\r", [("1", "2")]),
        ('id,note\n1,"two\nlines, and ""quotes"""\n', [("1", 'two\nlines, and "quotes"')]),
        ('id,note\n1,5" tall\n2,"b"\n', [("1", '5" tall'), ("2", "b")]),
        ("id;x\n1;81,5\n2;7\n", [("1", "81,5"), ("2", "7")]),
        ('id;x\n"1";81,5\n', [("1", "81,5")]),
        # Lines of a note that look like rows of a table of two columns.
        ('id,note\n1,"RR\n120,80"\n2,b\n', [("1", "RR\n120,80"), ("2", "b")]),
        ('id,note\n1,"at\n2,5 °C"\n2,b\n3,c\n', [("1", "at\n2,5 °C"), ("2", "b"), ("3", "c")]),
        ('id,note\na,"Dear\nsir,hello"\nb,x\n', [("a", "Dear\nsir,hello"), ("b", "x")]),
        ("id\n1\n\n2\n", [("1",), ("2",)]),
    ],
)
def test_text_as_it_is(text: str, rows: list[tuple[str, ...]]) -> None:
    assert parse(text, ",").rows() == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x\n1,2\n3\n", r", row 2: 1 cell, the header has 2"),
        ('id,x\n1,"2"\n3,secret,5\n', r", row 2: 3 cells, the header has 2"),
        ('id,note,x\n1,"secret,2\n2,b,3\n3,c,4\n', r", row 1: a quote opens a cell and does not close"),
        (
            'id,note,x\n1,a,2\n2,"secret,2\n2,b,3\n3,c",4\n4,d,1\n',
            r", row 2: a quote opens a cell and closes rows later",
        ),
        ('id,note\n1,a\n2,"secret\n3,b\n4,c"\n5,d\n', r", row 2: a quote opens a cell and closes rows later"),
        ('id,note\np1,"secret\np2,c"\n', r", row 1: a quote opens a cell and closes rows later"),
        ('id,note\n10482,"secret\n10007,c"\n10333,d\n', r", row 1: a quote opens a cell and closes rows later"),
        ('id,note\n1,"secret" words\n', r", row 1: a quote opens"),
        ("id,x,id\n1,2,3\n", r": columns 1 and 3 of the header have one name"),
    ],
)
def test_what_cannot_be_read_is_named_by_its_row(text: str, message: str) -> None:
    with pytest.raises(Unreadable, match=message) as caught:
        parse(text, ",")
    assert "secret" not in str(caught.value)


cell = st.text(st.characters(codec="utf-8", exclude_characters="\r\0", exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(cell, cell), min_size=1, max_size=6))
def test_what_a_writer_writes_is_read_again(rows: list[tuple[str, str]]) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, quoting=csv.QUOTE_ALL)
    writer.writerows([("id", "x"), *rows])
    assert parse(written.getvalue(), ",").rows() == [tuple(one or None for one in row) for row in rows]
