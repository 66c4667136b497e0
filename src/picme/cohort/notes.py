"""Text modalities of MIMIC: one text per stay, from the notes and the parts of notes known at the prediction time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from picme.cohort.audit import audit_frame, latest_time
from picme.cohort.headings import LATE_SECTIONS
from picme.cohort.outcome import states_outcome, without_statements
from picme.cohort.sections import (
    admission_exam,
    admitted_sections,
    before_discharge_diagnosis,
    split_radiology,
    split_sections,
    tidy,
    title,
)
from picme.errors import ConfigError, near
from picme.schema import TextRows
from picme.sources.mimic_notes import TABLES, find_notes, read_notes
from picme.sources.tables import NO_PATIENT, TIME, of_no_patient, wide_encoding

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from picme.config.notes import NotesConfig

MODES = ("prospective", "paper")
PLAIN = "notes"
"""Table of texts without known sections, which are used whole."""
# These sections can be configured, but the audit calls it a leak: they tell of the stay or its end.
_AFTERWARDS = LATE_SECTIONS | {"discharge_exam"}


@dataclass
class NoteResult:
    """The texts that were chosen, one per stay.

    `rows` and `latest` are aligned with the stays; `latest` is the time at which the newest report used became known,
    null for absent texts and for discharge summaries (their sections carry no time of their own). `quarantine` has
    reason, count; `audit` has check, count, detail, violation.
    """

    rows: TextRows
    quarantine: pl.DataFrame
    audit: pl.DataFrame
    latest: pl.Series


class NoteTable:
    """One table of MIMIC-IV-Note, read once for the subjects of a cohort; it gives one text per stay of any view.

    Args:
        path: folder of the release, or the table's file.
        table: `discharge` or `radiology`.
        subjects: subject_id of the cohort.
        config: mode, sections and parts.
        max_bad: largest share of discharge summaries that name no admission.
        patients: subject_id of all patients of the release, to count rows of none; not counted if not given.

    Raises:
        ConfigError: if `table` is no table of the release.
        DataError: if the table is missing, cut, or lacks a column, or for more bad rows than `max_bad`.
    """

    def __init__(
        self,
        path: Path,
        table: str,
        subjects: pl.Series,
        config: NotesConfig,
        max_bad: float = 1.0,
        patients: pl.Series | None = None,
    ) -> None:
        if table not in TABLES:
            raise ConfigError(f"unknown note table {table!r}{near(table, TABLES)}")
        self._problems: Counter[str]
        self._take(read_notes(path, table, subjects, config.max_characters, max_bad), table, config)
        file = find_notes(path, table)
        if patients is not None and wide_encoding(file) is None:
            self._problems[NO_PATIENT] = of_no_patient(file, patients)
            self._problems = +self._problems

    @classmethod
    def of(cls, notes: pl.DataFrame, table: str, config: NotesConfig) -> NoteTable:
        """Take notes that are already read, as `sources.mimic_notes.read_notes` returns them.

        Args:
            notes: the notes.
            table: `discharge` or `radiology`, whose sections are known, or `notes` for texts that are used whole.
            config: mode, sections and parts.
        """
        made: NoteTable = cls.__new__(cls)
        made._take(notes, table, config)
        return made

    def _take(self, notes: pl.DataFrame, table: str, config: NotesConfig) -> None:
        self.config = config
        makers: dict[str, Callable[..., Any]] = {"discharge": _discharge, PLAIN: _plain}
        self._make = makers.get(table, _radiology)
        self._problems = Counter(notes["problem"].drop_nulls().to_list())
        self._problems.update(f"text used: {oddity}" for oddity in notes["oddity"].drop_nulls())
        self._notes = notes.filter(pl.col("problem").is_null())

    def rows(self, stays: pl.DataFrame, mode: str | None = None) -> NoteResult:
        """Choose and join the notes of each stay.

        Args:
            stays: stay_id, subject_id, hadm_id, admittime, dischtime, cutoff; the order of the result.
            mode: `prospective` or `paper`; the configured one if not given.
        """
        counts = self._problems.copy()
        config = self.config if mode is None else self.config.model_copy(update={"mode": mode})
        texts, latest, audit = self._make(self._notes, _windows(stays), config, counts)
        reasons = sorted(counts)
        return NoteResult(
            rows=TextRows(texts),
            quarantine=pl.DataFrame(
                {"reason": reasons, "count": [counts[reason] for reason in reasons]},
                schema={"reason": pl.String, "count": pl.Int64},
            ),
            audit=audit_frame(audit),
            latest=pl.Series("latest", latest, dtype=TIME),
        )


def _windows(stays: pl.DataFrame) -> pl.DataFrame:
    return stays.select(
        pl.col("subject_id", "hadm_id").cast(pl.Int64), pl.col("admittime", "dischtime", "cutoff").cast(TIME)
    ).with_row_index("row")


def _discharge(
    notes: pl.DataFrame, stays: pl.DataFrame, config: NotesConfig, counts: Counter[str]
) -> tuple[list[str | None], list[None], list[tuple[str, int, str, bool]]]:
    """Take the admission's summary: its configured sections, or all of it up to the discharge diagnosis."""
    # An addendum is used only where there is no summary, and the last one of several summaries.
    notes = notes.with_columns(addendum=pl.col("note_type").str.strip_chars().eq("AD").fill_null(False)).sort(
        "addendum", descending=True, maintain_order=True
    )
    found = stays.join(notes, on=["subject_id", "hadm_id"], how="inner", maintain_order="left_right")
    chosen = found.unique("row", keep="last", maintain_order=True)
    if found.height > chosen.height:
        counts["another summary of the same admission was used"] += found.height - chosen.height
    texts: list[str | None] = [None] * stays.height
    seen: Counter[str] = Counter()
    for row, text in chosen.select("row", "text").iter_rows():
        texts[row] = (
            _admission_sections(text, config, seen, counts) if config.mode == "prospective" else _paper(text, seen)
        )
        if texts[row] is None:
            counts["summary without any of the configured sections"] += 1
    used = sum(text is not None for text in texts)
    return texts, [None] * stays.height, _discharge_audit(config, seen, used)


def _admission_sections(text: str, config: NotesConfig, seen: Counter[str], counts: Counter[str]) -> str | None:
    sections, left_out = admitted_sections(text, config.discharge_sections)
    for kind, count in left_out.items():
        counts[f"text in an admission section, left out after: {kind}"] += count
    parts = []
    for name in config.discharge_sections:
        body = sections.get(name, "")
        if name == "physical_exam" and body:
            body, dated = admission_exam(body)
            dated = dated or "discharge_exam" in sections
            seen["undated_exam"] += not dated
            if not dated and config.undated_exam == "drop":
                continue
        if config.outcome_statements == "remove":
            body, removed = without_statements(body, name)
            body = tidy(body)
            seen["removed"] += removed
        if body:
            seen[f"outcome:{name}"] += states_outcome(body, name)
            parts.append(f"{title(name)}:\n{body}")
    return "\n".join(parts) or None


def _paper(text: str, seen: Counter[str]) -> str | None:
    text, cut = before_discharge_diagnosis(text)
    seen["uncut"] += not cut
    text = tidy(text)
    for name, body in split_sections(text).items():
        seen[f"outcome:{name}"] += states_outcome(body, name)
    return text or None


def _discharge_audit(config: NotesConfig, seen: Counter[str], used: int) -> list[tuple[str, int, str, bool]]:
    strict = config.mode == "prospective"
    if strict:
        named = ", ".join(title(name).lower() for name in config.discharge_sections)
        detail = f"written after discharge; only sections that restate what was known at admission are used: {named}"
        late = [name for name in config.discharge_sections if name in _AFTERWARDS]
        audit = [("written_later", used, detail, False)]
        audit += [("late_section", used, f"section {name} tells of the stay or its end", True) for name in late if used]
        audit.append(
            ("undated_exam", seen["undated_exam"], f"physical exams that name no date: {config.undated_exam}", False)
        )
        if config.outcome_statements == "remove":
            audit.append(("outcome_removed", seen["removed"], "sentences that stated the outcome, taken out", False))
    else:
        detail = "written after discharge; used up to the discharge diagnosis, as the preset declares"
        audit = [
            ("written_later", used, detail, False),
            ("uncut", seen["uncut"], "no discharge diagnosis heading: used to the end", False),
        ]
    for name, count in sorted(seen.items()):
        if name.startswith("outcome:") and count:
            section = name.removeprefix("outcome:")
            audit.append(("outcome_statement", count, f"the patient's outcome is stated in {section}", strict))
    return audit


def _radiology(
    notes: pl.DataFrame, stays: pl.DataFrame, config: NotesConfig, counts: Counter[str], whole: bool = False
) -> tuple[list[str | None], list[object], list[tuple[str, int, str, bool]]]:
    """Join the reports of the admission, or those stored by the cut-off; the newest comes first, so a cut spares it.

    With `whole` every report is used whole.
    """
    undated = notes["known"].is_null()
    if undated.any():
        counts["neither storetime nor charttime"] += int(undated.sum())
    notes = notes.filter(~undated)
    found = stays.join(notes, on="subject_id", how="inner", suffix="_note", maintain_order="left_right")
    if config.mode == "prospective":
        found = found.filter(pl.col("known") >= pl.col("admittime"), pl.col("known") <= pl.col("cutoff"))
    else:
        within = pl.col("charttime").is_between("admittime", "dischtime").fill_null(False)
        found = found.filter(
            pl.when(pl.col("hadm_id_note").is_not_null())
            .then(pl.col("hadm_id_note") == pl.col("hadm_id"))
            .otherwise(within)
        )
    texts: list[str | None] = [None] * stays.height
    latest: list[object] = [None] * stays.height
    left_out: Counter[str] = Counter()
    for row, known, text in found.select("row", "known", "text").iter_rows():
        report = tidy(text) if whole else _report(text, config, left_out)
        if report:
            earlier = texts[row]
            texts[row] = report if earlier is None else f"{report}\n\n{earlier}"
            latest[row] = known  # notes come sorted by the time they became known
    counts.update({f"text of reports left out, under the heading: {part}": n for part, n in left_out.items()})
    declared = None if config.mode == "prospective" else "the preset declares the whole admission"
    return texts, latest, [latest_time(pl.Series(latest, dtype=TIME), stays["cutoff"], declared)]


def _plain(
    notes: pl.DataFrame, stays: pl.DataFrame, config: NotesConfig, counts: Counter[str]
) -> tuple[list[str | None], list[object], list[tuple[str, int, str, bool]]]:
    """Join texts without known sections, each whole, as radiology reports are joined."""
    return _radiology(notes, stays, config, counts, whole=True)


def _report(text: str, config: NotesConfig, left_out: Counter[str]) -> str:
    parts = split_radiology(text)
    if set(parts) <= {"header"}:
        return parts.get("header", "")
    if not {"findings", "impression"} & set(parts):
        return tidy(text)  # which of its lines are the reading cannot be told
    left_out.update(name for name in parts if name not in config.radiology_parts)
    return "\n".join(f"{title(name)}: {parts[name]}" for name in config.radiology_parts if name in parts)


def kept_share(table: str, text: str, config: NotesConfig) -> float:
    """Return the share of a note's characters, blanks left out, that the configured sections or parts keep."""
    if table == "radiology":
        kept = _report(text, config, Counter())
    else:
        kept = _admission_sections(text, config, Counter(), Counter()) or ""
    return min(1.0, len("".join(kept.split())) / max(1, len("".join(text.split()))))
