"""Parameters of the 2012 challenge: the table, plausible range, scale and known mistakes of unit of each."""

from __future__ import annotations

from math import nan
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from picme.sources.hourly import Reduce


class Variable(NamedTuple):
    """One parameter of the challenge files."""

    table: str
    low: float
    """Values below are taken as mistakes and left out."""
    high: float
    """Values above are taken as mistakes and left out."""
    reduce: Reduce = "mean"
    """The rule by which several measurements in one hour become one value."""
    log: bool = False
    """True if the series holds log(value + 0.1), as column `log x`, because values span orders of magnitude."""
    start: float = nan
    """The value before the first measurement; NaN for the training stays' mean."""


SERIES: dict[str, Variable] = {
    "HR": Variable("vitals", 10, 300),
    "SysABP": Variable("vitals", 20, 300),
    "DiasABP": Variable("vitals", 10, 250),
    "MAP": Variable("vitals", 15, 250),
    "NISysABP": Variable("vitals", 20, 300),
    "NIDiasABP": Variable("vitals", 10, 250),
    "NIMAP": Variable("vitals", 15, 250),
    "RespRate": Variable("vitals", 1, 90),
    "Temp": Variable("vitals", 25, 45),
    "GCS": Variable("vitals", 3, 15),
    "pH": Variable("blood_gas", 6.5, 8.0),
    "PaCO2": Variable("blood_gas", 5, 200),
    "PaO2": Variable("blood_gas", 20, 700, log=True),
    "FiO2": Variable("blood_gas", 0.21, 1.0),
    "SaO2": Variable("blood_gas", 20, 100),
    "MechVent": Variable("blood_gas", 0, 1, "last", start=0),
    "Lactate": Variable("blood_gas", 0.1, 40, log=True),
    "Albumin": Variable("labs", 0.5, 7),
    "ALP": Variable("labs", 5, 5000, log=True),
    "ALT": Variable("labs", 1, 30000, log=True),
    "AST": Variable("labs", 1, 30000, log=True),
    "Bilirubin": Variable("labs", 0.05, 80, log=True),
    "BUN": Variable("labs", 0.5, 300, log=True),
    "Cholesterol": Variable("labs", 20, 1000),
    "Creatinine": Variable("labs", 0.05, 40, log=True),
    "Glucose": Variable("labs", 5, 2000, log=True),
    "HCO3": Variable("labs", 2, 60),
    "HCT": Variable("labs", 5, 75),
    "K": Variable("labs", 1, 25),
    "Mg": Variable("labs", 0.2, 15),
    "Na": Variable("labs", 80, 200),
    "Platelets": Variable("labs", 1, 3000, log=True),
    "TroponinI": Variable("labs", 0, 1000, log=True),
    "TroponinT": Variable("labs", 0, 200, log=True),
    "WBC": Variable("labs", 0.01, 1000, log=True),
    "Urine": Variable("fluids", 0, 5000, "sum", log=True),
    "Weight": Variable("fluids", 20, 400, "last"),
}
"""Time series by parameter. Weight here is the daily weight; the one at admission is a demographic. MechVent is written
only while a stay is ventilated, so 0 stands before."""

DEMOGRAPHICS: dict[str, tuple[float, float]] = {
    "Age": (0, 120),
    "Gender": (0, 1),
    "Height": (100, 230),
    "Weight": (20, 400),
    "ICUType": (1, 4),
}
"""General descriptors at admission and their plausible ranges."""

REPAIRS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "pH": ((650, 800, 0, 0.01),),
    "WBC": ((1000, 100000, 0, 0.001),),
    "Temp": ((90, 110, 32, 1 / 1.8),),
    "Height": ((1.2, 2.3, 0, 100), (300, 500, 0, 1 / 2.54)),
}
"""Known mistakes of unit, as (low, high, subtract, factor): a decimal point lost, °F, metres, centimetres taken for
inches."""

ICU_TYPES = {1: "coronary care", 2: "cardiac surgery recovery", 3: "medical", 4: "surgical"}
GENDERS = {0: "female", 1: "male"}
TABLES = ("vitals", "labs", "blood_gas", "fluids", "demographics")
