from __future__ import annotations

import pytest

from picme.sources.encodings import decode

GERMAN = "visit,note\n1,65-jähriger Patient mit Fieber, Müdigkeit und „größer“ gewordenen Lymphknoten\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_a_text_is_the_same_in_every_encoding(encoding: str) -> None:
    found = decode(GERMAN.encode(encoding))
    assert found.text == GERMAN
    assert bool(found.oddities) == (not encoding.startswith("utf-8"))


def test_russian_is_detected() -> None:
    text = "Пациент с температурой и кашлем, одышка при нагрузке\n" * 5
    assert decode(text.encode("cp1251")).text == text


def test_control_characters_become_blanks() -> None:
    found = decode(b"a\0b\x07c\td\n")
    assert found.text == "a b c\td\n"
    assert found.oddities == ("with control characters",)
    assert decode(b"") == ("", "utf-8", ())


def test_a_stray_byte_in_utf_8_leaves_the_other_letters_as_they_are() -> None:
    found = decode(GERMAN.encode().replace(b"Patient", b"Pati\xe9nt"))
    assert found.text == GERMAN.replace("Patient", "Pati\ufffdnt")
    assert found.oddities == ("read as utf-8", "with characters that cannot be decoded")
    # Beside more letters that are no UTF-8, one that happens to be is not.
    assert decode("né à Orléans, Ã© élevé".encode("cp1252")).encoding != "utf-8"
