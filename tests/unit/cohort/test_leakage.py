"""The leakage audit names what was planted, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from release_files import SUMMARY, film, hours, image_rows, note, stays, text_rows, write_films, write_notes

from picme.cohort import leakage
from picme.cohort.outcome import states_outcome, without_statements
from picme.config.notes import ImagesConfig, NotesConfig

COLUMNS = ["check", "modality", "split", "count", "detail", "violation", "preset", "label", "auroc"]


ENDED = (
    "made CMO and passed away",
    "He died at 14:32",
    "Mr. ___ passed away",
    "was pronounced dead",
    "expired this morning",
    "time of death 04:10",
    "comfort measures only",
    "transitioned to comfort care",
    "withdrawal of care",
    "family meeting was held and decision made to withdraw support",
    "rhythm was asystole and she was declared at 05:12",
    "deceased",
    "autopsy declined",
    "organ donation was discussed after death",
    "Care was withdrawn",
    "he was terminally extubated",
    "Pt passed away peacefully with family at the bedside",
    "She unfortunately expired on HD 5",
    "pronounced at 03:15",
    "the family declined an autopsy",
    "goals of care changed to comfort",
    "His wife was at the bedside when he died at 14:32",
    "After discussion with his son, he was made CMO",
    "family agreed to comfort measures only",
    "discharged home with hospice",
    "medical examiner declined the case",
    "resuscitation was unsuccessful",
    "Ms. Smith died overnight",
    "sadly died",
    "the patient and family elected for withdrawing care",
    "He was made DNR/DNI and then CMO",
    "The patient was declared brain dead",
    "Patient died of septic shock",
    "She passed peacefully",
    "Pt expired at 0432",
    "was found pulseless and pronounced",
    "The family elected to withdraw care",
    "Life support was withdrawn",
    "the decision was made to pursue comfort measures",
    "transitioned to CMO",
    "patient was extubated and passed away shortly thereafter",
    "Despite maximal efforts, the patient could not be resuscitated",
    "ROSC was not obtained",
    "He subsequently expired",
    "She was discharged to hospice",
    "The patient's family requested comfort care",
    "The pt. ultimately died on ___",
    "patient became asystolic and was pronounced dead",
    "Mrs. ___ died in the ICU",
    "the family withdrew support and he died",
)
INNOCENT = (
    "father died of MI",
    "Father: MI, died at 60",
    "mother passed away at 80",
    "Mother had CAD and passed away in her 60s",
    "brother deceased",
    "Parents: deceased",
    "wife expired",
    "Widowed, husband passed away two years ago",
    "Her father died when she was 5",
    "denies thoughts of death",
    "patient denies suicidal ideation",
    "dead skin at the heel",
    "expired medication",
    "took expired medications at home",
    "his prescription expired last week",
    "expiratory wheezes",
    "Code status: DNR",
    "alcohol withdrawal seizures",
    "withdraws to pain",
    "mother was made CMO",
    "his brother was in hospice",
    "registered organ donor",
    "sudden cardiac death in a cousin",
    "he nearly died of sepsis in ___",
    "does not want comfort measures only",
    "resting in comfort, no distress",
    "history of asystole, pacemaker placed",
    "passed stool and gas",
    "he passed a swallow study",
    "pronounced weakness of the left arm",
    "withdrawal of benzodiazepines",
    "family meeting at home last week about moving",
    "brain death of donor kidney",
    "his roommate died recently",
    "patient's dog died",
    "Patient reports that her sister died of cancer",
    "Father died at age 60",
    "His mother passed away from breast cancer",
    "grandfather deceased",
    "Several family members died of cancer",
    "son died in a car accident",
    "Her husband expired in ___",
    "ran out of his meds, prescriptions expired",
    "inspiratory and expiratory wheezes",
    "DNR/DNI",
    "comfortable, NAD",
    "no acute distress, appears comfortable",
    "he lost his wife who passed away last month",
    "recently lost her sister, who died at 14 years",
    "his father had MI; he died at 60",
    "patient states that mother died",
    "ETOH withdrawal",
    "opioid withdrawal support group",
    "necrotic, dead tissue debrided",
    "works as coroner's assistant",
    "life support certified",
    "sleeps with comfort pillow",
    "patient afraid of death",
    "Works at a hospice",
    "Dead space",
    "fetal demise ___",
    "neonatal death x1",
)


def cohort(**splits: list[int]) -> pl.DataFrame:
    rows = [(subject, split or None) for split, subjects in splits.items() for subject in subjects]
    return pl.DataFrame(rows, schema={"subject_id": pl.Int64, "split": pl.String}, orient="row")


def violated(table: pl.DataFrame) -> list[str]:
    return table.filter(pl.col("violation").fill_null(False))["check"].to_list()


# --- subjects ---------------------------------------------------------------------------------------------------


def test_splits_without_a_shared_subject_pass():
    table = leakage.subjects_across_splits({"a": cohort(train=[1, 1, 2], val=[3], test=[4])})
    assert violated(table) == [] and table.height == 1 and table["count"].item() == 0


def test_a_subject_shared_within_a_view_is_named():
    table = leakage.subjects_across_splits({"a": cohort(train=[1, 2, 5], val=[2], test=[1, 5])})
    found = {row["split"]: row["count"] for row in table.iter_rows(named=True) if row["violation"]}
    assert found == {"train/val": 1, "train/test": 2}


def test_a_test_subject_of_one_view_that_trains_another_is_named():
    table = leakage.subjects_across_splits({"pretrain": cohort(train=[1, 2]), "task": cohort(train=[3], test=[2])})
    assert violated(table) == ["shared_subjects"]
    assert "pretrain train and task test" in table.filter("violation")["detail"].item()


def test_pretraining_may_watch_subjects_that_fine_tuning_trains_on():
    table = leakage.subjects_across_splits(
        {"pretrain": cohort(train=[1], val=[2]), "task": cohort(train=[2], test=[3])}
    )
    assert violated(table) == [] and table["count"].to_list() == [0, 1]


# --- cut-offs ---------------------------------------------------------------------------------------------------


def test_a_planted_film_after_the_cut_off_is_named():
    people = stays(3)
    split = pl.Series(["train", "test", "test"])
    in_time = pl.Series([hours(3), hours(50), None])
    clean = leakage.cutoff_rows("image", in_time, people["cutoff"], split)
    assert violated(clean) == [] and clean["count"].to_list() == [0, 0, 0]
    planted = pl.Series([hours(3), hours(50) + timedelta(seconds=1), None])
    table = leakage.cutoff_rows("image", planted, people["cutoff"], split)
    assert violated(table) == ["latest_time"]
    row = table.filter("violation").row(0, named=True)
    assert (row["modality"], row["split"], row["count"]) == ("image", "test", 1)
    declared = leakage.cutoff_rows("image", planted, people["cutoff"], split, declared="the whole admission")
    assert violated(declared) == [] and declared["count"].sum() == 1


def test_the_sources_own_audits_enter_the_table(tmp_path):
    write_notes(tmp_path, "discharge", [note(SUMMARY.replace("cough.", "cough. The patient expired."), 168)])
    write_films(tmp_path / "cxr", [film(3)])
    notes = text_rows(tmp_path, "discharge", stays(1), NotesConfig()).audit
    images = image_rows(tmp_path / "cxr", stays(1), ImagesConfig()).audit
    table = leakage.leakage_table(
        notes.with_columns(modality=pl.lit("discharge")), images.with_columns(modality=pl.lit("image")), None
    )
    assert table.columns == COLUMNS
    assert violated(table) == ["outcome_statement"]
    assert leakage.violations(table) == [
        "outcome_statement (discharge): 1, the patient's outcome is stated in history_of_present_illness"
    ]
    assert leakage.leakage_table().columns == COLUMNS


def test_a_column_recorded_at_discharge_is_named():
    assert violated(leakage.discharge_fields("demographics", ["age", "gender"])) == []
    table = leakage.discharge_fields("demographics", ["age", "discharge_location", "dod"])
    assert violated(table) == ["discharge_fields"] and table["count"].item() == 2


# --- words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("The patient expired on day 3.", True),
        ("Pt expired", True),
        ("patient has unfortunately passed away", True),
        ("Ms. ___ expired peacefully", True),
        ("Patient was made CMO", True),
        ("patient transitioned to comfort measures only", True),
        ("pronounced dead at 03:00", True),
        ("Time of death 03:00", True),
        ("Discharge Disposition: Expired", True),
        ("Mother died of a stroke", False),
        ("husband is deceased", False),
        ("the patient's mother expired last year", False),
        ("expired medications at home", False),
        ("patient denies thoughts of death", False),
        ("lungs: prolonged expiration", False),
        *((text, True) for text in ENDED),
        *((text, False) for text in INNOCENT),
    ],
)
def test_statements_about_the_patient_are_told_from_mere_words(text, stated):
    assert states_outcome(text) == stated
    removed, number = without_statements(f"Before.\n{text}. After\nand last.")
    assert number == int(stated) and (text in removed) != stated and "Before." in removed and "last." in removed


def test_only_the_sentence_goes():
    text = "She came in. Mr. ___ has expired on day 3, as told. He was 70.\nLater:\nEXPIRED\nend"
    assert without_statements(text) == ("She came in. He was 70.\nLater:\nend", 2)


def test_words_are_counted_by_modality_split_and_section():
    texts = {
        "discharge": [
            "Chief complaint:\ncough\nFamily history:\nMother died, father died.",
            "Family history:\nBrother died.\nSocial history:\nin hospice",
            None,
            "History of present illness:\nThe patient expired.",
            "Family history:\nnone",
        ],
        "radiology": ["Impression: patient expired", None, None, None, "Findings: clear"],
    }
    split = ["train", "train", "train", "test", "test"]
    table = leakage.outcome_words(texts, split, strict={"discharge"})
    words = {
        (row["modality"], row["split"], row["detail"]): row["count"]
        for row in table.filter(pl.col("check") == "outcome_words").iter_rows(named=True)
    }
    assert words == {
        ("discharge", "train", "in family_history: died 2"): 2,
        ("discharge", "train", "in social_history: hospice 1"): 1,
        ("discharge", "test", "in history_of_present_illness: expired 1"): 1,
        ("radiology", "train", "in impression: expired 1"): 1,
    }
    broken = table.filter("violation")
    assert broken.select("check", "modality", "split", "count").rows() == [
        ("outcome_statement", "discharge", "test", 1)
    ]
    assert violated(leakage.outcome_words(texts, split)) == []


def test_texts_in_no_split_are_not_audited():
    assert leakage.outcome_words({"x": ["patient expired"]}, [None]).height == 0


# --- the leak in AUROC ------------------------------------------------------------------------------------------


def sentences(labels: np.ndarray, told: float, seed: int = 0) -> list[str]:
    """Texts of random words; a share `told` of the positives says so."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{chr(97 + i)}{chr(97 + j)}" for i in range(10) for j in range(10)])
    return [" ".join(rng.choice(words, 20)) + (" hospice" if label and rng.random() < told else "") for label in labels]


def test_a_leak_is_measured_and_its_absence_too():
    rng = np.random.default_rng(1)
    labels = (rng.random(600) < 0.3).astype(float)
    split = np.where(np.arange(600) < 400, "train", "test")
    assert leakage.measured_leak(sentences(labels, 1.0), labels, split)[0] > 0.95
    assert abs(leakage.measured_leak(sentences(labels, 0.0), labels, split)[0] - 0.5) < 0.12


def test_test_stays_are_never_learned_from():
    """Words that mean the outcome only in the test set must not help."""
    rng = np.random.default_rng(2)
    labels = (rng.random(600) < 0.4).astype(float)
    split = np.where(np.arange(600) < 400, "train", "test")
    told = sentences(labels, 1.0)
    texts = [text if part == "test" else text.replace(" hospice", "") for text, part in zip(told, split, strict=True)]
    assert abs(leakage.measured_leak(texts, labels, split)[0] - 0.5) < 0.12


def test_an_undefined_leak_is_none():
    split = ["train", "train", "test", "test"]
    texts = ["good news", "bad news", "good", "bad"]
    assert leakage.measured_leak(texts, np.array([0, 1, 1, 1.0]), split) == [None]
    assert leakage.measured_leak([None, None, "good", "bad"], np.array([0, 1, 0, 1.0]), split) == [None]
    assert leakage.measured_leak(["1", "2", "3", "4"], np.array([0, 1, 0, 1.0]), split) == [None]
    assert leakage.measured_leak(texts, np.array([0, 1, np.nan, 1.0]), split) == [None]
    two = leakage.measured_leak(texts, np.array([[0, 0], [1, 1], [0, 1], [1, 1.0]]), split)
    assert two == [1.0, None]


def test_measured_leaks_are_rows_by_modality_label_and_preset():
    rng = np.random.default_rng(3)
    labels = pl.DataFrame({"mortality": (rng.random(200) < 0.5).astype(int), "sepsis": [None] * 200})
    labels = labels.with_columns(pl.col("sepsis").cast(pl.Int8))
    split = ["train"] * 120 + ["test"] * 80
    texts = {"discharge": sentences(labels["mortality"].to_numpy(), 1.0)}
    table = leakage.leakage_table(
        leakage.measured_leaks(texts, labels, split, "paper"),
        leakage.measured_leaks({"discharge": [None] * 200}, labels, split, "prospective"),
    )
    assert table.columns == COLUMNS and table.height == 4 and table["violation"].null_count() == 4
    paper = table.filter(preset="paper", label="mortality")
    assert paper["auroc"].item() > 0.9 and paper["count"].item() == 80
    assert table.filter(pl.col("auroc").is_null()).height == 3


def test_the_table_quotes_no_text_and_no_identifier():
    texts = {"discharge": ["History of present illness:\nSECRETNAME, the patient expired."] * 2}
    table = leakage.leakage_table(
        leakage.outcome_words(texts, ["train", "test"], strict={"discharge"}),
        leakage.subjects_across_splits({"a": cohort(train=[10000001], test=[10000001])}),
    )
    printed = str(table.to_dicts()) + " ".join(leakage.violations(table))
    assert "SECRETNAME" not in printed and "10000001" not in printed
