"""Result tables about the cohort: who is studied, what is there of them, and what the audit found."""

from __future__ import annotations

from picme.results.columns import FLAG, MODALITY, NUMBER, SPLIT, TASK, TEXT, WHOLE
from picme.results.table import Column, Table

COHORT_FLOW = Table(
    "cohort_flow",
    "One row is a step of choosing the stays of a task, and how many are left after it.",
    (
        TASK,
        Column(
            "step", TEXT, "The step, in the order in which the steps are taken; each but the first leaves stays out."
        ),
        Column("stays", WHOLE, "The number of stays that are left after the step.", "stays"),
        Column("subjects", WHOLE, "The number of subjects that are left after the step.", "subjects"),
        Column(
            "split",
            TEXT,
            "The split that a line is about, one of those into which the stays that are left are divided; null for the"
            " steps before.",
        ),
        Column(
            "events",
            WHOLE,
            "The number of the split's stays with the outcome, of a task with one label; null for few stays.",
            "stays",
        ),
    ),
)
AVAILABILITY = Table(
    "availability",
    "One row says how many stays of a task and split have a modality, before any modality is required, and how much of "
    "the texts of the stays that are studied its encoder reads.",
    (
        Column("task", TEXT, "The task, or `pretrain` for the stays that pretraining sees."),
        MODALITY,
        SPLIT,
        Column(
            "stays_present", WHOLE, "The number of stays that have the modality, in a form that can be read.", "stays"
        ),
        Column("stays_total", WHOLE, "The number of all stays of the split.", "stays"),
        Column(
            "cut_share",
            NUMBER,
            "The share of the studied stays' texts of which the encoder leaves something unread; null for modalities "
            "that are no text.",
            "fraction",
        ),
        Column("tokens_total", WHOLE, "The number of tokens in these texts, special tokens not counted.", "tokens"),
        Column("tokens_read", WHOLE, "The number of these tokens that the encoder reads.", "tokens"),
    ),
)
PRESENCE = Table(
    "presence",
    "One row counts the stays of a task and split that have exactly the same modalities, before any is required.",
    (
        Column("task", TEXT, "The task, or `pretrain` for the stays that pretraining sees."),
        SPLIT,
        Column("modalities", TEXT, "The modalities that the stays have, joined with `+`; empty for none."),
        Column("stays", WHOLE, "The number of these stays.", "stays"),
        Column(
            "with_outcome",
            WHOLE,
            "The number of them with the outcome, of a task with one label; null for fewer than 10 stays.",
            "stays",
        ),
    ),
)
BASELINE = Table(
    "baseline",
    "One row describes the studied stays of a task in one group by one variable: a level of words with its count, or a "
    "number with its median and quartiles.",
    (
        TASK,
        Column("by", TEXT, "The division that the group is of: `all`, `split` or `modalities`."),
        Column(
            "group",
            TEXT,
            "The group: `all`, the split, or the modalities that its stays have, joined by `+`; `(other)` for those"
            " that are not listed.",
        ),
        Column(
            "variable",
            TEXT,
            "The variable: `stays`, a label, a column of the cohort or of a table, the hours of a series, or"
            " `not measured: x` for stays without any value of the series' column x.",
        ),
        Column(
            "level",
            TEXT,
            "The level of a variable of words, `missing` for stays without a value; null for numbers. What too few"
            " subjects have is `(other)`.",
        ),
        Column(
            "stays",
            WHOLE,
            "The number of the group's stays that have the level; null where another group's would follow from it.",
            "stays",
        ),
        Column(
            "share",
            NUMBER,
            "The share of the group's stays that have it; in whole percent where the number is null.",
            "fraction",
        ),
        Column("median", NUMBER, "The median of a number, over stays that have a value."),
        Column("q1", NUMBER, "The lower quartile."),
        Column("q3", NUMBER, "The upper quartile."),
        Column(
            "suppressed",
            FLAG,
            "True where fewer than `evaluate.min_group` stays, but not none, have the level, or such a count would"
            " follow from this one; all numbers are null then.",
        ),
    ),
)
QUARANTINE = Table(
    "quarantine",
    "One row counts the rows, texts or images of the raw data that could not be used for one reason.",
    (
        Column("modality", TEXT, "The modality, or the raw table where it is about no single modality."),
        Column("reason", TEXT, "The reason why they could not be used."),
        Column("count", WHOLE, "The number of rows, texts or images that were set aside."),
    ),
)
EVENT_ROWS = Table(
    "event_rows",
    "One row says how many rows of a MIMIC event table ended in one place; the places of a table add up to its rows.",
    (
        MODALITY,
        Column("table", TEXT, "The event table, for instance `chartevents`."),
        Column("place", TEXT, "Where the rows ended: a measurement of a stay, or the reason why they are none."),
        Column("rows", WHOLE, "The number of rows.", "rows"),
    ),
)
LEAKAGE = Table(
    "leakage",
    "One row is a check of the leakage audit, or the measured leak of one label through one modality.",
    (
        Column("check", TEXT, "The check; `measured_leak` where a leak is measured."),
        Column("modality", TEXT, "The modality that was checked, null where the check is about no single one."),
        Column("split", TEXT, "The split that was checked, null where the check is about no single one."),
        Column("count", WHOLE, "The number of stays, rows or statements that the check found."),
        Column("detail", TEXT, "The finding in words."),
        Column("violation", FLAG, "True where the study's own cut-offs are violated."),
        Column("preset", TEXT, "The rule for notes that a measured leak is about: `prospective` or `paper`."),
        Column("label", TEXT, "The label that a measured leak is about."),
        Column("auroc", NUMBER, "The AUROC with which a bag of the modality's words tells the label.", "fraction"),
    ),
)
LABEL_AGREEMENT = Table(
    "label_agreement",
    "One row compares two definitions of a phenotype from the diagnosis codes of the same stays.",
    (
        Column("phenotype", TEXT, "The phenotype."),
        Column("positives_a", WHOLE, "The number of stays that have it by the CCS groups.", "stays"),
        Column("positives_b", WHOLE, "The number of stays that have it by the definitions file.", "stays"),
        Column("both", WHOLE, "The number of stays that have it by both definitions.", "stays"),
    ),
)
CEILING = Table(
    "ceiling",
    "One row is the best score that any model could reach for a label; only a synthetic source knows it.",
    (
        TASK,
        Column("label", TEXT, "The label, or `macro` for the mean over the labels of a task with several."),
        Column("auroc", NUMBER, "The AUROC of the true risk that generated the data, on the test stays.", "fraction"),
    ),
)

TABLES = (COHORT_FLOW, BASELINE, AVAILABILITY, PRESENCE, QUARANTINE, EVENT_ROWS, LEAKAGE, LABEL_AGREEMENT, CEILING)
