"""Text of files whose encoding nobody states: told from byte-order marks, from UTF-8 itself, and else detected."""

from __future__ import annotations

import codecs
import re
from typing import NamedTuple

from charset_normalizer import from_bytes

# Longer marks first: that of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Windows encodings are by far the most common; among equally likely ones the first of these is taken.
_USUAL = ("cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257")
_ALIKE = 0.05
_LOST = "\ufffd"
UNDECODED = "with characters that cannot be decoded"
_SAMPLE = 1 << 18
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


class Decoded(NamedTuple):
    """A decoded text, without control characters; how it was encoded; and what is odd about it, in a few words."""

    text: str
    encoding: str
    oddities: tuple[str, ...]


def decode(raw: bytes) -> Decoded:
    """Decode the bytes of a text file.

    Bytes that are not UTF-8 and have no mark are in the encoding that charset-normalizer finds the likeliest, a
    Windows one among equals, unless at least as many characters are UTF-8 as are none: these are damaged then. What
    still cannot be decoded becomes U+FFFD. Control characters become blanks, line ends and tabs aside. All of this is
    said.
    """
    encoding = next((name for mark, name in _MARKS.items() if raw.startswith(mark)), None)
    if encoding is None:
        encoding = "utf-8"
        try:
            raw.decode(encoding)
            if raw.count(0) > len(raw) // 4:
                # ASCII in UTF-16 without a mark is valid UTF-8, every other character a NUL.
                encoding = "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"
        except UnicodeDecodeError as error:
            text = raw.decode(encoding, "replace")
            damaged = text.count(_LOST)
            # Letters of another encoding are valid UTF-8 by chance alone.
            if damaged > len(text) - len(text.encode("ascii", "ignore")) - damaged:
                encoding = _detected(raw[max(0, error.start - _SAMPLE // 4) & ~3 :][:_SAMPLE])
    text = raw.decode(encoding, "replace")
    text, controls = _CONTROL.subn(" ", text)
    oddities = [] if encoding.startswith("utf-8") and _LOST not in text else [f"read as {encoding}"]
    oddities += [UNDECODED] if _LOST in text else []
    oddities += ["with control characters"] if controls else []
    return Decoded(text, encoding, tuple(oddities))


def wide(head: bytes) -> str | None:
    """Return UTF-16 or UTF-32, as codecs name them, where the first bytes of a CSV file tell it; else None."""
    # The header alone: without a mark it is plain letters, with a NUL beside each in UTF-16.
    encoding = decode(head[:64]).encoding
    return encoding if encoding.startswith(("utf-16", "utf-32")) else None


def _detected(sample: bytes) -> str:
    """Return the likeliest encoding of bytes that are not UTF-8."""
    found = list(from_bytes(sample))
    if not found:
        return _USUAL[0]
    best = found[0]
    equals = [one.encoding for one in found if one.chaos <= best.chaos and one.coherence > best.coherence - _ALIKE]
    also = {name for one in found if one.encoding in equals for name in one.could_be_from_charset}
    return next((name for name in _USUAL if name in also), equals[0])
