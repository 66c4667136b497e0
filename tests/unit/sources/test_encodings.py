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
