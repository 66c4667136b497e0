"""A written hospital and how to read it."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

STAYS = 240
SEED = 3
TIMES = {"admittime", "dischtime", "deathtime", "edregtime", "edouttime", "intime", "outtime", "charttime", "storetime"}
COLUMNS = {
    "ehr/hosp/patients": "subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod",
    "ehr/hosp/admissions": "subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,"
    "admission_location,discharge_location,insurance,language,marital_status,race,edregtime,edouttime,"
    "hospital_expire_flag",
    "ehr/hosp/transfers": "subject_id,hadm_id,transfer_id,eventtype,careunit,intime,outtime",
    "ehr/hosp/services": "subject_id,hadm_id,transfertime,prev_service,curr_service",
    "ehr/hosp/diagnoses_icd": "subject_id,hadm_id,seq_num,icd_code,icd_version",
    "ehr/hosp/d_icd_diagnoses": "icd_code,icd_version,long_title",
    "ehr/hosp/d_labitems": "itemid,label,fluid,category",
    "ehr/hosp/labevents": "labevent_id,subject_id,hadm_id,specimen_id,itemid,order_provider_id,charttime,storetime,"
    "value,valuenum,valueuom,ref_range_lower,ref_range_upper,flag,priority,comments",
    "ehr/icu/icustays": "subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los",
    "ehr/icu/d_items": "itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,highnormalvalue",
    "ehr/icu/chartevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,"
    "valueuom,warning",
    "ehr/icu/outputevents": "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valueuom",
    "notes/discharge": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
    "notes/radiology": "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text",
    "cxr/mimic-cxr-2.0.0-metadata": "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,"
    "Columns,StudyDate,StudyTime,ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,"
    "PatientOrientationCodeSequence_CodeMeaning",
    "cxr/mimic-cxr-2.0.0-split": "dicom_id,study_id,subject_id,split",
    "cxr/mimic-cxr-2.0.0-chexpert": "subject_id,study_id,Atelectasis,Cardiomegaly,Consolidation,Edema,"
    "Enlarged Cardiomediastinum,Fracture,Lung Lesion,Lung Opacity,No Finding,Pleural Effusion,Pleural Other,Pneumonia,"
    "Pneumothorax,Support Devices",
}


@cache
def read(folder: Path, name: str) -> pl.DataFrame:
    texts = ("icd_code", "value", "valuenum", "valueuom", "StudyDate", "text", "comments", "order_provider_id")
    types = dict.fromkeys(texts, pl.String) | {"StudyTime": pl.Float64, "hadm_id": pl.Int64}
    frame = pl.read_csv(folder / f"{name}.csv.gz", infer_schema_length=1000, schema_overrides=types)
    times = [c for c in frame.columns if c.endswith("time") and c in TIMES]
    frame = frame.with_columns(pl.col(times).str.to_datetime("%Y-%m-%d %H:%M:%S"))
    return frame.with_columns(pl.col("dod").str.to_date()) if "dod" in frame.columns else frame


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
