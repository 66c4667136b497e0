"""Discharge summaries and radiology reports in the form of MIMIC-IV-Note 2.2.

The sections that restate what was known at admission are drawn from the latents alone; hospital course, disposition and
all that follows know the outcome and the coded diagnoses, as real summaries do.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from picme.sources.synthetic import phrases
from picme.sources.synthetic.codes import PHENOTYPES
from picme.sources.synthetic.files import gzip_writer, stamp, stream, to_csv
from picme.sources.synthetic.patients import DAY, Hospital

if TYPE_CHECKING:
    from pathlib import Path

    from picme.sources.synthetic.studies import Studies

CHUNK = 5000  # notes in memory at once
HEADINGS: dict[str, tuple[str, ...]] = {  # the usual one first; the others now and then
    "Chief Complaint:": ("CHIEF COMPLAINT:", "Chief complaint:"),
    "History of Present Illness:": ("HPI:", "HISTORY OF PRESENT ILLNESS:", "History of Present Ilness:"),
    "Past Medical History:": ("PMH:", "PAST MEDICAL HISTORY:", "Past medical history:"),
    "Social History:": ("SOCIAL HISTORY:",),
    "Family History:": ("FAMILY HISTORY:", "Family history:"),
    "Physical Exam:": ("PHYSICAL EXAM:", "Physical exam:"),
    "Brief Hospital Course:": ("BRIEF HOSPITAL COURSE:", "Breif Hospital Course:"),
    "Medications on Admission:": ("MEDICATIONS ON ADMISSION:", "Medications on admission:"),
}
UNUSUAL = 0.05


class _Voice:
    """Chooses words for one patient."""

    def __init__(self, rng: np.random.Generator, female: bool) -> None:
        self.rng = rng
        words = ("she", "She", "her", "woman", "Ms.") if female else ("he", "He", "his", "man", "Mr.")
        self.words = dict(zip(("she", "She", "her", "woman", "Ms"), words, strict=True))

    def one(self, variants: tuple[str, ...]) -> str:
        return variants[int(self.rng.integers(len(variants)))]

    def level(self, view: float) -> int:
        return int(np.digitize(view, phrases.LEVELS))

    def at(self, levels: tuple[tuple[str, ...], ...], view: float) -> str:
        return self.one(levels[self.level(view)])

    def heading(self, usual: str) -> str:
        odd = HEADINGS.get(usual)
        return self.one(odd) if odd and self.rng.random() < UNUSUAL else usual

    def fill(self, text: str) -> str:
        return text.format(**self.words)


def write_notes(h: Hospital, studies: Studies, folder: Path) -> dict[str, int]:
    """Write discharge.csv.gz and radiology.csv.gz; returns notes per table."""
    rng = stream(h.seed, "notes")
    admissions = np.flatnonzero(~h.missing["discharge"])
    empty = set(rng.choice(admissions, size=max(1, len(admissions) // 500), replace=False).tolist())
    number = _numbers(h.subject[admissions], rng)
    with gzip_writer(folder / "discharge.csv.gz") as file:
        for start in range(0, len(admissions), CHUNK):
            part = admissions[start : start + CHUNK]
            texts = ["" if a in empty else discharge_summary(h, int(a)) for a in part]
            charted = h.dischtime[part] // DAY * DAY  # MIMIC gives the day of discharge
            stored = h.dischtime[part] + rng.integers(2 * 60, 4 * 24 * 60, len(part)) * 60
            frame = _notes(h, part, "DS", number[start : start + CHUNK], h.hadm_id[part], charted, stored, texts)
            file.write(to_csv(frame, header=start == 0))
    reported = np.flatnonzero(studies.reported)
    number = _numbers(h.subject[studies.admission[reported]], rng)
    with gzip_writer(folder / "radiology.csv.gz") as file:
        for start in range(0, len(reported), CHUNK):
            rows = reported[start : start + CHUNK]
            part = studies.admission[rows]
            texts = [radiology_report(h, studies, int(s)) for s in rows]
            before = studies.time[rows] < h.admittime[part]
            hadm = pl.Series(h.hadm_id[part]).set(pl.Series(before), None)
            stored = studies.time[rows] + studies.delay[rows]
            frame = _notes(h, part, "RR", number[start : start + CHUNK], hadm, studies.time[rows], stored, texts)
            file.write(to_csv(frame, header=start == 0))
    return {"discharge": len(admissions), "radiology": len(reported)}


def _numbers(subject: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each note's number among its subject's (sorted); notes of other kinds leave gaps."""
    turn = np.arange(len(subject)) - np.searchsorted(subject, subject)
    return np.asarray(3 + 4 * turn + rng.integers(0, 3, len(subject)))


def _notes(
    h: Hospital,
    admission: np.ndarray,
    kind: str,
    number: np.ndarray,
    hadm: np.ndarray | pl.Series,
    charted: np.ndarray,
    stored: np.ndarray,
    texts: list[str],
) -> pl.DataFrame:
    """Rows of a note table."""
    subject = h.subject_id[h.subject[admission]]
    return pl.DataFrame(
        {
            "note_id": [f"{s}-{kind}-{k}" for s, k in zip(subject, number, strict=True)],
            "subject_id": subject,
            "hadm_id": hadm,
            "note_type": [kind] * len(subject),
            "note_seq": number,
            "charttime": stamp(charted),
            "storetime": stamp(stored),
            "text": texts,
        }
    )


def discharge_summary(h: Hospital, a: int) -> str:
    """The summary of admission `a`."""
    rng = stream(h.seed, "discharge", a)
    voice = _Voice(rng, bool(h.female[h.subject[a]]))
    view = {name: float(values[a]) for name, values in h.latent.views["discharge"].items()}
    blocks = [
        ("Chief Complaint:", _complaint(voice, view)),
        ("Major Surgical or Invasive Procedure:", "___" if h.latent.traits["intubated"][a] else "None"),
        ("History of Present Illness:", _history(voice, h, a, view)),
        ("Past Medical History:", _conditions(voice, h, a)),
        ("Social History:", _social(voice, h, a, view)),
        ("Family History:", voice.one(phrases.FAMILY)),
        ("Physical Exam:", _exams(voice, view, bool(h.latent.died[a]))),
        ("Pertinent Results:", _results(voice, h, a)),
        ("Brief Hospital Course:", _course(voice, h, a)),
        ("Medications on Admission:", _medications(voice, view)),
        *_departure(voice, h, a, view),
    ]
    if rng.random() < 0.04:  # some authors put the history first
        blocks[2], blocks[3] = blocks[3], blocks[2]
    service = voice.one(("MEDICINE", "SURGERY", "NEUROLOGY", "CARDIOTHORACIC"))
    head = (
        " \nName:  ___                     Unit No:   ___\n \n"
        "Admission Date:  ___              Discharge Date:   ___\n"
        f" \nDate of Birth:  ___             Sex:   {'F' if voice.words['she'] == 'she' else 'M'}\n \n"
        f"Service: {service}\n \nAllergies: \n{voice.one(phrases.ALLERGIES)}\n"
        " \nAttending: ___.\n \n"
    )
    body = " \n".join(f"{voice.heading(title)}\n{text}\n" for title, text in blocks)
    return voice.fill(head + body)


def _wrap(text: str) -> str:
    """Lines as the hospital's system breaks them."""
    return "\n".join(textwrap.wrap(text, 76, break_long_words=False))


def _complaint(voice: _Voice, view: dict[str, float]) -> str:
    worst = max(phrases.COMPLAINTS, key=lambda name: view[name])
    return voice.one(phrases.COMPLAINTS[worst] if view[worst] > 0.8 else phrases.WELL_COMPLAINTS)


def _history(voice: _Voice, h: Hospital, a: int, view: dict[str, float]) -> str:
    """History of present illness: one sentence an organ, the gravest first after the opening."""
    opening = f"{{Ms}} ___ is a ___ year old {{woman}} {voice.at(phrases.HISTORY['chronic'], view['chronic'])}"
    organs = ["brain", "kidney", "metabolic", "liver", "infection"]
    organs.sort(key=lambda name: -voice.level(view[name]))
    told = " ".join(voice.at(phrases.HISTORY[name], view[name]) for name in organs)
    whole = (view["chronic"] + view["brain"] + 0.4 * view["kidney"]) / 1.47
    if h.latent.traits["intubated"][a]:
        told += " " + voice.one(phrases.TUBES)
    told = f"{told} {phrases.SIDE_PAIN[int(h.latent.traits['side'][a])]}".strip()
    return _wrap(voice.fill(f"{opening}. {told} {voice.at(phrases.CLOSINGS, whole)}"))


def _social(voice: _Voice, h: Hospital, a: int, view: dict[str, float]) -> str:
    family = phrases.FAMILIES.get(h.marital[a], "___")
    speech = "" if h.english[h.subject[a]] else " History through an interpreter."
    return f"{family} {voice.at(phrases.WORK, view['age'])}{speech}"


def _conditions(voice: _Voice, h: Hospital, a: int) -> str:
    named = [PHENOTYPES[i].history for i in np.flatnonzero(h.latent.mentions[a]) if PHENOTYPES[i].history]
    lines = [voice.one(words) for words in named]
    if h.latent.traits["pacemaker"][a]:
        lines.append("pacemaker placement")
    if h.latent.traits["sternotomy"][a]:
        lines.append("median sternotomy for cardiac surgery")
    lines += [voice.one(("GERD", "s/p appendectomy", "osteoarthritis", "seasonal allergies", "hypothyroidism"))]
    return "\n".join(f"- {line}" for line in dict.fromkeys(lines))


def _exams(voice: _Voice, view: dict[str, float], died: bool) -> str:
    parts = (("General", "chronic"), ("Neuro", "brain"), ("CV", "heart"), ("Lungs", "lung"), ("Abdomen", "liver"))
    lines = [f"{name}: {voice.at(phrases.EXAM[latent], view[latent])}" for name, latent in parts]
    after = (
        "No breath sounds, no pulse, pupils fixed. Expired." if died else "VS: stable\nGeneral: comfortable\nNeuro: ___"
    )
    admission = voice.one(("ADMISSION PHYSICAL EXAM:", "ADMISSION PHYSICAL EXAM:", "ADMISSION EXAM:"))
    vitals = "VS: ___"
    return f"{admission}\n{vitals}\n" + "\n".join(lines) + f"\n \nDISCHARGE PHYSICAL EXAM:\n{after}"


def _medications(voice: _Voice, view: dict[str, float]) -> str:
    lines: list[str] = []
    for name, levels in phrases.MEDICATIONS.items():
        lines += levels[voice.level(view[name])]
    return "\n".join(f"{k + 1}. {line} " for k, line in enumerate(lines))


def _results(voice: _Voice, h: Hospital, a: int) -> str:
    seen = h.latent.views["timeseries"]
    creatinine, white = np.exp(0.25 + 0.5 * seen["kidney"][a]), np.exp(2.35 + 0.32 * seen["infection"][a])
    return (
        f"ADMISSION LABS\n___ WBC-{white:.1f}* Hgb-___ Plt ___\n___ Creat-{creatinine:.1f} Na-___ K-___\n"
        f"MICROBIOLOGY\n{voice.one(('___ BLOOD CULTURE: pending', '___ URINE CULTURE: no growth', 'None'))}"
    )


def _diagnoses(h: Hospital, a: int) -> list[str]:
    return [PHENOTYPES[i].name.split(" (")[0].lower() for i in np.flatnonzero(h.latent.phenotypes[a])] or [
        "observation"
    ]


def _course(voice: _Voice, h: Hospital, a: int) -> str:
    """The hospital course: names the coded diagnoses and the outcome."""
    problems = "\n".join(f"# {name}: treated per ICU protocol." for name in _diagnoses(h, a)[:6])
    ending = voice.one(phrases.ENDINGS_DIED if h.latent.died[a] else phrases.ENDINGS_LIVED)
    opening = "{Ms} ___ is a ___ year old {woman} admitted to the ICU."
    return _wrap(voice.fill(opening)) + f"\n{problems}\n" + _wrap(voice.fill(ending))


def _departure(voice: _Voice, h: Hospital, a: int, view: dict[str, float]) -> list[tuple[str, str]]:
    """Everything written at discharge."""
    main, *others = _diagnoses(h, a)
    diagnosis = f"PRIMARY:\n{main}\n \nSECONDARY:\n" + "\n".join(others[:6])
    if h.latent.died[a]:
        return [
            ("Discharge Medications:", "n/a, patient expired"),
            ("Discharge Disposition:", "Expired"),
            ("Discharge Diagnosis:", diagnosis),
            ("Discharge Condition:", voice.one(("Expired", "Deceased"))),
            ("Discharge Instructions:", "n/a"),
            ("Followup Instructions:", "___"),
        ]
    condition = "Mental Status: Clear and coherent.\nLevel of Consciousness: Alert and interactive."
    return [
        ("Discharge Medications:", _medications(voice, view)),
        ("Discharge Disposition:", voice.one(("Home", "Home With Service", "Extended Care"))),
        ("Discharge Diagnosis:", diagnosis),
        ("Discharge Condition:", condition),
        ("Discharge Instructions:", _wrap("Dear {Ms} ___, it was a pleasure taking care of you at ___.")),
        ("Followup Instructions:", "___"),
    ]


def radiology_report(h: Hospital, studies: Studies, s: int) -> str:
    """The report of study `s`."""
    a = int(studies.admission[s])
    rng = stream(h.seed, "radiology", s)
    voice = _Voice(rng, bool(h.female[h.subject[a]]))
    if not studies.chest[s]:
        return voice.fill(
            "EXAMINATION:  US ABD LIMIT, SINGLE ORGAN\n\nINDICATION:  ___ year old {woman} with abdominal pain\n\n"
            "TECHNIQUE:  Grey scale ultrasound.\n\nCOMPARISON:  ___\n\nFINDINGS:\n\nNo gallstones. Limited study.\n\n"
            "IMPRESSION:\n\nNo acute abnormality identified.\n"
        )
    seen, traits = h.latent.views["radiology"], h.latent.traits
    lung, heart, infection = (float(seen[name][a]) + 0.2 * rng.normal() for name in ("lung", "heart", "infection"))
    side = int(traits["side"][a])
    effusion = 0.5 * (lung + heart) + float(traits["effusion"][a])
    lungs = voice.at(phrases.LUNGS, lung).format(side=phrases.SIDES[side])
    hearts, sick = voice.at(phrases.HEARTS, heart), voice.at(phrases.PNEUMONIA, infection)
    fluid = phrases.EFFUSIONS[int(np.digitize(effusion, (0.0, 0.8, 1.6)))].format(eside=phrases.EFFUSION_SIDES[side])
    bones = voice.at(phrases.BONES, float(seen["age"][a]))
    devices = []
    if traits["sternotomy"][a]:
        devices.append("Median sternotomy wires are intact.")
    if traits["intubated"][a]:
        devices.append("Endotracheal tube terminates 4 cm above the carina.")
    if traits["line"][a]:
        devices.append("Right internal jugular central venous catheter tip in the SVC.")
    if traits["pacemaker"][a]:
        devices.append("Left-sided pacemaker leads are in standard position.")
    view, technique = "CHEST (PA AND LAT)", "PA and lateral views"
    if studies.portable[s]:
        view, technique = "CHEST (PORTABLE AP)", "Single portable AP view"
    findings = _wrap(" ".join([lungs, hearts, fluid, sick, *devices, bones]))
    whole = voice.at(phrases.OVERALL, (lung + heart + 0.6 * infection) / 1.54)
    impression = f"{whole}\n1. {lungs}\n2. {hearts} {sick}"
    return voice.fill(
        f"EXAMINATION:  {view}\n\nINDICATION:  ___ year old {{woman}} with {voice.one(phrases.INDICATIONS)}"
        f"  // interval change\n\nTECHNIQUE:  {technique} of the chest."
        f"\n\nCOMPARISON:  ___\n\nFINDINGS: \n\n{findings}\n\nIMPRESSION: \n\n{impression}\n"
    )
