"""The tables of charted items, outputs and laboratory tests: ids and names as in MIMIC-IV, and frequencies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """An item that the ICU charts.

    Attributes:
        itemid: The item's id in MIMIC-IV.
        label: The item's label in `d_items`.
        category: The item's category in `d_items`.
        unit: The item's unit in `d_items`.
        signal: The name of the charted number (see `signals.signals`), text (see `signals.texts_of`) or pool of texts
            (see `POOLS`).
        every: Hours between two entries; 0 if the item is charted once in a stay.
        chance: The probability that an entry is made when it is due.
        who: The name of the condition that a stay must meet for the item to be charted (see `series`).
        decimals: The number of decimals of a number; -1 for texts.
    """

    itemid: int
    label: str
    category: str
    unit: str | None
    signal: str
    every: int
    chance: float
    who: str = "all"
    decimals: int = 0


VITALS, LUNGS, LABS, NEURO, GENERAL = "Routine Vital Signs", "Respiratory", "Labs", "Neurological", "General"

# `events` relies on the order: items that the benchmark's channels use come first, down to and excluding the item
# 224639 (daily weight).
CHART: tuple[Item, ...] = (
    Item(220045, "Heart Rate", VITALS, "bpm", "heart_rate", 1, 0.97),
    Item(220210, "Respiratory Rate", LUNGS, "insp/min", "respiratory_rate", 1, 0.96),
    Item(220277, "O2 saturation pulseoxymetry", LUNGS, "%", "saturation", 1, 0.95),
    Item(220179, "Non Invasive Blood Pressure systolic", VITALS, "mmHg", "systolic", 1, 0.85, "cuff"),
    Item(220180, "Non Invasive Blood Pressure diastolic", VITALS, "mmHg", "diastolic", 1, 0.85, "cuff"),
    Item(220181, "Non Invasive Blood Pressure mean", VITALS, "mmHg", "mean_pressure", 1, 0.85, "cuff"),
    Item(220050, "Arterial Blood Pressure systolic", VITALS, "mmHg", "systolic", 1, 0.92, "arterial"),
    Item(220051, "Arterial Blood Pressure diastolic", VITALS, "mmHg", "diastolic", 1, 0.92, "arterial"),
    Item(220052, "Arterial Blood Pressure mean", VITALS, "mmHg", "mean_pressure", 1, 0.92, "arterial"),
    Item(225309, "ART BP Systolic", VITALS, "mmHg", "systolic", 1, 0.8, "second_line"),
    Item(225310, "ART BP Diastolic", VITALS, "mmHg", "diastolic", 1, 0.8, "second_line"),
    Item(225312, "ART BP Mean", VITALS, "mmHg", "mean_pressure", 1, 0.8, "second_line"),
    Item(224167, "Manual Blood Pressure Systolic Left", VITALS, "mmHg", "systolic", 24, 0.05),
    Item(227243, "Manual Blood Pressure Systolic Right", VITALS, "mmHg", "systolic", 24, 0.04),
    Item(224643, "Manual Blood Pressure Diastolic Left", VITALS, "mmHg", "diastolic", 24, 0.05),
    Item(224322, "IABP Mean", "IABP", "mmHg", "mean_pressure", 2, 0.9, "balloon"),
    Item(223761, "Temperature Fahrenheit", VITALS, "°F", "fahrenheit", 4, 0.93, "fahrenheit", 1),
    Item(223762, "Temperature Celsius", VITALS, "°C", "celsius", 4, 0.93, "celsius", 1),
    Item(220739, "GCS - Eye Opening", NEURO, None, "eye", 4, 0.94, "all", -1),
    Item(223900, "GCS - Verbal Response", NEURO, None, "verbal", 4, 0.94, "all", -1),
    Item(223901, "GCS - Motor Response", NEURO, None, "motor", 4, 0.94, "all", -1),
    Item(223835, "Inspired O2 Fraction", LUNGS, None, "oxygen", 4, 0.9, "oxygen"),
    Item(224690, "Respiratory Rate (Total)", LUNGS, "insp/min", "respiratory_rate", 4, 0.9, "ventilated"),
    Item(224689, "Respiratory Rate (spontaneous)", LUNGS, "insp/min", "respiratory_rate", 6, 0.6, "ventilated"),
    Item(224422, "Spont RR", LUNGS, "bpm", "respiratory_rate", 12, 0.3, "ventilated"),
    Item(225664, "Glucose finger stick (range 70-100)", LABS, None, "glucose", 6, 0.8),
    Item(220621, "Glucose (serum)", LABS, None, "glucose", 12, 0.9),
    Item(226537, "Glucose (whole blood)", LABS, None, "glucose", 12, 0.4, "arterial"),
    Item(223830, "PH (Arterial)", LABS, None, "ph", 6, 0.8, "arterial", 2),
    Item(220274, "PH (Venous)", LABS, None, "ph", 24, 0.4, "all", 2),
    Item(220227, "Arterial O2 Saturation", LABS, "%", "saturation", 12, 0.5, "arterial"),
    Item(223951, "Capillary Refill R", "Cardiovascular (Pulses)", None, "refill", 4, 0.85, "all", -1),
    Item(224308, "Capillary Refill L", "Cardiovascular (Pulses)", None, "refill", 8, 0.85, "all", -1),
    Item(226707, "Height", GENERAL, "Inch", "inches", 0, 0.75, "inches"),
    Item(226730, "Height (cm)", GENERAL, "cm", "centimetres", 0, 0.75),
    Item(226512, "Admission Weight (Kg)", GENERAL, "kg", "kilograms", 0, 0.95, "all", 1),
    Item(226531, "Admission Weight (lbs.)", GENERAL, None, "pounds", 0, 0.8, "pounds", 1),
    Item(224639, "Daily Weight", GENERAL, "kg", "kilograms", 24, 0.7, "all", 1),
    Item(220048, "Heart Rhythm", VITALS, None, "rhythm", 1, 0.9, "all", -1),
    Item(224650, "Ectopy Type 1", VITALS, None, "ectopy", 1, 0.8, "all", -1),
    Item(227969, "Safety Measures", "Restraint/Support Systems", None, "safety", 1, 0.95, "all", -1),
    Item(227958, "Less Restrictive Measures", "Restraint/Support Systems", None, "restraint", 2, 0.8, "all", -1),
    Item(223792, "Pain Management", "Pain/Sedation", None, "pain_management", 2, 0.7, "all", -1),
    Item(223781, "Pain Present", "Pain/Sedation", None, "yes_no", 4, 0.9, "all", -1),
    Item(228096, "Richmond-RAS Scale", "Pain/Sedation", None, "rass", 4, 0.8, "all", -1),
    Item(224080, "Head of Bed", "Treatments", None, "bed", 2, 0.8, "all", -1),
    Item(224082, "Turn", "Treatments", None, "turn", 2, 0.8, "all", -1),
    Item(224093, "Position", "Treatments", None, "turn", 2, 0.7, "all", -1),
    Item(226732, "O2 Delivery Device(s)", LUNGS, None, "device", 4, 0.9, "all", -1),
    Item(223987, "RLL Lung Sounds", "Pulmonary", None, "sounds", 4, 0.85, "all", -1),
    Item(223989, "LLL Lung Sounds", "Pulmonary", None, "sounds", 4, 0.85, "all", -1),
    Item(224642, "Temperature Site", VITALS, None, "site", 4, 0.9, "all", -1),
    Item(220046, "Heart rate Alarm - High", "Alarms", "bpm", "alarm_high", 8, 0.9),
    Item(220047, "Heart Rate Alarm - Low", "Alarms", "bpm", "alarm_low", 8, 0.9),
    Item(220339, "PEEP set", LUNGS, "cmH2O", "peep", 4, 0.9, "ventilated"),
    Item(224685, "Tidal Volume (observed)", LUNGS, "mL", "tidal", 4, 0.9, "ventilated"),
    Item(220615, "Creatinine (serum)", LABS, None, "creatinine", 12, 0.9, "all", 1),
    Item(225624, "BUN", LABS, None, "bun", 12, 0.9),
    Item(220645, "Sodium (serum)", LABS, None, "sodium", 12, 0.9),
    Item(227442, "Potassium (serum)", LABS, None, "potassium", 12, 0.9, "all", 1),
    Item(220545, "Hematocrit (serum)", LABS, None, "hematocrit", 12, 0.9, "all", 1),
    Item(225668, "Lactic Acid", LABS, None, "lactate", 12, 0.6, "arterial", 1),
)

OUTPUT: tuple[Item, ...] = (
    Item(226559, "Foley", "Output", "mL", "urine", 2, 0.85),
    Item(226560, "Void", "Output", "mL", "urine", 8, 0.1),
)

# Texts of items whose answers are random and so carry no information about the patient.
POOLS: dict[str, tuple[str, ...]] = {
    "ectopy": ("None", "PVC's", "PAC's", "None"),
    "safety": ("Bed locked in low position", "Call light in reach", "Side rails up x2", "Alarms on, limits set"),
    "restraint": ("Reorientation", "Family at bedside", "Diversional activity"),
    "pain_management": ("Repositioned", "Medication administered", "None"),
    "yes_no": ("No", "Yes", "No"),
    "bed": ("30 Degrees", "45 Degrees", "HOB Elevated"),
    "turn": ("Left Side", "Right Side", "Back", "Self"),
    "site": ("Oral", "Axillary", "Bladder"),
}


@dataclass(frozen=True)
class Test:
    """A laboratory test.

    Attributes:
        itemid: The test's id in MIMIC-IV.
        label: The test's label in `d_labitems`.
        fluid: The test's fluid in `d_labitems`.
        category: The test's category in `d_labitems`.
        unit: The unit of the result.
        signal: The name of the reported number, see `signals.signals`.
        low: The lower end of the reference range; None without a range.
        high: The upper end of the reference range; None without a range.
        every: Hours between two results.
        chance: The probability that the test is done when it is due.
        decimals: The number of decimals of the result.
    """

    itemid: int
    label: str
    fluid: str
    category: str
    unit: str | None
    signal: str
    low: float | None
    high: float | None
    every: int
    chance: float
    decimals: int = 0


BLOOD, CHEMISTRY, HEMATOLOGY, GAS = "Blood", "Chemistry", "Hematology", "Blood Gas"

LABS_OF_HOSPITAL: tuple[Test, ...] = (
    Test(50931, "Glucose", BLOOD, CHEMISTRY, "mg/dL", "glucose", 70, 105, 12, 0.95),
    Test(50912, "Creatinine", BLOOD, CHEMISTRY, "mg/dL", "creatinine", 0.4, 1.2, 12, 0.95, 1),
    Test(51006, "Urea Nitrogen", BLOOD, CHEMISTRY, "mg/dL", "bun", 6, 20, 12, 0.95),
    Test(50983, "Sodium", BLOOD, CHEMISTRY, "mEq/L", "sodium", 133, 145, 12, 0.95),
    Test(50971, "Potassium", BLOOD, CHEMISTRY, "mEq/L", "potassium", 3.3, 5.1, 12, 0.95, 1),
    Test(50902, "Chloride", BLOOD, CHEMISTRY, "mEq/L", "chloride", 96, 108, 12, 0.95),
    Test(50882, "Bicarbonate", BLOOD, CHEMISTRY, "mEq/L", "bicarbonate", 22, 32, 12, 0.95),
    Test(50868, "Anion Gap", BLOOD, CHEMISTRY, "mEq/L", "anion_gap", 8, 20, 12, 0.9),
    Test(50960, "Magnesium", BLOOD, CHEMISTRY, "mg/dL", "magnesium", 1.6, 2.6, 12, 0.8, 1),
    Test(51222, "Hemoglobin", BLOOD, HEMATOLOGY, "g/dL", "hemoglobin", 12, 17.5, 12, 0.9, 1),
    Test(51221, "Hematocrit", BLOOD, HEMATOLOGY, "%", "hematocrit", 36, 52, 12, 0.9, 1),
    Test(51301, "White Blood Cells", BLOOD, HEMATOLOGY, "K/uL", "white_cells", 4, 11, 12, 0.9, 1),
    Test(51265, "Platelet Count", BLOOD, HEMATOLOGY, "K/uL", "platelets", 150, 440, 12, 0.9),
    Test(51277, "RDW", BLOOD, HEMATOLOGY, "%", "rdw", 10.5, 15.5, 12, 0.9, 1),
    Test(51237, "INR(PT)", BLOOD, HEMATOLOGY, None, "inr", 0.9, 1.1, 24, 0.7, 1),
    Test(50861, "Alanine Aminotransferase (ALT)", BLOOD, CHEMISTRY, "IU/L", "alt", 0, 40, 24, 0.6),
    Test(50885, "Bilirubin, Total", BLOOD, CHEMISTRY, "mg/dL", "bilirubin", 0, 1.5, 24, 0.6, 1),
    Test(50862, "Albumin", BLOOD, CHEMISTRY, "g/dL", "albumin", 3.5, 5.2, 48, 0.6, 1),
    Test(51003, "Troponin T", BLOOD, CHEMISTRY, "ng/mL", "troponin", 0, 0.01, 24, 0.3, 2),
    Test(50820, "pH", BLOOD, GAS, "units", "ph", 7.35, 7.45, 12, 0.35, 2),
    Test(50813, "Lactate", BLOOD, GAS, "mmol/L", "lactate", 0.5, 2.0, 12, 0.35, 1),
    Test(50818, "pCO2", BLOOD, GAS, "mm Hg", "pco2", 35, 45, 12, 0.35),
    Test(50809, "Glucose", BLOOD, GAS, "mg/dL", "glucose", 70, 105, 24, 0.15),
    Test(50817, "Oxygen Saturation", BLOOD, GAS, "%", "saturation", None, None, 24, 0.15),
    Test(51478, "Glucose", "Urine", HEMATOLOGY, "mg/dL", "urine_glucose", None, None, 48, 0.2),
    Test(51491, "pH", "Urine", HEMATOLOGY, "units", "urine_ph", 5, 8, 48, 0.2, 1),
)

# Charted words of the Glasgow Coma Scale's three parts, by score.
EYE = {4: "Spontaneously", 3: "To Speech", 2: "To Pain", 1: "None"}
VERBAL = {5: "Oriented", 4: "Confused", 3: "Inappropriate Words", 2: "Incomprehensible sounds", 1: "No Response"}
INTUBATED = "No Response-ETT"  # the verbal response of an intubated patient, which scores 1
MOTOR = {
    6: "Obeys Commands",
    5: "Localizes Pain",
    4: "Flex-withdraws",
    3: "Abnormal Flexion",
    2: "Abnormal extension",
    1: "No response",
}
# Charted words of the capillary refill: normal, then slow.
REFILL = ("Normal <3 Seconds", "Abnormal >3 Seconds")
