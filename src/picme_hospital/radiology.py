"""Radiology reports."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picme_hospital import phrases
from picme_hospital.files import stream
from picme_hospital.voice import Voice, wrap

if TYPE_CHECKING:
    from picme_hospital.patients import Hospital
    from picme_hospital.studies import Studies


def radiology_report(h: Hospital, studies: Studies, s: int) -> str:
    """Write the report of study `s`."""
    a = int(studies.admission[s])
    rng = stream(h.seed, "radiology", s)
    voice = Voice(rng, bool(h.female[h.subject[a]]))
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
    findings = wrap(" ".join([lungs, hearts, fluid, sick, *devices, bones]))
    whole = voice.at(phrases.OVERALL, (lung + heart + 0.6 * infection) / 1.54)
    impression = f"{whole}\n1. {lungs}\n2. {hearts} {sick}"
    return voice.fill(
        f"EXAMINATION:  {view}\n\nINDICATION:  ___ year old {{woman}} with {voice.one(phrases.INDICATIONS)}"
        f"  // interval change\n\nTECHNIQUE:  {technique} of the chest."
        f"\n\nCOMPARISON:  ___\n\nFINDINGS: \n\n{findings}\n\nIMPRESSION: \n\n{impression}\n"
    )
