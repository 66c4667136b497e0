"""The task `phenotyping`: 25 acute-care phenotypes, from everything up to ICU discharge (Harutyunyan et al. 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from picme.tasks import Task

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from picme.cohort.mimic_stays import MimicStays
    from picme.config.cohort import CohortConfig
    from picme.tasks.icd_groups import Phenotypes

CODE = r"^([VE]?\d{2,5}|[A-Z]\d[0-9A-Z]{1,5})$"
"""Regular expression of a diagnosis code of ICD-9 or ICD-10, without its dot."""
TYPES = (
    ("Acute and unspecified renal failure", "acute"),
    ("Acute cerebrovascular disease", "acute"),
    ("Acute myocardial infarction", "acute"),
    ("Cardiac dysrhythmias", "mixed"),
    ("Chronic kidney disease", "chronic"),
    ("Chronic obstructive pulmonary disease and bronchiectasis", "chronic"),
    ("Complications of surgical procedures or medical care", "acute"),
    ("Conduction disorders", "mixed"),
    ("Congestive heart failure; nonhypertensive", "mixed"),
    ("Coronary atherosclerosis and other heart disease", "chronic"),
    ("Diabetes mellitus with complications", "mixed"),
    ("Diabetes mellitus without complication", "chronic"),
    ("Disorders of lipid metabolism", "chronic"),
    ("Essential hypertension", "chronic"),
    ("Fluid and electrolyte disorders", "acute"),
    ("Gastrointestinal hemorrhage", "acute"),
    ("Hypertension with complications and secondary hypertension", "chronic"),
    ("Other liver diseases", "mixed"),
    ("Other lower respiratory disease", "acute"),
    ("Other upper respiratory disease", "acute"),
    ("Pleurisy; pneumothorax; pulmonary collapse", "acute"),
    ("Pneumonia (except that caused by tuberculosis or sexually transmitted disease)", "acute"),
    ("Respiratory failure; insufficiency; arrest (adult)", "acute"),
    ("Septicemia (except in labor)", "acute"),
    ("Shock", "acute"),
)


class Phenotyping(Task):
    """The phenotypes of a stay, by the diagnoses coded for its hospital admission."""

    def make_labels(self, stays: MimicStays) -> pl.DataFrame:
        """Label each stay whose admission has any coded diagnosis; report unknown codes and a second definition."""
        import polars as pl

        from picme.tasks.icd_groups import label_agreement, phenotype_labels

        admissions, chosen = stays.stays["hadm_id"], stays.rules.phenotypes
        codes = stays.diagnoses()
        titles = None
        if stays.rules.extraction == "benchmark" and stays.has("d_icd_diagnoses"):
            titles = stays.table("d_icd_diagnoses", ["icd_code"])["icd_code"]
        labels = phenotype_labels(codes, chosen, titles)
        if labels.unmapped.height:
            stays.leave_out("diagnosis code in no group of the definition", int(labels.unmapped["rows"].sum()))
            # What is no code may be a patient's text or number, and is not quoted.
            told = labels.unmapped.filter(pl.col("icd_code").str.contains(CODE)).head(10)
            top = ", ".join(f"ICD-{version} {code}" for version, code, _ in told.iter_rows()) or "none looks like one"
            stays.note(f"{labels.unmapped.height} diagnosis codes are in no group of the phenotype definition: {top}")
        other = second_definition(stays.rules)
        if other is not None:
            second: Phenotypes = phenotype_labels(codes, other)
            # The table compares CCS with the file; where both are files, the one in use stands first.
            pair = (second, labels) if str(other) == "ccs" else (labels, second)
            stays.agreement = label_agreement(*pair, admissions)
        return (
            stays.stays.select("stay_id", "hadm_id")
            .join(labels.frame, on="hadm_id", how="inner", maintain_order="left")
            .drop("hadm_id")
        )


def second_definition(rules: CohortConfig) -> str | Path | None:
    """Return the definition of phenotypes to compare the one in use with, if there is another."""
    others = [one for one in ("ccs", rules.definitions) if one is not None and str(one) != str(rules.phenotypes)]
    return others[-1] if others else None


TASK = Phenotyping(
    "phenotyping",
    tuple(name for name, _ in TYPES),
    types=TYPES,
    tables=("diagnoses_icd",),
    labelled_if="diagnoses coded",
    outcome="which conditions the stay is coded with",
    positive="a stay with a condition",
    negative="one without it, averaged over the conditions",
)
