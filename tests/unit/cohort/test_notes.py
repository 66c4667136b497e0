"""Notes: sections, and what of them was known at the prediction time."""

from __future__ import annotations

import random
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from release_files import REPORT, SUMMARY, hours, note, stays, text_rows, write_notes

from picme.cohort.notes import NoteTable, kept_share
from picme.cohort.sections import admission_exam, before_discharge_diagnosis, split_radiology, split_sections
from picme.config.notes import DISCHARGE_SECTIONS, RADIOLOGY_PARTS, NotesConfig
from picme.errors import ConfigError, DataError

PROSPECTIVE, PAPER = NotesConfig(), NotesConfig(mode="paper")


def reasons(result) -> dict[str, int]:
    return dict(result.quarantine.iter_rows())


def check(result, name: str) -> dict:
    return next(row for row in result.audit.iter_rows(named=True) if row["check"] == name)


# --- sections ---------------------------------------------------------------------------------------------------


def test_every_section_of_a_summary_is_found():
    sections = split_sections(SUMMARY)
    assert set(sections) <= set(DISCHARGE_SECTIONS)
    assert sections["chief_complaint"] == "dyspnea"
    assert sections["past_medical_history"] == "- hypertension"
    assert sections["medications_on_admission"] == "1. Lisinopril 5 mg"
    assert sections["physical_exam"] == "ADMISSION EXAM:\nLungs: crackles at the base"
    assert sections["discharge_exam"] == "Lungs: secretsofdischarge"
    assert sections["discharge_disposition"] == "Expired"
    assert "expired on day 9" in sections["hospital_course"]
    assert "Unit No" in sections["header"]


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("HISTORY OF PRESENT ILLNESS:", "history_of_present_illness"),
        ("history of present illness :", "history_of_present_illness"),
        ("  History of Present Ilness:", "history_of_present_illness"),
        ("HPI:", "history_of_present_illness"),
        ("Past Medical Histroy:", "past_medical_history"),
        ("PAST MEDICAL HISTORY", "past_medical_history"),
        ("PMHx:", "past_medical_history"),
        ("Meds on Admission:", "medications_on_admission"),
        ("Medications on Admision:", "medications_on_admission"),
        ("Breif Hospital Course:", "hospital_course"),
        ("# Allergies/ADRs:".replace("/ADRs", ""), "allergies"),
    ],
)
def test_headings_are_found_whatever_their_spelling(heading, section):
    assert split_sections(f"Name: ___\n{heading}\nthe body\n")[section] == "the body"


def test_text_on_the_heading_s_own_line_belongs_to_it():
    assert split_sections("Chief Complaint: chest pain\nAllergies: none")["chief_complaint"] == "chest pain"


def test_order_of_sections_does_not_matter():
    blocks = ["Chief Complaint:\nfever\n", "Social History:\nlives alone\n", "Past Medical History:\ngout\n"]
    expected = split_sections("".join(blocks))
    for seed in range(6):
        random.Random(seed).shuffle(blocks)
        assert split_sections("".join(blocks)) == expected


@pytest.mark.parametrize("line", ["PE: embolism", "Exam: worse", "Physical Exam: cold", "HPI: as above"])
def test_after_the_hospital_course_nothing_opens_an_admission_section(line):
    sections = split_sections(f"Brief Hospital Course:\nbegan.\n{line}\n")
    assert set(sections) == {"hospital_course"}


def test_sentences_are_no_headings():
    text = "Chief Complaint:\ncough\nShe has a long history: smoking.\nAllergies\nwere denied\n"
    assert set(split_sections(text)) == {"chief_complaint"}


@given(st.text(max_size=300))
def test_no_character_is_lost_or_invented(text):
    for split in (split_sections, split_radiology):
        words = " ".join(split(text).values()).split()
        rest = text.split()
        for word in words:  # in order or not, each word of a section is one of the text
            assert any(word in other for other in rest)
        assert set(split(text)) <= {*DISCHARGE_SECTIONS, *RADIOLOGY_PARTS}


def test_a_report_falls_into_its_parts():
    parts = split_radiology(REPORT.format("Right opacity."))
    assert parts["findings"] == "Right opacity."
    assert parts["impression"] == "Stable."
    assert parts["indication"].startswith("___ year old woman")
    assert parts["examination"] == "CHEST (PORTABLE AP)"
    assert set(parts) == {"examination", "indication", "technique", "comparison", "findings", "impression"}


READING = "The lungs are clear. No pneumothorax."


@pytest.mark.parametrize(
    ("report", "findings"),
    [
        (f"INDICATION:  cough\n\nONE VIEW OF THE CHEST:\n\n{READING}", f"ONE VIEW OF THE CHEST:\n{READING}"),
        (f"COMPARISON:  ___\n\nPortable AP view: {READING}\n", f"Portable AP view: {READING}"),
        (f"COMPARISON:  ___\n2 VIEWS, 5:40 A.M.:\n{READING}", f"2 VIEWS, 5:40 A.M.:\n{READING}"),
        (f"INDICATION:  cough\n\nCOMPARISON:  ___.\n\n{READING}", READING),
        (f"INDICATION:  cough\n\nCOMPARISON:  None.\n{READING}", READING),
        (f"INDICATION:  cough\n\nCOMPARISON: None. {READING}", READING),
        (f"TECHNIQUE:  AP view\n\n{READING}\n\nIMPRESSION: no change", READING),
        (f"AP chest.\n{READING}\n\nIMPRESSION:  no change", f"AP chest.\n{READING}"),
        (f"NOTIFICATION: called at 10:40.\n\nCHEST, AP: {READING}", f"CHEST, AP: {READING}"),
    ],
)
def test_a_reading_under_no_usual_heading_is_among_the_findings(report, findings):
    assert split_radiology(report)["findings"] == findings


def test_a_report_that_names_its_findings_is_divided_by_its_headings_alone():
    parts = split_radiology("TECHNIQUE: AP\n\nportable\n\nFINDINGS:\nHeart: large\nIMPRESSION:\nRight lung: clear\n")
    assert parts == {
        "technique": "AP\nportable",
        "findings": "Heart: large",
        "impression": "Right lung: clear",
    }
    assert split_radiology("The patient was seen and noted: cough\nINDICATION: fever")["indication"] == "fever"


def test_what_of_reports_is_left_out_is_counted_by_heading(tmp_path):
    bare = "INDICATION: cough\nCOMPARISON: ___"
    write_notes(tmp_path, "radiology", [note(REPORT.format("Opacity."), 5), note(bare, 6)])
    result = text_rows(tmp_path, "radiology", stays(1), PROSPECTIVE)
    assert bare in result.rows.texts[0]
    assert reasons(result) == {
        "text of reports left out, under the heading: comparison": 1,
        "text of reports left out, under the heading: technique": 1,
    }


def test_the_share_of_a_note_that_is_kept():
    assert kept_share("radiology", "INDICATION: ab\nTECHNIQUE: abcd\nFINDINGS: abcdef", PROSPECTIVE) == pytest.approx(
        len("Indication:abFindings:abcdef") / len("INDICATION:abTECHNIQUE:abcdFINDINGS:abcdef")
    )
    assert kept_share("discharge", "Discharge Disposition:\nExpired", PROSPECTIVE) == 0


@pytest.mark.parametrize(
    ("exam", "kept", "dated"),
    [
        ("ADMISSION: T 98\nwarm\nDISCHARGE: T 97\ncold", "ADMISSION: T 98\nwarm", True),
        ("T 98\nAt time of discharge:\ncold", "T 98", True),
        ("On discharge: cold\nOn admission: warm", "On admission: warm", True),
        ("ON ADMISSION: T 98 warm ON DISCHARGE: T 97 cold", "ON ADMISSION: T 98 warm", True),
        ("Discharge Vitals: cold", "", True),
        ("DEATH EXAM:\nno pulse", "", True),
        ("HD#4 exam:\ncold", "", True),
        ("warm\nON DISCHARGE\ncold", "warm", True),
        ("warm\nDischarge physical exam\ncold", "warm", True),
        ("Skin: intact,\nwithout erythema or discharge\nwarm", None, False),
        ("T 98\nwarm and well perfused", "T 98\nwarm and well perfused", False),
        (
            "GU: purulent fluid was seen coming from the wound with a discharge that had been present before",
            None,
            False,
        ),
    ],
)
def test_only_the_admission_s_part_of_an_exam_is_kept(exam, kept, dated):
    assert admission_exam(exam) == (exam if kept is None else kept, dated)


def test_paper_mode_stops_at_the_discharge_diagnosis():
    text, found = before_discharge_diagnosis(SUMMARY)
    assert found and text.rstrip().endswith("Expired") and "pneumonia" not in text
    assert before_discharge_diagnosis("no heading") == ("no heading", False)


# --- discharge summaries ----------------------------------------------------------------------------------------


def test_prospective_uses_admission_sections_alone(tmp_path):
    write_notes(tmp_path / "note", "discharge", [note(SUMMARY, 168)])
    result = text_rows(tmp_path, "discharge", stays(2), PROSPECTIVE)
    text, absent = result.rows.texts
    assert absent is None and text is not None
    assert text.startswith("Chief complaint:\ndyspnea\nHistory of present illness:")
    for known in ("hypertension", "Lisinopril", "crackles", "Penicillins", "Mother died"):
        assert known in text
    for later in ("expired", "Expired", "secretsofdischarge", "PE:", "pneumonia", "WBC"):
        assert later not in text
    assert not result.audit["violation"].any()
    assert result.latest.null_count() == 2


def test_paper_uses_all_up_to_the_diagnosis_and_says_what_that_lets_through(tmp_path):
    write_notes(tmp_path, "discharge", [note(SUMMARY, 168)])
    result = text_rows(tmp_path, "discharge", stays(1), PAPER)
    text = result.rows.texts[0]
    assert "expired on day 9" in text and "pneumonia" not in text
    stated = check(result, "outcome_statement")
    assert stated["count"] == 1 and not stated["violation"]
    once = NoteTable(tmp_path, "discharge", stays(1)["subject_id"], PAPER)
    assert once.rows(stays(1), "paper").rows.texts == result.rows.texts
    prospective = once.rows(stays(1), "prospective").rows.texts
    assert prospective == text_rows(tmp_path, "discharge", stays(1), PROSPECTIVE).rows.texts


def test_sections_and_their_order_are_configuration(tmp_path):
    write_notes(tmp_path, "discharge", [note(SUMMARY, 168)])
    chosen = NotesConfig(discharge_sections=("allergies", "chief_complaint"))
    assert text_rows(tmp_path, "discharge", stays(1), chosen).rows.texts == [
        "Allergies:\nPenicillins\nChief complaint:\ndyspnea"
    ]
    late = text_rows(tmp_path, "discharge", stays(1), NotesConfig(discharge_sections=("hospital_course",)))
    assert check(late, "late_section")["violation"]


def test_an_outcome_in_an_admission_section_is_a_violation_or_removed(tmp_path):
    planted = SUMMARY.replace("three days of cough.", "three days of cough. Sadly the patient expired.")
    write_notes(tmp_path, "discharge", [note(planted, 168)])
    result = text_rows(tmp_path, "discharge", stays(1), PROSPECTIVE)
    stated = check(result, "outcome_statement")
    assert stated["violation"] and stated["count"] == 1 and "history_of_present_illness" in stated["detail"]
    removed = text_rows(tmp_path, "discharge", stays(1), NotesConfig(outcome_statements="remove"))
    assert "expired" not in removed.rows.texts[0] and "three days of cough." in removed.rows.texts[0]
    assert check(removed, "outcome_removed")["count"] == 1 and not removed.audit["violation"].any()


def test_an_undated_exam_is_counted_and_can_be_left_out(tmp_path):
    text = "Chief Complaint:\ncough\nPhysical Exam:\nwarm hands\nBrief Hospital Course:\nfine\n"
    write_notes(tmp_path, "discharge", [note(text, 168)])
    kept = text_rows(tmp_path, "discharge", stays(1), PROSPECTIVE)
    assert "warm hands" in kept.rows.texts[0] and check(kept, "undated_exam")["count"] == 1
    dropped = text_rows(tmp_path, "discharge", stays(1), NotesConfig(undated_exam="drop"))
    assert "warm hands" not in dropped.rows.texts[0]


def test_a_summary_of_another_admission_is_not_used(tmp_path):
    write_notes(tmp_path, "discharge", [note(SUMMARY, 168, hadm=7)])
    assert text_rows(tmp_path, "discharge", stays(1), PROSPECTIVE).rows.texts == [None]


def test_of_two_summaries_the_last_is_used_and_addenda_are_not(tmp_path):
    rows = [
        note("Chief Complaint:\nfirst", 100),
        note("Chief Complaint:\nsecond", 168),
        note("Chief Complaint:\naddendum", 200, note_type="AD"),
    ]
    write_notes(tmp_path, "discharge", rows)
    result = text_rows(tmp_path, "discharge", stays(1), PROSPECTIVE)
    assert result.rows.texts == ["Chief complaint:\nsecond"]
    assert reasons(result) == {"another summary of the same admission was used": 2}


# --- radiology --------------------------------------------------------------------------------------------------


def test_reports_count_from_the_time_they_were_stored(tmp_path):
    rows = [
        note("before admission", -1),
        note("taken before, stored after admission", -1, stored=1),
        note("in time", 10, stored=12),
        note("stored too late", 49, stored=51),
        note("no storetime", 49.5),
        note("too late", 60),
        note("emergency department, no admission", 1.5, hadm=None),
    ]
    write_notes(tmp_path, "radiology", rows)
    result = text_rows(tmp_path, "radiology", stays(1), PROSPECTIVE)
    # The newest first: what an encoder cuts off at its end is the oldest.
    assert result.rows.texts[0].split("\n\n") == [
        "no storetime",
        "in time",
        "emergency department, no admission",
        "taken before, stored after admission",
    ]
    assert result.latest.to_list() == [hours(49.5)]
    assert check(result, "latest_time")["count"] == 0
    paper = text_rows(tmp_path, "radiology", stays(1), PAPER)
    assert len(paper.rows.texts[0].split("\n\n")) == 7
    late = check(paper, "latest_time")
    assert late["count"] == 1 and not late["violation"] and "whole admission" in late["detail"]


def test_parts_of_reports_are_configuration(tmp_path):
    write_notes(tmp_path, "radiology", [note(REPORT.format("Opacity."), 5)])
    result = text_rows(tmp_path, "radiology", stays(1), NotesConfig(radiology_parts=("impression", "findings")))
    assert result.rows.texts == ["Impression: Stable.\nFindings: Opacity."]


times = st.lists(
    st.tuples(
        st.floats(-20, 200, allow_subnormal=False),
        st.none() | st.floats(0, 30, allow_subnormal=False),
        st.sampled_from([1, 2, 3]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=times, order=st.randoms(use_true_random=False))
def test_nothing_known_later_is_used_and_later_notes_and_order_change_nothing(tmp_path, times, order):
    rows = [
        note(
            f"report {index} at {at:.4f}",
            at,
            None if delay is None else at + delay,
            subject,
            subject if coded else None,
        )
        for index, (at, delay, subject, coded) in enumerate(times)
    ]
    cohort = stays(3)
    write_notes(tmp_path, "radiology", rows, ".parquet")
    result = text_rows(tmp_path, "radiology", cohort, PROSPECTIVE)
    for stay, text in enumerate(result.rows.texts):
        for index, (at, delay, subject, _) in enumerate(times):
            # to the second, as in the files
            known = hours(at if delay is None else at + delay).replace(microsecond=0)
            expected = subject == stay + 1 and hours(0) <= known <= hours(50)
            assert (f"report {index} " in (text or "")) == expected
    assert ((result.latest - cohort["cutoff"]).drop_nulls() <= timedelta(0)).all()
    future = [note(f"future {hour}", hour, subject=subject) for hour in (51, 90) for subject in (1, 2)]
    shuffled = rows + future
    order.shuffle(shuffled)
    write_notes(tmp_path, "radiology", shuffled, ".parquet")
    again = text_rows(tmp_path, "radiology", cohort, PROSPECTIVE)
    assert again.rows.texts == result.rows.texts
    assert again.latest.equals(result.latest)


def test_the_order_of_stays_is_the_order_of_texts(tmp_path):
    write_notes(tmp_path, "radiology", [note(f"of {subject}", 3, subject=subject) for subject in (3, 1, 2)])
    cohort = stays(3)
    assert text_rows(tmp_path, "radiology", cohort, PROSPECTIVE).rows.texts == ["of 1", "of 2", "of 3"]
    assert text_rows(tmp_path, "radiology", cohort.reverse(), PROSPECTIVE).rows.texts == ["of 3", "of 2", "of 1"]


# --- bad input --------------------------------------------------------------------------------------------------


def test_bad_rows_are_counted_by_reason(tmp_path):
    rows = [
        note("good", 3),
        note("x" * 10_000_000, 4, note_id="huge"),
        note("", 5),
        note("when?", 6, charttime="the day after"),
        note("twice", 7, note_id="n7"),
        note("twice", 7, note_id="n7"),
        note("never", 8, charttime=None),
        {**note("whose?", 9), "subject_id": "abc"},
    ]
    write_notes(tmp_path, "radiology", rows)
    result = text_rows(tmp_path, "radiology", stays(1), PROSPECTIVE)
    assert result.rows.texts == ["twice\n\ngood"]
    assert reasons(result) == {
        "longer than 200000 characters": 1,
        "neither storetime nor charttime": 1,
        "no text": 1,
        "note_id occurs twice": 1,
        "subject_id is not a number": 1,
        "time cannot be parsed": 1,
    }


@pytest.mark.parametrize("table", ["discharge", "radiology"])
def test_notes_of_no_patient_are_counted_and_not_all_may_be(tmp_path, table):
    # Subject 2 is a patient outside the cohort.
    write_notes(tmp_path, table, [note("a", 3), note("b", 3, subject=2), note("c", 3, subject=3)])
    cohort, patients = stays(1), stays(2)["subject_id"]
    result = NoteTable(tmp_path, table, cohort["subject_id"], PROSPECTIVE, 0.05, patients).rows(cohort)
    assert reasons(result)["subject_id of no patient"] == 1
    with pytest.raises(DataError, match=rf"{table}\.csv\.gz: column 'subject_id': none of 3 rows is of a patient"):
        NoteTable(tmp_path, table, cohort["subject_id"], PROSPECTIVE, 0.05, patients + 10)


def test_a_summary_without_usable_sections_is_counted(tmp_path):
    write_notes(tmp_path, "discharge", [note("Discharge Disposition:\nExpired", 168)])
    result = text_rows(tmp_path, "discharge", stays(1), PROSPECTIVE)
    assert result.rows.texts == [None] and reasons(result) == {"summary without any of the configured sections": 1}


def test_an_unknown_table_is_a_configuration_error(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'discharge'"):
        text_rows(tmp_path, "dischage", stays(1), PROSPECTIVE)


def test_no_audit_or_quarantine_row_quotes_a_note(tmp_path):
    write_notes(tmp_path, "discharge", [note(SUMMARY, 168)])
    result = text_rows(tmp_path, "discharge", stays(1), PAPER)
    words = " ".join([*result.audit["detail"], *result.quarantine["reason"]])
    assert "10000001" not in words and "dyspnea" not in words and "day 9" not in words
    assert result.audit.schema == {"check": pl.String, "count": pl.Int64, "detail": pl.String, "violation": pl.Boolean}
