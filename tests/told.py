"""Finds what a run tells of patients: ids, file names and runs of words of notes, in streams and files alike."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

WORDS = 5
"""So many words of a note one after the other, with no sign or line break between them, are a quotation."""
MODELS = frozenset({".safetensors", ".npy", ".npz"})
BY_DESIGN = frozenset(
    {
        "cohort.parquet",  # who is in a view
        "predictions.parquet",  # of each test stay, in results and in the store
        "predictions",
        "predictions.csv",  # what `picme predict` was asked to write
        "texts.parquet",  # the prepared notes
        "items.parquet",  # the prepared images
        "table.parquet",  # the prepared tables, and the texts of their cells
        "words.parquet",
        "statistics.json",  # the categories that training stays have in common
    }
)
"""Files and folders that hold ids or text by what they are for; all of them are the owner's alone."""

_TOKEN = re.compile(r"\w+(?:[-.]\w+)*")
_NUMBER = re.compile(r"(?<!\d)(?<!\d\.)\d{5,}(?!\d)")
_ARRAY = re.compile(r'"dtype":"([a-z]\d)","bdata":"([^"]*)"|"bdata":"([^"]*)","dtype":"([a-z]\d)"')


def _runs(text: str) -> set[tuple[str, ...]]:
    found = set()
    for line in re.split(r"[^\w ]|\\n", text.lower()):
        words = line.split()
        found |= {tuple(words[at : at + WORDS]) for at in range(len(words) - WORDS + 1)}
    return found


@dataclass(frozen=True)
class Secrets:
    """What must not be told.

    Attributes:
        ids: of subjects, stays, admissions and images, as they are written.
        runs: of `WORDS` words each, of every note.
    """

    ids: frozenset[str]
    runs: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, ids: Iterable[object], notes: Iterable[str] = (), said: str = "") -> Secrets:
        """Return the secrets of data.

        Args:
            ids: of at least five characters, so that a number is not taken for one.
            notes: texts of patients.
            said: what the project itself says, such as headings: its words are no patient's.
        """
        names = frozenset(map(str, ids))
        assert names
        assert min(map(len, names)) >= 5
        return cls(names, frozenset().union(*map(_runs, notes)) - _runs(said))

    def told(self, text: str) -> set[str]:
        """Return what a text tells of them."""
        tokens = {part for token in _TOKEN.findall(text) for part in (token, token.rpartition(".")[0])}
        ids = self.ids & (tokens | set(_NUMBER.findall(text)))
        return ids | {" ".join(run) for run in self.runs & _runs(text)} if self.runs else set(ids)

    def told_by_files(self, folder: Path) -> dict[str, set[str]]:
        """Return what each file below a folder tells, those aside that do so `BY_DESIGN`, and weights and arrays."""
        found = {}
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            inner = file.relative_to(folder)
            if file.suffix not in MODELS and not BY_DESIGN & set(inner.parts) and (told := self.told(_text(file))):
                found[str(inner)] = told
        return found


def _text(file: Path) -> str:
    """Return what is written in a file, in its name, and in the arrays of its figures."""
    if file.suffix == ".parquet":
        table = pl.read_parquet(file)
        cells = [str(cell) for column in table for cell in column.unique().to_list()]
        return "\n".join([file.name, *table.columns, *cells])
    text = file.read_bytes().decode("utf-8", errors="replace")
    arrays = []
    for first, second, third, fourth in _ARRAY.findall(text):
        numbers = np.frombuffer(base64.b64decode(json.loads(f'"{second or third}"')), dtype=first or fourth)
        arrays += [f"{number:.0f}" for number in np.unique(numbers).tolist() if number == number]
    return "\n".join([file.name, text, *arrays])
