"""Subheadings that occur inside the admission sections of a discharge summary, and so do not end them."""

from __future__ import annotations


def _lines(text: str) -> frozenset[str]:
    return frozenset(phrase.strip() for line in text.split("\n") for phrase in line.split(",") if phrase.strip())


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ANYWHERE = _lines("""
    ed course, in ed course, ed course and workup, er course, emergency department course, emergency room course
    course in the ed, course in ed, in the ed, in ed, ed, er, osh course, outside hospital course, osh ed course
    course at osh, course at outside hospital, at osh, at the osh, osh, outside hospital, ems, in the field
    oncologic course, oncology history, oncologic history, prior hospitalizations, previous hospitalizations
    past hospitalizations, recent hospitalizations, last hospitalization, psychiatric hospitalizations
    other past medical history, other medical problems, other past medical problems, other medical issues
    chronic problems, chronic medical problems, past medical problems, medical problems, other pmh, pertinent pmh
    per omr, per records, per patient, per family, per wife, per husband, per ed, per osh, per osh records
    baseline mental status, baseline functional status, functional status, health care proxy, hcp, proxy name
    emergency contact, initial plan in ed, vaginal discharge, nipple discharge, nasal discharge, ear discharge
    penile discharge, urethral discharge, eye discharge, wound discharge, discharge from ear, transfer from osh
    active medication list as of admission, the preadmission medication list is accurate and complete
    the preadmission medication list may be inaccurate, preadmission medications listed are correct and complete
    preadmission medication list, admission medication list, home medication list, outpatient medication list
    medications from list, facility medication list, home o, acute pain, chronic pain
    name, unit no, sex, gender, dob, mrn, race, age
    sick contacts, transfusion history, transfer history, surgeries and procedures, operative history
    active substance use
""")
"""Subheadings that are harmless in every admission section, though some of their words would end one elsewhere."""

HARMLESS = _lines("""
    of note, note, currently, today, history, other, others, onset, duration, location, quality, timing, source
    history obtained from, informant, interpreter, reliability, context, severity, last known well, time last known well
    last seen normal, nih stroke scale, nihss, handedness, code stroke, tpa given, mechanism, injuries, gcs at scene
    living situation, lives, lives with, marital status, relationship status, sexual history, country of origin
    substance use, substance abuse, illicit drug use, recreational drugs, recreational drug use, iv drug use
    tobacco use, alcohol use, drug use, drugs, illicits, adls, iadls, activities of daily living
    no known allergies, adverse reactions, reaction, reactions, allergy history
""")
"""Subheadings that are harmless in any of the histories."""

HISTORY_WORDS = _words("""
    mother father brother brothers sister sisters siblings sibling son sons daughter daughters children child
    parents grandmother grandfather grandparents aunt aunts uncle uncles cousin cousins maternal paternal
    family mom dad mgm mgf pgm pgf side relatives half twin niece nephew wife husband spouse tobacco smoking
    smoker cigarettes etoh alcohol drinking illicit illicits drug drugs recreational substance substances ivdu
    ivda cocaine marijuana heroin opioids caffeine occupation work employment job education housing home
    living lives with at alone marital status married divorced widowed single sexual sexually travel pets
    exercise diet exposure exposures military religion language ethnicity abuse violence safety functional
    ambulation ambulatory mobility adl adls iadl iadls insurance habits hobbies sick contacts vaccinations
    immunizations flu pneumovax vaccine acute chronic cardiac risk factors factor history hx cad cabg pci
    percutaneous coronary intervention interventions pacing icd pacemaker ppm dyslipidemia hyperlipidemia hld
    htn hypertension diabetes dm dmii mellitus type chf heart failure systolic diastolic ef echo tte tee cath
    catheterization stress test ett pmibi nuclear afib atrial fibrillation flutter copd asthma osa pulmonary
    lung lungs pneumonia gerd gi bleed bleeding ulcer pud cirrhosis hepatitis liver renal kidney disease ckd
    esrd hd dialysis stroke cva tia seizure seizures epilepsy dementia parkinsons depression anxiety bipolar
    schizophrenia ptsd psychiatric psych neurologic neurological neurology cancer carcinoma malignancy tumor
    lymphoma leukemia melanoma breast prostate colon bladder thyroid skin oncologic oncology onc heme
    hematologic hematology anemia dvt pe vte clot thrombosis pvd pad vascular aaa hypothyroidism
    hyperthyroidism gout arthritis osteoarthritis osteoporosis rheumatoid lupus sle obesity bph ibs crohns
    colitis diverticulitis diverticulosis pancreatitis gallstones endocrine musculoskeletal rheumatologic
    infectious id infection mrsa vre hiv cd tb gyn ob obstetric gynecologic gpa menarche menopause lmp pap
    mammogram colonoscopy egd surgical surgery surgeries procedures procedure past prior previous previously
    medical medications medication meds med allergies allergy drug reaction penicillin penicillins sulfa
    iodine latex codeine morphine aspirin outpatient rx otc otcs herbals supplements inhalers injections
    vitamins prn scheduled pharmacy dose preadmission chief complaint hpi pmh psh sh fh ros urology urologic
    gu cardiology cardiovascular cv pulm respiratory ent eyes ophthalmologic dermatologic derm genitourinary
    gastrointestinal trauma fractures fracture vitals vital signs vs initial ed er triage ekg ecg cxr ct mri
    mra cta ua urinalysis lactate labs lab trop troponin bnp abg vbg wbc hgb hct plt cr creatinine bun na k
    inr head chest abdomen pelvis neck spine c abd us ruq blood cultures culture urine temp bp hr rr sat o spo
    ra exam imaging eeg lp csf films xray x ray pain fever chills weight loss appetite sleep energy mood bowel
    movements symptoms associated review of systems constitutional general heent the and or on in to for as of
    by s a
""")
"""A subheading made of these words alone belongs to a history: relatives, habits, diseases, work-up."""

EXAM_WORDS = _words("""
    physical exam examination pe vs vitals vital signs t tm tmax tc tcurrent temp temperature afebrile bp sbp
    dbp map p hr pulse pulses r rr resp respirations respiratory o sat sats spo fio ra nc bipap cpap vent
    settings peep tv ac fs fsbg fsg weight wt height ht bmi i os io in out pain scale gcs rass gen general
    genl appearance constitutional heent head eyes eye ears ear nose throat mouth mucosa oropharynx op ent
    perrl eomi mmm sclera sclerae conjunctiva pupils neck jvp jvd thyroid lymph lymphatic lymphatics nodes ln
    lad node cv cvs cardiac cardio cardiovascular heart cor card chest chestwall breast breasts lung lungs
    pulm pulmonary thorax back spine flank cva abd abdomen abdominal gi gastrointestinal rectal guaiac gu
    genitourinary genital genitalia pelvic pelvis foley ext exts extr extremity extremities le les ue ues rue
    rle lue lle right left upper lower bilateral arm arms leg legs hand hands foot feet hip hips knee knees
    ankle ankles shoulder wrist elbow thigh calf groin msk musculoskeletal joints skin derm dermatologic
    integument integumentary wound wounds incision incisions lines line access drains tubes tube airway
    vascular peripheral edema perfusion neuro neurologic neurological cns ns ms mental status cranial nerve
    nerves cn cns i ii iii iv v vi vii viii ix x xi xii motor strength power tone bulk sensory sensation
    coordination cerebellar gait reflexes reflex dtr dtrs babinski toes plantar plantars language speech
    orientation attention memory praxis calculations fundi fundoscopic visual fields vf eom facial face tongue
    palate hearing finger nose heel shin romberg pronator drift adventitious movements del bic tri we wf fe ff
    io ip ih quad quads ham hams ta gas gastroc edb edl ehl delt deltoid bi br pat ach biceps triceps
    brachioradialis patellar achilles psych psychiatric mood affect insight judgment thought process content
    behavior attitude cognition alert aox oriented carotid carotids radial femoral popliteal dp pt dorsalis
    pedis posterior tibial fem pop bruits murmur murmurs rhythm hematologic heme endocrine allergic
    immunologic id constitutionally ros positive negative review of systems the and or on at upon admission
    admit arrival presentation initial icu micu sicu ccu floor ed to a b c d e s k
""")
"""A subheading made of these words alone belongs to a physical exam or a review of systems."""
