"""The 25 acute-care phenotypes of a stay, from everything up to ICU discharge (Harutyunyan et al. 2019)."""

from __future__ import annotations

from picme.tasks import Task

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

TASK = Task("phenotyping", tuple(name for name, _ in TYPES), hours=None, types=TYPES)
