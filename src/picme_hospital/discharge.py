"""Discharge summaries, section by section.

The sections that restate what was known at admission are drawn from the latents alone. The hospital course, the
disposition and everything after them tell the outcome and the coded diagnoses, as real summaries do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picme_hospital import phrases
from picme_hospital.codes import PHENOTYPES
from picme_hospital.files import stream
from picme_hospital.voice import Voice, wrap

if TYPE_CHECKING:
    from picme_hospital.patients import Hospital


def discharge_summary(h: Hospital, a: int) -> str:
    """Write the discharge summary of admission `a`."""
    rng = stream(h.seed, "discharge", a)
    voice = Voice(rng, bool(h.female[h.subject[a]]))
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
    if rng.random() < 0.04:  # some authors put the past medical history first
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


def _complaint(voice: Voice, view: dict[str, float]) -> str:
    """Write the chief complaint, which comes from the worst latent if that is bad."""
    worst = max(phrases.COMPLAINTS, key=lambda name: view[name])
    return voice.one(phrases.COMPLAINTS[worst] if view[worst] > 0.8 else phrases.WELL_COMPLAINTS)


def _history(voice: Voice, h: Hospital, a: int, view: dict[str, float]) -> str:
    """Write the history of present illness: an opening, a sentence for each organ (the worst first), and a closing."""
    opening = f"{{Ms}} ___ is a ___ year old {{woman}} {voice.at(phrases.HISTORY['chronic'], view['chronic'])}"
    organs = ["brain", "kidney", "metabolic", "liver", "infection"]
    organs.sort(key=lambda name: -voice.level(view[name]))
    told = " ".join(voice.at(phrases.HISTORY[name], view[name]) for name in organs)
    whole = (view["chronic"] + view["brain"] + 0.4 * view["kidney"]) / 1.47
    if h.latent.traits["intubated"][a]:
        told += " " + voice.one(phrases.TUBES)
    told = f"{told} {phrases.SIDE_PAIN[int(h.latent.traits['side'][a])]}".strip()
    return wrap(voice.fill(f"{opening}. {told} {voice.at(phrases.CLOSINGS, whole)}"))


def _social(voice: Voice, h: Hospital, a: int, view: dict[str, float]) -> str:
    """Write the social history from marital status, age and language."""
    family = phrases.FAMILIES.get(h.marital[a], "___")
    speech = "" if h.english[h.subject[a]] else " History through an interpreter."
    return f"{family} {voice.at(phrases.WORK, view['age'])}{speech}"


def _conditions(voice: Voice, h: Hospital, a: int) -> str:
    """Write the past medical history: the phenotypes it mentions, devices, and one condition without meaning."""
    named = [PHENOTYPES[i].history for i in np.flatnonzero(h.latent.mentions[a]) if PHENOTYPES[i].history]
    lines = [voice.one(words) for words in named]
    if h.latent.traits["pacemaker"][a]:
        lines.append("pacemaker placement")
    if h.latent.traits["sternotomy"][a]:
        lines.append("median sternotomy for cardiac surgery")
    lines += [voice.one(("GERD", "s/p appendectomy", "osteoarthritis", "seasonal allergies", "hypothyroidism"))]
    return "\n".join(f"- {line}" for line in dict.fromkeys(lines))


def _exams(voice: Voice, view: dict[str, float], died: bool) -> str:
    """Write the physical exams at admission (from the latents) and at discharge (from the outcome)."""
    parts = (("General", "chronic"), ("Neuro", "brain"), ("CV", "heart"), ("Lungs", "lung"), ("Abdomen", "liver"))
    lines = [f"{name}: {voice.at(phrases.EXAM[latent], view[latent])}" for name, latent in parts]
    after = (
        "No breath sounds, no pulse, pupils fixed. Expired." if died else "VS: stable\nGeneral: comfortable\nNeuro: ___"
    )
    admission = voice.one(("ADMISSION PHYSICAL EXAM:", "ADMISSION PHYSICAL EXAM:", "ADMISSION EXAM:"))
    vitals = "VS: ___"
    return f"{admission}\n{vitals}\n" + "\n".join(lines) + f"\n \nDISCHARGE PHYSICAL EXAM:\n{after}"


def _medications(voice: Voice, view: dict[str, float]) -> str:
    """Write a numbered list of medications."""
    lines: list[str] = []
    for name, levels in phrases.MEDICATIONS.items():
        lines += levels[voice.level(view[name])]
    return "\n".join(f"{k + 1}. {line} " for k, line in enumerate(lines))


def _results(voice: Voice, h: Hospital, a: int) -> str:
    """Write the pertinent results, which show the same latents as the laboratory tables."""
    seen = h.latent.views["timeseries"]
    creatinine, white = np.exp(0.25 + 0.5 * seen["kidney"][a]), np.exp(2.35 + 0.32 * seen["infection"][a])
    return (
        f"ADMISSION LABS\n___ WBC-{white:.1f}* Hgb-___ Plt ___\n___ Creat-{creatinine:.1f} Na-___ K-___\n"
        f"MICROBIOLOGY\n{voice.one(('___ BLOOD CULTURE: pending', '___ URINE CULTURE: no growth', 'None'))}"
    )


def _diagnoses(h: Hospital, a: int) -> list[str]:
    """Return the names of the admission's phenotypes, or one neutral diagnosis if it has none."""
    return [PHENOTYPES[i].name.split(" (")[0].lower() for i in np.flatnonzero(h.latent.phenotypes[a])] or [
        "observation"
    ]


def _course(voice: Voice, h: Hospital, a: int) -> str:
    """Write the hospital course, which names the coded diagnoses and the outcome."""
    problems = "\n".join(f"# {name}: treated per ICU protocol." for name in _diagnoses(h, a)[:6])
    ending = voice.one(phrases.ENDINGS_DIED if h.latent.died[a] else phrases.ENDINGS_LIVED)
    opening = "{Ms} ___ is a ___ year old {woman} admitted to the ICU."
    return wrap(voice.fill(opening)) + f"\n{problems}\n" + wrap(voice.fill(ending))


def _departure(voice: Voice, h: Hospital, a: int, view: dict[str, float]) -> list[tuple[str, str]]:
    """Write the sections about the discharge; return their headings and texts."""
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
        ("Discharge Instructions:", wrap("Dear {Ms} ___, it was a pleasure taking care of you at ___.")),
        ("Followup Instructions:", "___"),
    ]
