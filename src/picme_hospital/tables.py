"""The administrative tables of MIMIC-IV (patients to diagnoses), and the table of true risks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme_hospital.codes import NEWER_CODES, OTHER_CODES, PHENOTYPES, UNTITLED_CODES
from picme_hospital.files import stamp, stream, write_table
from picme_hospital.items import CHART, LABS_OF_HOSPITAL, OUTPUT
from picme_hospital.patients import DAY, PERIODS, Hospital

if TYPE_CHECKING:
    from pathlib import Path

# The ICUs, as in `icustays` and `transfers`.
UNITS = (
    "Medical Intensive Care Unit (MICU)",
    "Medical/Surgical Intensive Care Unit (MICU/SICU)",
    "Surgical Intensive Care Unit (SICU)",
    "Cardiac Vascular Intensive Care Unit (CVICU)",
    "Coronary Care Unit (CCU)",
    "Neuro Surgical Intensive Care Unit (Neuro SICU)",
    "Trauma SICU (TSICU)",
)
# The share of subjects with each entry of the column `race`.
RACES = {
    "WHITE": 0.6,
    "BLACK/AFRICAN AMERICAN": 0.11,
    "UNKNOWN": 0.06,
    "OTHER": 0.04,
    "HISPANIC/LATINO - PUERTO RICAN": 0.03,
    "ASIAN": 0.03,
    "ASIAN - CHINESE": 0.02,
    "WHITE - OTHER EUROPEAN": 0.03,
    "HISPANIC OR LATINO": 0.02,
    "BLACK/CAPE VERDEAN": 0.02,
    "WHITE - RUSSIAN": 0.015,
    "PORTUGUESE": 0.01,
    "UNABLE TO OBTAIN": 0.01,
    "PATIENT DECLINED TO ANSWER": 0.005,
}


def write_tables(h: Hospital, ehr: Path) -> None:
    """Write all tables of `hosp` and `icu` except the event tables."""
    hosp, icu = ehr / "hosp", ehr / "icu"
    write_table(hosp / "patients.csv.gz", _patients(h))
    write_table(hosp / "admissions.csv.gz", _admissions(h))
    first, last = _units(h)
    write_table(hosp / "transfers.csv.gz", _transfers(h, first, last))
    write_table(hosp / "services.csv.gz", _services(h))
    write_table(hosp / "diagnoses_icd.csv.gz", _diagnoses(h))
    titles = [
        {"icd_code": code, "icd_version": version, "long_title": title}
        for version, codes in (
            *((9, p.icd9) for p in PHENOTYPES),
            *((10, p.icd10) for p in PHENOTYPES),
            *OTHER_CODES.items(),
            *((10, codes) for codes in NEWER_CODES.values()),
        )
        for code, title in codes.items()
    ]
    write_table(hosp / "d_icd_diagnoses.csv.gz", pl.DataFrame(titles).unique(maintain_order=True))
    write_table(
        hosp / "d_labitems.csv.gz",
        pl.DataFrame(
            [(t.itemid, t.label, t.fluid, t.category) for t in LABS_OF_HOSPITAL],
            schema=["itemid", "label", "fluid", "category"],
            orient="row",
        ),
    )
    los = (h.outtime - h.intime) / DAY
    write_table(
        icu / "icustays.csv.gz",
        pl.DataFrame(
            {
                "subject_id": h.subject_id[h.subject[h.admission]],
                "hadm_id": h.hadm_id[h.admission],
                "stay_id": h.stay_id,
                "first_careunit": np.array(UNITS)[first],
                "last_careunit": np.array(UNITS)[last],
                "intime": stamp(h.intime),
                "outtime": stamp(h.outtime),
                "los": np.round(los, 10),
            }
        ),
    )
    write_table(icu / "d_items.csv.gz", _items())


def truth(h: Hospital) -> pl.DataFrame:
    """Return the true risks of each stay: `stay_id`, `mortality_risk` and a column named after each phenotype."""
    risks = {p.name: h.latent.phenotype_risk[h.admission, i] for i, p in enumerate(PHENOTYPES)}
    return pl.DataFrame({"stay_id": h.stay_id, "mortality_risk": h.latent.risk[h.admission], **risks}).sort("stay_id")


def _items() -> pl.DataFrame:
    """Return the table d_items."""
    rows = [
        (i.itemid, i.label, i.label, table, i.category, i.unit, "Numeric" if i.decimals >= 0 else "Text", None, None)
        for table, items in (("chartevents", CHART), ("outputevents", OUTPUT))
        for i in items
    ]
    types: dict[str, type[pl.DataType]] = dict.fromkeys(
        ("itemid", "label", "abbreviation", "linksto", "category", "unitname", "param_type"), pl.String
    )
    types |= {"itemid": pl.Int64, "lownormalvalue": pl.Float64, "highnormalvalue": pl.Float64}
    return pl.DataFrame(rows, schema=types, orient="row")


def _patients(h: Hospital) -> pl.DataFrame:
    """Return the table patients."""
    rng = stream(h.seed, "patients table")
    n = len(h.subject_id)
    last = np.full(n, -1)
    np.maximum.at(last, h.subject, h.dischtime)
    dead = np.zeros(n, dtype=bool)
    dead[h.subject[h.deathtime > 0]] = True
    later = ~dead & (rng.random(n) < 0.15)  # the patient dies at home within a year
    day = np.where(later, last + rng.integers(5, 365, n) * DAY, last) // DAY * DAY
    dod = stamp(day).astype("datetime64[D]")
    return pl.DataFrame(
        {
            "subject_id": h.subject_id,
            "gender": np.where(h.female, "F", "M"),
            "anchor_age": h.anchor_age,
            "anchor_year": h.anchor_year,
            "anchor_year_group": np.array(PERIODS)[h.period],
            "dod": pl.Series(dod).set(pl.Series(~(dead | later)), None),
        }
    )


def _pick(score: np.ndarray, cuts: tuple[float, ...], names: tuple[str, ...]) -> np.ndarray:
    """Return for each score the name of the interval between cuts into which it falls."""
    return np.array(names, dtype=object)[np.digitize(score, cuts)]


def _admissions(h: Hospital) -> pl.DataFrame:
    """Return the table admissions."""
    rng = stream(h.seed, "admissions table")
    n, view = len(h.hadm_id), h.latent.views["demographics"]
    chronic, severity = view["chronic"], view["severity"]
    age = h.anchor_age[h.subject]
    died = h.deathtime > 0
    kind = _pick(
        severity + 0.5 * rng.normal(size=n),
        (-1.0, -0.5, 0.1, 0.9),
        ("ELECTIVE", "SURGICAL SAME DAY ADMISSION", "OBSERVATION ADMIT", "EW EMER.", "URGENT"),
    )
    place = _pick(
        chronic + 0.4 * rng.normal(size=n),
        (-0.7, 0.1, 1.1),
        ("PHYSICIAN REFERRAL", "WALK-IN/SELF REFERRAL", "EMERGENCY ROOM", "TRANSFER FROM SKILLED NURSING FACILITY"),
    )
    place = np.where((severity > 1.0) & (rng.random(n) < 0.6), "TRANSFER FROM HOSPITAL", place)
    insurance = np.where(age >= 65, "Medicare", np.where(chronic > 0.5, "Medicaid", "Other"))
    insurance = np.where(rng.random(n) < 0.12, "Other", insurance)
    race = rng.choice(list(RACES), size=len(h.subject_id), p=list(RACES.values()))
    goes = rng.choice(["HOME", "HOME HEALTH CARE", "SKILLED NURSING FACILITY", "REHAB"], size=n)
    # Some flags are wrong: they say that the patient survived although a time of death is recorded.
    flag = died & ~_some(died, 1 / 150, rng)
    leaves = np.where(h.edregtime > 0, h.admittime + rng.integers(10, 180, n) * 60, -1)
    unknown = rng.random(n) < 0.03
    return pl.DataFrame(
        {
            "subject_id": h.subject_id[h.subject],
            "hadm_id": h.hadm_id,
            "admittime": stamp(h.admittime),
            "dischtime": stamp(h.dischtime),
            "deathtime": _maybe(h.deathtime),
            "admission_type": kind.tolist(),
            "admit_provider_id": np.array(["P49AFC", "P03YMR", "P41R5N", "P824SZ"])[rng.integers(0, 4, n)],
            "admission_location": place.tolist(),
            "discharge_location": np.where(died, "DIED", goes).tolist(),
            "insurance": insurance.tolist(),
            "language": np.where(h.english[h.subject], "ENGLISH", "?").tolist(),
            "marital_status": np.where(unknown, np.array(None), h.marital).tolist(),
            "race": np.where(unknown, "UNKNOWN", race[h.subject]).tolist(),
            "edregtime": _maybe(h.edregtime),
            "edouttime": _maybe(leaves),
            "hospital_expire_flag": flag.astype(int),
        }
    )


def _some(among: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a share of the true entries, at least one if there is any; return them as a mask."""
    rows = np.flatnonzero(among)
    mask = np.zeros(len(among), dtype=bool)
    if len(rows):
        mask[rng.choice(rows, size=max(1, round(share * len(rows))), replace=False)] = True
    return mask


def _maybe(seconds: np.ndarray) -> pl.Series:
    """Return seconds since 1970 as times; negative ones become null."""
    return pl.Series(stamp(seconds)).set(pl.Series(seconds < 0), None)


def _units(h: Hospital) -> tuple[np.ndarray, np.ndarray]:
    """Draw the first and the last ICU of each stay, both (N,), as indices into UNITS."""
    rng = stream(h.seed, "units")
    n = len(h.stay_id)
    ward = rng.choice([0, 1, 2, 6], size=n, p=[0.35, 0.3, 0.25, 0.1])
    organ = rng.random(n)
    ward = np.where(organ < 0.12, 3, np.where(organ < 0.22, 4, np.where(organ < 0.3, 5, ward)))
    return ward, np.where(h.transferred, (ward + rng.integers(1, len(UNITS), n)) % len(UNITS), ward)


def _transfers(h: Hospital, first: np.ndarray, last: np.ndarray) -> pl.DataFrame:
    """Return the table transfers: each admission's way from emergency room and wards through ICUs to discharge."""
    rng = stream(h.seed, "transfers")
    units = np.array(UNITS)
    rows: list[tuple[int, str, str | None, int, int]] = []
    start = h.first_stay()
    stop = np.append(start[1:], len(h.stay_id))
    for a in range(len(h.hadm_id)):
        if h.edregtime[a] > 0:
            rows.append((a, "ED", "Emergency Department", int(h.edregtime[a]), int(h.admittime[a])))
        at, event = int(h.admittime[a]), "admit"
        for s in range(start[a], stop[a]):
            rows.append((a, event, "Medicine", at, int(h.intime[s])))
            event = "transfer"
            middle = int(h.intime[s] + h.outtime[s]) // 2 if h.transferred[s] else int(h.outtime[s])
            rows.append((a, event, str(units[first[s]]), int(h.intime[s]), middle))
            if h.transferred[s]:
                rows.append((a, event, str(units[last[s]]), middle, int(h.outtime[s])))
            at = int(h.outtime[s])
        if at < h.dischtime[a]:
            rows.append((a, event, "Med/Surg", at, int(h.dischtime[a])))
        rows.append((a, "discharge", None, int(h.dischtime[a]), -1))
    admission, kinds, places, begin, end = zip(*rows, strict=True)
    at_admission = np.array(admission)
    return pl.DataFrame(
        {
            "subject_id": h.subject_id[h.subject[at_admission]],
            "hadm_id": h.hadm_id[at_admission],
            "transfer_id": 30_000_000 + rng.choice(9_999_999, size=len(rows), replace=False),
            "eventtype": kinds,
            "careunit": places,
            "intime": stamp(np.array(begin)),
            "outtime": _maybe(np.array(end)),
        }
    )


def _services(h: Hospital) -> pl.DataFrame:
    """Return the table services."""
    rng = stream(h.seed, "services")
    n = len(h.hadm_id)
    return pl.DataFrame(
        {
            "subject_id": h.subject_id[h.subject],
            "hadm_id": h.hadm_id,
            "transfertime": stamp(h.admittime + rng.integers(1, 60, n)),
            "prev_service": pl.Series([None] * n, dtype=pl.String),
            "curr_service": rng.choice(["MED", "CMED", "SURG", "NMED", "CSURG"], size=n, p=[0.5, 0.15, 0.2, 0.1, 0.05]),
        }
    )


def _diagnoses(h: Hospital) -> pl.DataFrame:
    """Return the table diagnoses_icd: each admission's codes, all of one ICD version, in random order.

    The codes are one for each phenotype of the admission, some of other conditions, and rarely one without a title.
    """
    rng = stream(h.seed, "diagnoses")
    rows: list[tuple[int, int, str, int]] = []
    for a in range(len(h.hadm_id)):
        version = int(h.icd_version[a])
        codes = []
        for i in np.flatnonzero(h.latent.phenotypes[a]):
            phenotype = PHENOTYPES[i]
            known = list(phenotype.icd9 if version == 9 else phenotype.icd10)
            newer = list(NEWER_CODES.get(phenotype.ccs, ())) if version == 10 and rng.random() < 0.15 else []
            codes.append(str((newer or known)[int(rng.integers(len(newer or known)))]))
        others = list(OTHER_CODES[version])
        codes += [others[k] for k in rng.choice(len(others), size=int(rng.integers(1, 5)), replace=False)]
        if rng.random() < 0.02 or a in (3, 4):
            codes.append(UNTITLED_CODES[version])
        rows += [(a, k + 1, codes[j], version) for k, j in enumerate(rng.permutation(len(codes)))]
    admission, place, code, versions = zip(*rows, strict=True)
    owner = np.array(admission)
    return pl.DataFrame(
        {
            "subject_id": h.subject_id[h.subject[owner]],
            "hadm_id": h.hadm_id[owner],
            "seq_num": place,
            "icd_code": code,
            "icd_version": versions,
        }
    )
