"""Headings of discharge summaries: which open an admission section, which close it, and which do neither."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from release_files import SUMMARY, note, stays, text_rows, write_notes

from picme.cohort.heading_kinds import UNKNOWN, closing, harmless, plain, running_text
from picme.cohort.headings import DISCHARGE
from picme.cohort.notes import NoteTable
from picme.cohort.sections import admitted_sections, split_sections
from picme.config.notes import KNOWN_AT_ADMISSION, NotesConfig

with (Path(__file__).parent / "headings.csv").open(encoding="utf-8") as file:
    TABLE = [tuple(row.values()) for row in csv.DictReader(file)]
OPENS = [(heading, expected) for _, heading, expected in TABLE if expected not in ("closes", "stays")]
CLOSES = [heading for _, heading, expected in TABLE if expected == "closes"]
STAYS = [(where, heading) for where, heading, expected in TABLE if expected == "stays"]
TITLES = {
    "chief_complaint": "Chief Complaint:",
    "history_of_present_illness": "History of Present Illness:",
    "past_medical_history": "Past Medical History:",
    "medications_on_admission": "Medications on Admission:",
    "physical_exam": "Physical Exam:",
    "social_history": "Social History:",
    "family_history": "Family History:",
    "allergies": "Allergies:",
    "review_of_systems": "Review of Systems:",
    "past_surgical_history": "Past Surgical History:",
}


def admitted(text: str) -> str:
    return "\n".join(admitted_sections(text, KNOWN_AT_ADMISSION)[0].values())


def test_the_table_is_large_and_has_no_heading_twice():
    assert len(TABLE) >= 350
    assert len(CLOSES) >= 200
    assert len({(where, heading) for where, heading, _ in TABLE}) == len(TABLE)


@pytest.mark.parametrize(("heading", "section"), OPENS)
def test_a_heading_opens_its_admission_section(heading, section):
    found, left_out = admitted_sections(
        f"Discharge Disposition:\nhome\n\nPertinent Results:\nx\n{heading}\nthe body\n", KNOWN_AT_ADMISSION
    )
    late = section == "physical_exam" and "admission" not in heading.lower()
    if not late and not DISCHARGE.short.get(plain(heading)):
        assert found[section].splitlines()[-1] == "the body"
    found, left_out = admitted_sections(f"Name: ___\n\n{heading}\nthe body\n", KNOWN_AT_ADMISSION)
    assert set(found) == {section}
    assert found[section].splitlines()[-1] == "the body"
    assert not left_out


@pytest.mark.parametrize("heading", CLOSES)
def test_a_heading_closes_every_admission_section(heading):
    for section, title in TITLES.items():
        for gap in ("\n", "\n\n"):
            text = (
                f"{title}\nknown before\n{gap}{heading}\nsecret after\n\nmore secret\n\nSocial History:\nlives alone\n"
            )
            found = admitted(text)
            assert "secret" not in found, section
            assert "known before" in found and "lives alone" in found, section


@pytest.mark.parametrize(("section", "heading"), STAYS)
def test_a_subheading_closes_nothing(section, heading):
    found, left_out = admitted_sections(
        f"{TITLES[section]}\nbefore\n{heading}\nthe body\nthe end\n", KNOWN_AT_ADMISSION
    )
    assert found[section].endswith("the body\nthe end") and not left_out


# --- whatever the note --------------------------------------------------------------------------------------------

bodies = st.lists(
    st.text(alphabet="abcdefghij ", min_size=1, max_size=30).map(lambda words: f"k{words.strip()}k"),
    min_size=1,
    max_size=4,
).map("\n".join)
sections = st.lists(st.tuples(st.sampled_from(sorted(TITLES)), bodies), min_size=1, max_size=5)
unknown = st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=9), min_size=1, max_size=4).map(
    lambda words: " ".join(word.capitalize() for word in words)
)


@given(before=sections, heading=st.sampled_from(CLOSES), after=bodies, rest=st.none() | sections)
def test_text_after_a_closing_heading_is_never_admitted(before, heading, after, rest):
    secret = "\n".join(f"zz{line}zz" for line in after.splitlines())
    text = "".join(f"{TITLES[name]}\n{body}\n\n" for name, body in before)
    text += f"{heading}\n{secret}\n\n"
    text += "".join(f"{TITLES[name]}\n{body}\n\n" for name, body in rest or [])
    assert "zz" not in admitted(text)


@given(parts=sections, heading=unknown, place=st.integers(0, 100), upper=st.booleans())
def test_an_unknown_heading_loses_what_follows_up_to_the_next_admitted_heading(parts, heading, place, upper):
    where = place % len(parts)
    assume(not any(harmless(heading, name) for name in TITLES) and not running_text(heading))
    assume(closing(heading, True) is None and DISCHARGE.find(heading, True) is None)
    blocks = [f"{TITLES[name]}\n{body}\n" for name, body in parts]
    blocks[where] += f"\n{heading.upper() if upper else heading}:\nlost zz\nlost too zz\n"
    found, left_out = admitted_sections("\n".join(blocks), KNOWN_AT_ADMISSION)
    whole, nothing = admitted_sections(
        "\n".join(f"{TITLES[name]}\n{body}\n" for name, body in parts), KNOWN_AT_ADMISSION
    )
    assert found == whole
    assert left_out == {UNKNOWN: 1} and not nothing


@given(st.text(max_size=300))
def test_any_text_is_split_without_an_error_and_nothing_is_invented(text):
    found, left_out = admitted_sections(text, KNOWN_AT_ADMISSION)
    assert set(found) <= set(KNOWN_AT_ADMISSION)
    assert all(count > 0 for count in left_out.values())


# --- the whole way ------------------------------------------------------------------------------------------------


def test_a_closing_heading_in_the_middle_of_a_line_closes_too():
    text = "Medications on Admission: aspirin 81 mg. Discharge Medications: warfarin\nSocial History:\nalone\n"
    assert admitted(text).split() == ["aspirin", "81", "mg.", "alone"]


def test_several_exams_are_told_apart_by_what_they_say():
    text = "Physical Exam:\nADMISSION:\nlungs: wet\nON TRANSFER:\nlungs: better\nDischarge:\nlungs: dry\n"
    found, _ = admitted_sections(text, (*KNOWN_AT_ADMISSION, "discharge_exam"))
    assert "wet" in found["physical_exam"] and "better" not in found["physical_exam"]
    assert "better" in found["discharge_exam"] and "dry" in found["discharge_exam"]
    back = "Physical Exam:\nOn discharge: dry\nOn admission: wet\n"
    assert admitted_sections(back, KNOWN_AT_ADMISSION)[0]["physical_exam"].endswith("wet")
    assert "dry" not in admitted(back)


def test_an_exam_without_a_date_after_the_hospital_course_is_not_the_admission_s():
    text = "Brief Hospital Course:\nlong\n\nMedications on Admission:\naspirin\n\nPhysical Exam:\ncold\n"
    found, left_out = admitted_sections(text, KNOWN_AT_ADMISSION)
    assert found == {"medications_on_admission": "aspirin"}
    assert sum(left_out.values()) == 1


def test_what_is_left_out_is_counted_by_kind_and_quotes_nothing(tmp_path):
    planted = SUMMARY.replace("- hypertension", "- hypertension\nDischarge Meds:\nwarfarin\nIn a closed part:\nmore")
    planted = planted.replace(
        "1. Lisinopril 5 mg", "1. Lisinopril 5 mg\n\nMeds on Transfer:\nheparin\nRosenzweig Care:\nmore"
    )
    planted = planted.replace("Mother died of a stroke.", "Mother died of a stroke.\nMrs Rosenzweig:\nsecretname")
    write_notes(tmp_path, "discharge", [note(planted, 168)])
    result = text_rows(tmp_path, "discharge", stays(1), NotesConfig())
    text = result.rows.texts[0]
    assert (
        text
        == text_rows(
            write_notes(tmp_path / "clean", "discharge", [note(SUMMARY, 168)]), "discharge", stays(1), NotesConfig()
        ).rows.texts[0]
    )
    counts = {reason: count for reason, count in result.quarantine.iter_rows() if "left out after" in reason}
    assert counts == {
        "text in an admission section, left out after: discharge medications": 1,
        "text in an admission section, left out after: transfer": 1,
        "text in an admission section, left out after: unknown heading": 1,
    }
    assert "Rosenzweig" not in str(result.quarantine.to_dicts()) + str(result.audit.to_dicts())


def test_the_paper_s_text_does_not_change_with_headings(tmp_path):
    planted = SUMMARY.replace("- hypertension", "- hypertension\nDischarge Meds:\nwarfarin")
    write_notes(tmp_path, "discharge", [note(planted, 168)])
    table = NoteTable(tmp_path, "discharge", stays(1)["subject_id"], NotesConfig(mode="paper"))
    assert "warfarin" in table.rows(stays(1)).rows.texts[0]
    assert "warfarin" in split_sections(planted)["discharge_medications"]
