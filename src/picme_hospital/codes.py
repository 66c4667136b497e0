"""The table of the 25 phenotypes: their prevalence, the organs they depend on, and their ICD codes.

The phenotypes are those of Harutyunyan et al. 2019. The codes are ICD-9-CM and ICD-10-CM, written without a point as
in MIMIC. Each code maps to its phenotype's category in AHRQ's Clinical Classifications Software (CCS) for its version.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phenotype:
    """A condition that an admission has or has not.

    Attributes:
        name: The phenotype's name in the benchmark's list.
        ccs: The phenotype's category in AHRQ's CCS.
        prevalence: The share of admissions that have the phenotype.
        weights: The weight of each latent in the phenotype's risk; the weights are rescaled to a common strength.
        own: The weight of a part of the risk that belongs to this phenotype alone. No organ carries it, so records
            show it only where a note mentions the condition.
        history: The wordings of the phenotype in a past medical history; empty if notes do not list it there.
        icd9: Titles of the phenotype's ICD-9-CM codes, by code.
        icd10: Titles of the phenotype's ICD-10-CM codes, by code.
    """

    name: str
    ccs: int
    prevalence: float
    weights: dict[str, float]
    own: float
    history: tuple[str, ...]
    icd9: dict[str, str]
    icd10: dict[str, str]


PHENOTYPES: tuple[Phenotype, ...] = (
    Phenotype(
        "Acute and unspecified renal failure",
        157,
        0.34,
        {"kidney": 0.9, "severity": 0.35},
        0.2,
        (),
        {"5849": "Acute kidney failure, unspecified", "5845": "Acute kidney failure with lesion of tubular necrosis"},
        {"N179": "Acute kidney failure, unspecified", "N170": "Acute kidney failure with tubular necrosis"},
    ),
    Phenotype(
        "Acute cerebrovascular disease",
        109,
        0.13,
        {"brain": 1.0},
        0.3,
        (),
        {
            "431": "Intracerebral hemorrhage",
            "430": "Subarachnoid hemorrhage",
            "43491": "Cerebral artery occlusion, unspecified with cerebral infarction",
        },
        {
            "I619": "Nontraumatic intracerebral hemorrhage, unspecified",
            "I609": "Nontraumatic subarachnoid hemorrhage, unspecified",
            "I639": "Cerebral infarction, unspecified",
        },
    ),
    Phenotype(
        "Acute myocardial infarction",
        100,
        0.13,
        {"heart": 0.9, "metabolic": 0.3},
        0.3,
        (),
        {
            "41071": "Subendocardial infarction, initial episode of care",
            "41011": "Acute myocardial infarction of other anterior wall, initial episode of care",
        },
        {
            "I214": "Non-ST elevation (NSTEMI) myocardial infarction",
            "I2109": "ST elevation (STEMI) myocardial infarction involving other coronary artery of anterior wall",
        },
    ),
    Phenotype(
        "Cardiac dysrhythmias",
        106,
        0.34,
        {"heart": 0.7, "age": 0.6},
        0.3,
        ("atrial fibrillation", "paroxysmal atrial fibrillation on anticoagulation"),
        {"42731": "Atrial fibrillation", "42732": "Atrial flutter", "4271": "Paroxysmal ventricular tachycardia"},
        {"I4891": "Unspecified atrial fibrillation", "I480": "Paroxysmal atrial fibrillation"},
    ),
    Phenotype(
        "Chronic kidney disease",
        158,
        0.22,
        {"kidney": 0.9, "chronic": 0.4},
        0.3,
        ("chronic kidney disease", "CKD stage IV"),
        {
            "5859": "Chronic kidney disease, unspecified",
            "5853": "Chronic kidney disease, Stage III (moderate)",
            "5856": "End stage renal disease",
        },
        {
            "N189": "Chronic kidney disease, unspecified",
            "N183": "Chronic kidney disease, stage 3 (moderate)",
            "N186": "End stage renal disease",
        },
    ),
    Phenotype(
        "Chronic obstructive pulmonary disease and bronchiectasis",
        127,
        0.18,
        {"lung": 0.7, "chronic": 0.5},
        0.4,
        ("COPD", "chronic obstructive pulmonary disease"),
        {
            "496": "Chronic airway obstruction, not elsewhere classified",
            "49121": "Obstructive chronic bronchitis with (acute) exacerbation",
        },
        {
            "J449": "Chronic obstructive pulmonary disease, unspecified",
            "J441": "Chronic obstructive pulmonary disease with (acute) exacerbation",
        },
    ),
    Phenotype(
        "Complications of surgical procedures or medical care",
        238,
        0.15,
        {"severity": 0.5, "infection": 0.6},
        0.5,
        (),
        {
            "99859": "Other postoperative infection",
            "9982": "Accidental puncture or laceration during a procedure, not elsewhere classified",
            "99811": "Hemorrhage complicating a procedure",
        },
        {
            "T8119XA": "Other postprocedural shock, initial encounter",
            "J95851": "Ventilator associated pneumonia",
            "I97190": "Other postprocedural cardiac functional disturbances following cardiac surgery",
        },
    ),
    Phenotype(
        "Conduction disorders",
        105,
        0.11,
        {"heart": 0.7, "age": 0.6},
        0.4,
        ("complete heart block", "sick sinus syndrome"),
        {
            "V4501": "Cardiac pacemaker in situ",
            "4263": "Other left bundle branch block",
            "42612": "Mobitz (type) II atrioventricular block",
        },
        {
            "Z950": "Presence of cardiac pacemaker",
            "I447": "Left bundle-branch block, unspecified",
            "I441": "Atrioventricular block, second degree",
        },
    ),
    Phenotype(
        "Congestive heart failure; nonhypertensive",
        108,
        0.30,
        {"heart": 1.0, "chronic": 0.3},
        0.2,
        ("congestive heart failure", "heart failure with reduced ejection fraction"),
        {
            "4280": "Congestive heart failure, unspecified",
            "42823": "Acute on chronic systolic heart failure",
            "42833": "Acute on chronic diastolic heart failure",
        },
        {
            "I509": "Heart failure, unspecified",
            "I5023": "Acute on chronic systolic (congestive) heart failure",
            "I5033": "Acute on chronic diastolic (congestive) heart failure",
        },
    ),
    Phenotype(
        "Coronary atherosclerosis and other heart disease",
        101,
        0.30,
        {"heart": 0.7, "metabolic": 0.5, "age": 0.4},
        0.3,
        ("coronary artery disease", "coronary artery disease s/p PCI"),
        {
            "41401": "Coronary atherosclerosis of native coronary artery",
            "412": "Old myocardial infarction",
            "V4582": "Percutaneous transluminal coronary angioplasty status",
        },
        {
            "I2510": "Atherosclerotic heart disease of native coronary artery without angina pectoris",
            "I252": "Old myocardial infarction",
            "Z955": "Presence of coronary angioplasty implant and graft",
        },
    ),
    Phenotype(
        "Diabetes mellitus with complications",
        50,
        0.13,
        {"metabolic": 0.9, "kidney": 0.6},
        0.2,
        ("type 2 diabetes complicated by neuropathy", "diabetes with nephropathy"),
        {
            "25040": "Diabetes with renal manifestations, type II or unspecified type",
            "25060": "Diabetes with neurological manifestations, type II or unspecified type",
        },
        {
            "E1122": "Type 2 diabetes mellitus with diabetic chronic kidney disease",
            "E1142": "Type 2 diabetes mellitus with diabetic polyneuropathy",
        },
    ),
    Phenotype(
        "Diabetes mellitus without complication",
        49,
        0.20,
        {"metabolic": 1.0, "kidney": -0.3},
        0.2,
        ("type 2 diabetes mellitus", "diabetes mellitus"),
        {"25000": "Diabetes mellitus without mention of complication, type II or unspecified type"},
        {"E119": "Type 2 diabetes mellitus without complications"},
    ),
    Phenotype(
        "Disorders of lipid metabolism",
        53,
        0.37,
        {"metabolic": 0.8, "age": 0.5},
        0.3,
        ("hyperlipidemia", "hypercholesterolemia"),
        {"2724": "Other and unspecified hyperlipidemia", "2720": "Pure hypercholesterolemia"},
        {"E785": "Hyperlipidemia, unspecified", "E7800": "Pure hypercholesterolemia, unspecified"},
    ),
    Phenotype(
        "Essential hypertension",
        98,
        0.37,
        {"age": 0.6, "metabolic": 0.6, "kidney": -0.4},
        0.3,
        ("hypertension", "essential hypertension"),
        {"4019": "Unspecified essential hypertension", "4011": "Benign essential hypertension"},
        {"I10": "Essential (primary) hypertension"},
    ),
    Phenotype(
        "Fluid and electrolyte disorders",
        55,
        0.37,
        {"kidney": 0.7, "metabolic": 0.4, "severity": 0.4},
        0.2,
        (),
        {
            "2761": "Hyposmolality and/or hyponatremia",
            "2762": "Acidosis",
            "2767": "Hyperpotassemia",
        },
        {"E871": "Hypo-osmolality and hyponatremia", "E872": "Acidosis", "E875": "Hyperkalemia"},
    ),
    Phenotype(
        "Gastrointestinal hemorrhage",
        153,
        0.11,
        {"liver": 0.8},
        0.5,
        ("prior upper GI bleed", "bleeding gastric ulcer"),
        {"5789": "Hemorrhage of gastrointestinal tract, unspecified", "5781": "Blood in stool"},
        {"K922": "Gastrointestinal hemorrhage, unspecified", "K921": "Melena"},
    ),
    Phenotype(
        "Hypertension with complications and secondary hypertension",
        99,
        0.18,
        {"kidney": 0.9, "heart": 0.4, "age": 0.3},
        0.2,
        ("hypertensive kidney disease", "hypertensive heart disease"),
        {
            "40390": "Hypertensive chronic kidney disease, unspecified, with chronic kidney disease stage I to IV",
            "40391": "Hypertensive chronic kidney disease, unspecified, with chronic kidney disease stage V",
        },
        {
            "I129": "Hypertensive chronic kidney disease with stage 1 through stage 4 chronic kidney disease",
            "I110": "Hypertensive heart disease with heart failure",
        },
    ),
    Phenotype(
        "Other liver diseases",
        151,
        0.14,
        {"liver": 1.0},
        0.15,
        ("cirrhosis", "cirrhosis with portal hypertension"),
        {"5715": "Cirrhosis of liver without mention of alcohol", "5723": "Portal hypertension"},
        {"K7460": "Unspecified cirrhosis of liver", "K766": "Portal hypertension"},
    ),
    Phenotype(
        "Other lower respiratory disease",
        133,
        0.13,
        {"lung": 0.8, "heart": 0.5},
        0.4,
        (),
        {"5184": "Acute edema of lung, unspecified", "51889": "Other diseases of lung, not elsewhere classified"},
        {"J810": "Acute pulmonary edema", "R0902": "Hypoxemia"},
    ),
    Phenotype(
        "Other upper respiratory disease",
        134,
        0.11,
        {"lung": 0.6, "brain": 0.6},
        0.4,
        ("subglottic stenosis", "vocal cord paralysis"),
        {"7847": "Epistaxis", "51919": "Other diseases of trachea and bronchus"},
        {"R040": "Epistaxis", "J398": "Other specified diseases of upper respiratory tract"},
    ),
    Phenotype(
        "Pleurisy; pneumothorax; pulmonary collapse",
        130,
        0.17,
        {"lung": 0.6, "heart": 0.7},
        0.3,
        (),
        {"5119": "Unspecified pleural effusion", "5180": "Pulmonary collapse"},
        {"J90": "Pleural effusion, not elsewhere classified", "J9811": "Atelectasis"},
    ),
    Phenotype(
        "Pneumonia (except that caused by tuberculosis or sexually transmitted disease)",
        122,
        0.23,
        {"infection": 0.7, "lung": 0.8},
        0.2,
        (),
        {
            "486": "Pneumonia, organism unspecified",
            "48241": "Methicillin susceptible pneumonia due to Staphylococcus aureus",
        },
        {
            "J189": "Pneumonia, unspecified organism",
            "J15211": "Pneumonia due to Methicillin susceptible Staphylococcus aureus",
        },
    ),
    Phenotype(
        "Respiratory failure; insufficiency; arrest (adult)",
        131,
        0.32,
        {"lung": 1.0, "severity": 0.5},
        0.2,
        (),
        {"51881": "Acute respiratory failure", "51884": "Acute and chronic respiratory failure"},
        {
            "J9601": "Acute respiratory failure with hypoxia",
            "J9621": "Acute and chronic respiratory failure with hypoxia",
        },
    ),
    Phenotype(
        "Septicemia (except in labor)",
        2,
        0.25,
        {"infection": 1.0, "severity": 0.4},
        0.2,
        (),
        {"0389": "Unspecified septicemia", "99592": "Severe sepsis", "99591": "Sepsis"},
        {"A419": "Sepsis, unspecified organism", "R6520": "Severe sepsis without septic shock"},
    ),
    Phenotype(
        "Shock",
        249,
        0.17,
        {"severity": 0.8, "infection": 0.6, "heart": 0.3},
        0.2,
        (),
        {"78552": "Septic shock", "78551": "Cardiogenic shock"},
        {"R6521": "Severe sepsis with septic shock", "R570": "Cardiogenic shock"},
    ),
)

# Pairs of CCS categories, (complicated, plain), of which an admission has at most one. The complicated form is drawn
# first and the plain form only where the complicated one is absent, so that both true risks stay exact.
EXCLUSIVE = ((50, 49), (99, 98))

# Titles of codes that are common in ICU admissions and belong to no phenotype, by ICD version and code.
OTHER_CODES: dict[int, dict[str, str]] = {
    9: {
        "2859": "Anemia, unspecified",
        "53081": "Esophageal reflux",
        "2449": "Unspecified acquired hypothyroidism",
        "311": "Depressive disorder, not elsewhere classified",
        "V1582": "Personal history of tobacco use",
        "27800": "Obesity, unspecified",
        "5990": "Urinary tract infection, site not specified",
    },
    10: {
        "D649": "Anemia, unspecified",
        "K219": "Gastro-esophageal reflux disease without esophagitis",
        "E039": "Hypothyroidism, unspecified",
        "F329": "Major depressive disorder, single episode, unspecified",
        "Z87891": "Personal history of nicotine dependence",
        "E669": "Obesity, unspecified",
        "N390": "Urinary tract infection, site not specified",
    },
}

# Titles of ICD-10 codes that are newer than the 2019 table of CCS, by CCS category and code. The table holds their
# parent codes (I48.1 and N18.3).
NEWER_CODES: dict[int, dict[str, str]] = {
    106: {"I4811": "Longstanding persistent atrial fibrillation"},
    158: {"N1830": "Chronic kidney disease, stage 3 unspecified"},
}

# Codes that are missing from the release's table of titles, by ICD version.
UNTITLED_CODES: dict[int, str] = {9: "V9999", 10: "Z91199"}
