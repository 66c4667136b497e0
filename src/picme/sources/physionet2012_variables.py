"""The challenge's parameters: table, plausible range, normal value, and known mistakes of unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from picme.sources.hourly import Reduce


class Variable(NamedTuple):
    """One parameter of the challenge files."""

    table: str
    low: float
    """Values below are taken as mistakes and left out."""
    high: float
    """Values above likewise."""
    normal: float
    """What stands before the first measurement: a typical healthy adult's value, not a statistic of the data."""
    reduce: Reduce = "mean"
    """What several measurements in one hour become."""


SERIES: dict[str, Variable] = {
    "HR": Variable("vitals", 10, 300, 80),
    "SysABP": Variable("vitals", 20, 300, 120),
    "DiasABP": Variable("vitals", 10, 250, 70),
    "MAP": Variable("vitals", 15, 250, 87),
    "NISysABP": Variable("vitals", 20, 300, 120),
    "NIDiasABP": Variable("vitals", 10, 250, 70),
    "NIMAP": Variable("vitals", 15, 250, 87),
    "RespRate": Variable("vitals", 1, 90, 16),
    "Temp": Variable("vitals", 25, 45, 37),
    "GCS": Variable("vitals", 3, 15, 15),
    "pH": Variable("blood_gas", 6.5, 8.0, 7.4),
    "PaCO2": Variable("blood_gas", 5, 200, 40),
    "PaO2": Variable("blood_gas", 20, 700, 95),
    "FiO2": Variable("blood_gas", 0.21, 1.0, 0.21),
    "SaO2": Variable("blood_gas", 20, 100, 97),
    "MechVent": Variable("blood_gas", 0, 1, 0, "last"),
    "Lactate": Variable("blood_gas", 0.1, 40, 1),
    "Albumin": Variable("labs", 0.5, 7, 4.2),
    "ALP": Variable("labs", 5, 5000, 70),
    "ALT": Variable("labs", 1, 30000, 25),
    "AST": Variable("labs", 1, 30000, 25),
    "Bilirubin": Variable("labs", 0.05, 80, 0.7),
    "BUN": Variable("labs", 0.5, 300, 14),
    "Cholesterol": Variable("labs", 20, 1000, 170),
    "Creatinine": Variable("labs", 0.05, 40, 0.9),
    "Glucose": Variable("labs", 5, 2000, 110),
    "HCO3": Variable("labs", 2, 60, 25),
    "HCT": Variable("labs", 5, 75, 41),
    "K": Variable("labs", 1, 25, 4.1),
    "Mg": Variable("labs", 0.2, 15, 2),
    "Na": Variable("labs", 80, 200, 140),
    "Platelets": Variable("labs", 1, 3000, 250),
    "TroponinI": Variable("labs", 0, 1000, 0.02),
    "TroponinT": Variable("labs", 0, 200, 0.01),
    "WBC": Variable("labs", 0.01, 1000, 7.5),
    "Urine": Variable("fluids", 0, 5000, 70, "sum"),
    "Weight": Variable("fluids", 20, 400, 80, "last"),
}
"""Time series by parameter. Weight here is the daily weight; the one at admission is a demographic."""

DEMOGRAPHICS: dict[str, tuple[float, float]] = {
    "Age": (0, 120),
    "Gender": (0, 1),
    "Height": (100, 230),
    "Weight": (20, 400),
    "ICUType": (1, 4),
}
"""General descriptors at admission and their plausible ranges."""

REPAIRS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "pH": ((650, 800, 0.01),),
    "WBC": ((1000, 100000, 0.001),),
    "Height": ((1.2, 2.3, 100), (300, 500, 1 / 2.54)),
}
"""Known mistakes of unit, as (low, high, factor): a decimal point lost, metres, centimetres taken for inches."""

ICU_TYPES = {1: "coronary care", 2: "cardiac surgery recovery", 3: "medical", 4: "surgical"}
GENDERS = {0: "female", 1: "male"}
TABLES = ("vitals", "labs", "blood_gas", "fluids", "demographics")
