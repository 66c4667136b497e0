"""Own tables, damaged in many ways: each is read or is one sentence, which tells nothing of a patient."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from picme.config.sources import TableSource
from picme.errors import PicmeError
from picme.sources.table import extract

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("Anna Kowalski", "Bruno Fernandez", "Carla Okafor")
SECRETS = (*" ".join(NAMES).split(), "MRN70", "pneumonia", "2019-03", "v001", "p001", "scan")
SAMPLES = "visit,patient,age,sex,note,file,died\n" + "".join(
    f"v{row:04},p{row // 2:04},{20 + row},{'FM'[row % 2]},"
    f"{NAMES[row % 3]} MRN{7000000 + row} has pneumonia since 2019-03-{row % 28 + 1:02},scan{row}.png,{row % 2}\n"
    for row in range(30)
)
SERIES = "visit,hours,variable,value\n" + "".join(
    f"v{row:04},{hour},heart_rate,{60 + hour}\n" for row in range(30) for hour in range(3)
)
PIECES = (b'"', b",", b"\n", b"\r", b";", b"\0", b'""', b"\xff", b"NA", b"1e300", b"\t", b"-999", b",,,")


def mutated(text: str, draw: random.Random) -> bytes:
    raw = bytearray(text.encode())
    for _ in range(draw.choice([1, 1, 2, 5])):
        place = draw.randrange(len(raw) + 1)
        match draw.randrange(8):
            case 0:
                raw[place : place + 1] = draw.randbytes(1)
            case 1:
                del raw[place : place + draw.choice([1, 30, 400])]
            case 2:
                raw[place:place] = draw.choice(PIECES)
            case 3:
                del raw[: raw.find(b"\n") + 1]  # the header
            case 4:
                raw = raw.replace(b",", b";")
            case 5:
                raw = bytearray(raw.decode("utf-8", "replace").encode(draw.choice(["utf-16", "utf-8-sig"])))
            case 6:
                raw[place:place] = raw[place : place + 200]
            case 7:
                raw = raw.replace(draw.choice([b"visit", b"note", b"age", b"hours", b"died"]), NAMES[0].encode(), 1)
    return bytes(raw)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_tables(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    for row in range(30):
        (tmp_path / f"scan{row}.png").touch()
    read = 0
    for _ in range(40):
        (tmp_path / "a.csv").write_bytes(mutated(SAMPLES, draw) if draw.random() < 0.6 else SAMPLES.encode())
        (tmp_path / "b.csv").write_bytes(mutated(SERIES, draw) if draw.random() < 0.6 else SERIES.encode())
        modalities = {
            "table": {"kind": "tabular", **draw.choice([{}, {"columns": ["age", "sex"]}])},
            "note": {"kind": draw.choice(["image", "text"]), "column": draw.choice(["note", "file"])},
            "series": {"kind": "timeseries", "path": tmp_path / "b.csv", **draw.choice([{}, {"variable": "visit"}])},
        }
        try:
            found = extract(TableSource(path=tmp_path / "a.csv", id="visit"), modalities, {"died": {}})
        except PicmeError as error:
            said = str(error)
        else:
            said = f"{found.notes} {found.quarantine}"
            read += 1
        assert not [secret for secret in SECRETS if secret in said]
    assert 3 < read < 37, "some can be read and some cannot"
