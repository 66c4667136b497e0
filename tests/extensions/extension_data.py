"""Own data with three modalities, of which `lactate` carries the outcome."""

from __future__ import annotations

import csv
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_own_data(folder: Path, stays: int = 90, seed: int = 0) -> None:
    """samples.csv (id, patient, age, sex, two labels), vitals.csv and labs.csv (id, hours, variable, value)."""
    generator = random.Random(seed)
    with (folder / "samples.csv").open("w", newline="") as handle:
        rows = csv.writer(handle)
        rows.writerow(["id", "patient", "age", "sex", "vasopressors", "ventilation"])
        sick = {}
        for stay in range(1, stays + 1):
            sick[stay] = generator.random() < 0.4
            other = generator.random() < (0.7 if sick[stay] else 0.2)
            rows.writerow(
                [stay, f"p{stay}", generator.randint(20, 90), generator.choice("FM"), int(sick[stay]), int(other)]
            )
    for name, variables in (("vitals", ("heart_rate", "pressure")), ("labs", ("lactate",))):
        with (folder / f"{name}.csv").open("w", newline="") as handle:
            rows = csv.writer(handle)
            rows.writerow(["id", "hours", "variable", "value"])
            for stay in range(1, stays + 1):
                for hour in range(0, 30, 3):
                    for variable in variables:
                        rows.writerow([stay, hour, variable, round(generator.gauss(1.5 * sick[stay], 1), 3)])
