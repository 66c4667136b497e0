"""Readers of raw data: the MIMIC releases, the PhysioNet 2012 challenge, and the user's own tables."""

# The endings of a release's tables.
ENDINGS = (".csv.gz", ".csv", ".parquet")
# The tables of MIMIC-IV that a cohort is made from; the change of any of them makes everything again.
EHR_TABLES = (
    "patients",
    "admissions",
    "diagnoses_icd",
    "d_icd_diagnoses",
    "labevents",
    "icustays",
    "chartevents",
    "transfers",
    "services",
    "outputevents",
)
