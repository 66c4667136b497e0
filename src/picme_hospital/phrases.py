"""The phrases of the notes: for each latent, variants of a sentence at four levels from well to gravely ill.

The placeholders `{she}`, `{She}`, `{her}`, `{woman}` and `{Ms}` stand for the words that fit the patient's sex. Only
the sentences in ENDINGS_DIED and ENDINGS_LIVED, which belong to the sections written at discharge, say how the
admission ended.
"""

from __future__ import annotations

# The cuts between the four levels of a value of unit variance; about 34, 35, 19 and 12 percent fall into each level.
LEVELS = (-0.4, 0.5, 1.2)

# Sentences of the history of present illness, by latent and level.
HISTORY: dict[str, tuple[tuple[str, ...], ...]] = {
    "chronic": (
        (
            "previously healthy and fully independent, exercising every day",
            "with no significant chronic illness, working full time",
            "healthy, active and independent at baseline",
        ),
        (
            "with several stable medical problems, living independently at home",
            "with stable chronic conditions, walking with a cane",
            "with well controlled chronic illness, independent at home",
        ),
        (
            "with multiple chronic illnesses and two hospitalizations this year, needing help at home",
            "with extensive comorbidities, frail, using a walker and a home health aide",
            "with advanced multimorbidity, increasingly frail and rarely leaving home",
        ),
        (
            "with metastatic cancer, cachectic and bedbound, living in a nursing home",
            "with end-stage chronic disease, severe frailty and cachexia, bedbound in a nursing home",
            "with advanced metastatic malignancy and profound weight loss, totally dependent in a nursing home",
        ),
    ),
    "brain": (
        (
            "{She} was alert, talking and fully oriented on arrival.",
            "On arrival {she} was awake, conversant and neurologically intact.",
            "{She} was alert and oriented with clear speech.",
        ),
        (
            "{She} was mildly confused but easily reoriented.",
            "Family noted some forgetfulness and mild confusion.",
            "{She} was sleepy but arousable and followed commands.",
        ),
        (
            "{She} was lethargic and disoriented with slurred speech.",
            "{She} was found encephalopathic, agitated and not making sense.",
            "{She} was somnolent, confused and followed commands only intermittently.",
        ),
        (
            "{She} was found unresponsive and comatose with a large intracranial hemorrhage.",
            "{She} was found down, comatose, with extensor posturing and fixed pupils.",
            "{She} was obtunded and unresponsive to pain after a massive stroke.",
        ),
    ),
    "kidney": (
        (
            "Renal function was normal with good urine output.",
            "Creatinine was at a normal baseline.",
            "{She} was making clear urine with normal creatinine.",
        ),
        (
            "Creatinine was slightly above baseline.",
            "Urine output was somewhat reduced.",
            "There was mild prerenal azotemia that responded to fluids.",
        ),
        (
            "Creatinine had doubled and urine output was low, consistent with acute kidney injury.",
            "{She} had acute on chronic renal failure with oliguria.",
            "Labs showed rising creatinine and hyperkalemia from kidney injury.",
        ),
        (
            "{She} was anuric with severe uremia and needed emergent dialysis.",
            "{She} had end-stage renal failure with anuria, uremia and refractory hyperkalemia.",
            "There was oliguric renal failure with severe acidosis requiring urgent hemodialysis.",
        ),
    ),
    "metabolic": (
        (
            "{She} is lean and has no diabetes.",
            "Blood glucose was normal.",
            "No history of diabetes or obesity.",
        ),
        (
            "{She} has prediabetes controlled by diet.",
            "Blood glucose was mildly elevated on metformin.",
            "{She} is overweight with borderline glucose.",
        ),
        (
            "{She} has type 2 diabetes on insulin, with hyperglycemia on arrival.",
            "Blood glucose was above 300 in the setting of diabetes and obesity.",
            "{She} is obese with poorly controlled diabetes.",
        ),
        (
            "{She} is morbidly obese with brittle diabetes and came in with ketoacidosis.",
            "Blood glucose was above 600 with diabetic ketoacidosis and morbid obesity.",
            "{She} has severe uncontrolled diabetes with gangrene of the foot and morbid obesity.",
        ),
    ),
    "liver": (
        ("Liver tests were normal.", "No jaundice was noted.", "No history of liver disease or alcohol use."),
        (
            "Transaminases were mildly elevated.",
            "There was fatty liver on prior imaging.",
            "{She} drinks alcohol socially.",
        ),
        (
            "{She} has compensated cirrhosis from alcohol with mild ascites.",
            "{She} was noted to be jaundiced with ascites.",
            "There was known hepatitis C cirrhosis with varices.",
        ),
        (
            "{She} has decompensated cirrhosis with tense ascites, deep jaundice and variceal bleeding.",
            "There was fulminant liver failure with coagulopathy and deep jaundice.",
            "{She} has end-stage liver disease with hepatorenal syndrome and massive ascites.",
        ),
    ),
    "infection": (
        ("{She} denied fevers or chills.", "There were no infectious symptoms.", "{She} was afebrile at home."),
        ("{She} had a low grade fever.", "There were chills two days before.", "{She} reported mild dysuria."),
        (
            "{She} had fevers to 102 and rigors.",
            "Blood cultures were drawn for high fever.",
            "There was fever and pus.",
        ),
        (
            "{She} arrived in septic shock from bacteremia with fever to 104.",
            "{She} had overwhelming sepsis with rigors and bacteremia.",
            "There was fulminant sepsis needing broad antibiotics.",
        ),
    ),
}

# Sentences of the social history, by level of the latent age.
WORK: tuple[tuple[str, ...], ...] = (
    ("Works full time.", "Student.", "Works in construction."),
    ("Works part time.", "Office worker."),
    ("Retired.", "Recently retired."),
    ("Retired for many years, has grandchildren.", "Long retired, lives with adult children."),
)
# Sentences of the social history, by marital status.
FAMILIES = {
    "WIDOWED": "Widowed, lives alone.",
    "MARRIED": "Married.",
    "DIVORCED": "Divorced.",
    "SINGLE": "Never married.",
}
TUBES = ("{She} was intubated before arrival.", "{She} was intubated in the ED.", "{She} arrived intubated.")
# Sentences about the side of the chest findings (-1 left, 0 both, 1 right).
SIDE_PAIN = {-1: "There was left sided chest discomfort.", 0: "", 1: "There was right sided chest discomfort."}
# The last sentence of the history, by level of a score of the chronic state, brain and kidney together.
CLOSINGS: tuple[tuple[str, ...], ...] = (
    ("{She} looked well and came to the ICU for observation.", "{She} was stable and came to the ICU for monitoring."),
    ("{She} was admitted to the ICU in fair condition.", "{She} was transferred to the ICU in guarded condition."),
    ("{She} looked very ill and came to the ICU in serious condition.", "{She} was admitted to the ICU seriously ill."),
    ("{She} was moribund with multiorgan failure on ICU arrival.", "{She} came to the ICU in extremis, moribund."),
)
# The first sentence of a report's impression, by level of a score of lungs, heart and infection together.
OVERALL: tuple[tuple[str, ...], ...] = (
    ("No acute cardiopulmonary process.", "Normal chest radiograph."),
    ("Mild abnormalities, stable.", "Mild stable cardiopulmonary changes."),
    ("Moderately abnormal chest, worse than before.", "Worsening cardiopulmonary disease."),
    ("Critical, life-threatening cardiopulmonary disease.", "Grave and rapidly worsening critical findings."),
)
ALLERGIES = ("No Known Allergies / Adverse Drug Reactions", "Penicillins", "Sulfa (Sulfonamide Antibiotics)")
FAMILY = ("Father with coronary artery disease.", "Non-contributory.", "Mother with hypertension.")

# Chief complaints, by the latent that is worst; WELL_COMPLAINTS are used if none is bad.
COMPLAINTS: dict[str, tuple[str, ...]] = {
    "chronic": ("failure to thrive", "weakness", "weight loss and weakness"),
    "brain": ("altered mental status", "found unresponsive", "confusion"),
    "kidney": ("decreased urine output", "abnormal labs", "hyperkalemia"),
    "metabolic": ("hyperglycemia", "high blood sugar", "foot ulcer"),
    "liver": ("abdominal distension", "jaundice", "hematemesis"),
    "infection": ("fever", "fever and chills", "rigors"),
    "heart": ("chest pain", "palpitations", "leg swelling"),
    "lung": ("dyspnea", "shortness of breath", "cough"),
}
WELL_COMPLAINTS = ("elective procedure", "postoperative monitoring", "syncope", "fall")

# Findings of the physical exam, by latent and level.
EXAM: dict[str, tuple[tuple[str, ...], ...]] = {
    "chronic": (
        ("well nourished, comfortable",),
        ("comfortable, appears stated age",),
        ("chronically ill appearing, frail",),
        ("cachectic, temporal wasting, bedbound",),
    ),
    "brain": (
        ("alert and oriented x3, strength 5/5",),
        ("oriented x2, follows commands",),
        ("somnolent, confused, moves all extremities",),
        ("comatose, no response to pain, pupils fixed",),
    ),
    "heart": (
        ("regular rate and rhythm, no murmurs",),
        ("irregular, soft systolic murmur",),
        ("elevated JVP, S3, 1+ edema",),
        ("cold extremities, JVP to jaw, 3+ edema",),
    ),
    "lung": (
        ("clear to auscultation bilaterally",),
        ("scattered wheezes",),
        ("diffuse crackles, tachypneic",),
        ("using accessory muscles, coarse crackles throughout",),
    ),
    "liver": (
        ("soft, nontender",),
        ("soft, mildly distended",),
        ("distended with fluid wave",),
        ("tense ascites, caput medusae, jaundice",),
    ),
}

# Medications, by latent and level; all those of a level are listed.
MEDICATIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "chronic": (
        ("Multivitamin 1 TAB PO DAILY",),
        ("Aspirin 81 mg PO DAILY", "Omeprazole 20 mg PO DAILY"),
        ("Prednisone 10 mg PO DAILY", "Gabapentin 300 mg PO TID"),
        ("Morphine SR 30 mg PO Q12H", "Megestrol Acetate 400 mg PO DAILY", "Fentanyl Patch 50 mcg/h TD Q72H"),
    ),
    "metabolic": (
        ("Vitamin D 1000 UNIT PO DAILY",),
        ("MetFORMIN 500 mg PO BID", "Atorvastatin 20 mg PO QPM"),
        ("Glargine 20 Units Bedtime", "Atorvastatin 80 mg PO QPM"),
        ("Glargine 60 Units Bedtime", "Humalog sliding scale", "Atorvastatin 80 mg PO QPM"),
    ),
    "kidney": (
        ("Acetaminophen 650 mg PO Q6H:PRN pain",),
        ("Lisinopril 5 mg PO DAILY",),
        ("Furosemide 80 mg PO BID", "Calcitriol 0.25 mcg PO DAILY"),
        ("sevelamer CARBONATE 800 mg PO TID W/MEALS", "Epoetin Alfa with dialysis", "Nephrocaps 1 CAP PO DAILY"),
    ),
    "liver": (
        ("Docusate Sodium 100 mg PO BID",),
        ("FoLIC Acid 1 mg PO DAILY",),
        ("Spironolactone 100 mg PO DAILY",),
        ("Lactulose 30 mL PO QID", "Rifaximin 550 mg PO BID"),
    ),
}

# Sentences of radiology reports, by level of lung, heart, infection and age.
LUNGS: tuple[tuple[str, ...], ...] = (
    (
        "The lungs are clear. No focal consolidation, edema or pneumothorax.",
        "The lungs are well expanded and clear.",
        "No focal opacity is seen. The lungs are clear.",
    ),
    (
        "There is mild atelectasis at the {side}.",
        "Minimal patchy opacity at the {side} likely reflects atelectasis.",
        "Low lung volumes with mild atelectasis at the {side}.",
    ),
    (
        "There are moderate opacities at the {side} with worsening aeration.",
        "Moderate airspace opacity at the {side} has increased.",
        "There is moderate opacification at the {side} with vascular congestion.",
    ),
    (
        "There is severe diffuse airspace opacification, worst at the {side}, consistent with ARDS.",
        "Extensive dense consolidation with near complete opacification at the {side}.",
        "Severe widespread opacities, worst at the {side}, have markedly progressed.",
    ),
)
HEARTS: tuple[tuple[str, ...], ...] = (
    ("Heart size is normal.", "Cardiomediastinal silhouette is normal."),
    ("Heart size is top normal.", "The heart is borderline in size."),
    ("There is moderate cardiomegaly with pulmonary vascular congestion.", "The heart is moderately enlarged."),
    (
        "There is severe cardiomegaly with florid pulmonary edema.",
        "Massive enlargement of the cardiac silhouette with severe pulmonary edema.",
    ),
)
PNEUMONIA: tuple[tuple[str, ...], ...] = (
    ("No evidence of pneumonia.", "There is no sign of infection."),
    ("Early infection cannot be excluded.", "Superimposed pneumonia is possible in the right clinical setting."),
    ("Findings are concerning for pneumonia.", "Consolidation suspicious for pneumonia."),
    ("Severe multifocal pneumonia with cavitation.", "Multifocal necrotizing pneumonia with abscess."),
)
BONES: tuple[tuple[str, ...], ...] = (
    ("Osseous structures are intact.", "Bones are unremarkable."),
    ("Mild degenerative changes of the spine.", "Minimal degenerative change of the thoracic spine."),
    ("The aorta is calcified and tortuous.", "Aortic arch calcification with degenerative spine."),
    ("Heavily calcified aorta and severe osteopenia.", "Diffuse osteopenia with old compression fractures."),
)
# Sentences about the pleural effusion, from none to large, and the words for its side and for that of the opacities.
EFFUSIONS: tuple[str, ...] = (
    "There is no pleural effusion.",
    "There is a small {eside} pleural effusion.",
    "There is a moderate {eside} pleural effusion.",
    "There is a large {eside} pleural effusion.",
)
SIDES = {-1: "left lung base", 0: "bilateral lung bases", 1: "right lung base"}
EFFUSION_SIDES = {-1: "left", 0: "bilateral", 1: "right"}
INDICATIONS = ("hypoxia", "respiratory distress", "line placement", "interval change", "tube placement")

# The last sentences of the hospital course, which tell the outcome.
ENDINGS_DIED = (
    "Despite maximal support {she} continued to decline. After discussion with the family {she} was made comfort "
    "measures only and expired peacefully on ___.",
    "Goals of care were readdressed, {she} was transitioned to comfort measures only (CMO) and the patient expired.",
    "{She} suffered a cardiac arrest and could not be resuscitated. The patient was pronounced deceased at ___.",
)
ENDINGS_LIVED = (
    "{She} improved steadily, was called out to the floor and was discharged in stable condition.",
    "With treatment {she} recovered and worked with physical therapy before discharge.",
    "{She} was weaned from support, tolerated a regular diet and was cleared for discharge.",
)
