"""The engine knows nothing of what is studied, so that it could be lifted out."""

from __future__ import annotations

import re
from pathlib import Path

import picme.engine

WORDS = re.compile(
    r"patient|clinic|medic|hospital|admission|diagnos|mortalit|cohort|modalit|subject|encoder|stay_id|\bicu\b", re.I
)


def test_no_module_of_the_engine_has_a_clinical_word() -> None:
    files = sorted(Path(picme.engine.__file__).parent.glob("*.py"))
    assert len(files) > 5
    found = {(file.name, word[0]) for file in files for word in WORDS.finditer(file.read_text(encoding="utf-8"))}
    assert not found
